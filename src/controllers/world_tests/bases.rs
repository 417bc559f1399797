//! Modules, base pods and conversations: the shells of the Module and base controllers, and agents that answer at once.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::world::{Failed, HEALTH, Mood, World};
use crate::{
    api::{Module, ModuleReplicaSet, ModuleStatus, keys::label},
    arklet::{
        client::{InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
        session::state::{Command, Outcome, State},
        wire::{self, Biz},
    },
    controllers::fleet,
    domain::{
        deployment::rank,
        module::{BaseFate, ModulePlan, ModuleView, Phase, Told, UNREACHABLE_AFTER_MS, plan_module},
        names,
        policy::UpgradePolicy,
        slot::{BizState, Verdict, Wish, WishKind},
        traffic::{Traffic, plan_labels},
    },
    runtime::{
        clock::{millis, timestamp},
        index,
        kinds::BasePod,
    },
};

type Done = Result<(), Failed>;

fn info(module: &Module) -> (String, String) {
    let info = module.spec.module.clone().unwrap_or_default();
    (info.name, info.version)
}

impl World {
    fn told(&mut self, module: &Module) -> Option<Told> {
        let now = self.now;
        let session = self.sessions.get_mut(index::base_uid(module)?)?;
        session.report(&info(module).0, &module.name_any(), now)
    }

    /// The pod of a Module: of the watch, else asked from the API server.
    fn pod_of(&self, module: &Module) -> Option<BasePod> {
        let name = index::base_name(module)?;
        self.seen_pods.get(name).cloned().or_else(|| self.pods.get(name).map(|pod| pod.object.clone()))
    }

    pub fn reconcile_module(&mut self, name: &str) -> Done {
        let Some(module) = self.modules.get(name).or(self.ghosts.get(name)).cloned() else { return Ok(()) };
        let set = module.labels().get(label::MODULE_REPLICA_SET).and_then(|set| self.sets.get(set)).cloned();
        let pod = self.pod_of(&module);
        let told = self.told(&module);
        let mut plan = plan_module(&self.view(&module, set.as_ref(), pod.as_ref(), told.clone()), self.now);
        let mut heard = self.hand_over(&module, set.as_ref(), pod.as_ref(), plan.wish);
        if heard != told {
            plan = plan_module(&self.view(&module, set.as_ref(), pod.as_ref(), heard.clone()), self.now);
            heard = self.hand_over(&module, set.as_ref(), pod.as_ref(), plan.wish);
        }
        self.check_wake(name, plan.wake_at);
        self.apply_module(&module, &plan, heard.as_ref())
    }

    fn view<'a>(
        &mut self,
        module: &Module,
        set: Option<&ModuleReplicaSet>,
        pod: Option<&BasePod>,
        told: Option<Told>,
    ) -> ModuleView<'a> {
        let uid = index::base_uid(module).unwrap_or_default().to_owned();
        let key = names::traffic_label(&info(module).0);
        let base = match pod {
            Some(pod) if pod.uid() != uid => BaseFate::Gone,
            Some(pod) if pod.is_ending() => BaseFate::Ending,
            Some(_) => BaseFate::Alive,
            None => BaseFate::Gone,
        };
        let created = module.creation_timestamp().map_or(0, |time| millis(&time));
        let status = module.status.as_ref();
        let strategy = set.and_then(|set| set.spec.operation_strategy.as_ref());
        let drain = strategy.and_then(|s| s.service_strategy.as_ref()).and_then(|service| service.drain_seconds);
        let successor_active = self.modules_on(&uid).iter().any(|other| {
            other.name_any() != module.name_any()
                && info(other).0 == info(module).0
                && !fleet::is_leaving(other)
                && self.told(other).is_some_and(|told| told.verdict == Verdict::Active)
        });
        ModuleView {
            phase: fleet::phase_of(module),
            phase_since: status.and_then(|s| s.last_transition_time.as_ref()).map_or(created, millis),
            was_active: status.is_some_and(|status| status.installed.is_some()),
            created,
            deleting: module.metadata.deletion_timestamp.as_ref().map(millis),
            drop_directly: false,
            base,
            base_name: "",
            told,
            min_ready: set.and_then(|set| set.spec.min_ready_seconds).map_or(0, i64::from) * 1000,
            drain: drain.map_or(0, i64::from) * 1000,
            label_on: pod.is_some_and(|pod| pod.labels().contains_key(&key)),
            label_off_since: self.label_off.get(&(uid, key)).copied(),
            successor_active,
        }
    }

    fn hand_over(
        &mut self,
        module: &Module,
        set: Option<&ModuleReplicaSet>,
        pod: Option<&BasePod>,
        wish: Option<WishKind>,
    ) -> Option<Told> {
        let Some(kind) = wish else {
            self.withdraw(module);
            return None;
        };
        pod?;
        let uid = index::base_uid(module)?.to_owned();
        let (name, version) = info(module);
        let owner = module.labels().get(label::MODULE_DEPLOYMENT).cloned().unwrap_or_default();
        let versions = self.sets_of(&owner);
        let strategy = set.and_then(|set| set.spec.operation_strategy.as_ref());
        let wish = Wish {
            module: module.name_any(),
            version,
            url: "file:///m.jar".to_owned(),
            revision: set.map_or(0, rank),
            created: module.creation_timestamp().map_or(i64::MAX, |time| millis(&time) / 1000),
            policy: UpgradePolicy::parse(strategy.and_then(|strategy| strategy.upgrade_policy.as_deref())),
            own_versions: versions.iter().filter_map(|set| set.module().map(|info| info.version.clone())).collect(),
            mates: self
                .modules_on(&uid)
                .iter()
                .filter(|other| info(other).0 == name && other.name_any() != module.name_any())
                .map(|other| other.name_any())
                .collect(),
            owner,
            kind,
        };
        let session = self.sessions.entry(uid.clone()).or_insert_with(|| State::new(&uid, HEALTH, None));
        session.wish(&name, wish);
        self.told(module)
    }

    fn apply_module(&mut self, module: &Module, plan: &ModulePlan, told: Option<&Told>) -> Done {
        let name = module.name_any();
        if plan.release {
            if self.modules.contains_key(&name) {
                self.write(|| format!("release {name}"))?;
                self.modules.remove(&name);
                self.ghosts.insert(name, module.clone());
            }
            return Ok(());
        }
        if plan.delete {
            return self.delete_module(&name);
        }
        if !plan.write || !self.modules.contains_key(&name) {
            return Ok(());
        }
        let before = module.status.clone().unwrap_or_default();
        let after = plan.status(module, &before, "", timestamp(self.now));
        if before == after {
            return Ok(());
        }
        self.write(|| format!("status of {name}: {:?} {:?}", after.status, after.reason))?;
        self.check_phase(module, &before, plan, told);
        if let Some(live) = self.modules.get_mut(&name) {
            live.status = Some(after);
        }
        Ok(())
    }

    /// S5.
    fn check_phase(&mut self, module: &Module, before: &ModuleStatus, plan: &ModulePlan, told: Option<&Told>) {
        let was = before.status.as_deref() == Some("Available");
        let is = plan.phase == Phase::Available;
        let Some(pod) = self.pod_by_uid(index::base_uid(module).unwrap_or_default()) else { return };
        let (name, version) = info(module);
        let runs = pod.runs(&name, &version);
        // Conversations get their turn at random here, so a list can be older than the health interval.
        let hurt_lately = pod.hurt_at + 4 * HEALTH > self.now;
        let silent = told.and_then(|told| told.silent_since);
        let silent = silent.is_some_and(|since| since + UNREACHABLE_AFTER_MS <= self.now);
        if is && !was && !runs && !hurt_lately {
            self.complain(format!("S5: {} Available without being active", module.name_any()));
        }
        if was && !is && plan.phase != Phase::Terminating && runs && !hurt_lately && !silent {
            self.complain(format!("S5: {} lost Available for nothing", module.name_any()));
        }
    }

    pub fn reconcile_pod(&mut self, name: &str) -> Done {
        let Some(pod) = self.seen_pods.get(name).cloned() else { return Ok(()) };
        let mut slots: BTreeMap<String, Traffic> = BTreeMap::new();
        for module in self.modules_on(pod.uid()) {
            let leaving = fleet::is_leaving(&module) || pod.is_ending();
            let wanted = Traffic::wanted(leaving, self.told(&module).as_ref(), self.now);
            let slot = slots.entry(names::traffic_label(&info(&module).0)).or_insert(wanted);
            *slot = slot.or(wanted);
        }
        let patch = plan_labels(pod.labels(), &BTreeMap::new(), &slots);
        if patch.changes.is_empty() {
            return Ok(());
        }
        let live = self.pods.get(name).is_some_and(|live| live.object.uid() == pod.uid());
        if !live {
            return Err(Failed);
        }
        self.write(|| format!("labels of {name}: {:?}", patch.changes))?;
        let Some(live) = self.pods.get_mut(name) else { return Ok(()) };
        let labels = live.object.metadata.labels.get_or_insert_default();
        for (key, value) in patch.changes {
            match value {
                Some(value) => labels.insert(key, value),
                None => labels.remove(&key),
            };
        }
        let object = live.object.clone();
        self.see_pod(object);
        Ok(())
    }

    /// Lets one conversation go on until it has nothing to say at this moment.
    pub fn converse(&mut self, uid: &str) {
        for _ in 0..20 {
            let now = self.now;
            let Some(session) = self.sessions.get_mut(uid) else { return };
            let commands = session.next(now);
            if commands.is_empty() {
                if session.is_idle() {
                    self.sessions.remove(uid);
                }
                return;
            }
            for command in commands {
                let outcome = self.carry_out(uid, &command);
                let Some(session) = self.sessions.get_mut(uid) else { return };
                session.done(&command, outcome, now);
            }
        }
        self.complain(format!("{uid} never stops talking"));
    }

    fn carry_out(&mut self, uid: &str, command: &Command) -> Outcome {
        let pod = self.pods.values().find(|pod| pod.object.uid() == uid);
        let name = pod.map(|pod| pod.object.name_any()).unwrap_or_default();
        let mood = pod.map_or(Mood::Hangs, |pod| pod.mood);
        if mood == Mood::Hangs {
            return unanswered(command);
        }
        if !matches!(command, Command::Look) {
            self.note(format!("{name}: {command:?}"));
        }
        let Some(pod) = self.pods.get_mut(&name) else { return unanswered(command) };
        let outcome = pod.carry_out(command);
        self.check_versions(&name);
        if mood == Mood::Mutters { unanswered(command) } else { outcome }
    }

    /// S1.
    fn check_versions(&mut self, pod: &str) {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for (name, _) in self.pods[pod].biz.keys() {
            *count.entry(name.clone()).or_default() += 1;
        }
        for (name, count) in count {
            let most = if self.strict.contains(&name) { 1 } else { 2 };
            if count > most {
                self.complain(format!("S1: {count} versions of {name} on {pod}"));
            }
        }
    }
}

