// SPDX-License-Identifier: Apache-2.0
//! Time of every case, rivals of one operation next to each other: an iteration is a round of
//! operations and a reset. A round has 1,000, so that the microseconds printed are nanoseconds per
//! operation, but 32 where memory is zeroed.

use std::time::Duration;

use compare::operations::{timed_count, ALL};
use criterion::{criterion_group, criterion_main, Criterion};

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

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
        .configure_from_args()
}

criterion_group! {
    name = benches;
    config = short();
    targets = time
}
criterion_main!(benches);
