//! The fleet benchmark: what a fleet costs the operator, measured on the rig.
//!
//! Floor (a bare writer, no operator), install, idle, upgrade, deletion, in one run; prints tables and writes them as JSON.
//! Runs inside `with-cluster --audit`; `benches/run` builds everything and starts it. A figure that misses its target is
//! said and never fails the run: what a machine can do isn't the operator's fault.
//!
//! Sizes come from the environment: `BASES` (50), `DEPLOYMENTS` (20), `REPLICAS` (50), `IDLE_SECONDS` (60), `AGENT_MS` (50).

mod cluster;
mod fleet;
mod floor;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cluster::Cluster;
use fleet::Seen;
use rig::bench::audit::Request;
use rig::bench::meter::{Meter, Phase};
use rig::bench::processes::{Controller, Simulator};
use rig::bench::watch::Watch;
use rig::bench::{Result, number};

/// The versions before and after the upgrade.
const OLD: &str = "1.0.0";
const NEW: &str = "2.0.0";

/// How large the fleet is.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Settings {
    bases: usize,
    deployments: usize,
    replicas: usize,
    idle_seconds: u64,
    agent_ms: u64,
}

impl Settings {
    fn from_env() -> Result<Self> {
        Ok(Self {
            bases: number("BASES", 50)?,
            deployments: number("DEPLOYMENTS", 20)?,
            replicas: number("REPLICAS", 50)?,
            idle_seconds: number("IDLE_SECONDS", 60)?,
            agent_ms: number("AGENT_MS", 50)?,
        })
    }

    fn modules(&self) -> usize {
        self.deployments * self.replicas
    }
}

/// Says what is going on.
fn progress(what: &str) {
    eprintln!("fleet-bench: {what}");
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match bench().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> Result<()> {
    let settings = Settings::from_env()?;
    if settings.replicas > settings.bases {
        return Err("REPLICAS can't be more than BASES: a base holds a module once".into());
    }
    let cluster = Cluster::connect().await?;
    let simulator = Simulator::start(settings.agent_ms)?;
    progress("installing the kinds, making the bases");
    cluster.prepare(settings.bases).await?;

    progress("floor: a bare writer, without the operator");
    let floor = floor::measure(&cluster, settings.modules()).await?;

    // The operator's command line may get more flags.
    let flags = std::env::var("OPERATOR_FLAGS").unwrap_or_default();
    let operator = Controller::start("operator", &flags.split_whitespace().collect::<Vec<_>>())?;
    operator.ready().await?;
    let fleet = fleet::watch(&cluster);
    // Lists, connections and lazy initialisation of the start aren't the fleet's.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut meter = Meter::new(operator.subject(), Some(&simulator))?;
    let phases = vec![
        install(&settings, &cluster, &fleet, &mut meter).await?,
        idle(&settings, &mut meter).await?,
        upgrade(&settings, &cluster, &fleet, &mut meter).await?,
        delete(&cluster, &fleet, &mut meter).await?,
    ];
    operator.stop()?;
    let report = report::Report::new(settings, floor, phases, simulator.stop()?);
    print!("{}", report.text());
    report.save()
}

async fn install(settings: &Settings, cluster: &Cluster, fleet: &Watch<Seen>, meter: &mut Meter) -> Result<Phase> {
    progress("install");
    let (modules, deployments) = (settings.modules(), settings.deployments);
    meter.begin()?;
    let began = Instant::now();
    cluster.create_deployments(deployments, settings.replicas, OLD).await?;
    fleet.until("Modules Available", |seen| seen.available(OLD) == modules).await?;
    let done = began.elapsed();
    fleet.until("releases Completed", |seen| seen.completed() == deployments).await?;
    let completed = began.elapsed();
    meter.end("install", done, completed, Request::is_write).await
}

async fn idle(settings: &Settings, meter: &mut Meter) -> Result<Phase> {
    progress(&format!("idle, {} s", settings.idle_seconds));
    meter.begin()?;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(settings.idle_seconds)).await;
    meter.end_now("idle", began.elapsed())
}

async fn upgrade(settings: &Settings, cluster: &Cluster, fleet: &Watch<Seen>, meter: &mut Meter) -> Result<Phase> {
    progress("upgrade");
    let (modules, deployments) = (settings.modules(), settings.deployments);
    meter.begin()?;
    let began = Instant::now();
    cluster.upgrade_deployments(deployments, NEW).await?;
    fleet
        .until("Modules updated and old ones gone", |seen| seen.available(NEW) == modules && seen.modules() == modules)
        .await?;
    let done = began.elapsed();
    fleet.until("releases Completed", |seen| seen.completed() == deployments).await?;
    let completed = began.elapsed();
    meter.end("upgrade", done, completed, Request::is_write).await
}

async fn delete(cluster: &Cluster, fleet: &Watch<Seen>, meter: &mut Meter) -> Result<Phase> {
    progress("deletion");
    meter.begin()?;
    let began = Instant::now();
    cluster.delete_deployments().await?;
    fleet.until("Modules gone", |seen| seen.modules() == 0).await?;
    let done = began.elapsed();
    fleet.until("ModuleDeployments gone", |seen| seen.deployments() == 0).await?;
    let completed = began.elapsed();
    meter.end("deletion", done, completed, Request::is_write).await
}
