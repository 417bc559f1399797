//! Keeps commands from an address that is another's by now.
//!
//! The pod of a discovered base is watched, and a conversation ends with it. That of a base which announced itself isn't: it is
//! looked for before each command that changes something there, and with each question how the base is. Addresses are
//! reused within seconds.

use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, FutureExt};

use super::{discovery, provider::Provider, state::Found};
use crate::{
    api::vkeys,
    arklet::{
        agents::Agents,
        client::{Endpoint, Health, InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
        session::{BaseId, Command, Outcome},
    },
    runtime::kinds::BasePod,
};

/// The way to agents, for bases that are there.
pub struct Guard {
    agents: Arc<dyn Agents>,
    provider: Weak<Provider>,
}

impl Guard {
    /// As `agents`, but only to bases of `provider` whose pods are there.
    pub fn new(agents: Arc<dyn Agents>, provider: Weak<Provider>) -> Self {
        Self { agents, provider }
    }

    /// Whether something may be changed there. The look at its pod may have waited for long: whose VNode it is, and where its
    /// base, may be another's by then.
    async fn admits_change(&self, base: &BaseId, at: Endpoint) -> bool {
        self.admits(base).await && self.provider.upgrade().is_some_and(|provider| provider.bases.is_at(&base.uid, at))
    }

    async fn admits(&self, base: &BaseId) -> bool {
        match self.provider.upgrade() {
            Some(provider) => is_there(&provider, base).await,
            None => false,
        }
    }
}

impl Agents for Guard {
    fn carry_out<'a>(&'a self, base: &'a BaseId, at: Endpoint, command: &'a Command) -> BoxFuture<'a, Outcome> {
        let call = async move {
            if matches!(command, Command::Look) || self.admits_change(base, at).await {
                return self.agents.carry_out(base, at, command).await;
            }
            let gone = NoAnswer::NotSent("the base's pod is gone, or its VNode is another provider's".to_owned());
            match command {
                Command::Look => Outcome::Looked(Err(gone)),
                Command::Health => Outcome::Health(Err(gone)),
                Command::Install { .. } => Outcome::Installed(InstallOutcome::NoAnswer(gone)),
                Command::Uninstall { .. } => Outcome::Uninstalled(UninstallOutcome::NoAnswer(gone)),
                Command::Switch { .. } => Outcome::Switched(SwitchOutcome::NoAnswer(gone)),
            }
        };
        call.boxed()
    }

    fn health<'a>(&'a self, base: &'a BaseId, at: Endpoint) -> BoxFuture<'a, Result<Health, NoAnswer>> {
        let call = async move {
            match self.admits(base).await {
                true => self.agents.health(base, at).await,
                false => Err(NoAnswer::NotSent("the base's pod is gone".to_owned())),
            }
        };
        call.boxed()
    }
}

/// Whether the pod of a base is there still; a base without its pod is lost from here on. A failed request says nothing.
async fn is_there(provider: &Provider, base: &BaseId) -> bool {
    let found = provider.bases.of_pod(&base.uid).and_then(|vnode| vnode.state().found.clone());
    let Some(found) = found else { return false };
    if found.facts.tunnel == vkeys::tunnel::DISCOVERY || base.namespace.is_empty() {
        return true;
    }
    let pod = match provider.ops.read::<BasePod>(&base.namespace, &base.pod).await {
        Ok(pod) => pod.and_then(|pod| discovery::base_of(&pod, &provider.settings.env)),
        Err(error) => {
            tracing::debug!(pod = base.pod, %error, "whether a base's pod is there can't be told");
            return true;
        }
    };
    match pod {
        Some(pod) if pod.id.uid == base.uid => {
            if pod.restarts != found.restarts {
                provider.found(Found { restarts: pod.restarts, ..found });
            }
            true
        }
        _ => {
            provider.lost(&base.uid);
            false
        }
    }
}
