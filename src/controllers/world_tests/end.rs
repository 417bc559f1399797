//! The course of a world, and what must be true when all is calm.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{
    events::Event,
    world::{Failed, World, owner},
};
use crate::{
    api::{ModuleDeployment, keys::label},
    controllers::fleet,
    domain::{deployment::number, names, slot::BizState},
    runtime::{index, kinds::BasePod},
};

/// The order in which things are looked at.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % below.max(1)
    }
}

#[derive(Clone, Debug)]
enum Task {
    Deployment(String),
    Set(String),
    Module(String),
    Pod(String),
    Session(String),
}

impl World {
    pub fn live(&mut self, seed: u64, events: &[(Event, u8)]) -> Result<(), String> {
        let mut dice = Dice(seed | 1);
        self.watch();
        for (event, rounds) in events {
            self.happen(event);
            for _ in 0..*rounds {
                self.some(&mut dice);
                self.now += i64::try_from(dice.roll(3_000)).unwrap_or(0);
                self.fine()?;
            }
        }
        self.restart_if_crashed();
        self.heal();
        self.settle(&mut dice)?;
        self.check_end();
        self.fine()?;
        // What can't be completed, for want of bases, has said so by then.
        self.now += 600_000;
        self.all(&mut dice);
        let before = self.writes;
        for _ in 0..4 {
            self.now += 15_000;
            self.all(&mut dice);
        }
        if self.writes > before {
            self.complain("writes after the end".to_owned());
        }
        self.fine()
    }

    fn fine(&self) -> Result<(), String> {
        self.broken.first().map_or(Ok(()), |why| Err(why.clone()))
    }

    fn restart_if_crashed(&mut self) {
        if self.crash_after == Some(0) {
            self.restart_operator();
        }
    }

    fn tasks(&self) -> Vec<Task> {
        let mut tasks: Vec<Task> = self.seen_deployments.keys().cloned().map(Task::Deployment).collect();
        tasks.extend(self.sets.keys().cloned().map(Task::Set));
        tasks.extend(self.cached_modules().map(|module| Task::Module(module.name_any())));
        tasks.extend(self.seen_pods.keys().cloned().map(Task::Pod));
        tasks.extend(self.sessions.keys().cloned().map(Task::Session));
        tasks
    }

    fn run(&mut self, task: Task) {
        let done = match &task {
            Task::Deployment(name) => self.reconcile_deployment(name),
            Task::Set(name) => self.reconcile_set(name),
            Task::Module(name) => self.reconcile_module(name),
            Task::Pod(name) => self.reconcile_pod(name),
            Task::Session(uid) => {
                self.converse(uid);
                Ok(())
            }
        };
        if let Err(Failed) = done {
            self.note(format!("given up: {task:?}"));
        }
        self.restart_if_crashed();
    }

    /// A few things are looked at, in any order.
    fn some(&mut self, dice: &mut Dice) {
        let mut tasks = self.tasks();
        for _ in 0..dice.roll(tasks.len() + 1) {
            let task = tasks.swap_remove(dice.roll(tasks.len()));
            self.run(task);
            if tasks.is_empty() {
                break;
            }
        }
    }

    /// Everything is looked at once, in any order.
    fn all(&mut self, dice: &mut Dice) {
        self.watch();
        let mut tasks = self.tasks();
        while !tasks.is_empty() {
            let task = tasks.swap_remove(dice.roll(tasks.len()));
            self.run(task);
        }
    }

    /// Until nothing is written any more for longer than the longest wait.
    fn settle(&mut self, dice: &mut Dice) -> Result<(), String> {
        let mut step = 500;
        let mut quiet = 0;
        for _ in 0..600 {
            let before = self.writes;
            self.confirm();
            self.all(dice);
            self.fine()?;
            if self.writes > before {
                (step, quiet) = (500, 0);
            } else if quiet > 450_000 {
                return Ok(());
            } else {
                quiet += step;
                step = (step * 2).min(60_000);
            }
            self.now += step;
        }
        Err("it never comes to rest".to_owned())
    }

    fn check_end(&mut self) {
        for deployment in self.deployments.clone().into_values() {
            self.check_deployment(&deployment);
        }
        for set in self.sets.clone().into_values() {
            if owner(&set).is_none_or(|owner| !self.deployments.contains_key(owner)) {
                self.complain(format!("S6: {} belongs to nobody", set.name_any()));
            }
        }
        for module in self.modules.clone().into_values() {
            let set = module.labels().get(label::MODULE_REPLICA_SET).cloned().unwrap_or_default();
            let base = index::base_uid(&module).unwrap_or_default();
            if !self.sets.contains_key(&set) || self.pod_by_uid(base).is_none() {
                self.complain(format!("S6: {} belongs to nobody", module.name_any()));
            }
        }
        for name in self.pods.keys().cloned().collect::<Vec<_>>() {
            self.check_base(&name);
        }
    }

