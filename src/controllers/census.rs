//! Gauges over all scopes: Modules by phase, bases by state, how full they are, conversations.
//!
//! Counted from the caches at a slow pace; a scope that ended no longer counts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{context::Context, fleet};
use crate::{
    domain::{module, placement::Ineligible},
    runtime::{
        bases::BaseKey,
        kinds::BasePod,
        metrics::{BaseState, Metrics, Phase, WaitReason, fleet::BaseLoad},
    },
};

/// How often is counted.
const PACE: Duration = Duration::from_secs(10);

/// The scopes that are counted.
#[derive(Default)]
pub struct Census {
    scopes: Mutex<Vec<Weak<Context>>>,
}

impl Census {
    /// Counts a scope from now on.
    pub fn add(&self, context: &Arc<Context>) {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(context));
    }

    /// How many scopes have begun.
    pub fn scopes(&self) -> usize {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Counts until `stop`.
    pub async fn keep(&self, metrics: Arc<Metrics>, stop: CancellationToken) {
        loop {
            self.count(&metrics);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PACE) => {}
            }
        }
    }

    fn count(&self, metrics: &Metrics) {
        let scopes: Vec<Arc<Context>> =
            self.scopes.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
        let mut sessions = 0;
        let mut modules: HashMap<Phase, usize> = HashMap::new();
        let mut bases: HashMap<BaseState, usize> = HashMap::new();
        let mut loads = Vec::new();
        for context in &scopes {
            sessions += context.sessions.count();
            for module in context.modules.cache.store().state() {
                *modules.entry(label_of(fleet::phase_of(&module))).or_default() += 1;
            }
            for pod in context.bases.store().state() {
                *bases.entry(state_of(context, &pod)).or_default() += 1;
            }
            loads.extend(context.bases.keys().iter().map(|base| load_of(context, base)));
        }
        metrics.set_fleet(&loads);
        metrics.set_sessions(sessions);
        for phase in Phase::ALL {
            metrics.set_modules(phase, modules.get(&phase).copied().unwrap_or(0));
        }
        for state in BaseState::ALL {
            metrics.set_bases(state, bases.get(&state).copied().unwrap_or(0));
        }
    }
}

/// How full the pods of a base Deployment are, and what waits for them.
fn load_of(context: &Context, base: &BaseKey) -> BaseLoad {
    let pods = context.bases.pods(base);
    let staying = pods.iter().filter(|pod| !pod.is_ending());
    let mut waiting = BTreeMap::new();
    for unplaced in context.unplaced.lock().unwrap_or_else(PoisonError::into_inner).values() {
        if unplaced.base == *base {
            *waiting.entry(reason_of(unplaced.reason)).or_default() += unplaced.count as usize;
        }
    }
    BaseLoad {
        namespace: base.0.clone(),
        deployment: base.1.clone(),
        modules: staying.map(|pod| slots_of(context, pod)).collect(),
        waiting,
    }
}

fn reason_of(reason: Option<Ineligible>) -> WaitReason {
    match reason {
        None => WaitReason::NoBases,
        Some(Ineligible::NotReady) => WaitReason::NotReady,
        Some(Ineligible::Ending) => WaitReason::Terminating,
        Some(Ineligible::Cordoned) => WaitReason::Cordoned,
        Some(Ineligible::Full) => WaitReason::Full,
        Some(Ineligible::Tight) => WaitReason::Metaspace,
        Some(Ineligible::Taken) => WaitReason::Taken,
        Some(Ineligible::HasModule) => WaitReason::HasModule,
    }
}

/// A Module without a stored phase is pending.
fn label_of(phase: Option<module::Phase>) -> Phase {
    match phase {
        None | Some(module::Phase::Pending) => Phase::Pending,
        Some(module::Phase::Prepare) => Phase::Prepare,
        Some(module::Phase::Upgrading) => Phase::Upgrading,
        Some(module::Phase::Completing) => Phase::Completing,
        Some(module::Phase::Available) => Phase::Available,
        Some(module::Phase::Terminating) => Phase::Terminating,
    }
}

/// As the placement counts them: in the middle of an upgrade a base is no fuller than before.
fn slots_of(context: &Context, pod: &BasePod) -> usize {
    fleet::slots(&context.modules.on_base(pod.uid()))
}

fn state_of(context: &Context, pod: &BasePod) -> BaseState {
    if pod.is_ending() {
        return BaseState::Terminating;
    }
    if context.sessions.is_silent(pod.uid()) {
        return BaseState::Unreachable;
    }
    if !pod.is_ready() {
        return BaseState::NotReady;
    }
    match pod.max_modules() {
        Some(max) if slots_of(context, pod) >= usize::try_from(max).unwrap_or(usize::MAX) => BaseState::Full,
        _ if context.sessions.is_tight(pod.uid()) => BaseState::Full,
        _ => BaseState::Eligible,
    }
}
