//! Module: one biz version on one base pod.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, ModuleInfo, absent::absent_means_default};

/// One biz version on one base pod.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "koupleless.io",
    version = "v1alpha1",
    kind = "Module",
    plural = "modules",
    shortname = "md",
    category = "koupleless",
    namespaced,
    status = "ModuleStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One biz version on one base pod.",
    printcolumn = r#"{"name":"Module","type":"string","jsonPath":".spec.module.name"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.module.version"}"#,
    printcolumn = r#"{"name":"Base","type":"string","jsonPath":".metadata.labels.koupleless\\.io/base-instance-name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.status"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", remote = "ModuleSpec")]
pub struct ModuleSpec {
    /// Which pods are bases: copied from the ModuleReplicaSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleInfo>,
    /// Copied from the ModuleReplicaSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_policy: Option<String>,
}

absent_means_default!(ModuleSpec);

/// What was seen of a Module. `status` and `last_transition_time` are V1's, the rest is this operator's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleStatus {
    /// `Pending`, `Prepare`, `Upgrading`, `Completing`, `Available` or `Terminating`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When `status` last changed.
    #[serde(rename = "last_transition_time", default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// One CamelCase word that says why the Module isn't available; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence that says why the Module isn't available, with the agent's own error where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What this operator last saw active on the base for this Module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<InstalledModule>,
    /// One a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// The biz that a Module put onto its base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstalledModule {
    /// Biz name.
    #[serde(default)]
    pub name: String,
    /// Biz version.
    #[serde(default)]
    pub version: String,
    /// Where the jar that runs was fetched from; a changed URL alone reinstalls nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
