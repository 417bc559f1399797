//! The controllers' shells once more, synchronous and over the world in memory: observe, plan, apply.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::ResourceExt;
use serde_json::json;

use super::world::{Failed, World, owner};
use crate::{
    api::{
        Module, ModuleDeployment, ModuleReplicaSet,
        keys::{annotation, label},
    },
    controllers::{
        fleet::{self, Seeker, Seen},
        module_replica_set::build::{self, Binding},
    },
    domain::{
        deployment::{Base, Plan, Reports, SetView, View, plan_deployment, rank},
        merge::patched,
        placement::{self, plan_placement},
        policy::Strategy,
        replicas::{Scale, plan_scale},
    },
    runtime::{clock::timestamp, index, kinds::BasePod},
};

type Done = Result<(), Failed>;

impl World {
    pub fn reconcile_deployment(&mut self, name: &str) -> Done {
        let Some(deployment) = self.seen_deployments.get(name).cloned() else { return Ok(()) };
        let sets = self.sets_of(name);
        let modules: Vec<_> = sets.iter().map(|set| self.modules_of(&set.name_any())).collect();
        let newest = (0..sets.len()).max_by_key(|&index| rank(&sets[index]));
        let views = sets.iter().zip(&modules).enumerate().map(|(index, (object, modules_of_set))| {
            let mut counts = fleet::count(object, modules_of_set, |uid| self.is_alive(uid));
            let newer = newest.filter(|&newest| newest != index).map(|newest| &modules[newest]);
            counts.covered = newer.map_or(0, |newer| fleet::covered(modules_of_set, newer));
            counts.standing_by = newer.map_or(0, |newer| fleet::standing_by(modules_of_set, newer));
            SetView { object, counts }
        });
        let all: Vec<_> = modules.iter().flatten().cloned().collect();
        let (bases_ready, bases_available) = fleet::serving_bases(&all, |uid| self.is_alive(uid));
        let selector = selector();
        let view = View {
            deployment: &deployment,
            base: Base::Present { uid: "ub", selector: &selector },
            sets: views.collect(),
            reports: Reports {
                bases_available,
                bases_ready,
                peers: self.peers(&deployment, &all),
                failure: fleet::failure(&all),
                ..Reports::default()
            },
            watching_since: 0,
        };
        let plan = plan_deployment(&view, self.now);
        let desired = view.reports.peers;
        self.check_wake(name, plan.wake_at);
        self.note_floor(&deployment, desired);
        self.apply_deployment(name, &deployment, plan)
    }

    /// What S4 demands for a while from now: an order that follows from it may come later.
    fn note_floor(&mut self, deployment: &ModuleDeployment, peers: u32) {
        let spec = &deployment.spec;
        let baseline = deployment.annotations().get(annotation::SCALE_BASELINE).map(String::as_str);
        let scale = Scale { replicas: spec.replicas, scale_replicas: spec.scale_replicas, baseline, peers };
        let desired = plan_scale(scale).count;
        let strategy = Strategy::parse(spec.operation_strategy.as_ref());
        let mut floor = desired.saturating_sub(strategy.max_unavailable(desired));
        if deployment.metadata.deletion_timestamp.is_some() {
            floor = 0;
        }
        let floors = self.floors.entry(deployment.name_any()).or_default();
        floors.retain(|(until, other)| *until > self.now && *other != floor);
        floors.push((self.now + 10_000, floor));
    }

    fn peers(&self, deployment: &ModuleDeployment, modules: &[Arc<Module>]) -> u32 {
        let Some(module) = deployment.module() else { return 0 };
        fleet::peers(&self.places(&module.name, &deployment.name_any()), modules)
    }

