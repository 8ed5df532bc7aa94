// SPDX-License-Identifier: Apache-2.0
//! Whether the machine does nothing else, so that times can be trusted.
//!
//! First this process sleeps, and the kernel's counters tell what others have used of the processors.
//! Then every processor does the same fixed work again and again at the same time. How much longer than
//! in its fastest quarter it takes shows what the counters do not: a neighbour on the same host, or a
//! clock that changes. Where there are no such counters, only this is known.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::hint::black_box;
use std::process::exit;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::turns::Quartiles;
use crate::work::at_once_with;

/// What others may use of the processors' time.
const MOST_BUSY: f64 = 0.03;
/// What the host may take of the processors' time.
const MOST_STOLEN: f64 = 0.01;
/// How much longer the fixed work may take on average than in its fastest quarter.
const MOST_DELAY: f64 = 0.04;
/// How long to look at the counters alone.
const SLEEP: Duration = Duration::from_secs(3);
/// The fixed work: how often, and how long about.
const SPINS: usize = 1000;
const SPIN: Duration = Duration::from_millis(1);

/// The kernel's counters of the processors' time, in its ticks.
#[derive(Clone, Copy)]
struct Ticks {
    busy: u64,
    stolen: u64,
    all: u64,
}

impl Ticks {
    fn now() -> Option<Self> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let fields = text.lines().next()?.split_whitespace().skip(1).take(8);
        let fields = fields.map(|field| field.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let [user, nice, system, idle, wait, irq, softirq, stolen] = fields[..] else {
            return None;
        };
        let busy = user + nice + system + irq + softirq;
        Some(Self { busy, stolen, all: busy + idle + wait + stolen })
    }

    /// What this process, and its children that have ended, have used.
    fn own() -> Option<u64> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field, the name, is the only one with brackets. The 14th to 17th are times.
        let fields = text.rsplit(')').next()?.split_whitespace().skip(11).take(4);
        fields.map(|field| field.parse::<u64>().ok()).sum()
    }
}

/// What others did to the machine during some time, as parts of all processors' time.
pub struct Others {
    busy: f64,
    stolen: f64,
}

impl Others {
    fn faults(&self) -> Vec<String> {
        let limits = [
            ("other programs used", self.busy, MOST_BUSY),
            ("the host took away", self.stolen, MOST_STOLEN),
        ];
        let over = limits.iter().filter(|(_, share, most)| share > most);
        over.map(|(who, share, most)| {
            let (share, most) = (share * 100.0, most * 100.0);
            format!("{who} {share:.1} % of the processors' time; {most:.1} % is allowed")
        })
        .collect()
    }
}

/// The time since [`Watch::start`].
pub struct Watch(Option<(Ticks, u64)>);

impl Watch {
    /// Begins to watch.
    pub fn start() -> Self {
        Self(Ticks::now().zip(Ticks::own()))
    }

    /// What others did since then. `None` where there are no counters.
    pub fn others(&self) -> Option<Others> {
        let (before, own_before) = self.0?;
        let (now, own) = (Ticks::now()?, Ticks::own()? - own_before);
        let part = |ticks: u64| ticks as f64 / (now.all - before.all).max(1) as f64;
        // The two counters are not read at the same moment.
        let busy = part((now.busy - before.busy).saturating_sub(own));
        Some(Others { busy, stolen: part(now.stolen - before.stolen) })
    }
}

/// What the noise of the machine is.
pub struct Noise {
    idle: Option<Others>,
    spinning: Option<Others>,
    delay: f64,
}

impl Noise {
    /// Measures it, which takes a few seconds.
    pub fn measure() -> Self {
        let watch = Watch::start();
        thread::sleep(SLEEP);
        let idle = watch.others();
        let watch = Watch::start();
        let delay = delay();
        Self { idle, spinning: watch.others(), delay }
    }

    /// Why times of this machine cannot be trusted now; nothing if they can.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<_> =
            self.idle.iter().chain(&self.spinning).flat_map(Others::faults).collect();
        if self.delay > MOST_DELAY {
            let (delay, most) = (self.delay * 100.0, MOST_DELAY * 100.0);
            faults.push(format!(
                "the same work takes {delay:.1} % longer on average than in its fastest quarter; \
                 {most:.1} % is allowed"
            ));
        }
        faults
    }
}

impl Display for Noise {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let of = |others: &Option<Others>, share: fn(&Others) -> f64| {
            others.as_ref().map_or(String::from("not known"), |others| percent(share(others)))
        };
        write!(
            f,
            "used by others while idle: {}, while spinning: {}; taken by the host: {}, {}; \
             the same work takes {} longer than in its fastest quarter",
            of(&self.idle, |others| others.busy),
            of(&self.spinning, |others| others.busy),
            of(&self.idle, |others| others.stolen),
            of(&self.spinning, |others| others.stolen),
            percent(self.delay)
        )
    }
}

/// Why the times since the watch began cannot be trusted; nothing if they can.
pub fn faults_since(watch: &Watch) -> Vec<String> {
    watch.others().iter().flat_map(Others::faults).collect()
}

/// Prints what disturbs the times. Ends the process, unless a warning is enough.
pub fn refuse(faults: &[String], when: &str, is_quick: bool) {
    if faults.is_empty() {
        return;
    }
    let word = if is_quick { "warning" } else { "refused" };
    eprintln!("{word}: the machine is busy {when}, so these times say little:");
    faults.iter().for_each(|fault| eprintln!("  {fault}"));
    if !is_quick {
        eprintln!("End other programs and try again; --quick measures all the same.");
        exit(1);
    }
}

/// Steps of which each needs the one before it.
fn spin(steps: u64) -> Duration {
    let start = Instant::now();
    let mut x = black_box(1_u64);
    for _ in 0..steps {
        x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    start.elapsed()
}

/// How much longer the fixed work takes on average than in its fastest quarter, on the processor where
/// that is most.
fn delay() -> f64 {
    let mut steps = 1 << 16;
    while spin(steps) < SPIN / 2 {
        steps *= 2;
    }
    let steps = (steps as f64 * SPIN.as_secs_f64() / spin(steps).as_secs_f64()) as u64;
    let worst = Mutex::new(0.0_f64);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    at_once_with(
        processors,
        || (),
        |()| {
            let times: Vec<_> = (0..SPINS).map(|_| spin(steps).as_secs_f64()).collect();
            let mean = times.iter().sum::<f64>() / SPINS as f64;
            let mut worst = worst.lock().expect("no panic");
            *worst = worst.max(mean / Quartiles::of(times).low - 1.0);
        },
    );
    worst.into_inner().expect("no panic")
}
