//! The way to the agents, whatever carries the commands.
//!
//! A conversation says *which* command a base gets; how the command travels there is the business of an [`Agents`]: over
//! HTTP to the base's address ([`Client`]), or over a tunnel that the base itself has opened. Implementations bound every
//! call in time and in bytes and repeat nothing but questions. Must not: decide anything.

use futures::future::{BoxFuture, FutureExt};

use super::{
    client::{Client, Endpoint, Health, NoAnswer},
    session::{BaseId, Command, Outcome},
    wire::Biz,
};

/// How often a question is asked before the agent counts as silent: a real base hangs every fourth new connection while it
/// installs something.
const TRIES: u32 = 3;

/// Carries commands to bases.
pub trait Agents: Send + Sync {
    /// Carries a command out and tells how it ended.
    fn carry_out<'a>(&'a self, base: &'a BaseId, at: Endpoint, command: &'a Command) -> BoxFuture<'a, Outcome>;

    /// Asks a base how it is.
    fn health<'a>(&'a self, base: &'a BaseId, at: Endpoint) -> BoxFuture<'a, Result<Health, NoAnswer>>;
}

impl Agents for Client {
    fn carry_out<'a>(&'a self, base: &'a BaseId, at: Endpoint, command: &'a Command) -> BoxFuture<'a, Outcome> {
        let call = async move {
            match command {
                Command::Look => Outcome::Looked(look(self, at).await),
                Command::Health => Outcome::Health(Agents::health(self, base, at).await.map(|health| health.metaspace)),
                Command::Install { name, version, url } => {
                    Outcome::Installed(self.install(at, name, version, url).await)
                }
                Command::Uninstall { name, version } => Outcome::Uninstalled(self.uninstall(at, name, version).await),
                Command::Switch { name, version } => Outcome::Switched(self.switch(at, name, version).await),
            }
        };
        call.boxed()
    }

    fn health<'a>(&'a self, _base: &'a BaseId, at: Endpoint) -> BoxFuture<'a, Result<Health, NoAnswer>> {
        let call = async move {
            let mut tries = 1;
            loop {
                match Client::health(self, at).await {
                    Err(NoAnswer::Unknown(_)) if tries < TRIES => tries += 1,
                    result => return result,
                }
            }
        };
        call.boxed()
    }
}

async fn look(client: &Client, at: Endpoint) -> Result<Vec<Biz>, NoAnswer> {
    let mut tries = 1;
    loop {
        match client.query_all(at).await {
            Err(NoAnswer::Unknown(_)) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}
