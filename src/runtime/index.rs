//! Modules by what they belong to: replica set, deployment, base pod.
//!
//! Follows the watch and this process's own writes, so that a placement reads a few dozen Modules and never all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::cache::Cache;
use crate::api::{Module, keys::label};

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

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Group {
    /// Namespace and label value of the ModuleReplicaSet.
    Set(String, String),
    /// Namespace and label value of the ModuleDeployment.
    Deployment(String, String),
    /// UID of the base pod.
    Base(String),
}

type Key = Arc<(String, String)>;

/// Keys are shared, and with them lies what the cache is asked by: thousands of lookups a second copy no names.
#[derive(Default)]
struct Maps {
    groups: HashMap<Group, BTreeMap<Key, Arc<ObjectRef<Module>>>>,
    of: HashMap<Key, Noted>,
}

/// Where a Module was put, and its generation then, which grows with its spec and when it begins to end.
#[derive(PartialEq)]
struct Noted {
    groups: Vec<Group>,
    generation: Option<i64>,
}

/// The Modules of one scope.
pub struct Modules {
    /// The objects.
    pub cache: Arc<Cache<Module>>,
    maps: RwLock<Maps>,
}

impl Modules {
    /// An index over `cache`.
    pub fn new(cache: Arc<Cache<Module>>) -> Self {
        Self { cache, maps: RwLock::default() }
    }

    /// Takes note of an object from the watch; says whether more than its status is news.
    pub fn note(&self, module: &Module) -> bool {
        let key = key_of(module);
        let noted = Noted { groups: groups_of(module), generation: module.metadata.generation };
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

    /// Takes note that an object is gone.
    pub fn drop_key(&self, module: &Module) {
        let key = key_of(module);
        if self.cache.named(&key.0, &key.1).is_none() {
            remove(&mut self.maps.write().unwrap_or_else(PoisonError::into_inner), &key);
        }
    }

    /// Remembers a Module that is about to be created.
    pub fn put_new(&self, module: Arc<Module>) {
        self.note(&module);
        self.cache.put_new(module);
    }

    /// Forgets a Module that was to be created, or is gone.
    pub fn forget(&self, module: &Module) {
        self.cache.forget(&ObjectRef::from_obj(module));
        self.drop_key(module);
    }

    /// The Modules of a replica set.
    pub fn of_set(&self, namespace: &str, set: &str) -> Vec<Arc<Module>> {
        self.of(&Group::Set(namespace.to_owned(), crate::domain::names::label_safe(set)))
    }

    /// The Modules of a deployment, in all its revisions.
    pub fn of_deployment(&self, namespace: &str, deployment: &str) -> Vec<Arc<Module>> {
        self.of(&Group::Deployment(namespace.to_owned(), crate::domain::names::label_safe(deployment)))
    }

    /// The Modules on a base pod.
    pub fn on_base(&self, uid: &str) -> Vec<Arc<Module>> {
        self.of(&Group::Base(uid.to_owned()))
    }

    fn of(&self, group: &Group) -> Vec<Arc<Module>> {
        let objects: Vec<Arc<ObjectRef<Module>>> = {
            let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
            maps.groups.get(group).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
        };
        objects.iter().filter_map(|object| self.cache.get_bare(object)).collect()
    }
}

fn key_of(module: &Module) -> Key {
    Arc::new((module.namespace().unwrap_or_default(), module.name_any()))
}

fn groups_of(module: &Module) -> Vec<Group> {
    let namespace = module.namespace().unwrap_or_default();
    let label = |key: &str| module.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let mut groups = Vec::with_capacity(3);
    groups.extend(label(label::MODULE_REPLICA_SET).map(|set| Group::Set(namespace.clone(), set)));
    groups.extend(label(label::MODULE_DEPLOYMENT).map(|name| Group::Deployment(namespace.clone(), name)));
    groups.extend(base_uid(module).map(|uid| Group::Base(uid.to_owned())));
    groups
}

fn remove(maps: &mut Maps, key: &Key) {
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
        let (cache, _writer) = Cache::new();
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
}
