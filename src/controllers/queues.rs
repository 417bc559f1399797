//! One queue for each controller: the names of objects that have to look again.
//!
//! Must not: know why; that is [`super::wake`].

use std::sync::{Mutex, PoisonError};

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    api::{Module, ModuleDeployment, ModuleReplicaSet},
    runtime::kinds::BasePod,
};

/// The queue of one kind.
pub struct Queue<K: kube::Resource> {
    sender: UnboundedSender<ObjectRef<K>>,
    receiver: Mutex<Option<UnboundedReceiver<ObjectRef<K>>>>,
}

impl<K: kube::Resource<DynamicType = ()>> Queue<K> {
    pub(super) fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// Asks for a reconcile of an object.
    pub fn push(&self, key: ObjectRef<K>) {
        // The receiver is gone only while the process ends.
        let _ = self.sender.send(key);
    }

    /// Asks for a reconcile by namespace and name.
    pub fn push_named(&self, namespace: &str, name: &str) {
        self.push(ObjectRef::new(name).within(namespace));
    }

    /// The receiving end, once.
    pub fn take(&self) -> Option<UnboundedReceiver<ObjectRef<K>>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One queue a controller.
pub struct Queues {
    /// ModuleDeployments.
    pub deployments: Queue<ModuleDeployment>,
    /// ModuleReplicaSets.
    pub sets: Queue<ModuleReplicaSet>,
    /// Modules.
    pub modules: Queue<Module>,
    /// Services, by the deployment that asks.
    pub services: Queue<ModuleDeployment>,
    /// Base pods.
    pub pods: Queue<BasePod>,
}
