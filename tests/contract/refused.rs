//! Resources that somebody got wrong (`tests/fixtures/bad`), by name: who says no, and with which words.
//!
//! Each goes to the API server twice: to a namespace without the admission policy, as in a cluster that hasn't got
//! it, and to one with it. What the schema alone lets in must be readable, and what the policy refuses of it the
//! operator's own validation must call an error, the same as the other way round.

use std::{collections::BTreeMap, fs, path::Path};

use module_controller::{
    api::ModuleDeployment,
    domain::validation::{Severity, Violation, validate},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::{Policy, Space, hello, in_namespace, put};

/// One resource and what is expected of it.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    set: BTreeMap<String, Value>,
    #[serde(flatten)]
    answer: Answer,
}

/// Who says what.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    /// The schema refuses it, with this in the message.
    Schema { schema: String },
    /// The schema takes it; the policy refuses it with the first, and validation finds an error with the second.
    Policy { policy: String, validation: String },
    /// It is taken, and validation warns with this; `kubectl` shows the same.
    Hint { hint: String },
    /// There is nothing wrong with it.
    Fine {
        #[serde(rename = "fine")]
        _fine: bool,
    },
}

pub fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bad").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Case {
    pub fn resource(&self) -> Value {
        let mut object = hello();
        put(&mut object, "metadata.name", json!(self.name));
        for (path, value) in &self.set {
            put(&mut object, path, value.clone());
        }
        object
    }
}

/// What validation finds in the object as a cluster without the policy would store it, read by our type.
fn found(name: &str, stored: Value) -> Vec<Violation> {
    let typed: ModuleDeployment =
        serde_json::from_value(stored).unwrap_or_else(|e| panic!("{name} is unreadable: {e}"));
    validate(&typed)
}

async fn without_the_policy(space: &Space, case: &Case) {
    let name = &case.name;
    let stored = space.create("ModuleDeployment", &case.resource(), false).await;
    let (severity, fragment) = match &case.answer {
        Answer::Schema { schema } => {
            let message = stored.expect_err(&format!("{name} is taken")).to_string();
            return assert!(message.contains(schema), "{name}: {message}");
        }
        Answer::Policy { validation, .. } => (Some(Severity::Error), validation.as_str()),
        Answer::Hint { hint } => (Some(Severity::Warning), hint.as_str()),
        Answer::Fine { .. } => (None, ""),
    };
    let found = found(name, stored.unwrap_or_else(|error| panic!("{name}: {error}")));
    assert_eq!(found.iter().map(|v| v.severity).max(), severity, "{name}: {found:?}");
    let said = severity.is_none() || found.iter().any(|v| v.message.contains(fragment));
    assert!(said, "{name}: {found:?}");
}

async fn with_the_policy(space: &Space, case: &Case) {
    let name = &case.name;
    let object = case.resource();
    let result = space.create("ModuleDeployment", &object, true).await;
    let (words, by_policy) = match &case.answer {
        Answer::Schema { schema } => (schema, false),
        Answer::Policy { policy, .. } => (policy, true),
        Answer::Hint { hint } => {
            result.unwrap_or_else(|error| panic!("{name}: {error}"));
            let said = space.kubectl_create("ModuleDeployment", &object).await;
            return assert!(said.ok && said.err.contains("Warning: ") && said.err.contains(hint), "{name}: {said:?}");
        }
        Answer::Fine { .. } => {
            result.unwrap_or_else(|error| panic!("{name}: {error}"));
            return;
        }
    };
    let message = result.expect_err(&format!("{name} is taken")).to_string();
    assert!(message.contains(words), "{name}: {message}");
    let policy = "ValidatingAdmissionPolicy 'moduledeployments.koupleless.io'";
    assert_eq!(message.contains(policy), by_policy, "{name}: {message}");
}

pub const FILES: [&str; 4] = ["shapes.yaml", "names.yaml", "numbers.yaml", "strategies.yaml"];

#[test]
fn every_broken_resource_has_a_name_of_its_own() {
    let all: Vec<Case> = FILES.into_iter().flat_map(cases).collect();
    let broken = all.iter().filter(|case| !matches!(case.answer, Answer::Fine { .. })).count();
    assert!(broken >= 40, "only {broken}");
    let mut names: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
}

async fn check(file: &'static str) {
    in_namespace(Policy::Off, move |space| async move {
        for case in cases(file) {
            without_the_policy(&space, &case).await;
        }
    })
    .await;
    in_namespace(Policy::On, move |space| async move {
        for case in cases(file) {
            with_the_policy(&space, &case).await;
        }
    })
    .await;
}

#[tokio::test]
async fn wrong_shapes() {
    check(FILES[0]).await;
}

#[tokio::test]
async fn wrong_names_versions_and_addresses() {
    check(FILES[1]).await;
}

#[tokio::test]
async fn wrong_numbers() {
    check(FILES[2]).await;
}

#[tokio::test]
async fn wrong_strategies() {
    check(FILES[3]).await;
}