impl super::world::Pod {
    fn carry_out(&mut self, command: &Command) -> Outcome {
        let key = |name: &String, version: &String| (name.clone(), version.clone());
        match command {
            Command::Health => Outcome::Health(Ok(None)),
            Command::Look => Outcome::Looked(Ok(self.biz.iter().map(|(key, state)| biz(key, *state)).collect())),
            Command::Install { name, version, .. } => Outcome::Installed(self.install(key(name, version))),
            Command::Uninstall { name, version } => {
                self.biz.remove(&key(name, version));
                Outcome::Uninstalled(UninstallOutcome::Gone)
            }
            Command::Switch { name, version } => {
                let key = key(name, version);
                if !self.biz.contains_key(&key) {
                    return Outcome::Switched(SwitchOutcome::NotFound);
                }
                self.activate(&key);
                Outcome::Switched(SwitchOutcome::Switched)
            }
        }
    }

    fn activate(&mut self, key: &(String, String)) {
        for (other, state) in &mut self.biz {
            if other.0 == key.0 && *state == BizState::Active {
                *state = BizState::Inactive;
            }
        }
        self.biz.insert(key.clone(), BizState::Active);
    }

    fn install(&mut self, key: (String, String)) -> InstallOutcome {
        if self.mood == Mood::Refuses {
            return InstallOutcome::Rejected("404".to_owned());
        }
        if self.biz.contains_key(&key) {
            return InstallOutcome::AlreadyThere;
        }
        let beside = self.biz.iter().any(|((name, _), state)| *name == key.0 && *state == BizState::Active);
        if beside && !self.activates_new {
            self.biz.insert(key, BizState::Inactive);
            return InstallOutcome::Installed(wire::BizState::Deactivated);
        }
        self.activate(&key);
        InstallOutcome::Installed(wire::BizState::Activated)
    }
}

fn biz((name, version): &(String, String), state: BizState) -> Biz {
    let state = match state {
        BizState::Active => wire::BizState::Activated,
        BizState::Inactive => wire::BizState::Deactivated,
        BizState::Starting => wire::BizState::Resolved,
        BizState::Broken => wire::BizState::Broken,
    };
    Biz { name: name.clone(), version: version.clone(), state, web_context_path: None }
}

fn unanswered(command: &Command) -> Outcome {
    let unknown = NoAnswer::Unknown("no answer in time".to_owned());
    match command {
        Command::Look => Outcome::Looked(Err(unknown)),
        Command::Health => Outcome::Health(Err(unknown)),
        Command::Install { .. } => Outcome::Installed(InstallOutcome::NoAnswer(unknown)),
        Command::Uninstall { .. } => Outcome::Uninstalled(UninstallOutcome::NoAnswer(unknown)),
        Command::Switch { .. } => Outcome::Switched(SwitchOutcome::NoAnswer(unknown)),
    }
}
