// SPDX-License-Identifier: Apache-2.0
//! The traces, made access by access for a capacity of the cache and from a seed, so that two runs
//! replay the same.

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn shuffle(&mut self, items: &mut [u64]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// Draws ranks whose probability is rank^-exponent, by Walker's aliases.
struct Zipf {
    keep: Vec<f64>,
    alias: Vec<u32>,
    pages: Vec<u64>,
}

impl Zipf {
    fn new(exponent: f64, count: usize, random: &mut Random) -> Self {
        let weights: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect();
        let scale = count as f64 / weights.iter().sum::<f64>();
        let mut keep: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let mut alias = vec![0; count];
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|&i| keep[i] < 1.0);
        while let (Some(&small), Some(&large)) = (poor.last(), rich.last()) {
            poor.pop();
            alias[small] = large as u32;
            keep[large] -= 1.0 - keep[small];
            if keep[large] < 1.0 {
                rich.pop();
                poor.push(large);
            }
        }
        for i in poor.into_iter().chain(rich) {
            keep[i] = 1.0;
        }
        let mut pages: Vec<u64> = (0..count as u64).collect();
        random.shuffle(&mut pages);
        Zipf { keep, alias, pages }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let i = random.below(self.keep.len() as u64) as usize;
        let rank = if random.fraction() < self.keep[i] { i } else { self.alias[i] as usize };
        self.pages[rank]
    }
}

/// What makes pages. Lengths are in units of the capacity.
#[derive(Clone, Copy)]
pub enum Shape {
    Zipf {
        exponent: f64,
        pages: f64,
    },
    Loop {
        pages: f64,
    },
    /// A share of the accesses goes through pages that never return, or that return in a cycle; they
    /// come in bursts of that length, or (0) one by one.
    Scan {
        share: f64,
        cycle: Option<f64>,
        burst: f64,
        exponent: f64,
    },
    /// The ranking is shuffled after every `period` accesses.
    Shuffled {
        exponent: f64,
        pages: f64,
        period: f64,
    },
    /// All pages of a working set are alike; it is a new one after every `period` accesses.
    Moving {
        pages: f64,
        period: f64,
    },
    /// A working set that moves on by a page after every `step` accesses (no unit).
    Sliding {
        pages: f64,
        step: f64,
    },
    /// Zipf, then a loop, in turns.
    Turns {
        lap: f64,
        period: f64,
    },
    /// Zipf, a loop of 1.25, a new working set of 0.8, a scan, in turns.
    Mixed {
        period: f64,
    },
}

pub struct Trace {
    shape: Shape,
    capacity: f64,
    random: Random,
    zipf: Option<Zipf>,
    /// How many accesses there were.
    count: u64,
    /// The position in a loop or scan.
    position: u64,
    /// The rest of a burst.
    burst: u64,
}

impl Trace {
    pub fn new(shape: Shape, capacity: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let scaled = |units: f64| (units * capacity as f64) as usize;
        let zipf = match shape {
            Shape::Zipf { exponent, pages } | Shape::Shuffled { exponent, pages, .. } => {
                Some(Zipf::new(exponent, scaled(pages), &mut random))
            }
            Shape::Scan { exponent, .. } => Some(Zipf::new(exponent, scaled(10.0), &mut random)),
            Shape::Turns { .. } | Shape::Mixed { .. } => {
                Some(Zipf::new(0.9, scaled(10.0), &mut random))
            }
            _ => None,
        };
        Trace { shape, capacity: capacity as f64, random, zipf, count: 0, position: 0, burst: 0 }
    }

    fn scaled(&self, units: f64) -> u64 {
        ((units * self.capacity) as u64).max(1)
    }

    /// The next page of a loop or a scan, from a range above the other pages.
    fn scan(&mut self, cycle: Option<f64>) -> u64 {
        let base = self.scaled(100.0);
        let at = self.position;
        self.position += 1;
        base + cycle.map_or(at, |units| at % self.scaled(units))
    }

    fn draw(&mut self) -> u64 {
        self.zipf.as_ref().expect("this shape has one").draw(&mut self.random)
    }

