//! Modules and replica sets by what they belong to: replica set, deployment, base pod, owner.
//!
//! Follows the watch and this process's own writes, so that a plan reads a few dozen objects and never all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::cache::{Cache, Kind};
use crate::{
    api::{Module, ModuleReplicaSet, keys::label},
    domain::names,
};

/// UID of the base pod that a Module is bound to, by its owner reference.
pub fn base_uid(module: &Module) -> Option<&str> {
    let owners = module.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.kind == "Pod").map(|owner| owner.uid.as_str())
}

/// Name of the base pod that a Module is bound to, by its owner reference.
pub fn base_name(module: &Module) -> Option<&str> {
    let owners = module.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.kind == "Pod").map(|owner| owner.name.as_str())
}

/// The biz names that a Module has, or had, on its base; each once.
pub fn biz_names(module: &Module) -> impl Iterator<Item = &str> {
    let wanted = module.spec.module.as_ref().map(|info| info.name.as_str());
    let installed = module.status.as_ref().and_then(|status| status.installed.as_ref()).map(|info| info.name.as_str());
    wanted.into_iter().chain(installed.filter(|had| Some(*had) != wanted))
}

/// The object that controls a replica set.
pub fn controller(set: &ModuleReplicaSet) -> Option<&OwnerReference> {
    set.owner_references().iter().find(|owner| owner.controller == Some(true))
}

/// UID of the object that controls a replica set.
pub fn controller_uid(set: &ModuleReplicaSet) -> Option<&str> {
    controller(set).map(|owner| owner.uid.as_str())
}

/// What objects are found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Group {
    /// Namespace and label value of the ModuleReplicaSet.
    Set(String, String),
    /// Namespace and label value of the ModuleDeployment.
    Deployment(String, String),
    /// UID of the base pod.
    Base(String),
    /// UID of the controlling owner.
    Controller(String),
}

type Key = Arc<(String, String)>;

/// Keys are shared, and with them lies what the cache is asked by: thousands of lookups a second copy no names.
struct Maps<K: Kind> {
    groups: HashMap<Group, BTreeMap<Key, Arc<ObjectRef<K>>>>,
    of: HashMap<Key, Noted>,
}

/// Where an object was put, and its generation then, which grows with its spec and when it begins to end.
#[derive(PartialEq)]
struct Noted {
    groups: Vec<Group>,
    generation: Option<i64>,
}

/// The objects of one kind in one scope.
pub struct Index<K: Kind> {
    /// The objects.
    pub cache: Arc<Cache<K>>,
    groups_of: fn(&K) -> Vec<Group>,
    maps: RwLock<Maps<K>>,
}

/// The Modules of one scope.
pub type Modules = Index<Module>;
/// The ModuleReplicaSets of one scope.
pub type Sets = Index<ModuleReplicaSet>;

impl<K: Kind> Index<K> {
    fn over(cache: Arc<Cache<K>>, groups_of: fn(&K) -> Vec<Group>) -> Self {
        Self { cache, groups_of, maps: RwLock::new(Maps { groups: HashMap::new(), of: HashMap::new() }) }
    }

    /// Takes note of an object from the watch; says whether more than its status is news.
    pub fn note(&self, object: &K) -> bool {
        let key = key_of(object);
        let noted = Noted { groups: (self.groups_of)(object), generation: object.meta().generation };
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        if maps.of.get(&key) == Some(&noted) {
            return false;
        }
        remove(&mut maps, &key);
        let object = Arc::new(ObjectRef::new(&key.1).within(&key.0));
        for group in &noted.groups {
            maps.groups.entry(group.clone()).or_default().insert(Arc::clone(&key), Arc::clone(&object));
        }
        maps.of.insert(key, noted);
        true
    }

    /// Takes note that an object is gone, if it is.
    pub fn drop_key(&self, object: &K) {
        let key = key_of(object);
        if self.cache.named(&key.0, &key.1).is_none() {
            remove(&mut self.maps.write().unwrap_or_else(PoisonError::into_inner), &key);
        }
    }

    /// Remembers an object that is about to be created, or was just now.
    pub fn put_new(&self, object: Arc<K>) {
        self.note(&object);
        self.cache.put_new(Arc::clone(&object));
        self.drop_key(&object);
    }

    /// Forgets an object that was to be created, or is gone.
    pub fn forget(&self, object: &K) {
        self.cache.forget(&ObjectRef::from_obj(object));
        self.drop_key(object);
    }

    fn of(&self, group: &Group) -> Vec<Arc<K>> {
        let objects: Vec<Arc<ObjectRef<K>>> = {
            let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
            maps.groups.get(group).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
        };
        objects.iter().filter_map(|object| self.cache.get_bare(object)).collect()
    }
}

