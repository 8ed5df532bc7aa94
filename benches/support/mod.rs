// SPDX-License-Identifier: Apache-2.0
//! What several benches need: criterion's settings, and what `benches/compare/` needs too, which is
//! without criterion.
#![allow(dead_code)]

pub mod turns;
pub mod work;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};

/// A group of cases, timed by the clock.
pub type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Sets timings with this many samples if the environment has `AEGIS_BENCH=full`, and much shorter
/// ones otherwise, unless the command line asks for others.
pub fn settings(warm_up_ms: u64, measurement_ms: u64, samples: usize) -> Criterion {
    let is_full = std::env::var_os("AEGIS_BENCH").is_some_and(|value| value == "full");
    let (warm_up_ms, measurement_ms, samples, resamples) =
        if is_full { (warm_up_ms, measurement_ms, samples, 100_000) } else { (30, 100, 10, 1000) };
    Criterion::default()
        .warm_up_time(Duration::from_millis(warm_up_ms))
        .measurement_time(Duration::from_millis(measurement_ms))
        .sample_size(samples)
        .nresamples(resamples)
        .configure_from_args()
}
