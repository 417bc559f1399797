//! What a changing verb writes: pure functions from an object and a wish to a patch, to nothing, or to a refusal.
//!
//! A patch is a JSON merge patch of the fields that the verb is about and of no others; who sends it adds the UID and the
//! resource version of the object that was looked at, so that a decision never meets another object than that.

mod abort;
mod confirm;
mod scale;
mod spec;
mod undo;
mod version;

use serde_json::Value;

use super::view::standing::OPERATOR;

pub use abort::{Abort, plan_abort};
pub use confirm::{Confirm, plan_confirm};
pub use scale::plan_replicas;
pub use spec::{plan_pause, plan_restart, plan_resume, plan_retry};
pub use undo::{Back, plan_undo};
pub use version::plan_version;

/// The annotation of a template in which the reason of a revision stands, as kubectl shows it.
pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Something is written.
    Patch {
        /// A JSON merge patch.
        patch: Value,
        /// What was done: "paused".
        done: String,
        /// What the user should know beside it.
        notes: Vec<String>,
    },
    /// It is so already: "already paused".
    Nothing(String),
}

/// A change, or one sentence on why there is none and what to do.
pub type Decision = Result<Change, String>;

fn patch(patch: Value, done: impl Into<String>) -> Change {
    Change::Patch { patch, done: done.into(), notes: Vec::new() }
}

/// Nothing can be changed any more in what is being deleted.
fn alive(deployment: &crate::api::ModuleDeployment) -> Result<(), String> {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    match deployment.metadata.deletion_timestamp {
        Some(_) => Err(format!("{name} is being deleted; wait for its end and create it again")),
        None => Ok(()),
    }
}

/// The operator is slow, or isn't there.
fn unseen(name: &str) -> String {
    format!(
        "the operator has not looked at the last change of {name} yet; try again, and see whether it runs: {OPERATOR}"
    )
}

#[cfg(test)]
mod tests;
