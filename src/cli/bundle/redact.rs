//! Credentials in addresses (`https://user:password@host/` and `?token=...`), behind their names ([`super::named`]) and in
//! annotations, wherever they stand.

use serde_json::Value;

use super::named;
use crate::api::keys;

/// What stands in the place of a credential.
pub const REDACTED: &str = "REDACTED";

/// Parts of the names of query parameters that hold credentials.
const SECRET: [&str; 10] =
    ["token", "secret", "passw", "signature", "sign", "credential", "key", "auth", "session", "sig"];

/// Parts of the names of annotations that hold credentials.
const SECRET_ANNOTATION: [&str; 6] = ["token", "secret", "passw", "credential", "apikey", "api-key"];

/// Redacts an object.
pub fn object(object: &mut Value) {
    value(object);
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    for (name, value) in annotations.into_iter().flatten() {
        let lower = name.to_lowercase();
        if !lower.contains(keys::GROUP) && SECRET_ANNOTATION.iter().any(|secret| lower.contains(secret)) {
            *value = REDACTED.into();
        }
    }
}

/// Redacts every text in a value, JSON inside of texts too.
fn value(value: &mut Value) {
    match value {
        Value::String(inner) => *inner = text(inner),
        Value::Array(items) => items.iter_mut().for_each(self::value),
        Value::Object(fields) => fields.values_mut().for_each(self::value),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text with every credential in an address redacted.
pub fn text(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + "://".len());
        out.push_str(before);
        let end = address.find(ends_an_address).unwrap_or(address.len());
        out.push_str(&redacted(&address[..end]));
        rest = &address[end..];
    }
    out.push_str(rest);
    named::redacted(&out)
}

fn ends_an_address(c: char) -> bool {
    // Few, because whatever ends an address too early may be a character of a password.
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>')
}

/// An address behind its scheme.
fn redacted(address: &str) -> String {
    // An address in an address, as in a proxy's path, has a scheme of its own.
    if let Some(at) = address.find("://") {
        let (before, inner) = address.split_at(at + "://".len());
        return redacted_one(before) + &redacted(inner);
    }
    redacted_one(address)
}

fn redacted_one(address: &str) -> String {
    // `?` and `#` in a password are illegal, and people write them.
    let marks = ['/', '?', '#'];
    let authority = address.split(marks).next().unwrap_or_default();
    let is_port = |port: &str| port.chars().all(|c| c.is_ascii_digit());
    if let Some((_, port)) = authority.split_once(':')
        && !authority.contains(['@', '['])
        && !is_port(port)
        && let Some((_, after)) = address.rsplit_once('@')
    {
        return redacted_one(&format!("{REDACTED}@{after}"));
    }
    let (address, fragment) = address.split_once('#').map_or((address, None), |(a, f)| (a, Some(f)));
    let (address, query) = address.split_once('?').map_or((address, None), |(a, q)| (a, Some(q)));
    let end = address.find('/').unwrap_or(address.len());
    let (authority, path) = address.split_at(end);
    let mut out = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{REDACTED}@{host}{path}"),
        // A password with a slash in it is no legal one, and would be shown.
        None => match path.rsplit_once('@').filter(|_| authority.contains(':')) {
            Some((_, after)) => format!("{REDACTED}@{after}"),
            None => address.to_owned(),
        },
    };
    for (mark, parameters) in [('?', query), ('#', fragment)] {
        if let Some(parameters) = parameters {
            out.push(mark);
            // As Go writes it in JSON, in `last-applied-configuration` for one.
            let by = if parameters.contains("\\u0026") { "\\u0026" } else { "&" };
            out.push_str(&parameters.split(by).map(parameter).collect::<Vec<_>>().join(by));
        }
    }
    out
}

fn parameter(parameter: &str) -> String {
    let Some((name, _)) = parameter.split_once('=') else { return parameter.to_owned() };
    let lower = name.to_lowercase();
    if SECRET.iter().any(|secret| lower.contains(secret)) { format!("{name}={REDACTED}") } else { parameter.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_go_and_the_rest_stays() {
        for (before, after) in [
            ("https://user:pa55@host/a.jar", "https://REDACTED@host/a.jar"),
            ("https://pa55@host:8443/a.jar?x=1", "https://REDACTED@host:8443/a.jar?x=1"),
            ("jar:https://u:p@q@host/all.jar!/a.jar", "jar:https://REDACTED@host/all.jar!/a.jar"),
            ("https://u:pa/55@host/a.jar", "https://REDACTED@host/a.jar"),
            ("http://host/a.jar?token=pa55&v=2", "http://host/a.jar?token=REDACTED&v=2"),
            ("http://host/a?X-Amz-Signature=pa55&X-Amz-Date=1", "http://host/a?X-Amz-Signature=REDACTED&X-Amz-Date=1"),
            ("http://host/a?v=1\\u0026token=pa55\\u0026w=2", "http://host/a?v=1\\u0026token=REDACTED\\u0026w=2"),
            ("https://user:pa#55@host/a.jar", "https://REDACTED@host/a.jar"),
            ("https://user:pa?5=5@host/a.jar", "https://REDACTED@host/a.jar"),
            ("https://host:8443/a?to=x@y", "https://host:8443/a?to=x@y"),
            ("http://host/a#access_token=pa55", "http://host/a#access_token=REDACTED"),
            ("get http://a:b@c/d, then http://e:f@g", "get http://REDACTED@c/d, then http://REDACTED@g"),
            ("http://proxy/https://u:pa55@host/a", "http://proxy/https://REDACTED@host/a"),
            ("{\"url\":\"https://u:pa55@h/a.jar\"}", "{\"url\":\"https://REDACTED@h/a.jar\"}"),
            ("https://host/@scope/a.jar", "https://host/@scope/a.jar"),
            ("no address: a@b.c", "no address: a@b.c"),
            ("file:///m/hello.jar", "file:///m/hello.jar"),
        ] {
            assert_eq!(text(before), after);
        }
        let mut object = json!({ "a": ["https://u:p@h/"], "b": { "c": 1, "d": "x" } });
        self::object(&mut object);
        assert_eq!(object, json!({ "a": ["https://REDACTED@h/"], "b": { "c": 1, "d": "x" } }));
    }

    #[test]
    fn an_annotation_is_redacted_by_its_name() {
        let mut object = json!({ "metadata": { "annotations": { "vault.example/Token": "pa55", "koupleless.io/x-token": "1", "a": "b" } } });
        self::object(&mut object);
        let expected = json!({ "vault.example/Token": "REDACTED", "koupleless.io/x-token": "1", "a": "b" });
        assert_eq!(object["metadata"]["annotations"], expected);
    }

    proptest! {
        #[test]
        fn no_password_is_left_in_any_text(before in "[ -~]{0,20}", password in "Pa55[a-z0-9!$%&*+,;=._-]{0,10}", after in "[ -~äß]{0,20}") {
            let dirty = format!("{before} https://user:{password}@host/{after}");
            prop_assert!(!text(&dirty).contains("Pa55"), "{}", text(&dirty));
        }
    }
}
