//! The figures of both sides beside each other, as text for people and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use rig::bench::audit::Tally;
use rig::bench::meter::Phase;
use rig::bench::{Result, save, tables};
use serde::Serialize;
use serde_json::{Value, json};

use super::Settings;

/// From this share of the machine on, what others take is said.
const BUSY: f64 = 0.2;

/// One side of the run.
pub struct Side {
    pub name: &'static str,
    pub phases: Vec<Phase>,
    /// From a pod's binding to Ready, shortest first.
    pub lags: Vec<Duration>,
}

impl Side {
    fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// What `share` of the pods had not exceeded, in seconds.
    fn lag(&self, percent: usize) -> f64 {
        let at = (self.lags.len() * percent / 100).min(self.lags.len().saturating_sub(1));
        self.lags.get(at).map_or(0.0, Duration::as_secs_f64)
    }
}

/// The outcome of a run.
pub struct Report {
    settings: Settings,
    sides: [Side; 2],
    agents: Value,
    rows: Vec<Row>,
}

/// One figure of both sides.
#[derive(Serialize)]
struct Row {
    figure: &'static str,
    unit: &'static str,
    vnodes: f64,
    kwok: f64,
    /// The first by the second; `None` where the second is nothing.
    ratio: Option<f64>,
    /// Whether the first should be at most the second.
    target: bool,
}

impl Report {
    pub fn new(settings: Settings, vnodes: Side, kwok: Side, agents: Value) -> Self {
        let mut report = Self { settings, sides: [vnodes, kwok], agents, rows: vec![] };
        report.judge();
        report
    }

    fn row(&mut self, figure: &'static str, unit: &'static str, target: bool, of: impl Fn(&Side) -> Option<f64>) {
        let [vnodes, kwok] = [0, 1].map(|side| of(&self.sides[side]).unwrap_or(0.0));
        let ratio = (kwok > 0.0).then(|| vnodes / kwok);
        self.rows.push(Row { figure, unit, vnodes, kwok, ratio, target });
    }

    fn judge(&mut self) {
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let (nodes, pods) = (self.settings.vnodes as f64, self.settings.pods() as f64);
        self.row("all nodes Ready", "s", true, |side| Some(side.phase("nodes")?.seconds));
        self.row("writes a node until then", "", false, |side| Some(written(side.phase("nodes")?, "") / nodes));
        self.row("all pods Ready", "s", true, |side| Some(side.phase("install")?.seconds));
        self.row("bound to Ready, median", "s", false, |side| Some(side.lag(50)));
        self.row("bound to Ready, 99 of 100", "s", false, |side| Some(side.lag(99)));
        self.row("writes a pod until then", "", true, |side| Some(written(side.phase("install")?, "pods") / pods));
        self.row("CPU of the install", "s", true, |side| Some(side.phase("install")?.own_cpu()));
        self.row("peak RSS of the install", "MiB", true, |side| Some(side.phase("install")?.peak_rss_mib));
        self.row("idle: writes a minute", "", true, |side| a_minute(side, |idle| written(idle, "")));
        self.row("idle: of Leases", "", false, |side| a_minute(side, |idle| written(idle, "leases")));
        self.row("idle: of nodes", "", false, |side| a_minute(side, |idle| written(idle, "nodes")));
        self.row("idle: of anything else", "", true, |side| {
            a_minute(side, |idle| written(idle, "") - written(idle, "leases") - written(idle, "nodes"))
        });
        self.row("idle: calls to agents a minute", "", false, |side| a_minute(side, |idle| sum(&idle.calls, |_| true)));
        self.row("idle: CPU of one core", "%", true, |side| {
            let idle = side.phase("idle")?;
            Some(100.0 * idle.own_cpu() / idle.seconds.max(f64::EPSILON))
        });
        self.row("idle: RSS", "MiB", true, |side| Some(side.phase("idle")?.rss_mib));
        self.row("all pods gone", "s", false, |side| Some(side.phase("deletion")?.seconds));
        self.row("writes a pod until then", "", false, |side| Some(written(side.phase("deletion")?, "pods") / pods));
        self.row("CPU of the deletion", "s", true, |side| Some(side.phase("deletion")?.own_cpu()));
        self.row("all nodes gone", "s", false, |side| Some(side.phase("leaving")?.seconds));
        let peak = |side: &Side| side.phases.iter().map(|phase| phase.peak_rss_mib).reduce(f64::max);
        self.row("peak RSS of all", "MiB", true, peak);
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let Settings { vnodes, modules, agent_ms, .. } = self.settings;
        let pods = self.settings.pods();
        let _ = writeln!(
            out,
            "\n{vnodes} nodes, {modules} Deployments x {vnodes} replicas = {pods} pods; an install takes the agent \
             {agent_ms} ms, and kwok nothing\n\n{:<32}{:>14}{:>14}{:>9}",
            "", "VNodes", "kwok", "ratio"
        );
        for row in &self.rows {
            let [vnodes, kwok] = [row.vnodes, row.kwok].map(|value| format!("{value:.2} {}", row.unit));
            let ratio = row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            let missed = if row.target && row.vnodes > row.kwok { "  more than kwok" } else { "" };
            let _ = writeln!(out, "{:<32}{:>14}{:>14}{ratio:>9}{missed}", row.figure, vnodes.trim(), kwok.trim());
        }
        for side in &self.sides {
            let busiest = side.phases.iter().map(Phase::others).fold(0.0, f64::max);
            if busiest > BUSY {
                let _ = writeln!(
                    out,
                    "\n{}: others took up to {:.0} % of this machine; times say little, counts hold",
                    side.name,
                    busiest * 100.0
                );
            }
        }
        for side in &self.sides {
            let _ = writeln!(out, "\n== {}", side.name);
            let plain = |count: u64| count.to_string();
            tables::counts(&mut out, "API writes", &side.phases, |phase| &phase.writes, plain);
            tables::counts(&mut out, "refused API writes", &side.phases, |phase| &phase.refused, plain);
            tables::counts(&mut out, "API reads", &side.phases, |phase| &phase.reads, plain);
            tables::counts(&mut out, "calls to agents", &side.phases, |phase| &phase.calls, plain);
            tables::cpu(&mut out, &side.phases);
        }
        let _ = writeln!(out, "\nagents counted {}", self.agents);
        out
    }

    /// Writes the JSON.
    pub fn save(&self) -> Result<()> {
        let phases = |side: &Side| json!({"name": side.name, "phases": side.phases});
        save(&json!({
            "settings": self.settings,
            "figures": self.rows,
            "sides": self.sides.iter().map(phases).collect::<Vec<_>>(),
            "agents": self.agents,
        }))
    }
}

/// Writes of a phase to resources that begin with `resource`.
fn written(phase: &Phase, resource: &str) -> f64 {
    sum(&phase.writes, |kind| kind.split(' ').nth(1).is_some_and(|written| written.starts_with(resource)))
}

fn sum(tally: &Tally, counts: impl Fn(&str) -> bool) -> f64 {
    let total: u64 = tally.iter().filter(|(kind, _)| counts(kind)).map(|(_, count)| count).sum();
    #[allow(clippy::cast_precision_loss, reason = "thousands")]
    let total = total as f64;
    total
}

fn a_minute(side: &Side, of: impl Fn(&Phase) -> f64) -> Option<f64> {
    let idle = side.phase("idle")?;
    Some(of(idle) * 60.0 / idle.seconds.max(f64::EPSILON))
}
