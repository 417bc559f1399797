//! A number or a text: a port name, a percentage.
//!
//! Unlike the type of the same name in the Kubernetes API this one takes any integer, so that one absurd value
//! in one object can't make a whole list unreadable; its meaning is checked in [`crate::domain`].

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An integer or a string, as in `targetPort: 8080`, `targetPort: http` or `maxUnavailable: 25%`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A plain number.
    Int(i64),
    /// Anything else.
    String(String),
}

impl JsonSchema for IntOrString {
    fn schema_name() -> Cow<'static, str> {
        "IntOrString".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }

    fn inline_schema() -> bool {
        true
    }
}
