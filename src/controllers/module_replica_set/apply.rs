//! Creates and deletes Modules, many at a time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::{StreamExt, stream};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use serde_json::json;

use super::place::Orders;
use crate::{
    api::{
        Module, ModuleReplicaSet,
        keys::{annotation, finalizer},
    },
    controllers::{context::Context, error::Error, fleet},
    runtime::ops,
};

/// Requests of one reconcile under way at a time.
const AT_ONCE: usize = 16;

/// An order whose end isn't known yet. A reconcile that takes too long ends wherever it is; what is open then is taken back, or
/// a place would be taken for ever, and a Module leave for ever that nobody deletes.
struct Order {
    context: Arc<Context>,
    module: Arc<Module>,
    take_back: fn(&Context, &Module),
    open: bool,
}

impl Order {
    /// All of them, before the first is carried out.
    fn all(context: &Arc<Context>, modules: Vec<Arc<Module>>, take_back: fn(&Context, &Module)) -> Vec<Self> {
        let order = |module| Self { context: Arc::clone(context), module, take_back, open: true };
        modules.into_iter().map(order).collect()
    }

    /// The API server has carried it out.
    fn done(mut self) {
        self.open = false;
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if self.open {
            (self.take_back)(&self.context, &self.module);
        }
    }
}

/// It doesn't come after all: its place is free.
fn free(context: &Context, module: &Module) {
    context.modules.forget(module);
}

/// It isn't leaving after all, as far as this process ordered it: the watch's view counts again.
fn keep(context: &Context, module: &Module) {
    let known = context.modules.cache.get(&ObjectRef::from_obj(module));
    if known.is_some_and(|known| fleet::is_leaving(&known) && !fleet::is_deleted(&known)) {
        context.modules.cache.forget(&ObjectRef::from_obj(module));
    }
}

/// Carries the orders out, also after an error, and tells the first one. Only a Module that the API server refuses ends the
/// creation of more: what a quota says to one it says to all, and thousands of others would be asked for again and again.
pub async fn apply(context: &Arc<Context>, set: &ModuleReplicaSet, orders: Orders) -> Result<(), Error> {
    let refused = AtomicBool::new(false);
    let refused = &refused;
    let (coming, leaving) = (Order::all(context, orders.create, free), Order::all(context, orders.delete, keep));
    let created: Vec<_> = stream::iter(coming)
        .map(|order| async move {
            if refused.load(Ordering::Relaxed) {
                return Ok(());
            }
            let result = create(context, set, &order.module).await;
            refused.fetch_or(result.as_ref().is_err_and(|error| error.refused_creation().is_some()), Ordering::Relaxed);
            result.map(|()| order.done())
        })
        // In order, so that of many refused it is the same one that is told.
        .buffered(AT_ONCE)
        .collect()
        .await;
    let deleted = delete_all(leaving).await;
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
pub async fn delete(context: &Arc<Context>, modules: Vec<Arc<Module>>) -> Result<(), Error> {
    delete_all(Order::all(context, modules, keep)).await
}

async fn delete_all(orders: Vec<Order>) -> Result<(), Error> {
    let alive = orders.into_iter().filter(|order| order.module.metadata.deletion_timestamp.is_none());
    let deleted: Vec<Result<(), Error>> = stream::iter(alive)
        .map(|order| async move {
            order.context.delete_module(&order.module).await?;
            order.done();
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
