//! Looks at the Leases that other providers hold, and at what nobody looks after any more.
//!
//! One list of all VNode Leases now and then while there is something to find out; a provider that holds all VNodes itself
//! lists them every ten minutes. A Lease of another that has run out here is taken by the loop of its VNode. A Node or
//! Lease without a base (its pod went while no provider ran, or a provider died between the two) gets such a loop too,
//! which ends it. Must not: write.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt, api::ListParams};

use super::{keep, provider::Provider, state::VNode};
use crate::{
    api::vkeys::{self, component, label},
    domain::vnode::lease::{Sight, Step, plan},
};

/// No list may take longer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often Leases are looked through where nothing hints at one that was left (milliseconds): one without a Node shows in
/// no watch.
const SEARCH: i64 = 600_000;

/// Surveys until the provider's end.
pub async fn attend(provider: Arc<Provider>) {
    let times = provider.settings.times;
    let pace = Duration::from_millis(u64::try_from(times.lease.renew).unwrap_or(10_000));
    let began = provider.clock.now();
    let mut strangers: HashMap<String, Sight> = HashMap::new();
    let mut search_at = began;
    loop {
        tokio::time::sleep(pace).await;
        // Bases that are alive have been found or have announced themselves by then.
        let now = provider.clock.now();
        let heard = provider.mqtt.as_ref().is_none_or(|mqtt| mqtt.has_listened(now));
        let settled = provider.is_discovered() && heard && now >= began + times.dead;
        let others: Vec<_> = provider
            .bases
            .all()
            .into_iter()
            .filter(|vnode| vnode.state().stands_by(&provider.settings.client_id))
            .collect();
        let unknown =
            provider.nodes.store().state().iter().any(|node| provider.bases.named(&node.name_any()).is_none());
        let leftover = settled && (unknown || !strangers.is_empty() || now >= search_at);
        if others.is_empty() && !leftover {
            continue;
        }
        let leases = match list(&provider).await {
            Ok(leases) => leases,
            Err(error) => {
                tracing::warn!(%error, "the Leases of other providers can't be listed, trying again");
                continue;
            }
        };
        let now = provider.clock.now();
        for vnode in others {
            note(&vnode, leases.get(&vnode.name), &provider.settings.client_id, now);
        }
        if settled {
            strangers = leftovers(&provider, &leases, strangers, now);
            search_at = now + SEARCH;
        }
    }
}

async fn list(provider: &Provider) -> Result<HashMap<String, Lease>, String> {
    let api: Api<Lease> = Api::namespaced(provider.ops.client(), vkeys::LEASE_NAMESPACE);
    let selector = format!("{}={},{}={}", label::COMPONENT, component::VNODE_LEASE, label::ENV, provider.settings.env);
    // Any version the API server has at hand will do: what matters is whether it changes.
    let params = ListParams::default().labels(&selector).match_any();
    match tokio::time::timeout(TIMEOUT, api.list(&params)).await {
        Ok(Ok(list)) => Ok(list.items.into_iter().map(|lease| (lease.name_any(), keep::bare(lease))).collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Takes note of another's Lease as it was listed. A list is from before its answer: a Lease that became ours meanwhile is
/// known better.
fn note(vnode: &VNode, found: Option<&Lease>, me: &str, now: i64) {
    let mut state = vnode.state();
    if !state.stands_by(me) {
        return;
    }
    state.sight = state.sight.seen(found, now);
    state.lease = found.cloned();
    drop(state);
    // Also where the Lease is gone: then the base has to be asked whether it is there.
    vnode.wake();
}

/// Begins to look after what has no base here and no living holder. Gives what has one, as seen now.
fn leftovers(
    provider: &Provider,
    leases: &HashMap<String, Lease>,
    mut seen: HashMap<String, Sight>,
    now: i64,
) -> HashMap<String, Sight> {
    let settings = &provider.settings;
    let nodes: HashSet<String> = provider.nodes.store().state().iter().map(|node| node.name_any()).collect();
    let names: HashSet<&String> = leases.keys().chain(&nodes).collect();
    let mut held = HashMap::new();
    for name in names.into_iter().filter(|name| provider.bases.named(name).is_none()) {
        let lease = leases.get(name);
        let sight = seen.remove(name).unwrap_or_default().seen(lease, now);
        if matches!(plan(&sight, None, &settings.client_id, &settings.times.lease, now), Step::HandsOff(_)) {
            held.insert(name.clone(), sight);
        } else if let Some(vnode) = provider.bases.leftover(name, now, &provider.stop) {
            tracing::info!(vnode = name, "nobody looks after this VNode, and its base is gone: it ends");
            let mut state = vnode.state();
            (state.sight, state.lease) = (sight, lease.cloned());
            drop(state);
            provider.look_after(&vnode);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::domain::vnode::lease::{Periods, build, is_held};

    #[test]
    fn a_list_from_before_a_lease_was_taken_takes_nothing_back() {
        let lease = |holder: &str, second| {
            build("v", "dev", holder, &Periods::default(), Timestamp::from_second(second).unwrap())
        };
        let vnode = VNode::new("v".to_owned(), None, 0, CancellationToken::new());
        vnode.state().sight = Sight::Unknown.seen(Some(&lease("other", 1)), 1_000);
        note(&vnode, Some(&lease("other", 2)), "me", 11_000);
        assert_eq!(vnode.state().sight, Sight::Unknown.seen(Some(&lease("other", 2)), 11_000), "it was renewed");

        // The list was asked for; then its Lease was taken, and then the list arrived.
        let taken = lease("me", 52);
        {
            let mut state = vnode.state();
            state.sight = state.sight.seen(Some(&taken), 52_000);
            (state.lease, state.renewed_at) = (Some(taken.clone()), Some(52_000));
        }
        note(&vnode, Some(&lease("other", 2)), "me", 52_100);
        let state = vnode.state();
        assert!(is_held(&state.sight, state.renewed_at, "me", &Periods::default(), 52_100));
        assert_eq!(state.lease.as_ref(), Some(&taken));
    }
}
