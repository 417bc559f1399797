//! All vPods of our VNodes, by VNode.
//!
//! Fed by a watch for each label that marks a module pod and each namespace that is served, never one for each VNode, and
//! by this process's own writes. Which vPods are ready is known here for all VNodes together, because the order in which
//! statuses are written depends on it.
//!
//! Must not: take a pod that is missing from a watch for gone. It may only have lost a label, or the list may have been
//! cut: whoever asks gets it until the API server itself has said that it isn't there.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;

use super::pod::ModulePod;
use crate::domain::vnode::{
    order::{self, Write},
    vpod::VPod,
};

/// How many pods are remembered that are gone: more than can end while one event is under way.
const ENDED: usize = 16_384;

/// Namespace and name.
pub type Key = (String, String);

/// A pod, and where it comes from.
struct Entry {
    pod: Arc<VPod>,
    vnode: String,
    version: u64,
    /// The watches that show it.
    sources: BTreeSet<usize>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    by_vnode: HashMap<String, BTreeSet<Key>>,
    /// The ready vPods of each group, by namespace and group: UID and VNode.
    ready: HashMap<(String, String), HashMap<String, String>>,
    /// UIDs whose status is about to say that they aren't ready any more.
    fading: BTreeSet<String>,
    /// Watches that were listed to their end at least once.
    complete: BTreeSet<usize>,
    /// UIDs of pods that are gone, the latest: a watch may still tell what they were before.
    ended: HashSet<String>,
    /// The same, oldest first.
    ended_order: VecDeque<String>,
}

/// What has to be looked at after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// VNodes whose vPods changed.
    pub vnodes: BTreeSet<String>,
    /// Pods that no watch shows any more: whether they are gone has to be asked.
    pub missing: Vec<Key>,
}

impl Changed {
    fn at(vnode: &str) -> Self {
        Self { vnodes: BTreeSet::from([vnode.to_owned()]), missing: vec![] }
    }
}

/// The vPods.
pub struct Pods {
    /// The end of the names of our VNodes: `.<env>`.
    suffix: String,
    /// How many watches there are.
    watches: usize,
    inner: Mutex<Inner>,
}

