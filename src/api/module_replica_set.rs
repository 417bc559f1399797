//! ModuleReplicaSet: one revision of a ModuleDeployment.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Condition, Delivery, ModuleTemplateSpec, OperationStrategy, SchedulingStrategy, absent::absent_means_default,
};

/// So many Modules of one revision, each on a base of its own.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "koupleless.io",
    version = "v1alpha1",
    kind = "ModuleReplicaSet",
    plural = "modulereplicasets",
    shortname = "mdrs",
    category = "koupleless",
    namespaced,
    status = "ModuleReplicaSetStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One revision of a ModuleDeployment: so many Modules, each on a base of its own.",
    printcolumn = r#"{"name":"Module","type":"string","jsonPath":".spec.template.spec.module.name"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.template.spec.module.version"}"#,
    printcolumn = r#"{"name":"Desired","type":"integer","jsonPath":".spec.replicas"}"#,
    printcolumn = r#"{"name":"Current","type":"integer","jsonPath":".status.currentReplicas"}"#,
    printcolumn = r#"{"name":"Available","type":"integer","jsonPath":".status.availableReplicas"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", remote = "ModuleReplicaSetSpec")]
pub struct ModuleReplicaSetSpec {
    /// Which pods are bases: the base Deployment's selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// How many Modules; absent means 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// What the Modules are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ModuleTemplateSpec>,
    /// Copied from the ModuleDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_strategy: Option<OperationStrategy>,
    /// Copied from the ModuleDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling_strategy: Option<SchedulingStrategy>,
    /// Seconds that a module must have been active to count as available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    /// Copied from the ModuleDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

absent_means_default!(ModuleReplicaSetSpec);

/// What was seen of a ModuleReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleReplicaSetStatus {
    /// Modules that exist and aren't ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The same as `replicas`, under the name that V1's clients read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// Modules that are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    /// Modules whose biz is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Modules wanted and not available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_replicas: Option<i32>,
    /// V1 field, equal to `replicas`: a ModuleReplicaSet has one revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    /// Modules that are being installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrading_replicas: Option<i32>,
    /// V1 field, equal to `readyReplicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_ready_replicas: Option<i32>,
    /// V1 field, equal to `availableReplicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_available_replicas: Option<i32>,
    /// V1 field, kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// One a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl ModuleReplicaSet {
    /// How many Modules are wanted; absent and negative both mean none.
    pub fn desired(&self) -> u32 {
        u32::try_from(self.spec.replicas.unwrap_or(0)).unwrap_or(0)
    }

    /// The module of this revision, where the template names one.
    pub fn module(&self) -> Option<&super::ModuleInfo> {
        self.spec.template.as_ref().and_then(ModuleTemplateSpec::module)
    }
}
