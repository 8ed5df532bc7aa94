// SPDX-License-Identifier: Apache-2.0
//! The arena and its rivals. An iteration is a round of operations and a reset: few operations where
//! memory is zeroed, so that it stays in the processor's cache, and a thousand otherwise. Rivals in C
//! have groups of their own.

use compare::operations::{timed_count, ALL, BY_SIZE};
use compare::rivals::NOTHING;
use compare::turns::Run;
use compare::{c, Case};

pub fn one_thread(run: &mut Run) {
    for operation in ALL.into_iter().chain(BY_SIZE.map(|(name, _)| name)) {
        cases(run, operation, operation, |rival| !rival.starts_with("C "));
    }
    for operation in ALL {
        cases(run, &format!("{operation} in C"), operation, |rival| rival.starts_with("C "));
    }
}

fn cases(run: &mut Run, title: &str, operation: &str, is_wanted: fn(&str) -> bool) {
    let count = timed_count(operation);
    let mut group = run.group(title, count);
    for Case { rival, make, .. } in compare::cases().into_iter().filter(|case| {
        let is_loop = [NOTHING, c::NOTHING].contains(&case.rival);
        case.operation == operation && is_wanted(case.rival) && !is_loop
    }) {
        let mut round = make();
        group.bench_function(rival, move |bencher| bencher.iter(|| round(count)));
    }
    group.finish();
}