impl Pods {
    /// None yet; `watches` of them will be told by number.
    pub fn new(env: &str, watches: usize) -> Self {
        Self { suffix: format!(".{env}"), watches, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every watch has been listed to its end.
    pub fn is_complete(&self) -> bool {
        self.inner().complete.len() >= self.watches
    }

    /// The vPods of a VNode.
    pub fn on(&self, vnode: &str) -> Vec<Arc<VPod>> {
        let inner = self.inner();
        let keys = inner.by_vnode.get(vnode).into_iter().flatten();
        keys.filter_map(|key| inner.entries.get(key)).map(|entry| Arc::clone(&entry.pod)).collect()
    }

    fn is_ours(&self, vnode: &str) -> bool {
        vnode.starts_with("vnode.") && vnode.ends_with(&self.suffix)
    }

    /// Takes a pod as a watch shows it (`Some`), or as the answer to an own write.
    pub fn apply(&self, source: Option<usize>, pod: ModulePod) -> Changed {
        if !self.is_ours(pod.vnode()) {
            return Changed::default();
        }
        let key = key_of(&pod);
        let (vnode, version) = (pod.vnode().to_owned(), pod.version());
        let mut inner = self.inner();
        if pod.metadata.uid.as_ref().is_some_and(|uid| inner.ended.contains(uid)) {
            return Changed::default();
        }
        let sources = match inner.entries.get_mut(&key) {
            Some(known) => {
                known.sources.extend(source);
                if known.version >= version {
                    return Changed::default();
                }
                known.sources.clone()
            }
            // An own write that comes back after the watch showed the end of its pod.
            None if source.is_none() => return Changed::default(),
            None => source.into_iter().collect(),
        };
        let mut read = pod.read();
        let known = inner.entries.get(&key).filter(|known| known.pod.uid == read.uid);
        read.seen = known.map_or(version, |known| known.pod.seen);
        inner.remove(&key);
        let changed = Changed::at(&vnode);
        inner.insert(key, Entry { pod: Arc::new(read), vnode, version, sources });
        changed
    }

    /// A watch doesn't show a pod any more.
    pub fn left(&self, source: usize, key: &Key) -> Changed {
        let mut inner = self.inner();
        let Some(entry) = inner.entries.get_mut(key) else { return Changed::default() };
        entry.sources.remove(&source);
        let missing = if entry.sources.is_empty() { vec![key.clone()] } else { vec![] };
        Changed { missing, ..Changed::default() }
    }

    /// A watch was listed to its end: what isn't in `listed` left it while nobody was looking.
    pub fn relisted(&self, source: usize, listed: &BTreeSet<Key>) -> Changed {
        let stale: Vec<Key> = {
            let mut inner = self.inner();
            inner.complete.insert(source);
            let shown =
                inner.entries.iter().filter(|(key, entry)| entry.sources.contains(&source) && !listed.contains(*key));
            shown.map(|(key, _)| key.clone()).collect()
        };
        let mut changed = Changed::default();
        for key in stale {
            changed.missing.extend(self.left(source, &key).missing);
        }
        changed.vnodes = self.inner().by_vnode.keys().cloned().collect();
        changed
    }

    /// A pod of this UID isn't in the cluster: the API server said so.
    pub fn gone(&self, key: &Key, uid: &str) -> Changed {
        let mut inner = self.inner();
        inner.end(uid);
        match inner.entries.get(key) {
            Some(entry) if entry.pod.uid == uid => {
                let changed = Changed::at(&entry.vnode);
                inner.remove(key);
                changed
            }
            _ => Changed::default(),
        }
    }

    /// A pod that no watch shows; `None` where one does again, or it is gone.
    pub fn stray(&self, key: &Key) -> Option<Arc<VPod>> {
        let inner = self.inner();
        inner.entries.get(key).filter(|entry| entry.sources.is_empty()).map(|entry| Arc::clone(&entry.pod))
    }

    /// Puts writes of one VNode in their order. What is about to stop being ready counts as that from here on, for all
    /// VNodes: of two that are updated at the same moment one keeps its vPod in the Service.
    pub fn settle(&self, vnode: &str, mut writes: Vec<(Arc<VPod>, Write)>) -> Vec<(Arc<VPod>, Write)> {
        let mut inner = self.inner();
        for (pod, write) in &mut writes {
            write.ready_elsewhere = inner.ready_elsewhere(vnode, pod);
        }
        let fading = writes.iter().filter(|(_, write)| write.was_ready && !write.will_be_ready);
        inner.fading.extend(fading.map(|(pod, _)| pod.uid.clone()));
        let mut pods: HashMap<String, Arc<VPod>> =
            writes.iter().map(|(pod, _)| (pod.uid.clone(), Arc::clone(pod))).collect();
        let ordered = order::order(writes.into_iter().map(|(_, write)| write).collect());
        ordered.into_iter().filter_map(|write| Some((pods.remove(&write.uid)?, write))).collect()
    }

    /// A write that [`Pods::settle`] ordered has ended, or won't be made.
    pub fn settled(&self, uid: &str) {
        self.inner().fading.remove(uid);
    }
}

impl Inner {
    fn end(&mut self, uid: &str) {
        if self.ended.insert(uid.to_owned()) {
            self.ended_order.push_back(uid.to_owned());
        }
        if self.ended_order.len() > ENDED
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        if let (Some(group), true) = (group_of(&entry.pod), counts_as_ready(&entry.pod)) {
            self.ready.entry(group).or_default().insert(entry.pod.uid.clone(), entry.vnode.clone());
        }
        self.by_vnode.entry(entry.vnode.clone()).or_default().insert(key.clone());
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        if let Some(group) = group_of(&entry.pod)
            && let Some(ready) = self.ready.get_mut(&group)
        {
            ready.remove(&entry.pod.uid);
            if ready.is_empty() {
                self.ready.remove(&group);
            }
        }
        if let Some(keys) = self.by_vnode.get_mut(&entry.vnode) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_vnode.remove(&entry.vnode);
            }
        }
    }

    fn ready_elsewhere(&self, vnode: &str, pod: &VPod) -> bool {
        let ready = group_of(pod).and_then(|group| self.ready.get(&group));
        ready.into_iter().flatten().any(|(uid, at)| at != vnode && !self.fading.contains(uid))
    }
}

/// One that is being deleted is out of its Service already.
fn counts_as_ready(pod: &VPod) -> bool {
    pod.status.is_ready() && !pod.deleting
}

fn group_of(pod: &VPod) -> Option<(String, String)> {
    pod.group.clone().map(|group| (pod.namespace.clone(), group))
}

