// SPDX-License-Identifier: Apache-2.0
//! Measures the time of every case, with the rivals of one operation next to each other. An
//! iteration is a round of operations and a reset. A round has 1,000 operations, so that the
//! printed microseconds are nanoseconds per operation. Where memory is zeroed, a round has only 32.

#[path = "../../support/mod.rs"]
mod support;

use compare::operations::{timed_count, ALL};
use criterion::{criterion_group, criterion_main, Criterion};
use support::short;

fn time(criterion: &mut Criterion) {
    for operation in ALL {
        let mut group = criterion.benchmark_group(operation);
        for case in compare::cases().into_iter().filter(|case| case.operation == operation) {
            let mut round = (case.make)();
            group.bench_function(case.rival, |bencher| {
                bencher.iter(|| round(timed_count(operation)))
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = short(100, 400, 20);
    targets = time
}
criterion_main!(benches);
