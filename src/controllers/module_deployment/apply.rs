//! Carries out a deployment's plan: own fields, replica sets, status, Events, in this order.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::{
    api::{ModuleDeployment, ModuleDeploymentStatus, ModuleReplicaSet, Reason, ReleaseStatus, keys::finalizer},
    controllers::{
        context::{Context, STATUS_PACE},
        error::Error,
        ordering::Ordering,
        service,
    },
    domain::{
        deployment::{Plan, Told, hands_over, owner_of},
        merge, names,
    },
    runtime::{index, kinds::BaseDeployment},
};

/// Carries the plan out; says when to look again (milliseconds).
pub async fn apply(
    context: &Context,
    deployment: &ModuleDeployment,
    mut plan: Plan,
    now: i64,
) -> Result<Option<i64>, Error> {
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    let uid = deployment.uid().unwrap_or_default();
    if plan.adopt_base {
        adopt_base(context, deployment, &mut plan).await?;
    }
    if let Some(mut patch) = plan.own_patch.take() {
        patch["metadata"]["uid"] = json!(uid);
        if patch["metadata"].get("finalizers").or(patch["metadata"].get("ownerReferences")).is_some() {
            // Lists are replaced whole: what somebody else adds meanwhile must not be lost.
            patch["metadata"]["resourceVersion"] = json!(deployment.resource_version());
        }
        let patched = context.ops.patch::<ModuleDeployment>(&namespace, &name, &patch).await?;
        context.deployments.put(patched);
    }
    if !order(context, deployment, &mut plan).await? {
        // Another name is tried at the next look; the status is about what is.
        return Ok(None);
    }
    for (set, uid) in plan.delete {
        delete(context, &namespace, &set, &uid).await?;
    }
    let later = tell(context, deployment, plan.status, plan.events, now).await?;
    if plan.release {
        release(context, deployment).await?;
    }
    Ok([plan.wake_at, later].into_iter().flatten().min())
}

/// Creates and changes replica sets; whether that is done, or the name of the new one is somebody else's. It comes first:
/// while it can't be had the others give nothing up for it.
async fn order(context: &Context, deployment: &ModuleDeployment, plan: &mut Plan) -> Result<bool, Error> {
    if plan.create.is_none() && plan.change.is_empty() {
        return Ok(true);
    }
    let _ordering = Ordering::begin(context, deployment);
    if let Some(set) = plan.create.take()
        && !create(context, deployment, &set).await?
    {
        return Ok(false);
    }
    let namespace = deployment.namespace().unwrap_or_default();
    for change in &mut plan.change {
        change.patch["metadata"]["uid"] = json!(change.uid);
        let patched = context.ops.patch::<ModuleReplicaSet>(&namespace, &change.name, &change.patch).await?;
        context.sets.cache.put(patched);
    }
    Ok(true)
}

/// Writes the status and publishes the Events; says when to come back for counts that may not be written yet.
async fn tell(
    context: &Context,
    deployment: &ModuleDeployment,
    status: Option<ModuleDeploymentStatus>,
    events: Vec<Told>,
    now: i64,
) -> Result<Option<i64>, Error> {
    let later = match status {
        Some(status) => write_status(context, deployment, &status, now).await?,
        None => None,
    };
    for (warning, reason, note) in events {
        context.ops.publish(&deployment.object_ref(&()), warning, reason, "Reconcile", note).await;
    }
    Ok(later)
}

/// Adds the owner reference to the base Deployment, whose UID is read right before it is written: a base that was
/// deleted and made again must not take the deployment with it.
async fn adopt_base(context: &Context, deployment: &ModuleDeployment, plan: &mut Plan) -> Result<(), Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let base = &deployment.spec.base_deployment_name;
    let Some(live) = context.ops.read::<BaseDeployment>(&namespace, base).await? else {
        return Ok(());
    };
    if live.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let mut owners: Vec<OwnerReference> =
        deployment.owner_references().iter().filter(|owner| !is_base(owner)).cloned().collect();
    let controlled = owners.iter().any(|owner| owner.controller == Some(true));
    owners.push(OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: base.clone(),
        uid: live.uid().unwrap_or_default(),
        controller: Some(!controlled),
        block_owner_deletion: None,
    });
    let patch = plan.own_patch.get_or_insert_with(|| json!({}));
    patch["metadata"]["ownerReferences"] = json!(owners);
    Ok(())
}

fn is_base(owner: &OwnerReference) -> bool {
    owner.kind == "Deployment" && owner.api_version == "apps/v1"
}

