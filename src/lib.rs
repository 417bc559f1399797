//! An operator for Koupleless modules: small Java applications that are installed at run time into a few
//! long-running JVM pods, the *bases*, by the agent *Arklet* inside each base.
//!
//! # Flow
//!
//! ```text
//! ModuleDeployment --plan--> ModuleReplicaSet --plan--> Module --wish--> slot --plan--> Arklet call
//!   (a user's)                (one a revision)      (one a base pod)   (base pod, biz name)
//!       |                           |                    |
//!       +-> Service                 +-> which base       +-> traffic label on the pod
//! ```
//!
//! Each controller is *observe -> plan -> apply -> status*. Observing reads caches, plans are pure functions in
//! [`domain`], applying writes through [`runtime::ops`]. An agent is never waited for: [`arklet::session`] holds one
//! conversation for each base pod and wakes the Modules that have news.
//!
//! # Who writes what
//!
//! | controller | writes |
//! |---|---|
//! | ModuleDeployment | its ModuleReplicaSets, its own status, finalizers and owner reference; of its spec only `scaleReplicas` and `confirmBatchNum` back to 0 |
//! | ModuleReplicaSet | Modules (create, delete), its own status and finalizer |
//! | Module | its own status and finalizer; deletes itself when its base is gone |
//! | Service | the module's Service |
//! | base | labels of base pods |
//!
//! The VNode provider ([`vnode`]), a role of its own, writes the Nodes of bases and their Leases, the status of the pods on
//! them and the end of those that were told to end, and the replicas of peer Deployments.
//!
//! # Invariants
//!
//! - At most one version of a biz on a base; two only while `install_then_uninstall` is under way. At rest every biz
//!   that the operator installed has exactly one Module.
//! - No agent call to an address whose pod is not the one that the Module is bound to.
//! - At most one Module for each base and replica set; `max-module-count` is never exceeded by the operator.
//! - No action lowers the number of available instances below `min(available now, desired - maxUnavailable)`.
//! - Available is gained only on a confirmed active biz, and lost only on a confirmed other state, a pod that is
//!   gone, or no answer for 60 s.
//! - Only owned fields and objects are written; a biz, a Service or a label of somebody else is never touched.
//! - When the desired state is reached nothing is written any more.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod arklet;
pub mod cli;
pub mod controllers;
pub mod domain;
pub mod process;
pub mod rehearsal;
pub mod runtime;
#[cfg(test)]
mod sweep;
pub mod vnode;
