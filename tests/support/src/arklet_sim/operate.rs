//! A command from its parsed form to its answer, with the waiting in between.
//!
//! An operation goes on when its client goes away, as in reality; only the end of the JVM ends it without an answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::Shared;
use super::base::BaseCell;
use super::config::{Behaviour, End};
use super::record::Command;
use super::reply;
use super::state::{BaseState, Note};

/// The parameters that any command may have.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Parameters {
    pub(super) biz_name: Option<String>,
    pub(super) biz_version: Option<String>,
    pub(super) biz_url: Option<String>,
    install_strategy: Option<String>,
    #[serde(rename = "async")]
    asynchronous: bool,
}

impl Parameters {
    /// A JSON object; the agent chokes on anything else.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
        serde_json::from_value(object.into()).ok()
    }
}

/// Who is asked for what.
pub(super) struct Request {
    pub(super) base: Arc<BaseCell>,
    pub(super) shared: Arc<Shared>,
    pub(super) command: Command,
    pub(super) parameters: Parameters,
}

impl Request {
    /// The answer, or none if the JVM ended before.
    pub(super) async fn answer(self) -> Option<String> {
        match self.command {
            Command::Query => Some(self.base.read(|state| reply::list(&state.biz, state.config.style))),
            Command::Health => Some(self.base.read(|state| reply::health(&state.biz, &state.config))),
            Command::Other => Some(reply::unknown_command()),
            Command::Install | Command::Uninstall | Command::Switch => {
                if self.parameters.asynchronous {
                    let violation = Note::Violated(format!("an asynchronous {}", self.command.word()));
                    self.change(|state| state.notes.push(violation));
                }
                match self.command {
                    Command::Install => self.install().await,
                    Command::Uninstall => self.uninstall().await,
                    _ => Some(self.switch()),
                }
            }
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut BaseState) -> R) -> R {
        self.base.change(&self.shared, change)
    }

    /// Name and version, both of them.
    fn identity(&self) -> Result<(String, String), String> {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
        match (given(&self.parameters.biz_name), given(&self.parameters.biz_version)) {
            (Some(name), Some(version)) => Ok((name, version)),
            (Some(_), None) | (None, Some(_)) if self.command == Command::Install => {
                Err(reply::invalid("bizName and bizVersion should be both blank or both not blank."))
            }
            (Some(_), None) => Err(reply::invalid("bizVersion should not be blank")),
            (None, _) => Err(reply::invalid("bizName should not be blank")),
        }
    }

    async fn install(&self) -> Option<String> {
        let Some(url) = self.parameters.biz_url.as_deref().filter(|url| !url.trim().is_empty()) else {
            return Some(reply::invalid("bizUrl should not be blank"));
        };
        let (name, version) = match self.identity() {
            Ok(identity) => identity,
            Err(refusal) => return Some(refusal),
        };
        let epoch = match self.change(|state| state.begin(Command::Install, &name, &version).map(|()| state.epoch)) {
            Ok(epoch) => epoch,
            Err(refusal) => return Some(refusal),
        };
        let answer = self.install_held(&name, &version, url, epoch).await?;
        self.change(|state| {
            if state.epoch != epoch {
                return None;
            }
            state.end(&name, &version);
            Some(answer)
        })
    }

    /// The install once `name:version` is taken: fetch, register, start.
    async fn install_held(&self, name: &str, version: &str, url: &str, epoch: u64) -> Option<String> {
        let jar = self.settled(name, version, url, epoch, |end| *end != End::FetchHangs).await?;
        let strategy = self.parameters.install_strategy.as_deref();
        let in_place = |state: &BaseState| state.config.install_strategy && strategy == Some("uninstallThenInstall");
        self.change(|state| {
            if in_place(state) {
                state.remove_all(name)
            }
        });
        if let End::Unfetchable(cause) = &jar.end {
            return Some(reply::threw(cause, &[cause]));
        }
        // The manifest decides what is installed, whatever was asked for.
        let (name_there, version_there) = jar.manifest.clone().unwrap_or_else(|| (name.to_owned(), version.to_owned()));
        if let Err(refusal) = self.change(|state| state.register(&name_there, &version_there, &jar)) {
            return Some(refusal);
        }
        let delay = jar.delay.unwrap_or_else(|| self.base.read(|state| state.config.install_delay));
        self.pass(delay, epoch).await?;
        let jar = self.settled(name, version, url, epoch, |end| *end != End::StartHangs).await?;
        self.change(|state| {
            if state.epoch != epoch {
                return None;
            }
            Some(match &jar.end {
                End::Fails(cause) => state.failed(&name_there, &version_there, cause),
                _ => state.started(&name_there, &version_there, &jar),
            })
        })
    }

    async fn uninstall(&self) -> Option<String> {
        let (name, version) = match self.identity() {
            Ok(identity) => identity,
            Err(refusal) => return Some(refusal),
        };
        let begun = self.change(|state| {
            state.begin(Command::Uninstall, &name, &version)?;
            let stopping = state.stopping(&name, &version);
            if stopping.is_err() {
                state.end(&name, &version);
            }
            stopping.map(|()| (state.epoch, state.config.uninstall_delay))
        });
        let (epoch, delay) = match begun {
            Ok(begun) => begun,
            Err(refusal) => return Some(refusal),
        };
        self.pass(delay, epoch).await?;
        self.change(|state| {
            if state.epoch != epoch {
                return None;
            }
            state.end(&name, &version);
            Some(state.stopped(&name, &version))
        })
    }

    fn switch(&self) -> String {
        let (name, version) = match self.identity() {
            Ok(identity) => identity,
            Err(refusal) => return refusal,
        };
        self.change(|state| {
            if let Err(refusal) = state.begin(Command::Switch, &name, &version) {
                return refusal;
            }
            state.end(&name, &version);
            state.switch(&name, &version)
        })
    }

    /// The behaviour of a jar, as soon as it is one that `done` accepts.
    async fn settled(
        &self,
        name: &str,
        version: &str,
        url: &str,
        epoch: u64,
        done: impl Fn(&End) -> bool,
    ) -> Option<Behaviour> {
        let key = (name.to_owned(), version.to_owned());
        let look = |state: &BaseState| {
            if state.epoch != epoch {
                return Some(None);
            }
            let own = state.behaviours.get(&key).cloned();
            let jar = own.unwrap_or_else(|| self.shared.behaviour(name, version, url));
            done(&jar.end).then_some(Some(jar))
        };
        self.base.wait(None, look).await.flatten()
    }

    /// Lets time pass; nothing if the JVM ends meanwhile.
    async fn pass(&self, time: Duration, epoch: u64) -> Option<()> {
        if time.is_zero() {
            return Some(());
        }
        let ended = |state: &BaseState| (state.epoch != epoch).then_some(());
        match self.base.wait(Some(Instant::now() + time), ended).await {
            Some(()) => None,
            None => Some(()),
        }
    }
}
