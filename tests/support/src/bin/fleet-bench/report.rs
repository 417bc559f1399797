//! The figures beside their targets, as text for people and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::audit::Tally;
use super::meter::Phase;
use super::{Result, Settings};

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
        let cpu = phase.operator_cpu();
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
        self.matrix(&mut out, "API writes a Module", |phase| &phase.writes, per_module);
        let plain = |count: u64| count.to_string();
        self.matrix(&mut out, "refused API writes", |phase| &phase.refused, plain);
        self.matrix(&mut out, "API reads", |phase| &phase.reads, plain);
        self.matrix(&mut out, "calls to agents a Module", |phase| &phase.calls, per_module);
        self.matrix(&mut out, "reconciles a Module", |phase| &phase.reconciles, per_module);
        self.cpu(&mut out);
        let _ = writeln!(out, "\nagents counted {}", self.agents);
        out
    }

    fn matrix(&self, out: &mut String, title: &str, of: impl Fn(&Phase) -> &Tally, show: impl Fn(u64) -> String) {
        let keys: BTreeSet<&String> = self.phases.iter().flat_map(|phase| of(phase).keys()).collect();
        if keys.is_empty() {
            return;
        }
        self.heading(out, title);
        for key in keys {
            let _ = write!(out, "  {key:<38}");
            for phase in &self.phases {
                let cell = of(phase).get(key).map_or("-".to_owned(), |count| show(*count));
                let _ = write!(out, "{cell:>10}");
            }
            let _ = writeln!(out);
        }
    }

    fn heading(&self, out: &mut String, title: &str) {
        let _ = write!(out, "\n{title:<40}");
        for phase in &self.phases {
            let _ = write!(out, "{:>10}", phase.name);
        }
        let _ = writeln!(out);
    }

    fn cpu(&self, out: &mut String) {
        self.heading(out, "CPU seconds");
        let names: BTreeSet<&str> = self.phases.iter().flat_map(|phase| phase.cpu.keys().copied()).collect();
        for name in names {
            let _ = write!(out, "  {name:<38}");
            for phase in &self.phases {
                let _ = write!(out, "{:>10.2}", phase.cpu.get(name).copied().unwrap_or(0.0));
            }
            let _ = writeln!(out);
        }
    }

    /// Writes the JSON to the file that `BENCH_OUT` names.
    pub fn save(&self) -> Result<()> {
        let Some(file) = std::env::var_os("BENCH_OUT").map(PathBuf::from) else {
            return Ok(());
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let report = json!({
            "settings": self.settings,
            "floor_seconds": self.floor,
            "figures": self.rows,
            "phases": self.phases,
            "agents": self.agents,
        });
        fs::write(&file, serde_json::to_vec_pretty(&report)?)?;
        println!("written to {}", file.display());
        Ok(())
    }
}