    fn apply_deployment(&mut self, name: &str, seen: &ModuleDeployment, plan: Plan) -> Done {
        let mut own = plan.own_patch;
        if plan.adopt_base {
            let reference = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "base", "uid": "ub"}]);
            own.get_or_insert_with(|| json!({}))["metadata"]["ownerReferences"] = reference;
        }
        if let Some(patch) = own {
            self.patch_deployment(name, seen, &patch, "own fields")?;
        }
        for change in plan.change {
            self.write(|| format!("change {} {}", change.name, change.patch))?;
            if let Some(set) = self.sets.get_mut(&change.name) {
                *set = patched(set, &change.patch);
            }
        }
        if let Some(set) = plan.create {
            self.write(|| format!("create {} x{}", set.name_any(), set.desired()))?;
            if self.sets.contains_key(&set.name_any()) {
                return Err(Failed);
            }
            let mut set = *set;
            set.metadata.uid = Some(self.uid());
            set.metadata.creation_timestamp = Some(timestamp(self.now));
            self.sets.insert(set.name_any(), set);
        }
        for (set, _) in plan.delete {
            self.write(|| format!("delete {set}"))?;
            let now = timestamp(self.now);
            if let Some(set) = self.sets.get_mut(&set) {
                set.metadata.deletion_timestamp.get_or_insert(now);
            }
        }
        if let Some(status) = plan.status
            && self.deployments.get(name).is_some_and(|live| live.status.as_ref() != Some(&status))
        {
            let progress = status.release_status.as_ref().and_then(|release| release.progress.clone());
            self.write(|| format!("status of {name}: {progress:?} {:?}", status.available_replicas))?;
            if let Some(live) = self.deployments.get_mut(name) {
                live.status = Some(status);
                let live = live.clone();
                self.seen_deployments.insert(name.to_owned(), live);
            }
        }
        if plan.release {
            self.write(|| format!("release {name}"))?;
            self.deployments.remove(name);
            self.seen_deployments.remove(name);
        }
        Ok(())
    }

    fn patch_deployment(&mut self, name: &str, seen: &ModuleDeployment, patch: &serde_json::Value, what: &str) -> Done {
        let Some(live) = self.deployments.get(name).cloned() else { return Err(Failed) };
        let lists = patch["metadata"].get("finalizers").or(patch["metadata"].get("ownerReferences"));
        if lists.is_some() && live.metadata.resource_version != seen.metadata.resource_version {
            // A conflict: the next look, at what is true then.
            return Err(Failed);
        }
        self.write(|| format!("{what} of {name}: {patch}"))?;
        let patched: ModuleDeployment = patched(&live, patch);
        self.deployments.insert(name.to_owned(), patched.clone());
        self.seen_deployments.insert(name.to_owned(), patched);
        Ok(())
    }

    /// The base pods as places.
    pub fn places(&self, module: &str, deployment: &str) -> Vec<placement::Base> {
        let ours = |set: &&ModuleReplicaSet| owner(set) == Some(deployment);
        let seeker = Seeker::new(module, deployment, self.sets.values().filter(ours));
        let place = |pod: &BasePod| {
            let versions = self.sessions.get(pod.uid()).and_then(|session| session.versions(module));
            seeker.place(pod, &self.modules_on(pod.uid()), Seen { versions, ..Seen::default() })
        };
        self.seen_pods.values().map(place).collect()
    }

    pub fn reconcile_set(&mut self, name: &str) -> Done {
        let Some(set) = self.sets.get(name).cloned() else { return Ok(()) };
        if set.metadata.deletion_timestamp.is_some() {
            let modules = self.modules_of(name);
            if modules.is_empty() {
                self.write(|| format!("release {name}"))?;
                self.sets.remove(name);
            }
            for module in modules {
                self.delete_module(&module.name_any())?;
            }
            return Ok(());
        }
        let siblings = self.sets_of(owner(&set).unwrap_or_default());
        let own = siblings.iter().position(|other| other.name_any() == name).unwrap_or(0);
        let module = set.module().cloned().unwrap_or_default();
        let bases = self.places(&module.name, owner(&set).unwrap_or_default());
        let peopled: Vec<_> = siblings.iter().map(|set| (set, self.modules_of(&set.name_any()))).collect();
        let deployment = owner(&set).and_then(|owner| self.seen_deployments.get(owner));
        let fleet = fleet::fleet(deployment, &peopled, bases);
        let placement = plan_placement(&fleet);
        for (_, uid) in placement.create.iter().filter(|(set, _)| *set == own) {
            self.create_module(&set, uid)?;
        }
        for (_, module) in placement.delete.iter().filter(|(set, _)| *set == own) {
            self.delete_module(module)?;
        }
        for module in self.modules_of(name) {
            let uid = index::base_uid(&module).unwrap_or_default();
            if !fleet::is_leaving(&module) && fleet.bases.iter().all(|base| base.uid != uid) {
                self.delete_module(&module.name_any())?;
            }
        }
        Ok(())
    }

    fn create_module(&mut self, set: &ModuleReplicaSet, uid: &str) -> Done {
        let Some(binding) = self.seen_pods.values().find(|pod| pod.uid() == uid).and_then(Binding::to) else {
            return Ok(());
        };
        let mut module = build::module(set, &binding);
        module.metadata.uid = Some(self.uid());
        module.metadata.creation_timestamp = Some(timestamp(self.now));
        let name = module.name_any();
        if self.modules.contains_key(&name) {
            return Ok(());
        }
        self.write(|| format!("create {name} on {}", index::base_name(&module).unwrap_or_default()))?;
        self.ghosts.remove(&name);
        self.modules.insert(name, module);
        self.check_places();
        Ok(())
    }

    pub fn delete_module(&mut self, name: &str) -> Done {
        let Some(module) = self.modules.get_mut(name).filter(|module| module.metadata.deletion_timestamp.is_none())
        else {
            return Ok(());
        };
        let now = self.now;
        let mut ending = module.clone();
        ending.metadata.deletion_timestamp = Some(timestamp(now));
        self.write(|| format!("delete {name}"))?;
        let deployment = ending.labels().get(label::MODULE_DEPLOYMENT).cloned().unwrap_or_default();
        let had = self.serving(&deployment);
        self.modules.insert(name.to_owned(), ending);
        self.check_serving(&deployment, had);
        Ok(())
    }

    /// S4, from the bases' view, at the moment of the decision: a Module that is deleted can't be kept any more.
    fn check_serving(&mut self, deployment: &str, had: u32) {
        let has = self.serving(deployment);
        // The user may have changed their mind since the deployment's own last look.
        if let Some(seen) = self.seen_deployments.get(deployment).cloned() {
            let peers = seen.spec.scale_replicas.and_then(|count| u32::try_from(count).ok());
            self.note_floor(&seen, peers.unwrap_or(0));
        }
        let floors = self.floors.get(deployment).map(Vec::as_slice).unwrap_or_default();
        let floor = floors.iter().filter(|(until, _)| *until > self.now).map(|(_, floor)| *floor).min();
        if has < had && has < had.min(floor.unwrap_or(0)) {
            self.complain(format!("S4: {deployment} {had} -> {has}, {floor:?} must stay"));
        }
    }

    /// S3.
    fn check_places(&mut self) {
        let mut by_set: BTreeMap<(String, String), u32> = BTreeMap::new();
        let mut owners: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let mut slots: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for module in self.modules.values() {
            let uid = index::base_uid(module).unwrap_or_default().to_owned();
            let name = module.spec.module.as_ref().map(|info| info.name.clone()).unwrap_or_default();
            let word = |key: &str| module.labels().get(key).cloned().unwrap_or_default();
            *by_set.entry((uid.clone(), word(label::MODULE_REPLICA_SET))).or_default() += 1;
            owners.entry((uid.clone(), name.clone())).or_default().insert(word(label::MODULE_DEPLOYMENT));
            slots.entry(uid).or_default().insert(name);
        }
        let twins = by_set.iter().find(|(_, count)| **count > 1).map(|(key, _)| format!("S3: twins {key:?}"));
        let shared = owners.iter().find(|(_, all)| all.len() > 1).map(|(key, all)| format!("S3: {key:?} of {all:?}"));
        let full = self.pods.values().find_map(|pod| {
            let count = slots.get(pod.object.uid()).map_or(0, BTreeSet::len);
            let max = pod.object.max_modules()?;
            (count > max as usize).then(|| format!("S3: {count} slots on {}", pod.object.name_any()))
        });
        for why in [twins, shared, full].into_iter().flatten() {
            self.complain(why);
        }
    }
}

pub fn selector() -> k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
    serde_json::from_value(json!({"matchLabels": {"app": "base"}})).expect("a selector")
}
