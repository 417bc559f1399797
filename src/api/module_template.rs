//! ModuleTemplate, and the template that ModuleDeployment and ModuleReplicaSet embed.

use std::{borrow::Cow, collections::BTreeMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys;

/// What is installed: one Java application ("biz") in one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleInfo {
    /// The biz name, exactly as in the jar's manifest.
    #[serde(default)]
    pub name: String,
    /// The biz version, exactly as in the jar's manifest.
    #[serde(default)]
    pub version: String,
    /// Where the base fetches the jar: `http`, `https`, `file` or `jar`. Whoever writes it runs code in the base.
    #[serde(default)]
    #[schemars(extend("format" = "uri"))]
    pub url: String,
    /// Free text; V1 stored and ignored it.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Checksum of the jar; V1 stored and ignored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
}

/// Labels and annotations of a template. V1's schema pruned whatever stood here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleTemplateMetadata {
    /// Labels for the Modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations for the Modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The inner part of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleTemplateSpecInner {
    /// V1 stored `{}` here; the base Deployment's selector is used instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// What is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleInfo>,
    /// V1 allowed a policy here too and never read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_policy: Option<String>,
}

/// What every Module of a deployment is made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleTemplateSpec {
    /// Labels and annotations for the Modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ModuleTemplateMetadata>,
    /// What the Modules are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<ModuleTemplateSpecInner>,
}

impl ModuleTemplateSpec {
    /// The last order to restart.
    pub fn restarted_at(&self) -> Option<&String> {
        self.metadata.as_ref()?.annotations.as_ref()?.get(keys::annotation::RESTARTED_AT)
    }

    /// The module, where the template names one.
    pub fn module(&self) -> Option<&ModuleInfo> {
        self.spec.as_ref().and_then(|spec| spec.module.as_ref())
    }
}

/// A template that stands alone. V1 defined the kind (top-level `template`, no `spec`) and never acted on it;
/// a V1 cluster may lack its CRD, so nothing may wait for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleTemplate {
    /// `koupleless.io/v1alpha1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// `ModuleTemplate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ModuleTemplateSpec>,
}

impl kube::Resource for ModuleTemplate {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "ModuleTemplate".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        keys::GROUP.into()
    }
    fn version((): &()) -> Cow<'_, str> {
        keys::VERSION.into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "moduletemplates".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
