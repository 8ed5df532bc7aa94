# SPDX-License-Identifier: Apache-2.0
# For the scripts of tests/, which read it with `.`: compiling the core without a build system.

# compile_core DIR COMMAND...: compiles every file of the core with the command, in DIR, one object
# file each. Files of different folders may have the same name, so an object is named after the
# folder too: arena_locked.o. `root` is the repository.
compile_core() {
    core_dir=$1
    shift
    mkdir -p "$core_dir"
    for core_file in "$root"/csrc/*.c "$root"/csrc/*/*.c; do
        core_object=$(printf '%s' "${core_file#"$root"/csrc/}" | tr / _)
        (cd "$core_dir" && "$@" -c "$core_file" -o "${core_object%.c}.o") || return
    done
}
