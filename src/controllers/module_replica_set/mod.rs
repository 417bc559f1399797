//! ModuleReplicaSet: its part of the placement.
//!
//! observe and plan under one lock, so that no two replica sets take one place ([`place`]) -> apply: create and
//! delete Modules -> status. Writes Modules (create, delete), its own status and finalizer; nothing else.

mod apply;
pub(super) mod build;
mod place;
mod status;

use std::sync::Arc;

pub use self::place::comes_to;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use self::status::Missing;
use super::{LOOK_AGAIN, await_news, context::Context, error::Error, until};
use crate::api::{
    ModuleReplicaSet,
    keys::finalizer::{MODULE_EXISTED, ORPHAN},
};

/// One look at one ModuleReplicaSet.
pub async fn reconcile(set: Arc<ModuleReplicaSet>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = set.namespace().unwrap_or_default();
    let Some(set) = context.sets.cache.named(&namespace, &set.name_any()) else {
        return Ok(Action::await_change());
    };
    if set.metadata.deletion_timestamp.is_some() {
        return leave(&context, &set).await;
    }
    if !set.finalizers().iter().any(|name| name == MODULE_EXISTED) {
        apply::add_finalizer(&context, &set).await?;
        return Ok(Action::await_change());
    }
    let Some(orders) = place::place(&context, &set) else {
        // What isn't known yet wakes this replica set when it is.
        return Ok(await_news());
    };
    let now = context.clock.now();
    let unplaced = orders.unplaced.clone();
    context.note_unplaced(&set, unplaced.clone());
    let applied = apply::apply(&context, &set, orders).await;
    let missing = match &applied {
        Ok(()) => unplaced.map(Missing::Unplaced),
        // Told before it is tried again.
        Err(error) => error.refused_creation().map(|why| Missing::Refused(why.to_owned())),
    };
    if applied.is_err() && missing.is_none() {
        return applied.map(|()| Action::await_change());
    }
    let wake = status::write(&context, &set, missing, now).await?;
    // By whatever a place becomes free, nobody waits for it for ever.
    let again = context.is_waiting(&set).then_some(now + LOOK_AGAIN);
    applied.map(|()| until(&context, wake.into_iter().chain(again).min()))
}

/// The replica set is being deleted: first its Modules, then its finalizer. Orphaned Modules stay.
async fn leave(context: &Arc<Context>, set: &ModuleReplicaSet) -> Result<Action, Error> {
    let namespace = set.namespace().unwrap_or_default();
    let orphaned = set.finalizers().iter().any(|name| name == ORPHAN);
    let modules = context.modules.of_set(&namespace, &set.name_any());
    if !orphaned && !modules.is_empty() {
        apply::delete(context, modules).await?;
        return Ok(await_news());
    }
    if let Some(released) = context.ops.release(set, &[MODULE_EXISTED]).await? {
        context.sets.cache.put(released);
    }
    context.forget_pace(&format!("mdrs/{namespace}/{}", set.name_any()));
    Ok(Action::await_change())
}
