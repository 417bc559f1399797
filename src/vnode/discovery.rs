//! Finds bases by their pods: whatever a label selector matches and runs is a base, and nobody has to announce anything.
//!
//! A base's identity is the UID of its pod: it stays while the pod lives, whatever restarts in it, and never belongs to
//! another. Its name and version are the pod's labels (`base.koupleless.io/name` and `/version`, or their older keys), or else
//! what its agent says. vPods that the selector happens to match are no bases. Must not: ask agents anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use super::{pods::Key, provider::Provider, state::Found};
use crate::{
    api::vkeys::{self, component, label, older, read_either},
    arklet::{client::Endpoint, session::BaseId},
    domain::vnode::node::VBase,
    runtime::{kinds::BasePod, watch_health::WatchHealth},
};

/// The base that a pod is; `None` while, or once, it is none.
pub fn base_of(pod: &BasePod, env: &str) -> Option<Found> {
    let labels = pod.labels();
    let is_vpod = read_either(labels, label::COMPONENT, older::COMPONENT) == Some(component::MODULE);
    let running = pod.status.phase.as_deref() == Some("Running");
    if is_vpod || pod.is_ending() || !running {
        return None;
    }
    let ip: IpAddr = pod.status.pod_ip.as_ref()?.parse().ok()?;
    let text = |told: Option<&str>| told.unwrap_or_default().to_owned();
    let at = Endpoint { ip, port: pod.arklet_port() };
    Some(Found {
        facts: VBase {
            identity: pod.uid().to_owned(),
            name: text(read_either(labels, label::BASE_NAME, older::BASE_NAME)),
            version: text(read_either(labels, label::BASE_VERSION, older::BASE_VERSION)),
            cluster: text(labels.get(label::CLUSTER_NAME).map(String::as_str)),
            ip: ip.to_string(),
            hostname: pod.name_any(),
            port: at.port,
            tunnel: vkeys::tunnel::DISCOVERY,
            env: env.to_owned(),
        },
        id: BaseId { namespace: pod.namespace().unwrap_or_default(), pod: pod.name_any(), uid: pod.uid().to_owned() },
        at,
        restarts: pod.restarts(),
        device: None,
    })
}

/// Follows the base pods of one namespace, or of all, until the provider's end.
pub async fn attend(provider: Arc<Provider>, namespace: Option<String>, selector: String, health: WatchHealth) {
    let client = provider.ops.client();
    let api: Api<BasePod> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config::default().labels(&selector).timeout(provider.settings.watch_seconds);
    let mut events = Box::pin(watcher::watcher(api, config).default_backoff().modify(BasePod::strip));
    // What was found, by namespace and name.
    let mut known: BTreeMap<Key, String> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    let mut first = true;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.insert(key_of(&pod));
                note(&provider, &mut known, &pod);
            }
            Ok(watcher::Event::InitDone) => {
                let gone: Vec<Key> = known.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                for key in gone {
                    drop_key(&provider, &mut known, &key);
                }
                if std::mem::take(&mut first) {
                    provider.discovered();
                }
            }
            Ok(watcher::Event::Apply(pod)) => note(&provider, &mut known, &pod),
            Ok(watcher::Event::Delete(pod)) => drop_key(&provider, &mut known, &key_of(&pod)),
            Err(error) => {
                tracing::warn!(%error, "the watch of base pods failed, trying again");
                health.failed();
                continue;
            }
        }
        health.succeeded();
    }
}

fn key_of(pod: &BasePod) -> Key {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

fn note(provider: &Provider, known: &mut BTreeMap<Key, String>, pod: &BasePod) {
    let key = key_of(pod);
    let found = base_of(pod, &provider.settings.env);
    let uid = found.as_ref().map(|found| found.id.uid.clone());
    if known.get(&key).is_some_and(|known| Some(known) != uid.as_ref()) {
        drop_key(provider, known, &key);
    }
    if let (Some(found), Some(uid)) = (found, uid) {
        known.insert(key, uid);
        provider.found(found);
    }
}

fn drop_key(provider: &Provider, known: &mut BTreeMap<Key, String>, key: &Key) {
    if let Some(uid) = known.remove(key) {
        provider.lost(&uid);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn base(labels: Value, change: impl FnOnce(&mut Value)) -> Option<Found> {
        let mut pod = json!({
            "metadata": { "name": "base-0", "namespace": "n", "uid": "u", "labels": labels },
            "status": { "phase": "Running", "podIP": "10.0.0.7" },
        });
        change(&mut pod);
        base_of(&serde_json::from_value(pod).unwrap(), "dev")
    }

    #[test]
    fn a_running_pod_is_a_base_named_by_its_labels() {
        let found = base(json!({ "base.koupleless.io/name": "shop", "vnode.koupleless.io/version": "1.1" }), |_| {});
        let Found { facts, id, at, .. } = found.unwrap();
        assert_eq!((facts.name.as_str(), facts.version.as_str(), facts.cluster.as_str()), ("shop", "1.1", ""));
        assert_eq!((facts.vnode().as_str(), facts.ip.as_str()), ("vnode.u.dev", "10.0.0.7"));
        assert_eq!((facts.hostname.as_str(), id.uid.as_str(), at.port), ("base-0", "u", 1238));
        let nameless = base(json!({}), |_| {}).unwrap().facts;
        assert!(nameless.name.is_empty() && nameless.version.is_empty(), "the agent is asked");
    }

    #[test]
    fn what_cannot_hold_modules_is_no_base() {
        let none = |change: fn(&mut Value)| base(json!({}), change).is_none();
        assert!(none(|pod| pod["status"]["phase"] = json!("Pending")));
        assert!(none(|pod| pod["status"]["phase"] = json!("Failed")));
        assert!(none(|pod| pod["status"]["podIP"] = Value::Null));
        assert!(none(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")));
        for key in [label::COMPONENT, older::COMPONENT] {
            assert!(base(json!({ key: "module" }), |_| {}).is_none(), "{key}: a vPod has the address of its base");
        }
    }
}
