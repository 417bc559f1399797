//! Labels, annotations, finalizers and other names that stand in a cluster.
//!
//! Everything in the first three sections is V1's contract and must not change by a byte: a running V1 cluster
//! carries these names. What this operator added is in the last section.

/// The API group of all kinds.
pub const GROUP: &str = "koupleless.io";
/// The only served version.
pub const VERSION: &str = "v1alpha1";

/// Labels of V1's contract.
pub mod label {
    /// On ModuleReplicaSets and Modules: the module's (biz) name, in its label-safe form.
    pub const MODULE_NAME: &str = "koupleless.io/module-name";
    /// On Modules: the module's version, in its label-safe form.
    pub const MODULE_VERSION: &str = "koupleless.io/module-version";
    /// On ModuleReplicaSets and Modules: the ModuleDeployment's name.
    pub const MODULE_DEPLOYMENT: &str = "koupleless.io/module-deployment";
    /// On Modules: the ModuleReplicaSet's name.
    pub const MODULE_REPLICA_SET: &str = "koupleless.io/module-replicaset";
    /// On ModuleReplicaSets and Modules: the revision, counted from 1; the newest has the highest value.
    pub const REVISION: &str = "koupleless.io/module-replicaset-revision";
    /// On ModuleReplicaSets and Modules: `scatter` or `stacking`; may be empty in V1 objects.
    pub const SCHEDULING_STRATEGY: &str = "koupleless.io/module-scheduling-strategy";
    /// On ModuleReplicaSets and Modules: the name of the base Deployment.
    pub const BASE_DEPLOYMENT: &str = "koupleless.io/deployment-name";
    /// On Modules: the address of the base pod.
    pub const BASE_INSTANCE_IP: &str = "koupleless.io/base-instance-ip";
    /// On Modules: the name of the base pod.
    pub const BASE_INSTANCE_NAME: &str = "koupleless.io/base-instance-name";
    /// On a Module, set by a user: uninstall it here; another base takes its place.
    pub const DELETE_MODULE: &str = "koupleless.io/delete-module";
    /// On a base pod, set by a user: move its modules to other bases, then delete the pod.
    pub const DELETE_POD: &str = "koupleless.io/delete-pod";
    /// On a base pod, set by a user: delete the pod at once.
    pub const DELETE_POD_DIRECTLY: &str = "koupleless.io/delete-pod-directly";
    /// On a Module, set by a user: drop it without uninstalling anything.
    pub const DELETE_MODULE_DIRECTLY: &str = "koupleless.io/delete-module-directly";
    /// On base pods: how many module slots the base holds.
    pub const MODULE_INSTANCE_COUNT: &str = "koupleless.io/module-instance-count";
    /// On base pods, set by a user: how many slots the base may hold.
    pub const MAX_MODULE_COUNT: &str = "koupleless.io/max-module-count";
    /// Prefix of the per-module traffic label on base pods; the module's name (label-safe) follows.
    pub const TRAFFIC_PREFIX: &str = "module.koupleless.io/";
    /// The value of every flag-like label.
    pub const TRUE: &str = "true";

    /// Whether the flag-like label `key` is set.
    pub fn is_set(labels: &std::collections::BTreeMap<String, String>, key: &str) -> bool {
        labels.get(key).is_some_and(|value| value == TRUE)
    }
}

/// Finalizers of V1's contract.
pub mod finalizer {
    /// On a ModuleDeployment, while it has ModuleReplicaSets.
    pub const REPLICA_SET_EXISTED: &str = "koupleless.io/module-replicaset-existed";
    /// On a ModuleDeployment and a ModuleReplicaSet, while they have Modules.
    pub const MODULE_EXISTED: &str = "koupleless.io/module-existed";
    /// On a Module, until its biz is uninstalled.
    pub const ALLOCATE_POD: &str = "koupleless.io/allocate-pod";
    /// Set by the API server for `kubectl delete --cascade=orphan`.
    pub const ORPHAN: &str = "orphan";
}

/// Annotations; all of them are this operator's own, V1 knows none.
pub mod annotation {
    /// On a ModuleDeployment: the `spec.replicas` that `spec.scaleReplicas` was derived from.
    pub const SCALE_BASELINE: &str = "koupleless.io/scale-baseline";
    /// On a Module: the UID of its ModuleReplicaSet.
    pub const REPLICA_SET_UID: &str = "koupleless.io/module-replicaset-uid";
    /// On a ModuleReplicaSet: the `confirmBatchNum` found when its release began.
    pub const CONFIRM_BASELINE: &str = "koupleless.io/confirm-baseline";
    /// On a template, set by a user, and on the Modules made from it: another value reinstalls the same version.
    pub const RESTARTED_AT: &str = "koupleless.io/restartedAt";
    /// On a ModuleReplicaSet: when its release was given up and rolled back.
    pub const ROLLED_BACK: &str = "koupleless.io/rolled-back";
    /// On a vPod that goes: what it stands for stays in the base. On a ModuleDeployment, set by a user: its modules stay in
    /// their bases when it is deleted, and its Service stays too.
    pub const KEEP_BIZ: &str = "koupleless.io/keep-biz";
    /// On a base pod: the port of its Arklet, where it is not the default.
    pub const ARKLET_PORT: &str = "koupleless.io/arklet-port";
    /// Written by `kubectl apply`; shows a `replicas: -1` that V1 overwrote.
    pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
}

/// The readiness gate of a base whose pods are ready only with their modules; a condition of the pod has the same name.
pub const MODULES_READY: &str = "koupleless.io/modules-ready";
/// The name of the container port that serves Arklet, where a base declares one.
pub const ARKLET_PORT_NAME: &str = "arklet";
/// Arklet's default port (koupleless runtime, `koupleless.arklet.http.port`).
pub const ARKLET_DEFAULT_PORT: u16 = 1238;
/// The Lease that V1 used too, so that both exclude each other.
pub const LEASE_NAME: &str = "2245841c.koupleless.io";
