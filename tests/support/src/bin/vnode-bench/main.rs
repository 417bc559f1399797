//! The benchmark of virtual nodes: what many VNodes with many vPods cost, beside what kwok takes for as many nodes and pods.
//!
//! Two sides in one run, on one control plane, one after the other, each alone: the provider with simulated agents, then kwok,
//! which plays kubelets and does nothing for a pod but write its status. Both get the same Deployments, whose pods land on
//! nodes with the same labels and taints, so the scheduler and the controllers have the same work. For each side: nodes
//! Ready, pods Ready, a while of nothing, all pods gone, all nodes gone. Prints the figures side by side and writes them as
//! JSON.
//!
//! Runs inside `with-cluster --audit`; `benches/run` builds everything and starts it. A figure that misses its target is
//! said and never fails the run.
//!
//! Sizes come from the environment: `VNODES` (1000), `MODULES` (10; as many vPods on each VNode), `IDLE_SECONDS` (300: each
//! VNode's status is written once in that time), `AGENT_MS` (50: how long an install takes the agent). `PROVIDER_FLAGS`
//! adds flags to the provider's command line.

mod cluster;
mod report;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cluster::Cluster;
use report::{Report, Side};
use rig::bench::audit::Request;
use rig::bench::meter::{Meter, Phase};
use rig::bench::processes::{Controller, Kwok, Simulator};
use rig::bench::watch::Watch;
use rig::bench::{Result, number};
use watch::Seen;

/// How large it is.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Settings {
    vnodes: usize,
    modules: usize,
    idle_seconds: u64,
    agent_ms: u64,
}

impl Settings {
    fn from_env() -> Result<Self> {
        Ok(Self {
            vnodes: number("VNODES", 1000)?,
            modules: number("MODULES", 10)?,
            idle_seconds: number("IDLE_SECONDS", 300)?,
            agent_ms: number("AGENT_MS", 50)?,
        })
    }

    fn pods(&self) -> usize {
        self.vnodes * self.modules
    }
}

/// Says what is going on.
fn progress(what: &str) {
    eprintln!("vnode-bench: {what}");
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match bench().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vnode-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> Result<()> {
    let settings = Settings::from_env()?;
    let cluster = Cluster::connect().await?;
    cluster.prepare().await?;
    let run = Run { settings, watch: watch::begin(&cluster), cluster };
    let (vnodes, agents) = run.vnodes().await?;
    let kwok = run.kwok().await?;
    let report = Report::new(settings, vnodes, kwok, agents);
    print!("{}", report.text());
    report.save()
}

/// A run.
struct Run {
    settings: Settings,
    cluster: Cluster,
    watch: Watch<Seen>,
}

impl Run {
    /// The side of the provider, and what the agents counted.
    async fn vnodes(&self) -> Result<(Side, serde_json::Value)> {
        let simulator = Simulator::start(self.settings.agent_ms)?;
        progress("VNodes: making the bases");
        self.cluster.create_bases(self.settings.vnodes).await?;
        let flags = std::env::var("PROVIDER_FLAGS").unwrap_or_default();
        let mut args = vec!["vnode", "--discover-bases", cluster::BASES];
        args.extend(flags.split_whitespace());
        let began = Instant::now();
        let provider = Controller::start("provider", &args)?;
        let meter = Meter::new(provider.subject(), Some(&simulator))?;
        let mut side = self.play("VNodes", meter, began, async { Ok(()) }).await?;
        side.leave(self, "the bases' end", self.cluster.delete_bases()).await?;
        let side = side.done;
        provider.stop()?;
        Ok((side, simulator.stop()?))
    }

    /// The side of kwok.
    async fn kwok(&self) -> Result<Side> {
        let kwok = Kwok::start(cluster::FAKE)?;
        let meter = Meter::new(kwok.subject(), None)?;
        let began = Instant::now();
        let nodes = self.cluster.create_fake_nodes(self.settings.vnodes);
        let mut side = self.play("kwok", meter, began, nodes).await?;
        side.leave(self, "the nodes' end", self.cluster.delete_fake_nodes()).await?;
        Ok(side.done)
    }

    /// What both sides go through while their nodes are there. `nodes` makes them, where they don't come by themselves.
    async fn play(
        &self,
        name: &'static str,
        mut meter: Meter,
        began: Instant,
        nodes: impl Future<Output = Result<()>>,
    ) -> Result<Playing> {
        let Settings { vnodes, modules, idle_seconds, .. } = self.settings;
        progress(&format!("{name}: nodes"));
        meter.begin()?;
        nodes.await?;
        self.watch.until("nodes are Ready", |seen| seen.ready_nodes() == vnodes).await?;
        let mut phases = vec![meter.end_now("nodes", began.elapsed())?];

        progress(&format!("{name}: install"));
        meter.begin()?;
        let began = Instant::now();
        self.cluster.create_deployments(modules, vnodes).await?;
        self.watch.until("pods are Ready", |seen| seen.ready_pods() == self.settings.pods()).await?;
        let done = began.elapsed();
        phases.push(meter.end("install", done, done, is_about_pods).await?);
        let lags = self.watch.seen().lags();

        progress(&format!("{name}: idle, {idle_seconds} s"));
        meter.begin()?;
        let began = Instant::now();
        tokio::time::sleep(Duration::from_secs(idle_seconds)).await;
        phases.push(meter.end_now("idle", began.elapsed())?);

        progress(&format!("{name}: deletion"));
        meter.begin()?;
        let began = Instant::now();
        self.cluster.delete_deployments().await?;
        self.watch.until("pods are gone", |seen| seen.pods() == 0).await?;
        let done = began.elapsed();
        phases.push(meter.end("deletion", done, done, is_about_pods).await?);
        Ok(Playing { meter, done: Side { name, phases, lags } })
    }
}

/// Leases and what is said of nodes come all the time.
fn is_about_pods(request: &Request) -> bool {
    request.is_write() && request.resource.starts_with("pods")
}

/// A side whose nodes are still there.
struct Playing {
    meter: Meter,
    done: Side,
}

impl Playing {
    /// The last phase: its nodes go.
    async fn leave(&mut self, run: &Run, what: &str, order: impl Future<Output = Result<()>>) -> Result<()> {
        progress(&format!("{}: {what}", self.done.name));
        self.meter.begin()?;
        let began = Instant::now();
        order.await?;
        run.watch.until("nodes are gone", |seen| seen.nodes() == 0).await?;
        let phase: Phase = self.meter.end_now("leaving", began.elapsed())?;
        self.done.phases.push(phase);
        Ok(())
    }
}
