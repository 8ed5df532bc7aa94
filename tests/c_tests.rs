// SPDX-License-Identifier: Apache-2.0
//! Runs the C tests under `cargo test`. The compiler that `cc` finds compiles the core and each
//! program of `tests/c`. The test then runs the program, which must end with exit code 0. No CMake
//! is needed.

#[path = "support/c_programs.rs"]
mod c_programs;
#[path = "support/compiler.rs"]
mod compiler;
#[path = "support/differ.rs"]
mod differ;
#[path = "support/runner.rs"]
mod runner;

use c_programs::{c_files, command, compile, private_libraries, root, succeed, CORE_DIRS};
use runner::command_for;
use std::path::PathBuf;
use std::process::Output;

/// The file of a test program.
fn file_of(name: &str) -> PathBuf {
    root().join("tests/c").join(format!("{name}.c"))
}

fn run(name: &str) {
    check(name, c_programs::compile_and_run(name, &file_of(name), &[]));
}

fn check(name: &str, output: Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(" passed, 0 failed"), "{name} ended without its closing line:\n{said}");
}

macro_rules! c_tests {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        /// What `--skip program::` leaves out where only the Rust compiler is another one.
        mod program {
            $(
                #[test]
                fn $name() {
                    super::run(stringify!($name));
                }
            )*
        }
    };
}

c_tests! {
    arena_blocks_test
    arena_budget_test
    arena_failure_test
    arena_fill_test
    arena_flags_test
    arena_guard_test
    arena_heap_guard_test
    arena_heap_limits_test
    arena_heap_model_test
    arena_heap_test
    arena_hooks_test
    arena_leak_test
    arena_limit_test
    arena_local_test
    arena_mark_test
    arena_memory_test
    arena_model_test
    arena_own_blocks_test
    arena_recycler_test
    arena_reserve_test
    arena_reset_test
    arena_scope_reset_test
    arena_scope_test
    arena_test
    arena_wait_test
    bad_source_test
    base_test
    budget_fork_test
    budget_guarantee_test
    budget_move_test
    budget_peak_test
    budget_pressure_test
    budget_reason_test
    budget_reclaim_test
    budget_reclaim_threads_test
    budget_share_test
    budget_stress_test
    budget_sum_test
    budget_system_test
    budget_test
    budget_text_test
    budget_threads_test
    budget_wait_fork_test
    budget_wait_stress_test
    budget_wait_test
    buffer_map_test
    buffer_memory_test
    buffer_model_test
    buffer_mut_test
    buffer_nesting_test
    buffer_pool_barrier_test
    buffer_pool_budget_test
    buffer_pool_fork_test
    buffer_pool_poll_test
    buffer_pool_reclaim_test
    buffer_pool_stress_test
    buffer_pool_test
    buffer_pool_trim_test
    buffer_pool_wait_test
    buffer_retained_test
    buffer_test
    buffer_threads_test
    cancel_test
    count_limit_test
    error_explain_test
    error_record_test
    error_test
    filled_errors_test
    filled_objects_test
    filled_page_cache_test
    filled_pool_errors_test
    filled_structs_test
    fork_test
    hooks_test
    keyed_pool_test
    layout_test
    lock_free_arena_defer_test
    lock_free_arena_memory_test
    lock_free_arena_stress_test
    lock_free_arena_test
    lock_free_pool_test
    locked_arena_calls_test
    locked_arena_heap_test
    locked_arena_test
    locked_barrier_test
    locked_pool_fork_test
    locked_pool_growth_test
    locked_pool_poll_test
    locked_pool_test
    move_buffer_pool_test
    move_buffers_test
    move_objects_test
    move_recycler_test
    move_states_test
    page_cache_buffer_test
    page_cache_evict_test
    page_cache_failure_test
    page_cache_fork_test
    page_cache_miss_test
    page_cache_options_test
    page_cache_pin_test
    page_cache_pitfalls_test
    page_cache_rekey_test
    page_cache_size_test
    page_cache_stress_test
    page_cache_sync_test
    page_cache_write_test
    page_checksum_test
    page_policy_test
    page_store_fault_test
    page_store_file_test
    page_store_memory_test
    page_store_partial_test
    poison_test
    pool_cache_test
    pool_fit_test
    pool_nested_test
    pool_poll_budget_test
    pool_refusal_test
    pool_stress_test
    pool_test
    pool_trim_test
    pool_wait_test
    print_test
    refusal_test
    sized_structs_test
    source_test
    statistics_forms_test
    statistics_test
    system_memory_test
    windows_test
}

/// Runs a program that has one copy of the core linked in and loads another one from a shared
/// library.
#[cfg(unix)]
#[test]
fn two_copies_of_the_core_share_objects() {
    let (mut command, dir) = command("shared");
    let library = dir.join("libaegis_memory_second.so");
    command.args(["-fPIC", "-shared", "-fvisibility=hidden", "-DAEGIS_SHARED", "-DAEGIS_BUILD"]);
    command
        .arg("-o")
        .arg(&library)
        .args(CORE_DIRS.iter().flat_map(|folder| c_files(&format!("csrc/{folder}"))))
        .arg("-pthread");
    command.args(private_libraries());
    succeed(command);
    let program = compile("two_copies", &file_of("two_copies"), &["-pthread", "-ldl"]);
    check("two_copies", c_programs::run("two_copies", command_for(&program).arg(library)));
}

#[test]
fn every_c_test_is_listed_here() {
    let files: Vec<String> = c_files("tests/c")
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|stem| stem.ends_with("_test"))
        .collect();
    let mend = "Each file of tests/c has its name in the list of c_tests!, in tests/c_tests.rs.";
    differ::assert_same(("tests/c", &files), ("tests/c_tests.rs", NAMES), mend);
}
