//! Asks a base how it is: whether it answers, how full its metaspace is, what it calls itself.
//!
//! Regularly, and soon after something was installed or uninstalled, because the scheduler goes by the memory that the VNode
//! has left. A base that another provider looks after isn't asked.

use std::{sync::Arc, time::Duration};

use super::{provider::Provider, state::VNode};
use crate::{
    arklet::client::NoAnswer,
    domain::{spread, vnode::node::Metaspace},
};

/// Between two questions at least: a vPod with many modules changes often within a moment.
const GAP: Duration = Duration::from_secs(1);

/// Asks until the VNode's end.
pub async fn attend(provider: Arc<Provider>, vnode: Arc<VNode>) {
    let interval = spread::around(provider.settings.health_interval, &vnode.name);
    loop {
        let target = {
            let state = vnode.state();
            state.found.clone().filter(|_| !state.stands_by(&provider.settings.client_id))
        };
        let Some(found) = target else {
            vnode.health_turn.notified().await;
            continue;
        };
        let began = tokio::time::Instant::now();
        let result = provider.agents.health(&found.id, found.at).await;
        let outcome = match &result {
            Ok(_) => "success",
            Err(NoAnswer::NotSent(_)) => "not_sent",
            Err(NoAnswer::Unknown(_)) => "unknown",
        };
        provider.called("health", outcome, began.elapsed());
        let same = vnode.state().found.as_ref().is_some_and(|now| now.id == found.id && now.at == found.at);
        match result {
            Ok(health) if same => {
                let space = health.metaspace.map(|told| Metaspace { max: told.max, committed: told.committed });
                vnode.answered(provider.clock.now(), space, health.base);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(vnode = vnode.name, %error, "the base doesn't say how it is"),
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = async { vnode.health_turn.notified().await; tokio::time::sleep(GAP).await } => {}
        }
    }
}