/// Creates a replica set; whether that is done, or its name is somebody else's.
async fn create(context: &Context, deployment: &ModuleDeployment, set: &ModuleReplicaSet) -> Result<bool, Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    match context.ops.create(&namespace, set).await {
        Ok(created) => {
            context.sets.put_new(Arc::new(created));
            Ok(true)
        }
        Err(error) if error.is_already_there() => {
            match context.ops.read::<ModuleReplicaSet>(&namespace, &set.name_any()).await? {
                Some(other) if is_foreign(&other, deployment) => {
                    collided(context, deployment, &other).await?;
                    Ok(false)
                }
                // Ours, from before a stale cache, or gone again: the next look, at a newer cache, tells.
                _ => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a replica set is neither ours nor one that we may adopt.
fn is_foreign(set: &ModuleReplicaSet, deployment: &ModuleDeployment) -> bool {
    match index::controller_uid(set) {
        Some(uid) => Some(uid) != deployment.metadata.uid.as_deref(),
        None => !super::is_orphan_of(set, deployment),
    }
}

/// Somebody else's object has the name: it is left alone and counted, so that the next look takes another name.
async fn collided(context: &Context, deployment: &ModuleDeployment, other: &ModuleReplicaSet) -> Result<(), Error> {
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    let had = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    let patch =
        json!({ "metadata": { "uid": deployment.uid() }, "status": { "collisionCount": had.saturating_add(1) } });
    let patched = context.ops.patch_status::<ModuleDeployment>(&namespace, &name, &patch).await?;
    context.deployments.put(patched);
    let note = format!("the ModuleReplicaSet {} belongs to somebody else; another name is taken", other.name_any());
    context.ops.publish(&deployment.object_ref(&()), true, Reason::NameCollision, "Reconcile", note).await;
    context.queues.deployments.push_named(&namespace, &name);
    Ok(())
}

/// Takes over what an earlier deployment of this name left behind (`--cascade=orphan`).
pub async fn adopt_orphans(context: &Context, deployment: &ModuleDeployment) -> Result<(), Error> {
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    let mut orphans = context.sets.labelled(&namespace, &names::label_safe(&name));
    orphans.retain(|set| super::is_orphan_of(set, deployment));
    if orphans.is_empty() {
        return Ok(());
    }
    // Asked afresh: in the name of a deployment that is going, or gone, what was orphaned would be collected with it.
    let live = context.ops.read::<ModuleDeployment>(&namespace, &name).await?;
    let stays = |live: &ModuleDeployment| live.uid() == deployment.uid() && live.metadata.deletion_timestamp.is_none();
    if !live.as_ref().is_some_and(stays) {
        return Ok(());
    }
    for set in orphans {
        adopt(context, deployment, &set).await?;
    }
    Ok(())
}

async fn adopt(context: &Context, deployment: &ModuleDeployment, set: &ModuleReplicaSet) -> Result<(), Error> {
    let mut owners = set.owner_references().to_vec();
    owners.push(OwnerReference { block_owner_deletion: Some(true), controller: Some(true), ..owner_of(deployment) });
    let patch = json!({ "metadata": {
        "uid": set.uid(), "resourceVersion": set.resource_version(), "ownerReferences": owners,
    } });
    let namespace = deployment.namespace().unwrap_or_default();
    let adopted = context.ops.patch::<ModuleReplicaSet>(&namespace, &set.name_any(), &patch).await?;
    context.sets.note(&adopted);
    context.sets.cache.put(adopted);
    Ok(())
}

async fn delete(context: &Context, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
    if let Some(ending) = context.ops.delete::<ModuleReplicaSet>(namespace, name, uid).await? {
        context.sets.cache.put(ending);
        context.queues.sets.push_named(namespace, name);
    }
    Ok(())
}

async fn write_status(
    context: &Context,
    deployment: &ModuleDeployment,
    status: &ModuleDeploymentStatus,
    now: i64,
) -> Result<Option<i64>, Error> {
    let before = deployment.status.clone().unwrap_or_default();
    let Some(patch) = merge::diff(&json!(before), &json!(status)) else {
        return Ok(None);
    };
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    if let Err(later) = context.may_write(&format!("md/{namespace}/{name}"), is_edge(&before, status), STATUS_PACE, now)
    {
        return Ok(Some(later));
    }
    let patch = json!({ "metadata": { "uid": deployment.uid() }, "status": patch });
    let patched = context.ops.patch_status::<ModuleDeployment>(&namespace, &name, &patch).await?;
    context.deployments.put(patched);
    Ok(None)
}

/// Whether more than counts moved: somebody may be waiting for it.
fn is_edge(before: &ModuleDeploymentStatus, after: &ModuleDeploymentStatus) -> bool {
    let conditions = |status: &ModuleDeploymentStatus| -> Vec<(String, String, Option<String>)> {
        let word = |c: &crate::api::Condition| (c.type_.clone(), c.status.clone(), c.reason.clone());
        status.conditions.iter().map(word).collect()
    };
    // When it last got on moves with the counts.
    let release = |status: &ModuleDeploymentStatus| {
        let release = status.release_status.clone();
        release.map(|release| ReleaseStatus { last_progress_time: None, ..release })
    };
    release(before) != release(after)
        || before.observed_generation != after.observed_generation
        || conditions(before) != conditions(after)
}

/// Takes the operator's finalizers off: nothing of the deployment is left.
async fn release(context: &Context, deployment: &ModuleDeployment) -> Result<(), Error> {
    if hands_over(deployment) {
        // The garbage collector takes along what it still owns.
        service::settle(context, deployment).await?;
    }
    let ours = [finalizer::REPLICA_SET_EXISTED, finalizer::MODULE_EXISTED];
    let (namespace, name) = (deployment.namespace().unwrap_or_default(), deployment.name_any());
    if let Some(released) = context.ops.release(deployment, &ours).await? {
        context.deployments.put(released);
    }
    context.forget_pace(&format!("md/{namespace}/{name}"));
    Ok(())
}