/// Namespace and name of a pod.
pub fn key_of(pod: &ModulePod) -> Key {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, vnode: &str, version: u64, ready: bool) -> ModulePod {
        serde_json::from_value(json!({
            "metadata": {
                "name": name, "namespace": "n", "uid": format!("u-{name}"), "resourceVersion": version.to_string(),
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop", "uid": "r", "controller": true }],
            },
            "spec": { "nodeName": vnode },
            "status": { "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
        }))
        .unwrap()
    }

    fn key(name: &str) -> Key {
        ("n".to_owned(), name.to_owned())
    }

    fn names(pods: &Pods, vnode: &str) -> Vec<String> {
        pods.on(vnode).iter().map(|pod| pod.name.clone()).collect()
    }

    #[test]
    fn pods_of_other_nodes_and_environments_are_not_kept() {
        let pods = Pods::new("dev", 1);
        for vnode in ["vnode.a.test", "node-1", ""] {
            assert_eq!(pods.apply(Some(0), pod("a", vnode, 1, true)), Changed::default(), "{vnode}");
        }
        assert_eq!(pods.apply(Some(0), pod("a", "vnode.a.dev", 1, true)), Changed::at("vnode.a.dev"));
        assert_eq!(names(&pods, "vnode.a.dev"), ["a"]);
    }

    #[test]
    fn older_news_says_nothing() {
        let pods = Pods::new("dev", 1);
        pods.apply(Some(0), pod("a", "vnode.a.dev", 5, true));
        assert_eq!(pods.apply(None, pod("a", "vnode.a.dev", 4, false)), Changed::default());
        assert!(pods.on("vnode.a.dev")[0].status.is_ready());
        assert_eq!(pods.apply(None, pod("b", "vnode.a.dev", 9, false)), Changed::default(), "its end was seen");
    }

    #[test]
    fn a_pod_that_no_watch_shows_stays_until_the_api_server_says_that_it_is_gone() {
        let pods = Pods::new("dev", 2);
        pods.apply(Some(0), pod("a", "vnode.a.dev", 1, true));
        pods.apply(Some(1), pod("a", "vnode.a.dev", 1, true));
        assert_eq!(pods.left(0, &key("a")).missing, []);
        assert_eq!(pods.relisted(1, &BTreeSet::new()).missing, [key("a")]);
        assert_eq!(names(&pods, "vnode.a.dev"), ["a"]);
        assert!(pods.stray(&key("a")).is_some());
        assert_eq!(pods.gone(&key("a"), "another"), Changed::default());
        assert_eq!(pods.gone(&key("a"), "u-a"), Changed::at("vnode.a.dev"));
        assert!(names(&pods, "vnode.a.dev").is_empty() && pods.stray(&key("a")).is_none());
    }

    #[test]
    fn what_is_gone_does_not_come_back_with_a_late_event() {
        let pods = Pods::new("dev", 1);
        pods.apply(Some(0), pod("a", "vnode.a.dev", 1, true));
        pods.gone(&key("a"), "u-a");
        assert_eq!(pods.apply(Some(0), pod("a", "vnode.a.dev", 9, true)), Changed::default());
        let mut successor = pod("a", "vnode.a.dev", 10, false);
        successor.metadata.uid = Some("u-next".into());
        assert_eq!(pods.apply(Some(0), successor), Changed::at("vnode.a.dev"));
    }

    #[test]
    fn it_is_complete_when_every_watch_is() {
        let pods = Pods::new("dev", 2);
        pods.relisted(0, &BTreeSet::new());
        assert!(!pods.is_complete());
        pods.relisted(1, &BTreeSet::new());
        assert!(pods.is_complete());
    }

    #[test]
    fn of_vnodes_that_are_updated_at_once_the_last_keeps_its_vpod_in_the_service() {
        let pods = Pods::new("dev", 1);
        let vnodes = ["vnode.a.dev", "vnode.b.dev", "vnode.c.dev"];
        for vnode in vnodes {
            pods.apply(Some(0), pod(&format!("old-{vnode}"), vnode, 1, true));
            pods.apply(Some(0), pod(&format!("new-{vnode}"), vnode, 2, false));
        }
        let writes = |vnode: &str| -> Vec<(Arc<VPod>, Write)> {
            let of = |pod: Arc<VPod>| {
                let old = pod.name.starts_with("old");
                let write = Write {
                    uid: pod.uid.clone(),
                    revision: u64::from(!old),
                    modules: vec!["shop".into()],
                    was_ready: old,
                    will_be_ready: !old,
                    ready_elsewhere: false,
                };
                (pod, write)
            };
            pods.on(vnode).into_iter().map(of).collect()
        };
        let first = |vnode: &str| pods.settle(vnode, writes(vnode))[0].0.name.clone();
        assert!(first(vnodes[0]).starts_with("old"));
        assert!(first(vnodes[1]).starts_with("old"));
        assert!(first(vnodes[2]).starts_with("new"), "nothing else is ready any more");
        pods.settled("u-old-vnode.a.dev");
        assert!(first(vnodes[2]).starts_with("old"), "the first one's write failed: it is ready still");
    }
}
