//! Every decision of the operator, as pure functions.
//!
//! `plan(observed, now) -> plan`: total, without client, clock, randomness, log or environment. A check in the test
//! suite (`tests/architecture.rs`) refuses imports of those here. Which question is answered where:
//!
//! | question | file |
//! |---|---|
//! | is the spec usable, and what should the user change | `validation` |
//! | what do the strategy fields mean | `policy` |
//! | how many instances are wanted (scale, peer mode) | `replicas` |
//! | which replica set is the newest, when is a new one made | `revision` |
//! | how far may the release be now (batches, confirmation) | `release` |
//! | does the release still get on | `deadline` |
//! | which revision runs, after a rollback too | `deployment/course` |
//! | how many instances may each revision have now | `rollout` |
//! | which base gets the module, which one loses it | `placement` |
//! | what is the next command to an agent about one biz | `slot` |
//! | what is a Module's phase, when may it go | `module` |
//! | which labels does a base pod carry | `traffic` |
//! | what does the Service look like | `service` |
//! | what does a deployment's status say | `progress` |
//! | what are things called | `names` |
//! | how long to wait after a failure | `backoff` |
//! | who does at which moment what all do regularly | `spread` |
//! | everything about virtual nodes and their pods | `vnode` |

pub mod backoff;
pub mod deadline;
pub mod deployment;
pub mod gate;
pub mod merge;
pub mod module;
pub mod names;
pub mod placement;
pub mod policy;
pub mod progress;
pub mod release;
pub mod replicas;
pub mod revision;
pub mod rollout;
pub mod service;
pub mod slot;
pub mod spread;
pub mod traffic;
pub mod validation;
pub mod vnode;
pub mod vpod;

#[cfg(test)]
mod model_tests;
