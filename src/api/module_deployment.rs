//! ModuleDeployment: what a user writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, IntOrString, ModuleInfo, ModuleTemplateSpec, absent::absent_means_default};

/// So many instances of a module on the pods of a base Deployment.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "koupleless.io",
    version = "v1alpha1",
    kind = "ModuleDeployment",
    plural = "moduledeployments",
    shortname = "mddeploy",
    category = "koupleless",
    namespaced,
    status = "ModuleDeploymentStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "So many instances of a Java module on the running pods of a base Deployment.",
    scale(
        spec_replicas_path = ".spec.scaleReplicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn = r#"{"name":"Module","type":"string","jsonPath":".spec.template.spec.module.name"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.template.spec.module.version"}"#,
    printcolumn = r#"{"name":"Desired","type":"integer","jsonPath":".spec.scaleReplicas"}"#,
    printcolumn = r#"{"name":"Updated","type":"integer","jsonPath":".status.updatedReplicas"}"#,
    printcolumn = r#"{"name":"Available","type":"integer","jsonPath":".status.availableReplicas"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.releaseStatus.progress"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", remote = "ModuleDeploymentSpec")]
pub struct ModuleDeploymentSpec {
    /// The Deployment, in the same namespace, whose pods are the bases.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub base_deployment_name: String,
    /// What is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ModuleTemplateSpec>,
    /// How many instances; -1 means one on every base pod (peer mode); absent means 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub replicas: Option<i32>,
    /// How many instances, as `kubectl scale` and autoscalers set it. The operator derives it from `replicas`
    /// whenever `replicas` changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub scale_replicas: Option<i32>,
    /// Seconds that a module must have been active to count as available; default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    /// How many finished revisions are kept; absent and 0 mean 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// Seconds without progress after which a release counts as failed; absent and 0 mean 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i32>,
    /// Confirms every batch up to this one; set back to 0 by the operator when a release is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("default" = 0))]
    pub confirm_batch_num: Option<i32>,
    /// No new revision is begun or continued while true; scaling works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How a new revision is brought in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_strategy: Option<OperationStrategy>,
    /// Which bases are preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling_strategy: Option<SchedulingStrategy>,
    /// How modules get into bases; absent means what the operator's `--default-delivery` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// How modules get into bases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Delivery {
    /// The operator talks to the agent in each base.
    #[default]
    Arklet,
    /// Each Module becomes a Pod on the virtual node that stands for its base, and whoever plays that node installs it.
    VirtualPod,
}

absent_means_default!(ModuleDeploymentSpec);

/// How a new revision is brought in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStrategy {
    /// Wait for `confirmBatchNum` after every batch that isn't the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need_confirm: Option<bool>,
    /// Begin a new revision with a batch of exactly one, which always waits for a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_beta: Option<bool>,
    /// In how many batches a new revision comes; absent and 0 mean 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_count: Option<i32>,
    /// How many instances may be unavailable during a release: a number or a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Seconds between two batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gray_time_between_batch_seconds: Option<i32>,
    /// `install_then_uninstall` (default), `uninstall_then_install` or `scaleup_then_scaledown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_policy: Option<String>,
    /// When a release makes no progress for `progressDeadlineSeconds`, the last completed revision is brought back. The
    /// spec stays as it is; nothing new is tried before the template is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rollback: Option<bool>,
    /// The Service of the module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_strategy: Option<ServiceStrategy>,
}

/// The Service of the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStrategy {
    /// Publish a Service `<module name>-service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_module_service: Option<bool>,
    /// The Service's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// The base's port: a number or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_port: Option<IntOrString>,
    /// Seconds between taking a base out of the Service and uninstalling there; default 5 with a Service, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub drain_seconds: Option<i32>,
}

/// Which bases are preferred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulingStrategy {
    /// `scatter`: bases with the fewest modules first; `stacking`: bases with the most first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["scatter", "stacking"], "default" = "scatter"))]
    pub scheduling_policy: Option<String>,
}

/// What was seen of a ModuleDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleDeploymentStatus {
    /// Modules of all revisions that exist and aren't ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Bases on which the module is available, in whatever revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// Bases on which the module is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Wanted and not available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i32>,
    /// Modules of the newest revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// Modules of the newest revision that are being installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrading_replicas: Option<i32>,
    /// Modules of the newest revision whose biz is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_ready_replicas: Option<i32>,
    /// Modules of the newest revision that are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_available_replicas: Option<i32>,
    /// How often a child's name was found taken by a foreign object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// Selects the base pods that carry this module; for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// One a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The release that is under way, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_status: Option<ReleaseStatus>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// A release: a new revision on its way, batch by batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// The name of the newest revision's ModuleReplicaSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// The batch that is under way, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_batch: Option<i32>,
    /// How many batches this release has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_batch_count: Option<i32>,
    /// How many instances the release is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_delta_replicas: Option<i32>,
    /// `Init`, `WaitingForConfirmation`, `Executing`, `Paused`, `Completed`, `Aborted`, `Terminating`, `Terminated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// The same words, of the current batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_progress: Option<String>,
    /// When `progress` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// When a gray pause ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_reconcile_time: Option<Time>,
    /// When the release last got on; `progressDeadlineSeconds` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_progress_time: Option<Time>,
    /// The name of the ModuleReplicaSet whose release was last completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_revision: Option<String>,
}

impl ModuleDeployment {
    /// `spec.paused`.
    pub fn is_paused(&self) -> bool {
        self.spec.paused.unwrap_or(false)
    }

    /// The module, where the template names one.
    pub fn module(&self) -> Option<&ModuleInfo> {
        self.spec.template.as_ref().and_then(ModuleTemplateSpec::module)
    }
}
