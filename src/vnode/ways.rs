//! Which way a base gets its commands: that of the tunnel through which it was found.
//!
//! A base that was discovered, or announced itself over HTTP, is called at its address. One that announced itself over MQTT
//! gets them at the topics of its device. A new tunnel gets its arm here. Must not: try another way when one fails.

use std::sync::{Arc, Weak};

use futures::future::{BoxFuture, FutureExt};

use super::{provider::Provider, tunnel::mqtt::commands::Commands};
use crate::{
    api::vkeys,
    arklet::{
        agents::Agents,
        client::{Endpoint, Health, NoAnswer},
        session::{BaseId, Command, Outcome},
    },
};

/// The way to each agent.
pub struct Ways {
    direct: Arc<dyn Agents>,
    mqtt: Option<Arc<Commands>>,
    provider: Weak<Provider>,
}

impl Ways {
    /// `direct` to addresses; over `mqtt` to those of the provider's bases that are there.
    pub fn new(direct: Arc<dyn Agents>, mqtt: Option<Arc<Commands>>, provider: Weak<Provider>) -> Self {
        Self { direct, mqtt, provider }
    }

    /// The MQTT tunnel and the device of a base that is found through it.
    fn over_mqtt(&self, base: &BaseId) -> Option<(&Commands, String)> {
        let commands = self.mqtt.as_deref()?;
        let vnode = self.provider.upgrade()?.bases.of_pod(&base.uid)?;
        let state = vnode.state();
        let found = state.found.as_ref().filter(|found| found.facts.tunnel == vkeys::tunnel::MQTT)?;
        Some((commands, found.device.clone()?))
    }
}

impl Agents for Ways {
    fn carry_out<'a>(&'a self, base: &'a BaseId, at: Endpoint, command: &'a Command) -> BoxFuture<'a, Outcome> {
        let call = async move {
            match self.over_mqtt(base) {
                Some((commands, device)) => commands.carry_out(&device, command).await,
                None => self.direct.carry_out(base, at, command).await,
            }
        };
        call.boxed()
    }

    fn health<'a>(&'a self, base: &'a BaseId, at: Endpoint) -> BoxFuture<'a, Result<Health, NoAnswer>> {
        let call = async move {
            match self.over_mqtt(base) {
                Some((commands, device)) => commands.health(&device).await,
                None => self.direct.health(base, at).await,
            }
        };
        call.boxed()
    }
}
