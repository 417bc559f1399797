//! What one phase cost, taken before and after it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::audit::{self, Audit, Request, Tally};
use super::processes::{Process, Simulator, Subject, machine_cpu_seconds};
use super::{DEADLINE, Result};

/// No write for so long: whoever is measured is done.
const QUIET: Duration = Duration::from_secs(2);
/// The processor time of whatever else runs on this machine.
const OTHERS: &str = "everything else";
/// How often is looked whether it is.
const PACE: Duration = Duration::from_millis(500);

/// One phase.
#[derive(Debug, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// Who was measured.
    pub subject: &'static str,
    /// Until everything was as wanted.
    pub seconds: f64,
    /// Until whoever ordered it was told so, where that is something else.
    pub completed_seconds: f64,
    /// Writes by verb and resource, until no more came.
    pub writes: Tally,
    /// Of those, the ones that the API server refused.
    pub refused: Tally,
    /// Reads by verb and resource.
    pub reads: Tally,
    /// Calls to agents by command and outcome.
    pub calls: Tally,
    /// Reconciles by controller.
    pub reconciles: Tally,
    /// CPU seconds by process, over the same time.
    pub cpu: BTreeMap<&'static str, f64>,
    /// The peak of its resident memory.
    pub peak_rss_mib: f64,
    /// Its resident memory at the end.
    pub rss_mib: f64,
    /// Writes by tenth of a second.
    pub timeline: BTreeMap<String, Tally>,
}

impl Phase {
    /// All writes.
    pub fn all_writes(&self) -> u64 {
        self.writes.values().sum()
    }

    /// The share of the machine that whatever else runs there took, 0 to 1.
    pub fn others(&self) -> f64 {
        let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let taken = self.cpu.get(OTHERS).copied().unwrap_or(0.0);
        taken / (self.seconds * processors).max(f64::EPSILON)
    }

    /// CPU seconds of who was measured.
    pub fn own_cpu(&self) -> f64 {
        self.cpu.get(self.subject).copied().unwrap_or(0.0)
    }
}

/// Takes the measures.
pub struct Meter {
    subject: Subject,
    audit: Audit,
    processes: Vec<(&'static str, Process)>,
    before: Before,
}

#[derive(Default)]
struct Before {
    cpu: BTreeMap<&'static str, f64>,
    counters: BTreeMap<String, u64>,
}

impl Meter {
    /// A meter for `subject`, beside the processes that have to do with it.
    pub fn new(subject: Subject, simulator: Option<&Simulator>) -> Result<Self> {
        let mut processes = vec![(subject.name, subject.process)];
        processes.extend(simulator.map(|simulator| ("agents", simulator.process())));
        for component in ["kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kwok"] {
            processes.push((component, Process::component(component)?));
        }
        processes.push(("this benchmark", Process::of(std::process::id())));
        Ok(Self { subject, audit: Audit::open(subject.user)?, processes, before: Before::default() })
    }

    /// A phase begins.
    pub fn begin(&mut self) -> Result<()> {
        // A process that has only just begun doesn't listen yet, and has counted nothing.
        let counted = self.subject.metrics().unwrap_or_default();
        self.before = Before { cpu: self.cpu()?, counters: counters(&counted) };
        self.subject.process.reset_peak()?;
        self.audit.skip()
    }

    /// A phase ends once no more requests come for which `is_work` holds.
    pub async fn end(
        &mut self,
        name: &'static str,
        done: Duration,
        completed: Duration,
        is_work: impl Fn(&Request) -> bool,
    ) -> Result<Phase> {
        let mut requests = self.audit.news()?;
        let (mut quiet_since, began) = (Instant::now(), Instant::now());
        while quiet_since.elapsed() < QUIET {
            tokio::time::sleep(PACE).await;
            let news = self.audit.news()?;
            if news.iter().any(&is_work) {
                quiet_since = Instant::now();
            }
            requests.extend(news);
            if began.elapsed() > DEADLINE {
                return Err(format!("the {} is never quiet after {name}", self.subject.name).into());
            }
        }
        self.finish(name, done, completed, &requests)
    }

    /// A phase ends now.
    pub fn end_now(&mut self, name: &'static str, done: Duration) -> Result<Phase> {
        let requests = self.audit.news()?;
        self.finish(name, done, done, &requests)
    }

    fn finish(&self, name: &'static str, done: Duration, completed: Duration, requests: &[Request]) -> Result<Phase> {
        let process = self.subject.process;
        let mut cpu = self.cpu()?;
        for (name, seconds) in &mut cpu {
            *seconds -= self.before.cpu.get(name).copied().unwrap_or(0.0);
        }
        let mut grown = counters(&self.subject.metrics()?);
        for (name, count) in &mut grown {
            *count -= self.before.counters.get(name).copied().unwrap_or(0).min(*count);
        }
        let writes = || requests.iter().filter(|request| request.is_write());
        Ok(Phase {
            name,
            subject: self.subject.name,
            seconds: done.as_secs_f64(),
            completed_seconds: completed.as_secs_f64(),
            writes: audit::tally(writes()),
            refused: audit::tally(writes().filter(|request| request.refused)),
            reads: audit::tally(requests.iter().filter(|request| !request.is_write())),
            calls: by_labels(&grown, "module_controller_agent_calls_total", &["command", "outcome"]),
            reconciles: by_labels(&grown, "module_controller_reconciles_total", &["controller"]),
            cpu,
            peak_rss_mib: process.peak_mib()?,
            rss_mib: process.rss_mib()?,
            timeline: audit::timeline(writes()),
        })
    }

    fn cpu(&self) -> Result<BTreeMap<&'static str, f64>> {
        let seconds = |(name, process): &(&'static str, Process)| Ok((*name, process.cpu_seconds()?));
        let mut cpu: BTreeMap<&'static str, f64> = self.processes.iter().map(seconds).collect::<Result<_>>()?;
        // Others on this machine: where they have much to do, times say little.
        cpu.insert(OTHERS, (machine_cpu_seconds()? - cpu.values().sum::<f64>()).max(0.0));
        Ok(cpu)
    }
}

/// The counters of a scrape, by name and labels as they stand there.
fn counters(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| line.contains("_total"));
    lines
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        })
        .collect()
}

/// The sums of one family by some of its labels.
fn by_labels(counters: &BTreeMap<String, u64>, family: &str, labels: &[&str]) -> Tally {
    let mut sums = Tally::new();
    for (series, count) in counters.iter().filter(|(_, count)| **count > 0) {
        let Some(rest) = series.strip_prefix(family) else { continue };
        let value = |label: &str| {
            let (_, after) = rest.split_once(&format!("{label}=\""))?;
            after.split('"').next()
        };
        let key: Vec<&str> = labels.iter().filter_map(|label| value(label)).collect();
        *sums.entry(key.join(" ")).or_default() += count;
    }
    sums
}