    /// Every biz has its Module, every label its active biz.
    fn check_base(&mut self, name: &str) {
        let pod = self.pods[name].clone();
        let here = self.modules_on(pod.object.uid());
        for ((biz, version), state) in &pod.biz {
            let of_it = here.iter().filter(|module| {
                module.spec.module.as_ref().is_some_and(|info| info.name == *biz && info.version == *version)
            });
            if of_it.count() != 1 {
                self.complain(format!("S1: {biz}:{version} on {name} has no Module of its own ({state:?})"));
            }
        }
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        for ((biz, _), state) in &pod.biz {
            if *state == BizState::Active {
                wanted.insert(names::traffic_label(biz));
            }
        }
        let labels = pod.object.labels().keys().filter(|key| key.starts_with(label::TRAFFIC_PREFIX));
        let labels: BTreeSet<String> = labels.cloned().collect();
        if labels != wanted {
            self.complain(format!("S6: labels of {name} are {labels:?}, not {wanted:?}"));
        }
    }

    fn check_deployment(&mut self, deployment: &ModuleDeployment) {
        let name = deployment.name_any();
        if deployment.metadata.deletion_timestamp.is_some() {
            return self.complain(format!("{name} is never deleted"));
        }
        let Some(status) = &deployment.status else {
            return self.complain(format!("{name} has no status"));
        };
        let release = status.release_status.clone().unwrap_or_default();
        let completed = release.progress.as_deref() == Some("Completed");
        let desired = u32::try_from(deployment.spec.scale_replicas.unwrap_or(0)).unwrap_or(0);
        let sets = self.sets_of(&name);
        let newest = sets.iter().max_by_key(|set| number(set));
        let newest_name = newest.map(ResourceExt::name_any).unwrap_or_default();
        let modules = self.modules_of(&newest_name);
        let phase = |module: &std::sync::Arc<crate::api::Module>| fleet::phase_of(module).map(|phase| phase.as_str());
        let available = modules.iter().filter(|module| phase(module) == Some("Available")).count();
        let old: usize = sets.iter().map(|set| self.modules_of(&set.name_any()).len()).sum::<usize>() - modules.len();
        let version = newest.and_then(|set| set.module()).map(|info| info.version.clone());
        if version != deployment.module().map(|info| info.version.clone()) {
            self.complain(format!("{name}: the newest revision runs {version:?}"));
        }
        if available == desired as usize && old == 0 && completed {
            return;
        }
        let free: Vec<String> = self.free_bases(deployment).map(|pod| pod.name_any()).collect();
        // With fewer bases than wanted the guarantee can keep old ones where they are: nothing may be taken from what
        // is there, and there is nowhere else to go.
        let short = self.bases_of(&name) < desired as usize || self.surges(deployment);
        if !free.is_empty() || (old > 0 && !short) {
            let progress = release.progress;
            self.complain(format!(
                "{name} ends with {available} new and {old} old of {desired}, {progress:?}; free: {free:?}"
            ));
        }
    }

    fn bases_of(&self, deployment: &str) -> usize {
        let sets = self.sets_of(deployment);
        let modules: Vec<_> = sets.iter().flat_map(|set| self.modules_of(&set.name_any())).collect();
        modules.iter().filter_map(|module| index::base_uid(module)).collect::<BTreeSet<_>>().len()
    }

    fn surges(&self, deployment: &ModuleDeployment) -> bool {
        let strategy = deployment.spec.operation_strategy.as_ref();
        strategy.and_then(|strategy| strategy.upgrade_policy.as_deref()) == Some("scaleup_then_scaledown")
    }

    /// Bases that could take one more.
    fn free_bases<'a>(&'a self, deployment: &ModuleDeployment) -> impl Iterator<Item = &'a BasePod> {
        let name = deployment.module().map(|info| info.name.clone()).unwrap_or_default();
        self.pods.values().map(|pod| &pod.object).filter(move |pod| {
            let slots: BTreeSet<String> = self
                .modules_on(pod.uid())
                .iter()
                .filter_map(|module| module.spec.module.as_ref().map(|info| info.name.clone()))
                .collect();
            !slots.contains(&name) && pod.max_modules().is_none_or(|max| slots.len() < max as usize)
        })
    }
}
