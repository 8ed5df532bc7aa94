# SPDX-License-Identifier: Apache-2.0
# Compiles the core without a build system. The scripts of tests/ read this file with `.`.

# compile_core DIR COMMAND...: compiles every file of the core with the command, in DIR, into one
# object file for each. Files of different folders may have the same name, so an object's name
# contains the folder: arena_locked.o. The caller sets `root` to the repository.
compile_core() {
    core_dir=$1
    shift
    mkdir -p "$core_dir"
    for core_file in "$root"/csrc/*.c "$root"/csrc/*/*.c; do
        core_object=$(printf '%s' "${core_file#"$root"/csrc/}" | tr / _)
        (cd "$core_dir" && "$@" -c "$core_file" -o "${core_object%.c}.o") || return
    done
}
