//! A manifest against the schema of a CustomResourceDefinition, as the API server does it, with better words.
//!
//! Only the keywords that our definitions use are known; a test fails when they use another. Fields that the schema
//! doesn't have are errors, as for `kubectl apply`; null is absent, as for the API server.

use serde_json::{Map, Value};

use super::hints;
use crate::cli::manifest::{Content, Node, Position};

/// Something that doesn't match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where.
    pub at: Position,
    /// The path of the field.
    pub field: String,
    /// What is wrong; what to change.
    pub message: String,
}

/// Everything in `node` that doesn't match `schema`, in the order of the text. `path` is the node's own.
pub fn check(node: &Node, schema: &Value, path: &str) -> Vec<Mismatch> {
    let mut walk = Walk { root: schema, found: Vec::new() };
    walk.value(node, schema, path);
    walk.found
}

struct Walk<'a> {
    root: &'a Value,
    found: Vec<Mismatch>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn number_at(schema: &Value, key: &str) -> Option<f64> {
    schema.get(key).and_then(Value::as_f64)
}

impl Walk<'_> {
    fn say(&mut self, at: Position, path: &str, message: String) {
        self.found.push(Mismatch { at, field: path.to_owned(), message });
    }

    fn value(&mut self, node: &Node, schema: &Value, path: &str) {
        if let Some(message) = wrong_type(node, schema) {
            return self.say(node.at, path, message);
        }
        match &node.content {
            Content::Fields(_) => self.fields(node, schema, path),
            Content::List(items) => {
                let Some(inner) = schema.get("items") else { return };
                for (index, item) in items.iter().enumerate() {
                    self.value(item, inner, &format!("{path}[{index}]"));
                }
            }
            Content::Text(text) => {
                if let Some(message) = wrong_text(text, schema) {
                    self.say(node.at, path, message);
                }
            }
            Content::Number(number) => {
                if let Some(message) = number.as_f64().and_then(|number| out_of_bounds(number, schema)) {
                    self.say(node.at, path, message);
                }
            }
            Content::Null | Content::Bool(_) => {}
        }
    }

    fn fields(&mut self, node: &Node, schema: &Value, path: &str) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let additional = schema.get("additionalProperties");
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut count = 0.0;
        for field in node.fields() {
            let inner = join(path, &field.name);
            count += 1.0;
            match properties.get(&field.name).or(additional) {
                Some(_) if field.node.content == Content::Null && properties.contains_key(&field.name) => {}
                Some(schema) => self.value(&field.node, schema, &inner),
                // A schema without fields is one that takes any.
                None if properties.is_empty() => {}
                None => {
                    let mut elsewhere = Vec::new();
                    paths_of(self.root, &field.name, "", &mut elsewhere);
                    self.say(field.at, &inner, hints::unknown_field(path, &field.name, &known, &elsewhere));
                }
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if node.field(name).is_none() {
                self.say(node.at, &join(path, name), "is missing; it is required".to_owned());
            }
        }
        if let Some(most) = number_at(schema, "maxProperties").filter(|most| count > *most) {
            self.say(node.at, path, format!("has {count} entries; at most {most} are allowed"));
        }
    }
}

/// The paths below `schema` at which it has a field `name`.
fn paths_of(schema: &Value, name: &str, path: &str, found: &mut Vec<String>) {
    for (key, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let here = join(path, key);
        if key == "status" && path.is_empty() {
            continue;
        }
        if key == name {
            found.push(here.clone());
        }
        paths_of(inner, name, &here, found);
    }
}

fn wrong_type(node: &Node, schema: &Value) -> Option<String> {
    let is = match &node.content {
        Content::Null => "nothing".to_owned(),
        Content::Bool(bool) => format!("{} ({bool})", node.plain.as_deref().unwrap_or("true or false")),
        Content::Number(number) => format!("the number {}", node.plain.clone().unwrap_or_else(|| number.to_string())),
        Content::Text(text) => format!("the text {text:?}"),
        Content::List(_) => "a list".to_owned(),
        Content::Fields(_) => "an object with fields".to_owned(),
    };
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        let fits = match &node.content {
            Content::Text(_) => true,
            Content::Number(number) => number.is_i64(),
            _ => false,
        };
        return (!fits).then(|| format!("is {is}; write a whole number or a text"));
    }
    let wanted = schema.get("type").and_then(Value::as_str)?;
    let (fits, change) = match wanted {
        "string" => (
            matches!(node.content, Content::Text(_)),
            match &node.plain {
                Some(plain) if !plain.is_empty() => format!("put it in quotes: \"{plain}\""),
                _ => "write a text".to_owned(),
            },
        ),
        "integer" => (
            matches!(&node.content, Content::Number(number) if number.is_i64() || number.is_u64()),
            "write a whole number, without quotes".to_owned(),
        ),
        "number" => (matches!(node.content, Content::Number(_)), "write a number".to_owned()),
        "boolean" => (matches!(node.content, Content::Bool(_)), "write true or false, without quotes".to_owned()),
        "array" => (matches!(node.content, Content::List(_)), "write a list".to_owned()),
        _ => (matches!(node.content, Content::Fields(_)), "write fields below it".to_owned()),
    };
    (!fits).then(|| format!("is {is}; {change}"))
}

