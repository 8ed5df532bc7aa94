// SPDX-License-Identifier: Apache-2.0
//! Collections in each home. An iteration is a round with its reset or its drops.

use compare::collections::{cases, ALL};
use compare::turns::Run;

pub fn one_thread(run: &mut Run) {
    for (operation, count) in ALL {
        let mut group = run.group(operation, count);
        for case in cases().into_iter().filter(|case| case.operation == operation) {
            let mut round = (case.make)();
            group.bench_function(case.rival, move |bencher| bencher.iter(|| round(count)));
        }
        group.finish();
    }
}
