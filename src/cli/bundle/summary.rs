//! `summary.txt`: what a human reads first.

use serde_json::Value;

use super::{Collected, trim};
use crate::api::reasons::types;

fn at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// All objects that were read.
fn objects_of(collected: &Collected) -> impl Iterator<Item = &Value> {
    collected.objects.iter().flat_map(|(_, objects)| objects)
}

/// The whole text.
pub fn text(collected: &Collected, files: &[&str]) -> String {
    let mut out = format!(
        "Support bundle of kubectl-module {}, Kubernetes {}.\n\
         Credentials in addresses are redacted; Secrets and the environment of pods are not in here.\n",
        env!("CARGO_PKG_VERSION"),
        if collected.server.is_empty() { "of unknown version" } else { &collected.server },
    );
    section(&mut out, "Objects", counts(collected));
    let attention: Vec<String> = sorted(objects_of(collected).flat_map(trouble));
    let none = vec!["nothing that the objects tell of".to_owned()];
    section(&mut out, "What needs attention", if attention.is_empty() { none } else { attention });
    section(&mut out, "Warnings among the Events", sorted(objects_of(collected).filter_map(warning)));
    section(&mut out, "What could not be read", collected.missing.clone());
    let denied = collected.access.iter().filter(|(_, allowed)| !allowed).map(|(what, _)| what.clone());
    section(&mut out, "What this user may not do", denied.collect());
    section(&mut out, "Files", files.iter().map(|name| (*name).to_owned()).collect());
    out
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.dedup();
    lines
}

fn section(out: &mut String, title: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    out.push_str(&format!("\n{title}\n"));
    for line in lines {
        out.push_str(&format!("  {line}\n"));
    }
}

fn counts(collected: &Collected) -> Vec<String> {
    collected
        .objects
        .iter()
        .map(|(name, objects)| format!("{:>6}  {}", objects.len(), name.trim_start_matches("objects/")))
        .collect()
}

fn title(object: &Value) -> String {
    format!("{} {}/{}", at(object, "/kind"), at(object, "/metadata/namespace"), trim::name(object))
}

/// What an object of ours complains of.
fn trouble(object: &Value) -> Vec<String> {
    if at(object, "/kind") == "Module" {
        let phase = at(object, "/status/status");
        let message = at(object, "/status/message");
        let silent = phase == "Available" || message.is_empty();
        return if silent { vec![] } else { vec![format!("{}: {phase}: {message}", title(object))] };
    }
    if at(object, "/kind") != "ModuleDeployment" {
        return vec![];
    }
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let is_bad = |condition: &&Value| {
        let bad = match at(condition, "/type") {
            types::AVAILABLE | types::PROGRESSING | types::SERVICE_READY => "False",
            types::REPLICA_FAILURE | types::DELETION_BLOCKED => "True",
            _ => return false,
        };
        at(condition, "/status") == bad
    };
    let line = |condition: &Value| {
        let (type_, reason) = (at(condition, "/type"), at(condition, "/reason"));
        format!("{}: {type_} {}, {reason}: {}", title(object), at(condition, "/status"), at(condition, "/message"))
    };
    conditions.into_iter().flatten().filter(is_bad).map(line).collect()
}

fn warning(object: &Value) -> Option<String> {
    if at(object, "/kind") != "Event" || at(object, "/type") != "Warning" {
        return None;
    }
    let about = object.get("regarding").or_else(|| object.get("involvedObject"))?;
    let note = [at(object, "/note"), at(object, "/message")].concat();
    let name = format!("{} {}/{}", at(about, "/kind"), at(about, "/namespace"), at(about, "/name"));
    Some(format!("{name}: {}: {note}", at(object, "/reason")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::bundle::files;

    fn collected() -> Collected {
        let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status, "reason": "Why", "message": "said https://u:pa55@h/a.jar" });
        let deployment = |name: &str, conditions: Value| json!({ "kind": "ModuleDeployment", "metadata": { "name": name, "namespace": "shop" }, "status": { "conditions": conditions } });
        Collected {
            server: "v1.34.4".to_owned(),
            objects: vec![
                (
                    "objects/shop/moduledeployments".to_owned(),
                    vec![
                        deployment("b", json!([condition("Available", "True")])),
                        deployment(
                            "a",
                            json!([
                                condition("Available", "False"),
                                condition("ReplicaFailure", "True"),
                                condition("Progressing", "True")
                            ]),
                        ),
                    ],
                ),
                (
                    "objects/shop/events".to_owned(),
                    vec![json!({
                        "kind": "Event", "type": "Warning", "reason": "InstallFailed", "note": "no such bean",
                        "regarding": { "kind": "Module", "namespace": "shop", "name": "m" },
                    })],
                ),
            ],
            texts: vec![("operator/x/y.log".to_owned(), "fetched https://u:pa55@h/a.jar".to_owned())],
            access: vec![("list pods".to_owned(), true), ("get pods/log".to_owned(), false)],
            missing: vec!["metrics of x/y: forbidden".to_owned()],
        }
    }

    #[test]
    fn the_summary_says_what_is_wrong_and_what_is_missing() {
        assert_eq!(files(&collected())[0].1, include_str!("golden.txt"));
    }

    #[test]
    fn the_files_are_in_order_and_without_credentials_whatever_order_things_were_read_in() {
        let mut turned = collected();
        turned.objects.iter_mut().for_each(|(_, objects)| objects.reverse());
        let all = files(&collected());
        assert_eq!(files(&turned), all);
        assert!(all.iter().all(|(_, content)| !content.contains("pa55")), "{all:#?}");
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "summary.txt",
                "access.txt",
                "objects/shop/events.yaml",
                "objects/shop/moduledeployments.yaml",
                "operator/x/y.log"
            ]
        );
    }
}