fn wrong_text(text: &str, schema: &Value) -> Option<String> {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&text) {
            let change = hints::nearest(text, &allowed).map_or_else(|| allowed.join(" or "), str::to_owned);
            return Some(format!("{text:?} is none of {}; write {change}", allowed.join(", ")));
        }
    }
    let least = number_at(schema, "minLength").unwrap_or(0.0);
    if (text.chars().count() as f64) < least {
        return Some("is empty; give a value".to_owned());
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("uri") if !is_request_uri(text) => {
            Some(format!("{text:?} is no URL; write http://host/path, https://host/path, file:///path or jar:..."))
        }
        Some("date-time") if text.parse::<jiff::Timestamp>().is_err() => {
            Some(format!("{text:?} is no time; write one as 2026-01-31T12:00:00Z"))
        }
        _ => None,
    }
}

fn out_of_bounds(number: f64, schema: &Value) -> Option<String> {
    if let Some(least) = number_at(schema, "minimum").filter(|least| number < *least) {
        return Some(format!("{number} is less than {least}; write {least} or more"));
    }
    let most = number_at(schema, "maximum").filter(|most| number > *most)?;
    Some(format!("{number} is more than {most}; write {most} or less"))
}

/// What the API server takes for format `uri`: what Go's `url.ParseRequestURI` parses.
fn is_request_uri(text: &str) -> bool {
    let scheme_end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    let rest = match scheme_end {
        Some(end) if text[end..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            &text[end + 1..]
        }
        _ if text.starts_with('/') => text,
        _ => return false,
    };
    if text.chars().any(|c| c.is_ascii_control()) {
        return false;
    }
    let Some(authority) = rest.strip_prefix("//") else {
        return true;
    };
    let end = authority.find(['/', '?']).unwrap_or(authority.len());
    let (authority, path) = authority.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let port = match host.rsplit_once(']') {
        Some((_, after)) => after.strip_prefix(':').map_or(after.is_empty(), is_port),
        None => host.split_once(':').is_none_or(|(_, port)| is_port(port)),
    };
    let path = path.split('?').next().unwrap_or_default();
    port && !host.contains([' ', '"', '\\', '^', '`', '{', '|', '}', '<', '>', '%'])
        && escapes(path)
        && escapes(authority)
}

/// Every `%` has two hexadecimal digits behind it.
fn escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::crds;

    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        for (key, value) in schema.as_object().into_iter().flatten() {
            found.insert(key.clone());
            match key.as_str() {
                "properties" => value.as_object().into_iter().flatten().for_each(|(_, inner)| keywords(inner, found)),
                "items" | "additionalProperties" => keywords(value, found),
                _ => {}
            }
        }
    }

    #[test]
    fn no_definition_uses_a_keyword_that_is_not_checked_here() {
        const CHECKED: [&str; 11] = [
            "type",
            "properties",
            "items",
            "additionalProperties",
            "required",
            "enum",
            "minimum",
            "maximum",
            "minLength",
            "maxProperties",
            "x-kubernetes-int-or-string",
        ];
        // `format` is checked for uri and date-time; int32 has bounds beside it and int64 is what JSON numbers are here.
        const NOTHING_TO_CHECK: [&str; 5] = ["description", "title", "default", "format", "x-kubernetes-map-type"];
        let mut found = BTreeSet::new();
        for crd in crds::all().unwrap() {
            let schema = crd.spec.versions[0].schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref()).unwrap();
            keywords(&serde_json::to_value(schema).unwrap(), &mut found);
        }
        found.retain(|key| !CHECKED.contains(&key.as_str()) && !NOTHING_TO_CHECK.contains(&key.as_str()));
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn urls_are_what_the_api_server_takes_for_one() {
        for good in [
            "http://host/a.jar",
            "https://user:pw@host:8443/a.jar?x=%zz",
            "file:///m/a.jar",
            "jar:file:///m/all.jar!/a.jar",
            "/m/a.jar",
            "http:///a.jar",
            "http://[::1]:80/a",
            "ftp://host/a",
            "file:m.jar",
            "http://host/my jar",
        ] {
            assert!(is_request_uri(good), "{good}");
        }
        for bad in ["", "a.jar", "http://my host/a", "http://host:port/a", "http://host/%zz", "://host", "1http://h/"] {
            assert!(!is_request_uri(bad), "{bad}");
        }
    }
}
