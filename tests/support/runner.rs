// SPDX-License-Identifier: Apache-2.0
//! How a test starts another program that is built for the test's target.

use std::env;
use std::path::Path;
use std::process::Command;

/// A command that runs the program as cargo runs tests: through the runner that the environment
/// names for the target, such as an emulator, or directly if there is none.
pub fn command_for(program: &Path) -> Command {
    let target = env!("AEGIS_TARGET").to_uppercase().replace(['-', '.'], "_");
    let runner = env::var(format!("CARGO_TARGET_{target}_RUNNER")).unwrap_or_default();
    let mut words = runner.split_whitespace();
    let Some(first) = words.next() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(words).arg(program);
    command
}
