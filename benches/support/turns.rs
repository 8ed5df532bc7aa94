// SPDX-License-Identifier: Apache-2.0
//! Times several contenders in turns, for the library's closing table and for `benches/compare/`.
//!
//! A [`Group`] is filled like criterion's. When it is finished, each case is calibrated to a number
//! of iterations that takes one slice of time. Then all cases run one slice each, in a new random
//! order in each turn, and so on for many turns. So what changes during a run, such as the clock of
//! the processor, changes the times of all contenders and not the time of one. A slice begins with
//! an eighth of its iterations that is not timed, because the other contenders have used the caches.
//!
//! What is told of a case is the median of its times and the quartiles around it. Ratios are made of
//! the two times of each turn, and told in the same way.
//!
//! criterion and divan run one contender after the other. tango-bench alternates, but only between
//! two builds of the same functions. So this is our own.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each case is measured.
#[derive(Clone, Copy)]
pub struct Settings {
    /// How many times each case runs.
    pub turns: usize,
    /// How long it runs each time.
    pub slice: Duration,
    /// How long a group may take. If iterations are long, there are fewer turns.
    pub group: Duration,
}

/// The least number of turns, however long they take.
const LEAST_TURNS: usize = 5;

/// What a case is in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This library's.
    Ours,
    /// What this library is compared with.
    Rival,
    /// Less work than the contenders do: shown beside them, and not a rival.
    Yardstick,
}

impl Role {
    const ALL: [(Self, char); 3] = [(Self::Ours, '*'), (Self::Rival, ' '), (Self::Yardstick, '-')];

    /// The mark in front of a name.
    pub fn mark(self) -> char {
        Self::ALL.iter().find(|(role, _)| *role == self).expect("every role is there").1
    }

    fn from_mark(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, mark)| text.starts_with(*mark)).map(|(role, _)| *role)
    }
}

/// What the quarter, the half and three quarters of some numbers do not exceed.
#[derive(Clone, Copy)]
pub struct Quartiles {
    /// A quarter is less.
    pub low: f64,
    /// Half is less.
    pub median: f64,
    /// A quarter is more.
    pub high: f64,
}

impl Quartiles {
    /// Those of at least one number.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let at = |quarter: usize| numbers[(numbers.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

/// Times of one case.
#[derive(Clone)]
pub struct Timed {
    /// Its name, which its group has once.
    pub name: String,
    /// What it is in its group.
    pub role: Role,
    /// The nanoseconds of an operation in each turn.
    pub ns: Vec<f64>,
}

impl Timed {
    /// The nanoseconds of an operation.
    pub fn time(&self) -> Quartiles {
        Quartiles::of(self.ns.iter().copied())
    }

    /// How many times the other's time it takes, by the two times of each turn.
    pub fn ratio(&self, other: &Self) -> Quartiles {
        Quartiles::of(self.ns.iter().zip(&other.ns).map(|(own, other)| own / other))
    }
}

/// What a group's cases took.
#[derive(Clone)]
pub struct Outcome {
    /// The title of the group.
    pub title: String,
    /// The cases, in the order of the group.
    pub cases: Vec<Timed>,
}

impl Outcome {
    /// The case with that name.
    pub fn case(&self, name: &str) -> Option<&Timed> {
        self.cases.iter().find(|case| case.name == name)
    }

    /// The fastest rival, if there is a rival.
    pub fn best_rival(&self) -> Option<&Timed> {
        let rivals = self.cases.iter().filter(|case| case.role == Role::Rival);
        rivals.min_by(|a, b| a.time().median.total_cmp(&b.time().median))
    }

    /// The table of a group: times with their quartiles, and ratios to the best rival and to the
    /// yardsticks.
    pub fn table(&self) -> String {
        let best = self.best_rival();
        let yardsticks = self.cases.iter().filter(|case| case.role == Role::Yardstick);
        let beside: Vec<&Timed> = best.into_iter().chain(yardsticks).collect();
        let mut text = format!("{:<34}{:>10}  quartiles      ", self.title, "ns");
        for other in &beside {
            write!(text, "{:>31}", format!("times {}", other.name)).expect("a String");
        }
        for case in &self.cases {
            let Quartiles { low, median, high } = case.time();
            let spread = format!("{low:.2} to {high:.2}");
            let name = format!("{} {}", case.role.mark(), case.name);
            write!(text, "\n{name:<34}{median:>10.2}  {spread:<15}").expect("a String");
            for other in &beside {
                let Quartiles { low, median, high } = case.ratio(other);
                let ratio = format!("{median:.2} ({low:.2} to {high:.2})");
                write!(text, "{ratio:>31}").expect("a String");
            }
        }
        text.push('\n');
        text
    }

    /// Its lines in a file of results: title, mark and name, then the nanoseconds of an operation in
    /// each turn, separated by tabs.
    pub fn to_lines(&self) -> String {
        let mut text = String::new();
        for Timed { name, role, ns } in &self.cases {
            write!(text, "{}\t{}\t{name}", self.title, role.mark()).expect("a String");
            ns.iter().for_each(|ns| write!(text, "\t{ns:.4}").expect("a String"));
            text.push('\n');
        }
        text
    }

