//! Creates and deletes Modules, many at a time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt, stream};
use kube::ResourceExt;
use serde_json::json;

use super::place::Orders;
use crate::{
    api::{
        Module, ModuleReplicaSet,
        keys::{annotation, finalizer},
    },
    controllers::{context::Context, error::Error},
    runtime::ops,
};

/// Requests of one reconcile under way at a time.
const AT_ONCE: usize = 16;

/// Orders whose end isn't known yet, by the Modules' names. A reconcile that takes too long ends wherever it is; what is open
/// then is taken back, or a place would be taken for ever, and a Module leave for ever that nobody deletes.
struct Open<'a> {
    context: &'a Context,
    create: Mutex<HashMap<String, Arc<Module>>>,
    delete: Mutex<HashMap<String, Arc<Module>>>,
}

impl<'a> Open<'a> {
    fn new(context: &'a Context, create: &[Arc<Module>], delete: &[Arc<Module>]) -> Self {
        let by_name = |modules: &[Arc<Module>]| {
            Mutex::new(modules.iter().map(|module| (module.name_any(), Arc::clone(module))).collect())
        };
        Self { context, create: by_name(create), delete: by_name(delete) }
    }

    /// The Module was created, and is known as it is.
    fn created(&self, module: &Module) {
        self.create.lock().unwrap_or_else(PoisonError::into_inner).remove(&module.name_any());
    }

    /// The Module was deleted.
    fn deleted(&self, module: &Module) {
        self.delete.lock().unwrap_or_else(PoisonError::into_inner).remove(&module.name_any());
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        for module in self.create.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            self.context.modules.forget(module);
        }
        for module in self.delete.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            self.context.take_back(module);
        }
    }
}

/// Carries the orders out, also after an error, and tells the first one. Only a Module that the API server refuses ends the
/// creation of more: what a quota says to one it says to all, and thousands of others would be asked for again and again.
pub async fn apply(context: &Context, set: &ModuleReplicaSet, orders: Orders) -> Result<(), Error> {
    let refused = AtomicBool::new(false);
    let open = Open::new(context, &orders.create, &orders.delete);
    let (refused, open) = (&refused, &open);
    let created: Vec<_> = stream::iter(orders.create)
        .map(|module| async move {
            if refused.load(Ordering::Relaxed) {
                return Ok(());
            }
            let result = create(context, set, &module).await;
            refused.fetch_or(result.as_ref().is_err_and(|error| error.refused_creation().is_some()), Ordering::Relaxed);
            result.inspect(|()| open.created(&module))
        })
        // In order, so that of many refused it is the same one that is told.
        .buffered(AT_ONCE)
        .collect()
        .await;
    let deleted = delete_all(open, orders.delete).await;
    let created: Result<(), Error> = created.into_iter().collect();
    created.and(deleted)
}

async fn create(context: &Context, set: &ModuleReplicaSet, module: &Module) -> Result<(), Error> {
    let namespace = module.namespace().unwrap_or_default();
    match context.ops.create(&namespace, module).await {
        Ok(created) => {
            context.modules.cache.put(created);
            Ok(())
        }
        Err(error) if error.is_already_there() => taken(context, set, module, error).await,
        Err(error) => Err(error.into()),
    }
}

/// A Module of that name is there: ours, which the cache doesn't show yet, or one that is ending and keeps its place.
async fn taken(context: &Context, set: &ModuleReplicaSet, module: &Module, error: ops::Error) -> Result<(), Error> {
    let namespace = module.namespace().unwrap_or_default();
    let Some(found) = context.ops.read::<Module>(&namespace, &module.name_any()).await? else {
        return Err(error.into());
    };
    let ours = found.annotations().get(annotation::REPLICA_SET_UID) == set.uid().as_ref();
    if ours {
        // In place of what was to be created, unless the watch has shown its end meanwhile: then nothing would ever
        // take it out again.
        context.modules.cache.put(found);
        return Ok(());
    }
    Err(error.into())
}

/// Deletes Modules that aren't ending yet.
pub async fn delete(context: &Context, modules: Vec<Arc<Module>>) -> Result<(), Error> {
    delete_all(&Open::new(context, &[], &modules), modules).await
}

async fn delete_all(open: &Open<'_>, modules: Vec<Arc<Module>>) -> Result<(), Error> {
    let alive = modules.into_iter().filter(|module| module.metadata.deletion_timestamp.is_none());
    let deleted: Vec<Result<(), Error>> = stream::iter(alive)
        .map(|module| async move {
            open.context.delete_module(&module).await?;
            open.deleted(&module);
            Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    deleted.into_iter().collect()
}

/// Puts the finalizer onto a replica set that somebody made by hand.
pub async fn add_finalizer(context: &Context, set: &ModuleReplicaSet) -> Result<(), Error> {
    let mut finalizers = set.finalizers().to_vec();
    finalizers.push(finalizer::MODULE_EXISTED.to_owned());
    let patch = json!({ "metadata": {
        "uid": set.uid(), "resourceVersion": set.resource_version(), "finalizers": finalizers,
    } });
    let namespace = set.namespace().unwrap_or_default();
    let patched = context.ops.patch::<ModuleReplicaSet>(&namespace, &set.name_any(), &patch).await?;
    context.sets.cache.put(patched);
    context.queues.sets.push_named(&namespace, &set.name_any());
    Ok(())
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
