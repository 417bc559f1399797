//! What a single value must look like: the rules of one field that need nothing but its text.
//!
//! No paths and no severities here; those are the caller's.

use crate::{api::IntOrString, domain::names};

/// Longest port name (Kubernetes takes it from RFC 6335, section 5.1).
const PORT_NAME_MAX: usize = 15;

/// White space or a control character: such a name can be neither shown nor sent faithfully.
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// What is wrong with a jar's address. Only its form: whether there is a jar is for the base to find out.
pub fn url_problem(url: &str) -> Option<String> {
    if url.is_empty() {
        return Some("is empty; say where the base fetches the jar".to_owned());
    }
    if url.contains(is_blank) {
        return Some(format!("{url:?} has white space or a control character; write %20 for a space"));
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Some(format!("{url:?} has no scheme; begin it with http, https, file or jar"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {
            let host = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
            host.is_none_or(str::is_empty).then(|| format!("{url:?} names no host; write http://host/path"))
        }
        "file" | "jar" => rest
            .trim_start_matches('/')
            .is_empty()
            .then(|| format!("{url:?} names no file; write file:///path on the base")),
        _ => Some(format!("{url:?} has a scheme that bases can't fetch; use http, https, file or jar")),
    }
}

/// A label's value; unlike a key it may be empty.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || names::is_label_value(text)
}

/// `name` or `prefix/name`, as keys of labels and annotations are.
pub fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(names::is_dns_subdomain) && names::is_label_value(name)
}

/// What is wrong with a number or percentage of instances.
pub fn max_unavailable_problem(value: &IntOrString) -> Option<String> {
    const CHANGE: &str = "write a number from 0, or a percentage from 0% to 100%";
    match value {
        IntOrString::Int(number) if *number < 0 => Some(format!("{number} is negative; {CHANGE}")),
        IntOrString::Int(number) if *number > i64::from(i32::MAX) => Some(format!("{number} is too large; {CHANGE}")),
        IntOrString::Int(_) => None,
        IntOrString::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            let legal = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
            if !legal {
                return Some(format!("{text:?} is neither a number nor a percentage; {CHANGE}"));
            }
            let over = text.ends_with('%') && digits.parse::<u32>().is_ok_and(|percent| percent > 100);
            over.then(|| format!("{text:?} is more than all; {CHANGE}"))
        }
    }
}

/// A container port's name (RFC 6335, section 5.1, as Kubernetes checks it).
pub fn is_port_name(name: &str) -> bool {
    name.len() <= PORT_NAME_MAX
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}