impl Modules {
    /// An index over `cache`.
    pub fn new(cache: Arc<Cache<Module>>) -> Self {
        Self::over(cache, |module| {
            let namespace = module.namespace().unwrap_or_default();
            let set = module.labels().get(label::MODULE_REPLICA_SET);
            let deployment = module.labels().get(label::MODULE_DEPLOYMENT);
            let groups = [
                set.map(|set| Group::Set(namespace.clone(), set.clone())),
                deployment.map(|name| Group::Deployment(namespace, name.clone())),
                base_uid(module).map(|uid| Group::Base(uid.to_owned())),
            ];
            groups.into_iter().flatten().collect()
        })
    }

    /// The Modules of a replica set.
    pub fn of_set(&self, namespace: &str, set: &str) -> Vec<Arc<Module>> {
        self.of(&Group::Set(namespace.to_owned(), names::label_safe(set)))
    }

    /// The Modules of a deployment, in all its revisions.
    pub fn of_deployment(&self, namespace: &str, deployment: &str) -> Vec<Arc<Module>> {
        self.of(&Group::Deployment(namespace.to_owned(), names::label_safe(deployment)))
    }

    /// The Modules on a base pod.
    pub fn on_base(&self, uid: &str) -> Vec<Arc<Module>> {
        self.of(&Group::Base(uid.to_owned()))
    }
}

impl Sets {
    /// An index over `cache`.
    pub fn new(cache: Arc<Cache<ModuleReplicaSet>>) -> Self {
        Self::over(cache, |set| {
            let deployment = set.labels().get(label::MODULE_DEPLOYMENT);
            let groups = [
                deployment.map(|name| Group::Deployment(set.namespace().unwrap_or_default(), name.clone())),
                controller_uid(set).map(|uid| Group::Controller(uid.to_owned())),
            ];
            groups.into_iter().flatten().collect()
        })
    }

    /// The replica sets that the object with this UID controls.
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<ModuleReplicaSet>> {
        self.of(&Group::Controller(uid.to_owned()))
    }

    /// The replica sets that carry a deployment's label value, whoever controls them.
    pub fn labelled(&self, namespace: &str, deployment: &str) -> Vec<Arc<ModuleReplicaSet>> {
        self.of(&Group::Deployment(namespace.to_owned(), deployment.to_owned()))
    }
}

fn key_of<K: Kind>(object: &K) -> Key {
    Arc::new((object.namespace().unwrap_or_default(), object.name_any()))
}

fn remove<K: Kind>(maps: &mut Maps<K>, key: &Key) {
    for group in maps.of.remove(key).map(|noted| noted.groups).unwrap_or_default() {
        if let Some(keys) = maps.groups.get_mut(&group) {
            keys.remove(key);
            if keys.is_empty() {
                maps.groups.remove(&group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, set: &str, base: &str) -> Module {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "Module",
            "metadata": {"name": name, "namespace": "n", "labels": {
                "koupleless.io/module-replicaset": set, "koupleless.io/module-deployment": "d"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": base}]},
            "spec": {}
        }))
        .expect("a Module")
    }

    fn names(modules: Vec<Arc<Module>>) -> Vec<String> {
        modules.iter().map(|module| module.name_any()).collect()
    }

    #[test]
    fn modules_are_found_by_set_deployment_and_base_from_before_they_are_created() {
        let (cache, _writer) = Cache::new(|_| {});
        let index = Modules::new(cache);
        index.put_new(Arc::new(module("a", "s1", "u1")));
        index.put_new(Arc::new(module("b", "s2", "u1")));
        assert_eq!(names(index.of_set("n", "s1")), ["a"]);
        assert_eq!(names(index.of_deployment("n", "d")), ["a", "b"]);
        assert_eq!(names(index.on_base("u1")), ["a", "b"]);
        index.forget(&module("a", "s1", "u1"));
        assert_eq!(names(index.on_base("u1")), ["b"]);
        assert_eq!(names(index.of_set("n", "s1")), [""; 0]);
    }

    #[test]
    fn replica_sets_are_found_by_their_controller_and_by_their_deployments_label() {
        let (cache, _writer) = Cache::new(|_| {});
        let index = Sets::new(cache);
        for (name, owner) in [("d-replicas-1", "u1"), ("d-replicas-2", "u1"), ("other", "u2")] {
            index.put_new(Arc::new(
                serde_json::from_value(serde_json::json!({
                    "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleReplicaSet",
                    "metadata": {"name": name, "namespace": "n", "labels": {"koupleless.io/module-deployment": "d"},
                        "ownerReferences": [{"apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment",
                            "name": "d", "uid": owner, "controller": true}]},
                    "spec": {}
                }))
                .expect("a ModuleReplicaSet"),
            ));
        }
        let names =
            |sets: Vec<Arc<ModuleReplicaSet>>| -> Vec<String> { sets.iter().map(|set| set.name_any()).collect() };
        assert_eq!(names(index.controlled_by("u1")), ["d-replicas-1", "d-replicas-2"]);
        assert_eq!(names(index.controlled_by("u2")), ["other"]);
        assert_eq!(names(index.labelled("n", "d")), ["d-replicas-1", "d-replicas-2", "other"]);
        assert_eq!(names(index.labelled("m", "d")), [""; 0]);
    }
}
