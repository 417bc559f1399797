//! `kubectl module support-bundle`: what somebody needs who wasn't there, in one file that may be sent away.
//!
//! Pure: what goes in and what it looks like. Secrets are never asked for; what a user can have written a password into is
//! redacted ([`redact`]) or left out ([`trim`]). The same cluster gives the same bytes, so that two bundles can be compared.

pub mod archive;
mod named;
pub mod redact;
pub mod summary;
pub mod trim;

use serde_json::Value;

/// What could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// The API server's version.
    pub server: String,
    /// Objects, by the file that they belong into: `objects/NAMESPACE/PLURAL`.
    pub objects: Vec<(String, Vec<Value>)>,
    /// Texts: logs and metrics, by the file that they become.
    pub texts: Vec<(String, String)>,
    /// What this user may do, as `verb resource` with the answer.
    pub access: Vec<(String, bool)>,
    /// What couldn't be read, and why.
    pub missing: Vec<String>,
}

/// The files of the bundle, by name.
pub fn files(collected: &Collected) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for (name, objects) in &collected.objects {
        let mut objects: Vec<Value> = objects.iter().map(trim::object).collect();
        objects.sort_by_key(|object| trim::name(object).to_owned());
        objects.iter_mut().for_each(redact::object);
        // What is JSON can be written as YAML.
        files.push((format!("{name}.yaml"), serde_yaml_ng::to_string(&objects).unwrap_or_default()));
    }
    files.extend(collected.texts.iter().map(|(name, text)| (name.clone(), redact::text(text))));
    let access =
        collected.access.iter().map(|(what, allowed)| format!("{} {what}\n", if *allowed { "yes" } else { "no " }));
    files.push(("access.txt".to_owned(), access.collect()));
    files.sort();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    files.insert(0, ("summary.txt".to_owned(), redact::text(&summary::text(collected, &names))));
    files
}
