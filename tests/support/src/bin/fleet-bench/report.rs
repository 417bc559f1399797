//! The figures beside their targets, as text for people and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use rig::bench::meter::Phase;
use rig::bench::{Result, save, tables};
use serde::Serialize;
use serde_json::{Value, json};

use super::Settings;

/// CPU seconds of the Go controller V1 for the same install.
const V1_CPU_SECONDS: f64 = 13.7;

/// The outcome of a run.
pub struct Report {
    settings: Settings,
    floor: f64,
    phases: Vec<Phase>,
    agents: Value,
    rows: Vec<Row>,
}

/// One figure.
#[derive(Serialize)]
struct Row {
    phase: &'static str,
    figure: &'static str,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
}

/// What a figure should not exceed.
#[derive(Serialize)]
struct Target {
    at_most: f64,
    why: &'static str,
    reached: bool,
}

impl Report {
    pub fn new(settings: Settings, floor: Duration, phases: Vec<Phase>, agents: Value) -> Self {
        let floor = floor.as_secs_f64();
        let mut report = Self { settings, floor, phases: Vec::new(), agents, rows: Vec::new() };
        report.row("floor", "one create and one status patch a Module", floor, "s", None);
        for phase in &phases {
            report.phase(phase, phases.first().map_or(0.0, |install| install.seconds));
        }
        report.phases = phases;
        report
    }

    fn row(
        &mut self,
        phase: &'static str,
        figure: &'static str,
        value: f64,
        unit: &'static str,
        most: Option<(f64, &'static str)>,
    ) {
        let target = most.map(|(at_most, why)| Target { at_most, why, reached: value <= at_most });
        self.rows.push(Row { phase, figure, value, unit, target });
    }

    fn phase(&mut self, phase: &Phase, install: f64) {
        let name = phase.name;
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let per_module = phase.all_writes() as f64 / self.settings.modules() as f64;
        let cpu = phase.own_cpu();
        if name == "idle" {
            #[allow(clippy::cast_precision_loss, reason = "tens")]
            let writes = phase.all_writes() as f64;
            self.row(name, "API writes", writes, "", Some((0.0, "nothing to say")));
            let share = 100.0 * cpu / phase.seconds.max(f64::EPSILON);
            self.row(name, "CPU of the operator", share, "%", Some((0.2, "of one core")));
        } else {
            let (figure, most) = match name {
                "install" => ("until all Modules are Available", Some((2.5 * self.floor, "2.5 x floor"))),
                "upgrade" => ("until all are updated and the old gone", Some((3.0 * install, "3 x install"))),
                _ => ("until no Module is left", None),
            };
            self.row(name, figure, phase.seconds, "s", most);
            let base = if name == "install" { self.floor } else { install };
            let ratio = phase.seconds / base.max(f64::EPSILON);
            let (figure, most) = match name {
                "install" => ("ratio to the floor", Some((2.5, ""))),
                "upgrade" => ("ratio to the install", Some((3.0, ""))),
                _ => ("ratio to the install", None),
            };
            self.row(name, figure, ratio, "x", most);
            self.row(name, "until all releases are Completed or gone", phase.completed_seconds, "s", None);
            let writes = (name == "install").then_some((3.3, ""));
            self.row(name, "API writes a Module", per_module, "", writes);
            let cpu_target = (name == "install").then_some((V1_CPU_SECONDS / 3.0, "a third of the Go V1"));
            self.row(name, "CPU of the operator", cpu, "s", cpu_target);
        }
        self.row(name, "peak RSS of the operator", phase.peak_rss_mib, "MiB", Some((35.0, "")));
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let Settings { bases, deployments, replicas, agent_ms, .. } = self.settings;
        let modules = self.settings.modules();
        let _ = writeln!(
            out,
            "\nfleet: {deployments} ModuleDeployments x {replicas} replicas = {modules} Modules on {bases} bases; \
             an install takes the agent {agent_ms} ms\n"
        );
        for row in &self.rows {
            let value = format!("{:.2} {}", row.value, row.unit);
            let target = row.target.as_ref().map_or(String::new(), |target| {
                let verdict = if target.reached { "reached" } else { "missed" };
                let why = Some(target.why).filter(|why| !why.is_empty());
                let why = why.map_or(String::new(), |why| format!(" ({why})"));
                format!("{verdict}: at most {:.2}{why}", target.at_most)
            });
            let line = format!("{:<9} {:<41} {value:>12}   {target}", row.phase, row.figure);
            let _ = writeln!(out, "{}", line.trim_end());
        }
        #[allow(clippy::cast_precision_loss, reason = "thousands")]
        let per_module = |count: u64| format!("{:.3}", count as f64 / modules as f64);
        tables::counts(&mut out, "API writes a Module", &self.phases, |phase| &phase.writes, per_module);
        let plain = |count: u64| count.to_string();
        tables::counts(&mut out, "refused API writes", &self.phases, |phase| &phase.refused, plain);
        tables::counts(&mut out, "API reads", &self.phases, |phase| &phase.reads, plain);
        tables::counts(&mut out, "calls to agents a Module", &self.phases, |phase| &phase.calls, per_module);
        tables::counts(&mut out, "reconciles a Module", &self.phases, |phase| &phase.reconciles, per_module);
        tables::cpu(&mut out, &self.phases);
        let _ = writeln!(out, "\nagents counted {}", self.agents);
        out
    }

    /// Writes the JSON to the file that `BENCH_OUT` names.
    pub fn save(&self) -> Result<()> {
        let report = json!({
            "settings": self.settings,
            "floor_seconds": self.floor,
            "figures": self.rows,
            "phases": self.phases,
            "agents": self.agents,
        });
        save(&report)
    }
}
