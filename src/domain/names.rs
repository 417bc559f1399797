//! Names, label keys and label values derived from what users write.
//!
//! One rule makes every safe form: what is legal stays as it is, anything else is sanitised and gets a hash, so
//! that two raw values never share a safe form. The raw value always stays in `spec`. Nothing here may depend on
//! anything but its arguments: a name that was derived once must be derived again after a restart.

use sha2::{Digest, Sha256};

use crate::api::keys;

/// Longest label value and longest name part of a label key (Kubernetes, "Labels and Selectors").
pub const LABEL_MAX: usize = 63;
/// Longest object name (DNS-1123 subdomain).
const NAME_MAX: usize = 253;
/// Longest Service name (DNS-1035 label).
const SERVICE_NAME_MAX: usize = 63;
/// Characters of the hash that tells two Modules of one replica set apart.
const BASE_HASH_LENGTH: usize = 10;
/// Characters of the hash that keeps sanitised forms apart.
const SAFE_HASH_LENGTH: usize = 8;

/// `length` lower-case base32 characters (RFC 4648 alphabet) of the SHA-256 of `text`; at most 51.
fn hash32(text: &str, length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = Sha256::digest(text.as_bytes());
    let bit = |index: usize| (digest[index / 8] >> (7 - index % 8)) & 1;
    (0..length)
        .map(|character| {
            let value = (0..5).fold(0u8, |value, offset| (value << 1) | bit(character * 5 + offset));
            char::from(ALPHABET[usize::from(value)])
        })
        .collect()
}

pub(super) fn is_label_value(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty()
        && text.len() <= LABEL_MAX
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// An object's name (DNS-1123 subdomain).
pub fn is_dns_subdomain(text: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= NAME_MAX && text.split('.').all(label)
}

fn is_dns_label_1035(text: &str) -> bool {
    text.len() <= SERVICE_NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Lower-case letters, digits and hyphens of `text` (with `-` for everything else), cut to `max` characters, with
/// letters first and no hyphen at an end.
fn sanitised(text: &str, max: usize) -> String {
    let replaced: String = text
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(max)
        .collect();
    let trimmed = replaced.trim_end_matches('-');
    if trimmed.is_empty() { "x".to_owned() } else { trimmed.to_owned() }
}

fn hashed(text: &str, max: usize) -> String {
    let hash = hash32(text, SAFE_HASH_LENGTH);
    format!("{}-{hash}", sanitised(text, max - SAFE_HASH_LENGTH - 1))
}

/// The form of `text` that may stand as a label's value or as the name part of its key.
pub fn label_safe(text: &str) -> String {
    if is_label_value(text) { text.to_owned() } else { hashed(text, LABEL_MAX) }
}

fn object_name(text: &str) -> String {
    if is_dns_subdomain(text) { text.to_owned() } else { hashed(text, NAME_MAX) }
}

/// The ModuleReplicaSet of one revision: V1's `<moduledeployment>-replicas-<revision>`.
pub fn replica_set(module_deployment: &str, revision: u64) -> String {
    object_name(&format!("{module_deployment}-replicas-{revision}"))
}

/// The Module of one replica set on one base: V1's prefix, then a hash of the base pod's UID, so that a stale
/// cache can't create a second one.
pub fn module(replica_set: &str, module_name: &str, base_uid: &str) -> String {
    let hash = hash32(base_uid, BASE_HASH_LENGTH);
    let plain = format!("{replica_set}-{module_name}-{hash}");
    if is_dns_subdomain(&plain) {
        return plain;
    }
    let prefix = hashed(&format!("{replica_set}-{module_name}"), NAME_MAX - BASE_HASH_LENGTH - 1);
    format!("{prefix}-{hash}")
}

/// The form of a base's identity that may stand in the name of a node, with room for more beside it.
pub fn identity(text: &str) -> String {
    const ROOM: usize = 100;
    if is_dns_subdomain(text) && text.len() <= ROOM { text.to_owned() } else { hashed(text, ROOM) }
}

/// The Service of a module: V1's `<module name>-service`.
pub fn service(module_name: &str) -> String {
    let plain = format!("{module_name}-service");
    if is_dns_label_1035(&plain) {
        return plain;
    }
    format!("{}-service", hashed(module_name, SERVICE_NAME_MAX - "-service".len()))
}

/// The label on a base pod that lets a module's Service select it.
pub fn traffic_label(module_name: &str) -> String {
    format!("{}{}", keys::label::TRAFFIC_PREFIX, label_safe(module_name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn legal_names_stay_as_v1_wrote_them() {
        assert_eq!(label_safe("1.0.0"), "1.0.0");
        assert_eq!(replica_set("provider", 3), "provider-replicas-3");
        assert_eq!(service("biz1"), "biz1-service");
        assert_eq!(traffic_label("biz1"), "module.koupleless.io/biz1");
        assert_eq!(identity("10.0.0.7"), "10.0.0.7");
        let name = module("provider-replicas-1", "biz1", "9c0a5e62-7d06-44d4-9f69-ae466afb92e0");
        assert!(name.starts_with("provider-replicas-1-biz1-"), "{name}");
        assert_eq!(name.len(), "provider-replicas-1-biz1-".len() + 10);
    }

    #[test]
    fn java_versions_and_long_names_get_a_safe_form_of_their_own() {
        let version = label_safe("1.0.0+build.7");
        assert!(is_label_value(&version), "{version}");
        assert_ne!(version, label_safe("1.0.0-build.7"));
        assert!(is_label_value(&label_safe(&"m".repeat(70))));
        assert!(is_dns_label_1035(&service("Biz_One")));
        assert!(is_dns_label_1035(&service("1biz")) && is_dns_label_1035(&service(&"b".repeat(60))));
        assert_ne!(service("Biz"), service("biz"));
    }

    #[test]
    fn the_hash_is_the_rfc_4648_alphabet_of_sha_256() {
        // SHA-256 of the empty string begins with e3b0c44298fc1c149afb: base32 4OYMIQUY7QOBJGX3.
        assert_eq!(hash32("", 10), "4oymiquy7q".to_lowercase());
    }

    proptest! {
        #[test]
        fn every_derived_name_is_legal(text in "\\PC{0,300}", uid in "\\PC{0,40}") {
            prop_assert!(is_label_value(&label_safe(&text)));
            prop_assert!(is_dns_label_1035(&service(&text)));
            prop_assert!(is_dns_subdomain(&module("d-replicas-1", &text, &uid)));
            prop_assert!(is_dns_subdomain(&replica_set(&text, 7)));
            let vnode = format!("vnode.{}.dev", identity(&text));
            prop_assert!(is_dns_subdomain(&vnode));
        }
    }
}
