// SPDX-License-Identifier: Apache-2.0
//! Curves: figures for several sizes, how far they rise, and how far they may.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// A curve may rise by this much without a reason: two runs of the same differ by less.
pub const NOISE: f64 = 1.5;

/// How far a curve may rise.
pub enum Rule {
    /// It is only shown.
    Shown,
    /// By [`NOISE`].
    Flat,
    /// By this factor from the second size on, for this reason.
    Later(f64, &'static str),
    /// By this factor, for this reason.
    Rise(f64, &'static str),
    /// By as many nanoseconds as the curve before, which does the same to plain memory. So the
    /// reasons are caches, pages and the system.
    Plain,
}

struct Curve {
    name: String,
    points: Vec<Option<f64>>,
    rule: Rule,
}

/// A table of curves over the same sizes.
pub struct Table {
    title: String,
    sizes: Vec<u64>,
    curves: Vec<Curve>,
}

/// The powers of ten from one to another.
pub fn powers(first: u32, last: u32) -> Vec<u64> {
    (first..=last).map(|power| 10_u64.pow(power)).collect()
}

/// A size in few letters.
fn label(size: u64) -> String {
    match size {
        1_000_000.. => format!("{}M", size / 1_000_000),
        10_000.. => format!("{}k", size / 1_000),
        _ => size.to_string(),
    }
}

impl Table {
    pub fn new(title: &str, sizes: &[u64]) -> Self {
        Table { title: title.into(), sizes: sizes.into(), curves: Vec::new() }
    }

    /// Adds a curve. `point` is called with each size; where it returns `None` nothing is shown.
    pub fn add(&mut self, name: &str, rule: Rule, point: impl FnMut(u64) -> Option<f64>) {
        let points = self.sizes.iter().copied().map(point).collect();
        self.curves.push(Curve { name: name.into(), points, rule });
    }

    pub fn print(&self) {
        println!("\n{}", self.title);
        let sizes: String = self.sizes.iter().map(|&size| format!("{:>9}", label(size))).collect();
        println!("{:32}{sizes}     rises  allowed", "");
        for (number, curve) in self.curves.iter().enumerate() {
            let points: String = curve.points.iter().map(|&point| figure(point)).collect();
            println!("{:32}{points}{}", curve.name, self.judge(number));
        }
        for curve in &self.curves {
            if let Rule::Rise(_, reason) | Rule::Later(_, reason) = curve.rule {
                println!("  {}: {reason}", curve.name);
            }
        }
    }

    /// How far a curve has risen and may rise.
    fn judge(&self, number: usize) -> String {
        let curve = &self.curves[number];
        let first = usize::from(matches!(curve.rule, Rule::Later(..)));
        let Some((least, last)) = ends(&curve.points[first..]) else {
            return String::new();
        };
        let allowed = match curve.rule {
            Rule::Shown => return String::new(),
            Rule::Flat => NOISE,
            Rule::Rise(allowed, _) | Rule::Later(allowed, _) => allowed,
            Rule::Plain => {
                let plain = ends(&self.curves[number - 1].points);
                let more = plain.map_or(0.0, |(least, last)| (last - least).max(0.0));
                NOISE * (least + more) / least
            }
        };
        let rises = last / least;
        let mark = if rises > allowed { "  RISES FURTHER" } else { "" };
        format!(" {rises:9.2} {allowed:8.2}{mark}")
    }
}

/// The least value before the last one, and the last one.
fn ends(points: &[Option<f64>]) -> Option<(f64, f64)> {
    let known: Vec<f64> = points.iter().flatten().copied().collect();
    let (last, before) = known.split_last()?;
    let least = before.iter().copied().reduce(f64::min)?;
    Some((least.max(1e-3), *last))
}

fn figure(point: Option<f64>) -> String {
    match point {
        None => format!("{:>9}", "-"),
        Some(value) if value >= 1000.0 => format!("{value:9.0}"),
        Some(value) => format!("{value:9.2}"),
    }
}

/// The shortest time of a run, in nanoseconds per operation, of which a run has `count`. Short runs
/// are repeated more often.
pub fn per_operation(count: u64, mut run: impl FnMut() -> Duration) -> f64 {
    let runs = (10_000_000 / count.max(1)).clamp(2, 300);
    let least = (0..runs).map(|_| run()).min().expect("at least two runs");
    least.as_nanos() as f64 / count as f64
}

/// The time of a call.
pub fn time(call: impl FnOnce()) -> Duration {
    // So that the code which takes the time is in the cache.
    black_box(Instant::now());
    let start = Instant::now();
    call();
    start.elapsed()
}

/// The mean time of a short call in nanoseconds, without what taking the time costs. Before each
/// call `prepare` runs, which handles `count` things. The clock may be coarser than the call takes.
pub fn mean(count: u64, mut prepare: impl FnMut(), mut call: impl FnMut()) -> f64 {
    let runs = (10_000_000 / count.max(1)).clamp(5, 1000) as u32;
    let empty: Duration = (0..1000).map(|_| time(|| ())).sum();
    let mut total = Duration::ZERO;
    for _ in 0..runs {
        prepare();
        total += time(&mut call);
    }
    let mean = |total: Duration, runs: u32| total.as_nanos() as f64 / f64::from(runs);
    (mean(total, runs) - mean(empty, 1000)).max(0.0)
}

/// How often a run of `count` operations is repeated within one timing.
pub fn repeats(count: u64) -> u64 {
    (10_000 / count.max(1)).max(1)
}
