//! Orders to replica sets that are only half written.
//!
//! One step of a release changes several replica sets, one request after the other. A set that carried out its part before
//! the others have theirs would give up a base that nobody asks for yet: lost for nothing where the rest is refused, and
//! free for anybody to take. So the sets of a deployment stand still from the first request to the last. Must not: hold
//! anything longer than one look at the deployment.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::context::Context;
use crate::api::ModuleDeployment;

/// The deployments whose orders are being written, by namespace and name.
#[derive(Default)]
pub struct Orderings(Mutex<HashSet<(String, String)>>);

impl Orderings {
    /// Whether the orders to the deployment's replica sets are only half written.
    pub fn is_under_way(&self, deployment: &ModuleDeployment) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&key_of(deployment))
    }
}

fn key_of(deployment: &ModuleDeployment) -> (String, String) {
    (deployment.namespace().unwrap_or_default(), deployment.name_any())
}

/// Orders that are being written, as long as it lives. Whatever comes of them, the deployment's replica sets look again
/// after it.
pub struct Ordering<'a> {
    context: &'a Context,
    deployment: &'a ModuleDeployment,
}

impl<'a> Ordering<'a> {
    /// Begins the orders to the replica sets of `deployment`.
    pub fn begin(context: &'a Context, deployment: &'a ModuleDeployment) -> Self {
        context.ordering.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key_of(deployment));
        Self { context, deployment }
    }
}

impl Drop for Ordering<'_> {
    fn drop(&mut self) {
        self.context.ordering.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key_of(self.deployment));
        for set in self.context.sets_of(self.deployment) {
            self.context.queues.sets.push(ObjectRef::from_obj(&*set));
        }
    }
}
