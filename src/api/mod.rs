//! The custom resources of group `koupleless.io/v1alpha1` and every name that is shared with a cluster.
//!
//! The types are the compatibility contract with the Go ModuleController V1: a V1 object must be read and
//! written back without loss, so every V1 field exists, optional fields stay `Option` (an absent zero stays
//! absent), and fields that V1 left as free text stay free text here. What a value *means* is decided in
//! [`crate::domain`]; this module must not decide anything and knows no client.

mod absent;
pub mod condition;
pub mod crds;
pub mod int_or_string;
pub mod keys;
pub mod module;
pub mod module_deployment;
pub mod module_replica_set;
pub mod module_template;
pub mod reasons;
pub mod reference;
pub mod vkeys;

pub use condition::{Condition, ConditionStatus};
pub use int_or_string::IntOrString;
pub use module::{Module, ModuleSpec, ModuleStatus};
pub use module_deployment::{
    Delivery, ModuleDeployment, ModuleDeploymentSpec, ModuleDeploymentStatus, OperationStrategy, ReleaseStatus,
    SchedulingStrategy, ServiceStrategy,
};
pub use module_replica_set::{ModuleReplicaSet, ModuleReplicaSetSpec, ModuleReplicaSetStatus};
pub use module_template::{
    ModuleInfo, ModuleTemplate, ModuleTemplateMetadata, ModuleTemplateSpec, ModuleTemplateSpecInner,
};
pub use reasons::Reason;
