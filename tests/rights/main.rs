//! Whether the operator and the VNode provider need what the roles in `config/` give them. The stories of `tests/contract`,
//! `tests/scenarios`, `tests/vnode` and `tests/migration` run with exactly these roles, which shows that they are enough; this reads in the audit
//! log of the API server what was made use of, which shows that they aren't more.
//!
//! It looks at what others have left in its rig: `tests/run contract scenarios vnode migration rights`. Must not: ask the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use serde::Deserialize;
use serde_json::Value;

/// The accounts of the manifests.
const ACCOUNTS: [&str; 2] = ["module-deployment-controller-manager", "module-vnode-provider"];

/// The files with their roles.
const ROLES: [&str; 6] = [
    "config/rbac/role.yaml",
    "config/rbac/leader_election.yaml",
    "config/rbac/cluster_reader.yaml",
    "config/virtual-pods/role.yaml",
    "config/vnode/role.yaml",
    "config/vnode/pods_role.yaml",
];

/// Rights that an admission plugin looks for while something else is done, so that no request tells of them. That they are
/// needed, `tests/contract/owners.rs` shows.
const BY_ADMISSION: [&str; 2] = [
    "module-deployment-manager-role: delete moduledeployments.koupleless.io",
    "module-deployment-manager-role: update moduledeployments/finalizers.koupleless.io",
];

/// `role: verb resource[/subresource][.group]`, as the files give it.
fn given() -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for file in ROLES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let role = Value::deserialize(document).expect("YAML that is JSON");
            let name = role["metadata"]["name"].as_str().expect("a name");
            for rule in role["rules"].as_array().into_iter().flatten() {
                let words = |key: &str| -> Vec<String> {
                    let values = rule[key].as_array().unwrap_or_else(|| panic!("{file}: no {key}: {rule}"));
                    values.iter().map(|value| value.as_str().expect("a word").to_owned()).collect()
                };
                for (group, resource) in pairs(&words("apiGroups"), &words("resources")) {
                    rights
                        .extend(words("verbs").iter().map(|verb| format!("{name}: {}", right(verb, resource, group))));
                }
            }
        }
    }
    rights
}

fn pairs<'a>(groups: &'a [String], resources: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> {
    groups.iter().flat_map(|group| resources.iter().map(move |resource| (group.as_str(), resource.as_str())))
}

fn right(verb: &str, resource: &str, group: &str) -> String {
    if group.is_empty() { format!("{verb} {resource}") } else { format!("{verb} {resource}.{group}") }
}

/// An answered request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    impersonated_user: Option<User>,
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    resource: String,
    subresource: Option<String>,
    #[serde(default)]
    api_group: String,
}

/// What the accounts asked for.
#[derive(Default)]
struct Asked {
    /// As in [`given`]: by the role that allowed it.
    allowed: BTreeSet<String>,
    /// The right, and the account.
    all: BTreeSet<(String, &'static str)>,
}

fn asked() -> Asked {
    let state = std::env::var("RIG_STATE")
        .expect("RIG_STATE is set in the rig: run `tests/run contract scenarios vnode migration rights`");
    let file = Path::new(&state).join("audit.log");
    let log = File::open(&file).unwrap_or_else(|error| panic!("{}: {error}; the rig needs --audit", file.display()));
    let mut asked = Asked::default();
    for line in BufReader::new(log).lines() {
        let line: Line = serde_json::from_str(&line.expect("text")).expect("a line of an audit log");
        let Some(account) = line.impersonated_user.as_ref().and_then(account) else { continue };
        // What the rig itself tries, to see whether a role is in use.
        let Some(object) = line.object_ref.filter(|_| !line.uri.contains("dryRun=All")) else { continue };
        let resource = match object.subresource {
            Some(subresource) => format!("{}/{subresource}", object.resource),
            None => object.resource,
        };
        let right = right(&line.verb, &resource, &object.api_group);
        let reason = line.annotations.get("authorization.k8s.io/reason").map_or("", String::as_str);
        asked.allowed.extend(role(reason).map(|role| format!("{role}: {right}")));
        asked.all.insert((right, account));
    }
    for account in ACCOUNTS {
        let some = asked.all.iter().any(|(_, asking)| *asking == account);
        assert!(
            some,
            "NOT CHECKED: nothing ran as {account} in this rig: run `tests/run contract scenarios vnode migration rights`"
        );
    }
    asked
}

fn account(user: &User) -> Option<&'static str> {
    let name = user.username.strip_prefix("system:serviceaccount:")?.split_once(':')?.1;
    ACCOUNTS.into_iter().find(|account| *account == name)
}

/// The role in `RBAC: allowed by RoleBinding "b/n" of Role "r" to ServiceAccount "a/n"`, without the end that the rig gives it.
fn role(reason: &str) -> Option<&str> {
    let named = reason.split_once(r#"Role ""#)?.1.split_once('"')?.0;
    Some(named.split_once('.').map_or(named, |(name, _)| name))
}

#[test]
fn every_right_is_used() {
    let (given, used) = (given(), asked().allowed);
    let idle: Vec<&String> =
        given.iter().filter(|right| !used.contains(*right) && !BY_ADMISSION.contains(&right.as_str())).collect();
    assert!(idle.is_empty(), "nothing made use of these: take them away, or write the story that does: {idle:#?}");
    let stale: Vec<&&str> =
        BY_ADMISSION.iter().filter(|right| used.contains(**right) || !given.contains(**right)).collect();
    assert!(stale.is_empty(), "these need no explanation any more: {stale:#?}");
}

/// A refused request shows as well as a granted one.
#[test]
fn nothing_is_asked_for_that_no_role_gives() {
    let given = given();
    let of = |account: &str| -> BTreeSet<&str> {
        let is_providers = account == "module-vnode-provider";
        let rights = given.iter().filter_map(|right| right.split_once(": "));
        rights
            .filter(|(role, _)| role.starts_with("module-vnode-provider") == is_providers)
            .map(|(_, right)| right)
            .collect()
    };
    let beyond: Vec<(String, &str)> =
        asked().all.into_iter().filter(|(right, account)| !of(account).contains(right.as_str())).collect();
    assert!(beyond.is_empty(), "the roles don't give: {beyond:#?}");
}

#[test]
fn a_role_is_found_in_a_reason() {
    let scenario = r#"RBAC: allowed by ClusterRoleBinding "b.ns-1" of ClusterRole "module-vnode-provider.ns-1" to ServiceAccount "module-vnode-provider/ns-1""#;
    let plain = r#"RBAC: allowed by RoleBinding "b/ns" of Role "module-deployment-leader-election-role" to ServiceAccount "a/ns""#;
    assert_eq!(role(scenario), Some("module-vnode-provider"));
    assert_eq!(role(plain), Some("module-deployment-leader-election-role"));
    assert_eq!(role("webhook"), None);
}
