//! `kubectl module validate`: what is wrong in manifests, told before a cluster sees them.
//!
//! Whatever the operator or the API server refuses is an error here, with its file, line and column and one sentence that
//! says what to change. It asks no cluster, so that it runs in a pipeline. What shows only in a cluster is none of its
//! business: whether the base exists, or that a module's name doesn't change.

pub mod check;
pub mod finding;
mod hints;
mod metadata;
mod schema;
mod vpod;
