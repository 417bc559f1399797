//! The provider as conversations with agents see it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::provider::Provider;
use crate::{
    arklet::{
        client::Endpoint,
        session::{BaseId, World},
    },
    runtime::metrics::{AgentCommand, AgentOutcome, Metrics},
};

/// What sessions see of the process.
pub struct ProviderWorld {
    provider: Weak<Provider>,
    metrics: Arc<Metrics>,
}

impl ProviderWorld {
    /// The process as `provider` sees it.
    pub fn new(provider: Weak<Provider>, metrics: Arc<Metrics>) -> Self {
        Self { provider, metrics }
    }
}

impl World for ProviderWorld {
    fn is_current(&self, base: &BaseId, at: Endpoint) -> bool {
        self.provider.upgrade().is_some_and(|provider| provider.bases.is_at(&base.uid, at))
    }

    fn wake(&self, base: &BaseId, _pod: &str) {
        let provider = self.provider.upgrade();
        if let Some(vnode) = provider.and_then(|provider| provider.bases.of_pod(&base.uid)) {
            vnode.pods_turn.notify_one();
        }
    }

    /// Never: the VNode's own loop asks how full its base is, and the scheduler places.
    fn room_changed(&self, _base: &BaseId) {}

    fn called(&self, command: &'static str, outcome: &'static str, took: Duration) {
        self.metrics.agent_call(AgentCommand::of(command), AgentOutcome::of(outcome), took);
    }
}
