//! The fleet benchmark: what a fleet costs the operator, measured on the rig.
//!
//! Floor (a bare writer, no operator), install, idle, upgrade, deletion, in one run; prints tables and writes them as JSON.
//! Runs inside `with-cluster --audit`; `benches/run` builds everything and starts it. A figure that misses its target is
//! said and never fails the run: what a machine can do isn't the operator's fault.
//!
//! Sizes come from the environment: `BASES` (50), `DEPLOYMENTS` (20), `REPLICAS` (50), `IDLE_SECONDS` (60), `AGENT_MS` (50).

mod audit;
mod cluster;
mod fleet;
mod floor;
mod meter;
mod processes;
mod report;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cluster::Cluster;
use fleet::Fleet;
use meter::{Meter, Phase};
use processes::{Operator, Simulator};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The versions before and after the upgrade.
const OLD: &str = "1.0.0";
const NEW: &str = "2.0.0";
/// Nothing in this benchmark takes longer, even ten times slower than it should be.
const DEADLINE: Duration = Duration::from_secs(600);

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

fn number<N: std::str::FromStr>(name: &str, default: N) -> Result<N> {
    match std::env::var(name) {
        Ok(value) => value.parse().map_err(|_| format!("{name} is not a number: {value}").into()),
        Err(_) => Ok(default),
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set; start this with benches/run").into())
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

    let operator = Operator::start()?;
    operator.ready().await?;
    let mut fleet = Fleet::watch(&cluster).await?;
    // Lists, connections and lazy initialisation of the start aren't the fleet's.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut meter = Meter::new(&operator, &simulator)?;
    let phases = vec![
        install(&settings, &cluster, &mut fleet, &mut meter).await?,
        idle(&settings, &mut meter).await?,
        upgrade(&settings, &cluster, &mut fleet, &mut meter).await?,
        delete(&cluster, &mut fleet, &mut meter).await?,
    ];
    drop(meter);
    operator.stop()?;
    let report = report::Report::new(settings, floor, phases, simulator.stop()?);
    print!("{}", report.text());
    report.save()
}

async fn install(settings: &Settings, cluster: &Cluster, fleet: &mut Fleet, meter: &mut Meter<'_>) -> Result<Phase> {
    progress("install");
    let (modules, deployments) = (settings.modules(), settings.deployments);
    meter.begin().await?;
    let began = Instant::now();
    cluster.create_deployments(deployments, settings.replicas, OLD).await?;
    fleet.until("Modules Available", |seen| seen.available(OLD) == modules).await?;
    let done = began.elapsed();
    fleet.until("releases Completed", |seen| seen.completed() == deployments).await?;
    let completed = began.elapsed();
    meter.end("install", done, completed).await
}

async fn idle(settings: &Settings, meter: &mut Meter<'_>) -> Result<Phase> {
    progress(&format!("idle, {} s", settings.idle_seconds));
    meter.begin().await?;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(settings.idle_seconds)).await;
    meter.end_now("idle", began.elapsed()).await
}

async fn upgrade(settings: &Settings, cluster: &Cluster, fleet: &mut Fleet, meter: &mut Meter<'_>) -> Result<Phase> {
    progress("upgrade");
    let (modules, deployments) = (settings.modules(), settings.deployments);
    meter.begin().await?;
    let began = Instant::now();
    cluster.upgrade_deployments(deployments, NEW).await?;
    fleet
        .until("Modules updated and old ones gone", |seen| seen.available(NEW) == modules && seen.modules() == modules)
        .await?;
    let done = began.elapsed();
    fleet.until("releases Completed", |seen| seen.completed() == deployments).await?;
    let completed = began.elapsed();
    meter.end("upgrade", done, completed).await
}

async fn delete(cluster: &Cluster, fleet: &mut Fleet, meter: &mut Meter<'_>) -> Result<Phase> {
    progress("deletion");
    meter.begin().await?;
    let began = Instant::now();
    cluster.delete_deployments().await?;
    fleet.until("Modules gone", |seen| seen.modules() == 0).await?;
    let done = began.elapsed();
    fleet.until("ModuleDeployments gone", |seen| seen.deployments() == 0).await?;
    let completed = began.elapsed();
    meter.end("deletion", done, completed).await
}
