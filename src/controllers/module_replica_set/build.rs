//! The Module that a replica set puts onto a base.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

use crate::{
    api::{
        Module, ModuleReplicaSet, ModuleSpec,
        keys::{annotation, finalizer, label},
    },
    domain::names,
    runtime::kinds::BasePod,
};

/// A base pod that a Module can be bound to.
pub struct Binding {
    name: String,
    uid: String,
    ip: String,
}

impl Binding {
    /// `None` for a pod without an address.
    pub fn to(pod: &BasePod) -> Option<Self> {
        Some(Self { name: pod.name_any(), uid: pod.uid().to_owned(), ip: pod.status.pod_ip.clone()? })
    }
}

/// The Module of `set` on a base: V1's labels, finalizer and owner, and a name that only depends on both.
pub fn module(set: &ModuleReplicaSet, base: &Binding) -> Module {
    let info = set.module().cloned().unwrap_or_default();
    let strategy = set.spec.operation_strategy.as_ref();
    let spec = ModuleSpec {
        selector: set.spec.selector.clone(),
        upgrade_policy: strategy.and_then(|strategy| strategy.upgrade_policy.clone()),
        module: Some(info.clone()),
    };
    let mut module = Module::new(&names::module(&set.name_any(), &info.name, &base.uid), spec);
    module.metadata.namespace = set.namespace();
    module.metadata.labels = Some(labels(set, &info.version, base));
    module.metadata.annotations = Some(annotations(set));
    module.metadata.finalizers = Some(vec![finalizer::ALLOCATE_POD.to_owned()]);
    module.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: base.name.clone(),
        uid: base.uid.clone(),
        controller: None,
        // A base that is being deleted never waits for its Modules.
        block_owner_deletion: None,
    }]);
    module
}

fn labels(set: &ModuleReplicaSet, version: &str, base: &Binding) -> BTreeMap<String, String> {
    let template = set.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let mut labels = template.and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    labels.extend(set.labels().clone());
    labels.extend([
        (label::MODULE_VERSION.to_owned(), names::label_safe(version)),
        (label::BASE_INSTANCE_IP.to_owned(), names::label_safe(&base.ip)),
        (label::BASE_INSTANCE_NAME.to_owned(), names::label_safe(&base.name)),
        (label::MODULE_REPLICA_SET.to_owned(), names::label_safe(&set.name_any())),
    ]);
    labels
}

fn annotations(set: &ModuleReplicaSet) -> BTreeMap<String, String> {
    let template = set.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let mut annotations = template.and_then(|metadata| metadata.annotations.clone()).unwrap_or_default();
    annotations.insert(annotation::REPLICA_SET_UID.to_owned(), set.uid().unwrap_or_default());
    annotations
}
