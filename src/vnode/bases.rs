//! The bases that are known, however they were found, and the VNode of each.
//!
//! A base is known by its pod's UID. Two ways of finding may tell of the same base (its pod is discovered, and it announces
//! itself): it gets one VNode, named by whoever was first. Must not: talk to anybody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::state::{Found, VNode};
use crate::arklet::client::Endpoint;

#[derive(Default)]
struct Inner {
    vnodes: HashMap<String, Arc<VNode>>,
    /// By the UID of a base's pod: the name of its VNode.
    by_pod: HashMap<String, String>,
}

/// The bases.
#[derive(Default)]
pub struct Bases {
    inner: Mutex<Inner>,
}

/// What followed from finding a base.
pub enum News {
    /// It is new: its VNode has to be looked after from now on.
    New(Arc<VNode>),
    /// It is known. Conversations with the pods named have to be ended, or begun afresh.
    Known {
        /// Its VNode.
        vnode: Arc<VNode>,
        /// The UID of the pod that had this identity before.
        replaced: Option<String>,
        /// Its container was restarted.
        restarted: bool,
    },
}

impl Bases {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a base.
    pub fn found(&self, mut found: Found, now: i64, stop: &CancellationToken) -> News {
        let mut inner = self.inner();
        let uid = found.id.uid.clone();
        let name = inner.by_pod.get(&uid).cloned().unwrap_or_else(|| found.facts.vnode());
        inner.by_pod.insert(uid.clone(), name.clone());
        let Some(vnode) = inner.vnodes.get(&name).cloned() else {
            let vnode = Arc::new(VNode::new(name.clone(), Some(found), now, stop.child_token()));
            inner.vnodes.insert(name, Arc::clone(&vnode));
            return News::New(vnode);
        };
        let mut state = vnode.state();
        let before = state.found.take();
        if let Some(before) = &before {
            // Named by whoever was first.
            found.facts.identity.clone_from(&before.facts.identity);
            found.facts.tunnel = before.facts.tunnel;
            found.device = found.device.or_else(|| before.device.clone());
        }
        let replaced = before.as_ref().map(|before| before.id.uid.clone()).filter(|before| *before != uid);
        let restarted = before.as_ref().is_some_and(|before| before.restarts != found.restarts && replaced.is_none());
        if replaced.is_some() || before.is_none() {
            state.heard.since = now;
            state.heard.answered = None;
            state.told = None;
        }
        state.found = Some(found);
        drop(state);
        if let Some(replaced) = &replaced {
            inner.by_pod.remove(replaced);
        }
        News::Known { vnode, replaced, restarted }
    }

    /// The pod of a base is gone, or about to be. Gives its VNode.
    pub fn lost(&self, uid: &str) -> Option<Arc<VNode>> {
        let mut inner = self.inner();
        let name = inner.by_pod.remove(uid)?;
        let vnode = inner.vnodes.get(&name).cloned()?;
        let mut state = vnode.state();
        if state.found.as_ref().is_some_and(|found| found.id.uid == uid) {
            state.found = None;
        }
        drop(state);
        Some(vnode)
    }

    /// A VNode without a base: what another process left.
    pub fn leftover(&self, name: &str, now: i64, stop: &CancellationToken) -> Option<Arc<VNode>> {
        let mut inner = self.inner();
        if inner.vnodes.contains_key(name) {
            return None;
        }
        let vnode = Arc::new(VNode::new(name.to_owned(), None, now, stop.child_token()));
        inner.vnodes.insert(name.to_owned(), Arc::clone(&vnode));
        Some(vnode)
    }

    /// Forgets a VNode that has no base and of which nothing is left; whether it did.
    pub fn forget(&self, vnode: &Arc<VNode>) -> bool {
        let mut inner = self.inner();
        if vnode.state().found.is_some() {
            return false;
        }
        if inner.vnodes.get(&vnode.name).is_some_and(|known| Arc::ptr_eq(known, vnode)) {
            inner.vnodes.remove(&vnode.name);
        }
        true
    }

    /// The VNode of this name.
    pub fn named(&self, name: &str) -> Option<Arc<VNode>> {
        self.inner().vnodes.get(name).cloned()
    }

    /// The VNode of the base whose pod has this UID.
    pub fn of_pod(&self, uid: &str) -> Option<Arc<VNode>> {
        let inner = self.inner();
        inner.by_pod.get(uid).and_then(|name| inner.vnodes.get(name)).cloned()
    }

    /// Whether the base whose pod has this UID is at this address, and this process may talk to it.
    pub fn is_at(&self, uid: &str, at: Endpoint) -> bool {
        self.of_pod(uid).is_some_and(|vnode| {
            let state = vnode.state();
            state.acts && state.found.as_ref().is_some_and(|found| found.id.uid == uid && found.at == at)
        })
    }

    /// All VNodes.
    pub fn all(&self) -> Vec<Arc<VNode>> {
        self.inner().vnodes.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arklet::session::BaseId, domain::vnode::node::VBase};

    fn found(identity: &str, uid: &str, restarts: i64) -> Found {
        Found {
            facts: VBase { identity: identity.into(), env: "dev".into(), ..VBase::default() },
            id: BaseId { namespace: "n".into(), pod: "p".into(), uid: uid.into() },
            at: Endpoint { ip: "10.0.0.1".parse().unwrap(), port: 1238 },
            restarts,
            device: None,
        }
    }

    #[test]
    fn a_base_that_is_found_twice_has_one_vnode() {
        let (bases, stop) = (Bases::default(), CancellationToken::new());
        let News::New(vnode) = bases.found(found("first", "u", 0), 1, &stop) else { panic!("it is new") };
        // An identity that changes with every announcement, as one of the base's versions has it.
        for identity in ["second", "third"] {
            let News::Known { vnode: known, replaced, restarted } = bases.found(found(identity, "u", 0), 2, &stop)
            else {
                panic!("it is known")
            };
            assert!(Arc::ptr_eq(&vnode, &known) && replaced.is_none() && !restarted);
        }
        assert_eq!((bases.all().len(), vnode.name.as_str()), (1, "vnode.first.dev"));
        assert_eq!(vnode.state().base().unwrap().identity, "first");
    }

    #[test]
    fn restarts_and_replacements_are_told_apart() {
        let (bases, stop) = (Bases::default(), CancellationToken::new());
        bases.found(found("10.0.0.1", "u", 0), 1, &stop);
        let News::Known { restarted, replaced, .. } = bases.found(found("10.0.0.1", "u", 1), 2, &stop) else {
            panic!("it is known")
        };
        assert!(restarted && replaced.is_none());
        // Named after its address, which another pod has now.
        let News::Known { restarted, replaced, vnode } = bases.found(found("10.0.0.1", "v", 0), 3, &stop) else {
            panic!("it is known")
        };
        assert_eq!((restarted, replaced.as_deref()), (false, Some("u")));
        assert_eq!(bases.lost("u").map(|vnode| vnode.name.clone()), None, "the old pod is nobody's base any more");
        assert!(vnode.state().found.is_some());
        assert!(!bases.forget(&vnode), "it has a base");
        bases.lost("v");
        assert!(vnode.state().found.is_none() && bases.forget(&vnode) && bases.all().is_empty());
    }
}
