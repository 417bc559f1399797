//! A cluster in memory: API objects, base pods with their agents, and what the operator has in its memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt;

use crate::{
    api::{Module, ModuleDeployment, ModuleReplicaSet, keys::label},
    arklet::session::state::State,
    controllers::fleet,
    domain::{
        module::{Phase, UNREACHABLE_AFTER_MS},
        slot::BizState,
    },
    runtime::{index, kinds::BasePod},
};

pub const NAMESPACE: &str = "n";
pub const BASE: &str = "base";
pub const HEALTH: i64 = 10_000;

/// What an agent does with the calls that come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Fine,
    /// Installs fail.
    Refuses,
    /// No answer, and nothing is done.
    Hangs,
    /// No answer, but it is done.
    Mutters,
}

/// A base pod as it really is.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub object: BasePod,
    pub biz: BTreeMap<(String, String), BizState>,
    pub mood: Mood,
    pub activates_new: bool,
    /// When a fault last changed what it runs, or whether it answers.
    pub hurt_at: i64,
}

impl Pod {
    pub fn runs(&self, name: &str, version: &str) -> bool {
        self.biz.get(&(name.to_owned(), version.to_owned())) == Some(&BizState::Active)
    }
}

/// The write was not made: the operator crashed before it, or the API server said no.
pub struct Failed;

pub struct World {
    pub now: i64,
    pub deployments: BTreeMap<String, ModuleDeployment>,
    pub sets: BTreeMap<String, ModuleReplicaSet>,
    pub modules: BTreeMap<String, Module>,
    pub pods: BTreeMap<String, Pod>,
    /// What the operator's watches have shown so far of pods, and of the users' edits.
    pub seen_pods: BTreeMap<String, BasePod>,
    pub seen_deployments: BTreeMap<String, ModuleDeployment>,
    /// Modules that are gone, which the watch hasn't shown yet.
    pub ghosts: BTreeMap<String, Module>,
    pub sessions: BTreeMap<String, State>,
    pub label_off: BTreeMap<(String, String), i64>,
    pub writes: usize,
    /// After so many writes the operator crashes.
    pub crash_after: Option<usize>,
    /// Floors of S4 (desired less what may be unavailable), by deployment, with the time until which each counts.
    pub floors: BTreeMap<String, Vec<(i64, u32)>>,
    /// Modules that were strict from the start: S1 allows one version.
    pub strict: BTreeSet<String>,
    pub broken: Vec<String>,
    uids: u32,
    trace: Vec<String>,
}

impl World {
    pub fn new() -> Self {
        Self {
            now: 1_700_000_000_000,
            deployments: BTreeMap::new(),
            sets: BTreeMap::new(),
            modules: BTreeMap::new(),
            pods: BTreeMap::new(),
            seen_pods: BTreeMap::new(),
            seen_deployments: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            sessions: BTreeMap::new(),
            label_off: BTreeMap::new(),
            writes: 0,
            crash_after: None,
            floors: BTreeMap::new(),
            strict: BTreeSet::new(),
            broken: vec![],
            uids: 0,
            trace: vec![],
        }
    }

    pub fn note(&mut self, line: String) {
        let at = self.now - 1_700_000_000_000;
        self.trace.push(format!("{at:>8} {line}"));
    }

    pub fn trace(&self) -> String {
        self.trace.join("\n")
    }

    /// A rule is broken.
    pub fn complain(&mut self, why: String) {
        self.note(format!("BROKEN: {why}"));
        self.broken.push(why);
    }

    /// Nobody asks to be woken at a time that has come: that would be asked for again at once, without end.
    pub fn check_wake(&mut self, who: &str, wake_at: Option<i64>) {
        if wake_at.is_some_and(|at| at <= self.now) {
            self.complain(format!("{who} is to be woken in the past: {wake_at:?}"));
        }
    }

    pub fn uid(&mut self) -> String {
        self.uids += 1;
        format!("uid-{}", self.uids)
    }

    /// A write to the API server.
    pub fn write(&mut self, what: impl FnOnce() -> String) -> Result<(), Failed> {
        match &mut self.crash_after {
            Some(0) => return Err(Failed),
            Some(left) => *left -= 1,
            None => {}
        }
        self.writes += 1;
        let what = what();
        self.note(format!("write {what}"));
        Ok(())
    }

    /// What the operator forgets when it is started again; what its watches show then is true.
    pub fn restart_operator(&mut self) {
        self.note("the operator is restarted".to_owned());
        self.crash_after = None;
        self.sessions.clear();
        self.label_off.clear();
        self.watch();
    }