    /// Reads such lines. `None` if they are not of that form.
    pub fn from_lines(text: &str) -> Option<Vec<Self>> {
        let mut outcomes: Vec<Self> = Vec::new();
        for line in text.lines() {
            let mut fields = line.split('\t');
            let title = fields.next()?;
            let role = Role::from_mark(fields.next()?)?;
            let name = fields.next()?.to_owned();
            let ns = fields.map(|field| field.parse().ok()).collect::<Option<Vec<f64>>>()?;
            if ns.is_empty() {
                return None;
            }
            if outcomes.last().map(|last| last.title.as_str()) != Some(title) {
                outcomes.push(Self { title: title.to_owned(), cases: Vec::new() });
            }
            outcomes.last_mut()?.cases.push(Timed { name, role, ns });
        }
        Some(outcomes)
    }
}

/// What a case measures itself with, like criterion's.
pub struct Bencher {
    iterations: u64,
    elapsed: Duration,
}

impl Bencher {
    /// Times calls of `work`.
    #[inline(always)]
    pub fn iter<T>(&mut self, mut work: impl FnMut() -> T) {
        self.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                black_box(work());
            }
            start.elapsed()
        });
    }

    /// `work` runs that many iterations and returns their time.
    #[inline(always)]
    pub fn iter_custom(&mut self, mut work: impl FnMut(u64) -> Duration) {
        self.elapsed = work(self.iterations);
    }
}

struct Case<'a> {
    name: String,
    role: Role,
    run: Box<dyn FnMut(&mut Bencher) + 'a>,
}

impl Case<'_> {
    fn time(&mut self, iterations: u64) -> Duration {
        let mut bencher = Bencher { iterations, elapsed: Duration::ZERO };
        (self.run)(&mut bencher);
        bencher.elapsed
    }

    /// How many iterations fill a slice. Also warms up.
    fn calibrate(&mut self, slice: Duration) -> u64 {
        let mut iterations = 1;
        self.time(iterations);
        loop {
            // The first time may include what happens once.
            let start = Instant::now();
            let elapsed = self.time(iterations).min(self.time(iterations));
            let whole = start.elapsed() / 2;
            // What is not timed must not take long either.
            if elapsed >= slice / 8 || whole >= slice {
                let slices = slice.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
                let most = slice.as_secs_f64() * 4.0 / whole.as_secs_f64();
                return ((iterations as f64 * slices.min(most)) as u64).max(1);
            }
            iterations *= 2;
        }
    }
}

/// A random order, in which each of the possible ones is about as frequent.
fn shuffle<T>(items: &mut [T], state: &mut u64) {
    for last in (1..items.len()).rev() {
        // Knuth's multiplier; the upper bits are the random ones.
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (*state >> 33) as usize % (last + 1));
    }
}

/// The groups of a run.
pub struct Run {
    settings: Settings,
    role_of: fn(&str) -> Role,
    filter: Vec<String>,
    is_test: bool,
    /// What was measured.
    pub outcomes: Vec<Outcome>,
}

impl Run {
    /// A run that tells the role of a case by its name. If there are filters, a case is measured
    /// whose group and name contain one of them.
    pub fn new(settings: Settings, role_of: fn(&str) -> Role, filter: Vec<String>) -> Self {
        Self { settings, role_of, filter, is_test: false, outcomes: Vec::new() }
    }

    /// Runs each case once and measures nothing.
    pub fn test(mut self) -> Self {
        self.is_test = true;
        self
    }

    /// A group with that title, which no other group has. An iteration of a case is this many
    /// operations.
    pub fn group<'a>(&'a mut self, title: impl Into<String>, operations: usize) -> Group<'a> {
        Group { run: self, title: title.into(), operations, cases: Vec::new() }
    }
}

/// The contenders of one operation.
pub struct Group<'a> {
    run: &'a mut Run,
    title: String,
    operations: usize,
    cases: Vec<Case<'a>>,
}

impl<'a> Group<'a> {
    /// Adds a case. It is called for each slice.
    pub fn bench_function(
        &mut self,
        name: impl Into<String>,
        work: impl FnMut(&mut Bencher) + 'a,
    ) -> &mut Self {
        let name = name.into();
        let full = format!("{}/{name}", self.title);
        let filter = &self.run.filter;
        if filter.is_empty() || filter.iter().any(|part| full.contains(part.as_str())) {
            let role = (self.run.role_of)(&name);
            self.cases.push(Case { name, role, run: Box::new(work) });
        }
        self
    }

    /// Measures the cases.
    pub fn finish(self) {
        let Self { run, title, operations, mut cases } = self;
        if cases.is_empty() {
            return;
        }
        if run.is_test {
            for case in &mut cases {
                case.time(1);
            }
            println!("{title}: {} cases ran once", cases.len());
            return;
        }
        eprintln!("{title}: {} cases", cases.len());
        let Settings { turns, slice, group } = run.settings;
        let iterations: Vec<_> = cases.iter_mut().map(|case| case.calibrate(slice)).collect();
        let mut times = vec![Vec::with_capacity(turns); cases.len()];
        let mut order: Vec<usize> = (0..cases.len()).collect();
        let mut state = 42;
        let start = Instant::now();
        for turn in 0..turns {
            if turn >= LEAST_TURNS && start.elapsed() >= group {
                break;
            }
            shuffle(&mut order, &mut state);
            for &i in &order {
                if iterations[i] >= 8 {
                    cases[i].time(iterations[i] / 8);
                }
                let ns = cases[i].time(iterations[i]).as_nanos() as f64;
                times[i].push(ns / (iterations[i] as f64 * operations as f64));
            }
        }
        let cases = cases.into_iter().zip(times);
        let cases = cases.map(|(Case { name, role, .. }, ns)| Timed { name, role, ns }).collect();
        let outcome = Outcome { title, cases };
        run.outcomes.push(outcome);
    }
}
