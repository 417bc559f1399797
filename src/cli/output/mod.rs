//! How things are shown: tables as kubectl's, JSON, YAML, names. Pure; what is shown is decided in [`super::view`].

mod age;
mod frame;
mod look;
mod table;

use clap::ValueEnum;
use serde::Serialize;

pub use age::{ago, human};
pub use frame::{clear, elided, erase, fit, indented};
pub use look::{Look, Tone};
pub use table::{Cell, Table, middle};

/// `-o` of verbs that show something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table
    #[default]
    #[value(name = "table")]
    Table,
    /// A table with more columns, nothing shortened
    Wide,
    /// JSON; fields are added, never renamed or removed
    Json,
    /// The same as YAML
    Yaml,
    /// Names alone, for other commands
    Name,
}

/// What a script gets; ends with a line feed.
pub fn json<T: Serialize>(value: &T) -> Result<String, String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

/// The same as YAML.
pub fn yaml<T: Serialize>(value: &T) -> Result<String, String> {
    serde_yaml_ng::to_string(value).map_err(|error| error.to_string())
}

/// An object as other commands take it: `moduledeployment.koupleless.io/hello`.
pub fn name(kind: &str, name: &str) -> String {
    format!("{}.{}/{name}", kind.to_ascii_lowercase(), crate::api::keys::GROUP)
}