    /// The watches catch up.
    pub fn watch(&mut self) {
        let pods: BTreeMap<String, BasePod> =
            self.pods.iter().map(|(name, pod)| (name.clone(), pod.object.clone())).collect();
        for pod in pods.values() {
            self.see_pod(pod.clone());
        }
        self.seen_pods = pods;
        self.seen_deployments = self.deployments.clone();
        for module in std::mem::take(&mut self.ghosts).into_values() {
            self.withdraw(&module);
        }
        let alive: BTreeSet<&str> = self.seen_pods.values().map(BasePod::uid).collect();
        self.sessions.retain(|uid, _| alive.contains(uid.as_str()));
        self.label_off.retain(|(uid, _), _| alive.contains(uid.as_str()));
    }

    /// A pod as it stands now, as `Bases::apply` takes it.
    pub fn see_pod(&mut self, pod: BasePod) {
        let before = self.seen_pods.insert(pod.name_any(), pod.clone());
        let Some(before) = before.filter(|before| before.uid() == pod.uid()) else { return };
        for key in before.labels().keys().filter(|key| key.starts_with(label::TRAFFIC_PREFIX)) {
            if !pod.labels().contains_key(key) {
                self.label_off.insert((pod.uid().to_owned(), key.clone()), self.now);
            }
        }
        self.label_off.retain(|(uid, key), _| uid != pod.uid() || !pod.labels().contains_key(key));
        if before.restarts() != pod.restarts()
            && let Some(session) = self.sessions.get_mut(pod.uid())
        {
            session.restarted();
        }
    }

    pub fn withdraw(&mut self, module: &Module) {
        let (Some(base), Some(info)) = (index::base_uid(module), &module.spec.module) else { return };
        if let Some(session) = self.sessions.get_mut(base) {
            session.withdraw(&info.name, &module.name_any());
        }
    }

    /// Modules as the operator's cache shows them.
    pub fn cached_modules(&self) -> impl Iterator<Item = &Module> {
        let ghosts = self.ghosts.iter().filter(|(name, _)| !self.modules.contains_key(*name));
        self.modules.values().chain(ghosts.map(|(_, module)| module))
    }

    pub fn modules_of(&self, set: &str) -> Vec<Arc<Module>> {
        let of_set = |module: &&Module| module.labels().get(label::MODULE_REPLICA_SET).map(String::as_str) == Some(set);
        self.cached_modules().filter(of_set).cloned().map(Arc::new).collect()
    }

    pub fn modules_on(&self, uid: &str) -> Vec<Arc<Module>> {
        let here = |module: &&Module| index::base_uid(module) == Some(uid);
        self.cached_modules().filter(here).cloned().map(Arc::new).collect()
    }

    pub fn sets_of(&self, deployment: &str) -> Vec<ModuleReplicaSet> {
        let ours = |set: &&ModuleReplicaSet| owner(set) == Some(deployment);
        self.sets.values().filter(ours).cloned().collect()
    }

    /// Whether the pod with this UID is alive, as the operator sees it.
    pub fn is_alive(&self, uid: &str) -> bool {
        self.seen_pods.values().any(|pod| pod.uid() == uid && !pod.is_ending())
    }

    pub fn pod_by_uid(&self, uid: &str) -> Option<&Pod> {
        self.pods.values().find(|pod| pod.object.uid() == uid)
    }

    /// Bases on which a version of this deployment's is active and known to be available: a soak doesn't count. What
    /// befell a base a moment ago counts once it can have been noticed.
    pub fn serving(&self, deployment: &str) -> u32 {
        let of_it =
            |module: &Module| module.labels().get(label::MODULE_DEPLOYMENT).map(String::as_str) == Some(deployment);
        let available = |module: &Module| fleet::phase_of(module) == Some(Phase::Available);
        let versions: BTreeSet<(String, String)> = self
            .sets_of(deployment)
            .iter()
            .filter_map(|set| set.module().map(|info| (info.name.clone(), info.version.clone())))
            .collect();
        let serves = |seen: &&BasePod| {
            let modules = self.modules_on(seen.uid());
            let known = modules.iter().any(|module| !fleet::is_leaving(module) && of_it(module) && available(module));
            let active =
                |pod: &Pod| pod.biz.iter().any(|(k, state)| *state == BizState::Active && versions.contains(k));
            // What breaks behind an agent that doesn't answer is noticed by its silence only.
            let silence = |pod: &Pod| if pod.mood == Mood::Hangs { UNREACHABLE_AFTER_MS } else { 0 };
            let noticed = |pod: &Pod| pod.hurt_at + silence(pod) + 4 * HEALTH <= self.now;
            known && !seen.is_ending() && self.pod_by_uid(seen.uid()).is_none_or(|pod| active(pod) || !noticed(pod))
        };
        u32::try_from(self.seen_pods.values().filter(serves).count()).unwrap_or(0)
    }
}

/// The ModuleDeployment that controls a set.
pub fn owner(set: &ModuleReplicaSet) -> Option<&str> {
    let owners = set.metadata.owner_references.as_deref()?;
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.name.as_str())
}
