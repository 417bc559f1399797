//! What the process counts and measures, and the text that a scrape gets.
//!
//! Every label has a closed set of values ([`labels`]), so the number of series is known when this is
//! compiled; names of objects, pods or hosts never become labels, but for base Deployments ([`fleet`]). Gauges are set from whole counts, never
//! incremented, so a missed event can't make them drift. Must not: do anything slow where something is
//! counted; what has to be read from the system is read at scrape time ([`process`]).

pub mod fleet;
pub mod labels;
mod process;

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use labels::{
    AgentCommand, AgentOutcome, ApiResource, ApiResult, ApiVerb, BaseStat, BaseState, Controller, Phase,
    ReconcileResult, VNodeState, VPodState, WaitReason,
};

/// A reconcile reads caches and makes a few writes: a millisecond to the 30 s after which it is cut off.
const RECONCILE_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// A call to an agent is a health check of milliseconds or an installation of minutes.
const AGENT_BUCKETS: [f64; 11] = [0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 15.0, 60.0, 120.0, 300.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: Controller,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: Controller,
    result: ReconcileResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    resource: ApiResource,
    verb: ApiVerb,
    result: ApiResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    command: AgentCommand,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    command: AgentCommand,
    outcome: AgentOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: BaseState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VNodeLabels {
    state: VNodeState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VPodLabels {
    state: VPodState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// A function pointer, so that the family's type can be written down.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of the process; to be shared in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Histograms<ControllerLabels>,
    api_writes: Family<WriteLabels, Counter>,
    agent_calls: Family<CallLabels, Counter>,
    agent_seconds: Histograms<CommandLabels>,
    sessions: Gauge,
    modules: Family<PhaseLabels, Gauge>,
    bases: Family<StateLabels, Gauge>,
    vnodes: Family<VNodeLabels, Gauge>,
    vpods: Family<VPodLabels, Gauge>,
    fleet: fleet::FleetMetrics,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A set of its own, with every gauge at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(RECONCILE_BUCKETS)),
            api_writes: Family::default(),
            agent_calls: Family::default(),
            agent_seconds: Family::new_with_constructor(|| Histogram::new(AGENT_BUCKETS)),
            sessions: Gauge::default(),
            modules: Family::default(),
            bases: Family::default(),
            vnodes: Family::default(),
            vpods: Family::default(),
            fleet: fleet::FleetMetrics::default(),
            leader: Gauge::default(),
        };
        metrics.register();
        for phase in Phase::ALL {
            metrics.set_modules(phase, 0);
        }
        for state in BaseState::ALL {
            metrics.set_bases(state, 0);
        }
        metrics
    }

    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("module_controller");
        registry.register("reconciles", "Reconciles by controller and result", self.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long reconciles took",
            Unit::Seconds,
            self.reconcile_seconds.clone(),
        );
        registry.register("api_writes", "Writes to the API server by result", self.api_writes.clone());
        registry.register("agent_calls", "Calls to the agents of bases by outcome", self.agent_calls.clone());
        registry.register_with_unit(
            "agent_call_duration",
            "How long calls to the agents of bases took",
            Unit::Seconds,
            self.agent_seconds.clone(),
        );
        registry.register("sessions", "Bases that a session is open with", self.sessions.clone());
        registry.register("modules", "Modules by phase", self.modules.clone());
        registry.register("bases", "Base pods by state", self.bases.clone());
        registry.register("vnodes", "Virtual nodes by state", self.vnodes.clone());
        registry.register("vpods", "Pods on the virtual nodes of this process by state", self.vpods.clone());
        self.fleet.register(registry);
        registry.register("leader", "1 while this process leads", self.leader.clone());
        let build = BuildLabels { version: env!("CARGO_PKG_VERSION") };
        registry.register("build", "The running version", Info::new(build));
        self.registry.register_collector(Box::new(process::Process::new()));
    }

    /// The handle of one controller; to be taken once and kept.
    pub fn reconcile(&self, controller: Controller) -> ReconcileMetrics {
        let counters = ReconcileResult::ALL
            .map(|result| self.reconciles.get_or_create_owned(&ReconcileLabels { controller, result }));
        let seconds = self.reconcile_seconds.get_or_create_owned(&ControllerLabels { controller });
        ReconcileMetrics { counters, seconds }
    }

    /// Counts a write to the API server.
    pub fn api_write(&self, resource: ApiResource, verb: ApiVerb, result: ApiResult) {
        self.api_writes.get_or_create(&WriteLabels { resource, verb, result }).inc();
    }

    /// Counts a call to an agent and how long it took.
    pub fn agent_call(&self, command: AgentCommand, outcome: AgentOutcome, took: Duration) {
        self.agent_calls.get_or_create(&CallLabels { command, outcome }).inc();
        self.agent_seconds.get_or_create(&CommandLabels { command }).observe(took.as_secs_f64());
    }

    /// How many sessions with bases are open.
    pub fn set_sessions(&self, count: usize) {
        self.sessions.set(as_value(count));
    }

    /// How many Modules are in a phase.
    pub fn set_modules(&self, phase: Phase, count: usize) {
        self.modules.get_or_create(&PhaseLabels { phase }).set(as_value(count));
    }

    /// How many base pods are in a state.
    pub fn set_bases(&self, state: BaseState, count: usize) {
        self.bases.get_or_create(&StateLabels { state }).set(as_value(count));
    }

    /// How many virtual nodes are in a state.
    pub fn set_vnodes(&self, state: VNodeState, count: usize) {
        self.vnodes.get_or_create(&VNodeLabels { state }).set(as_value(count));
    }

    /// How many pods on virtual nodes are in a state.
    pub fn set_vpods(&self, state: VPodState, count: usize) {
        self.vpods.get_or_create(&VPodLabels { state }).set(as_value(count));
    }

    /// How full the bases are; everything that was told before is forgotten.
    pub fn set_fleet(&self, loads: &[fleet::BaseLoad]) {
        self.fleet.set(loads);
    }

    /// Whether this process leads.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The text of a scrape, in the OpenMetrics format.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

fn as_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What one controller counts: looked up once, then an atomic and a short lock a reconcile.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    counters: [Counter; ReconcileResult::ALL.len()],
    seconds: Histogram,
}

impl ReconcileMetrics {
    /// Counts a finished reconcile.
    pub fn observe(&self, result: ReconcileResult, took: Duration) {
        // The array is built from ALL, which lists the variants in the order of their numbers.
        self.counters[result as usize].inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
