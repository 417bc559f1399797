//! `kubectl module migrate`: what a cluster that the Go V1 worked on needs before this operator takes it over.
//!
//! ```text
//! cluster --read--> Seen --plan--> rows (shown) and steps (done) --apply--> cluster, and again until no step is left
//! ```
//!
//! Objects of V1's former groups become objects of `koupleless.io`, one for one and with their labels, statuses and bases,
//! so that the operator finds what V1 would have left it, and adopts what runs: nothing is installed or uninstalled here, and
//! no base is asked. What is done is derived from what is seen, never from what was done before: an interrupted migration
//! is repeated and ends in the same state. Pure; reading and writing are the verb's.

pub mod convert;
pub mod plan;
pub mod running;
pub mod step;
pub mod takeover;

use serde_json::Value;

use crate::api::keys::annotation;

/// All that is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Objects of V1's former groups.
    pub old: Vec<Value>,
    /// Objects of `koupleless.io`.
    pub new: Vec<Value>,
    /// Pods that bases may be.
    pub pods: Vec<Value>,
    /// Services.
    pub services: Vec<Value>,
}

/// How much attention a row needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing changes for what runs.
    None,
    /// Something is installed, uninstalled or waits, sooner or later.
    Look,
    /// Nothing is done before somebody decides.
    Blocked,
}

impl Risk {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Look => "look",
            Self::Blocked => "blocked",
        }
    }
}

/// One line of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The namespace.
    pub namespace: String,
    /// Kind and name.
    pub object: String,
    /// What it is now.
    pub found: String,
    /// What becomes of it.
    pub does: String,
    /// How much attention it needs.
    pub risk: Risk,
    /// What `apply` does about it next.
    pub steps: Vec<step::Step>,
}

/// The text at a JSON pointer; empty if there is none.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the object was ordered to end.
fn is_ending(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// Whether the operator has never worked on the ModuleDeployment: the first thing that it writes is this annotation.
fn is_untouched(deployment: &Value) -> bool {
    deployment.pointer("/metadata/annotations").is_none_or(|all| all.get(annotation::SCALE_BASELINE).is_none())
}

/// The object's namespace and name.
fn place(object: &Value) -> (&str, &str) {
    (text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
