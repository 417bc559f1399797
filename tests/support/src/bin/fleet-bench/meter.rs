//! What one phase cost, taken before and after it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::audit::{self, Audit, Request, Tally};
use super::processes::{Operator, Process, Simulator};
use super::{DEADLINE, Result};

/// No write for so long: the operator is done.
const QUIET: Duration = Duration::from_secs(2);
/// How often is looked whether it is.
const PACE: Duration = Duration::from_millis(500);

/// One phase.
#[derive(Debug, Serialize)]
pub struct Phase {
    pub name: &'static str,
    /// Until every Module was as wanted.
    pub seconds: f64,
    /// Until every ModuleDeployment said so.
    pub completed_seconds: f64,
    /// The operator's writes, by verb and resource, until it was quiet.
    pub writes: Tally,
    /// Of those, the ones that the API server refused.
    pub refused: Tally,
    pub reads: Tally,
    /// Calls to agents by command and outcome.
    pub calls: Tally,
    /// Reconciles by controller.
    pub reconciles: Tally,
    /// CPU seconds by process, until the operator was quiet.
    pub cpu: BTreeMap<&'static str, f64>,
    pub peak_rss_mib: f64,
    pub rss_mib: f64,
    /// Writes by tenth of a second.
    pub timeline: BTreeMap<String, Tally>,
}

impl Phase {
    pub fn all_writes(&self) -> u64 {
        self.writes.values().sum()
    }

    pub fn operator_cpu(&self) -> f64 {
        self.cpu.get("operator").copied().unwrap_or(0.0)
    }
}

/// Takes the measures.
pub struct Meter<'a> {
    operator: &'a Operator,
    audit: Audit,
    processes: Vec<(&'static str, Process)>,
    before: Before,
}

#[derive(Default)]
struct Before {
    cpu: BTreeMap<&'static str, f64>,
    counters: BTreeMap<String, u64>,
}

impl<'a> Meter<'a> {
    pub fn new(operator: &'a Operator, simulator: &Simulator) -> Result<Self> {
        let processes = vec![
            ("operator", operator.process()),
            ("agents", simulator.process()),
            ("kube-apiserver", Process::component("kube-apiserver")?),
            ("etcd", Process::component("etcd")?),
            ("kube-controller-manager", Process::component("kube-controller-manager")?),
            ("kwok", Process::component("kwok")?),
            ("this benchmark", Process::of(std::process::id())),
        ];
        Ok(Self { operator, audit: Audit::open()?, processes, before: Before::default() })
    }

    /// A phase begins.
    pub async fn begin(&mut self) -> Result<()> {
        self.before = Before { cpu: self.cpu()?, counters: counters(&self.operator.metrics()?) };
        self.operator.process().reset_peak()?;
        self.audit.skip()
    }

    /// A phase ends once the operator is quiet.
    pub async fn end(&mut self, name: &'static str, done: Duration, completed: Duration) -> Result<Phase> {
        let mut requests = self.audit.news()?;
        let (mut quiet_since, began) = (Instant::now(), Instant::now());
        while quiet_since.elapsed() < QUIET {
            tokio::time::sleep(PACE).await;
            let news = self.audit.news()?;
            if news.iter().any(Request::is_write) {
                quiet_since = Instant::now();
            }
            requests.extend(news);
            if began.elapsed() > DEADLINE {
                return Err(format!("the operator is never quiet after {name}").into());
            }
        }
        self.finish(name, done, completed, &requests)
    }

    /// A phase ends now.
    pub async fn end_now(&mut self, name: &'static str, done: Duration) -> Result<Phase> {
        let requests = self.audit.news()?;
        self.finish(name, done, done, &requests)
    }

    fn finish(&self, name: &'static str, done: Duration, completed: Duration, requests: &[Request]) -> Result<Phase> {
        let process = self.operator.process();
        let mut cpu = self.cpu()?;
        for (name, seconds) in &mut cpu {
            *seconds -= self.before.cpu.get(name).copied().unwrap_or(0.0);
        }
        let mut grown = counters(&self.operator.metrics()?);
        for (name, count) in &mut grown {
            *count -= self.before.counters.get(name).copied().unwrap_or(0).min(*count);
        }
        let writes = || requests.iter().filter(|request| request.is_write());
        Ok(Phase {
            name,
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
        self.processes.iter().map(seconds).collect()
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
