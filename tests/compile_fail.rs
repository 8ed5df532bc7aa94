// SPDX-License-Identifier: Apache-2.0
//! Programs that break a promise of the arena's must not compile, for the reason the `.stderr` file
//! beside each gives. `TRYBUILD=overwrite` writes those files anew after a change of rustc's words.

#[test]
fn programs_that_break_a_promise_do_not_compile() {
    // trybuild builds without a sanitizer's flags, which does not link with a core built with them.
    if std::env::var("CFLAGS").is_ok_and(|flags| flags.contains("-fsanitize")) {
        return;
    }
    let programs = trybuild::TestCases::new();
    // A program that must run makes trybuild build all of them, and not only check: a type with
    // drop glue is refused when its code is generated.
    programs.pass("tests/compile_pass/*.rs");
    programs.compile_fail("tests/compile_fail/*.rs");
    #[cfg(feature = "std")]
    programs.compile_fail("tests/compile_fail/std/*.rs");
    #[cfg(feature = "allocator-api2")]
    programs.compile_fail("tests/compile_fail/allocator/*.rs");
}