    pub fn next(&mut self) -> u64 {
        let count = self.count;
        self.count += 1;
        match self.shape {
            Shape::Zipf { .. } => self.draw(),
            Shape::Loop { pages } => count % self.scaled(pages),
            Shape::Scan { share, cycle, burst, .. } => {
                if self.burst > 0 {
                    self.burst -= 1;
                    return self.scan(cycle);
                }
                let length = if burst == 0.0 { 1 } else { self.scaled(burst) };
                // Between two bursts there are so many other accesses that the share comes out.
                let chance = if burst == 0.0 {
                    share
                } else {
                    1.0 / (length as f64 * (1.0 - share) / share + 1.0)
                };
                if self.random.fraction() < chance {
                    self.burst = length - 1;
                    return self.scan(cycle);
                }
                self.draw()
            }
            Shape::Shuffled { period, .. } => {
                if count.is_multiple_of(self.scaled(period)) {
                    let zipf = self.zipf.as_mut().expect("this shape has one");
                    self.random.shuffle(&mut zipf.pages);
                }
                self.draw()
            }
            Shape::Moving { pages, period } => {
                let size = self.scaled(pages);
                count / self.scaled(period) * size + self.random.below(size)
            }
            Shape::Sliding { pages, step } => {
                let size = self.scaled(pages);
                (count as f64 / step) as u64 + self.random.below(size)
            }
            Shape::Turns { lap, period } => match count / self.scaled(period) % 2 {
                0 => self.draw(),
                _ => self.scan(Some(lap)),
            },
            Shape::Mixed { period } => {
                let turn = count / self.scaled(period);
                match turn % 4 {
                    0 => self.draw(),
                    1 => self.scaled(20.0) + count % self.scaled(1.25),
                    2 => self.scaled(30.0 + turn as f64) + self.random.below(self.scaled(0.8)),
                    _ => self.scan(None),
                }
            }
        }
    }
}

/// All traces, with the names of their rows.
pub fn all() -> Vec<(String, Shape)> {
    let mut rows = Vec::new();
    for pages in [10.0, 100.0] {
        for exponent in [0.7, 0.8, 0.9, 1.0, 1.1, 1.2] {
            rows.push((
                format!("Zipf {exponent:.1} over {pages}"),
                Shape::Zipf { exponent, pages },
            ));
        }
    }
    for pages in [1.02, 1.1, 1.25, 1.5, 2.0] {
        rows.push((format!("loop of {pages}"), Shape::Loop { pages }));
    }
    for share in [0.05, 0.2, 0.5] {
        let percent = share * 100.0;
        for (what, cycle, burst) in [
            ("never again", None, 0.0),
            ("never again, bursts of 0.5", None, 0.5),
            ("never again, bursts of 2", None, 2.0),
            ("cycle of 4", Some(4.0), 0.0),
        ] {
            rows.push((
                format!("Zipf 0.9, {percent:.0} % scan: {what}"),
                Shape::Scan { share, cycle, burst, exponent: 0.9 },
            ));
        }
    }
    for (share, cycle) in [(0.5, 1.25), (0.3, 0.8), (0.5, 0.5)] {
        rows.push((
            format!("Zipf 0.9, {:.0} % loop of {cycle}", share * 100.0),
            Shape::Scan { share, cycle: Some(cycle), burst: 0.0, exponent: 0.9 },
        ));
    }
    rows.push((
        "Zipf 1.1, 50 % scan: never again".into(),
        Shape::Scan { share: 0.5, cycle: None, burst: 0.0, exponent: 1.1 },
    ));
    for (exponent, period) in [(0.9, 5.0), (0.9, 20.0), (1.1, 5.0), (1.1, 20.0)] {
        rows.push((
            format!("Zipf {exponent} over 10, shuffled every {period}"),
            Shape::Shuffled { exponent, pages: 10.0, period },
        ));
    }
    for pages in [0.5, 0.8, 1.0] {
        for period in [5.0, 20.0] {
            rows.push((
                format!("working set of {pages}, moves every {period}"),
                Shape::Moving { pages, period },
            ));
        }
    }
    for (pages, step) in [(0.5, 4.0), (0.8, 10.0), (1.0, 10.0), (1.2, 10.0)] {
        rows.push((
            format!("working set of {pages}, slides 1 page in {step}"),
            Shape::Sliding { pages, step },
        ));
    }
    for period in [5.0, 10.0] {
        rows.push((
            format!("Zipf 0.9, loop of 1.25, in turns of {period}"),
            Shape::Turns { lap: 1.25, period },
        ));
        rows.push((
            format!("Zipf, loop, working set, scan, in turns of {period}"),
            Shape::Mixed { period },
        ));
    }
    rows
}
