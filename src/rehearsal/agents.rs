//! The agents as a rehearsal sees them: asked for real, told nothing.
//!
//! What a base would be told is noted, and taken to succeed, so that what comes after it is seen too. Must not: send an
//! operation to an agent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::{BoxFuture, FutureExt};

use super::api::Book;
use crate::arklet::{
    agents::Agents,
    client::{Endpoint, Health, InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
    session::{BaseId, Command, Outcome},
    wire::{Biz, BizState},
};

/// What was learned of the bases, and what they would be told.
pub struct Rehearsed {
    real: Arc<dyn Agents>,
    book: Arc<Book>,
    notes: Mutex<Notes>,
}

/// What was noted.
#[derive(Clone, Default)]
pub struct Notes {
    /// What would be told to which base, in order.
    pub told: Vec<(BaseId, Command)>,
    /// What each base, by UID, really runs.
    pub runs: HashMap<String, (BaseId, Vec<Biz>)>,
    /// Bases whose agent doesn't answer, and why.
    pub silent: HashMap<String, (BaseId, String)>,
    /// What each would run, by UID.
    would_run: HashMap<String, Vec<Biz>>,
    /// Questions to bases of which nothing is known yet that are under way.
    pub asking: usize,
}

impl Rehearsed {
    /// Asks through `real`; notes in `book` when something happens.
    pub fn new(real: Arc<dyn Agents>, book: Arc<Book>) -> Self {
        Self { real, book, notes: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was noted so far.
    pub fn notes(&self) -> Notes {
        self.lock().clone()
    }

    async fn look(&self, base: &BaseId, at: Endpoint) -> Outcome {
        if let Some(list) = self.lock().would_run.get(&base.uid) {
            return Outcome::Looked(Ok(list.clone()));
        }
        // One that was silent once is asked again and again, and not waited for.
        let first = !self.lock().silent.contains_key(&base.uid);
        self.lock().asking += usize::from(first);
        let outcome = self.real.carry_out(base, at, &Command::Look).await;
        let mut notes = self.lock();
        notes.asking -= usize::from(first);
        match &outcome {
            Outcome::Looked(Ok(list)) => {
                notes.silent.remove(&base.uid);
                notes.runs.insert(base.uid.clone(), (base.clone(), list.clone()));
                notes.would_run.insert(base.uid.clone(), list.clone());
                self.book.touch();
            }
            Outcome::Looked(Err(why)) => {
                notes.silent.insert(base.uid.clone(), (base.clone(), why.to_string()));
            }
            _ => {}
        }
        outcome
    }

    /// Notes an operation and makes it so.
    fn tell(&self, base: &BaseId, command: &Command) -> Outcome {
        self.book.touch();
        let mut notes = self.lock();
        notes.told.push((base.clone(), command.clone()));
        let list = notes.would_run.entry(base.uid.clone()).or_default();
        match command {
            Command::Install { name, version, .. } => {
                list.push(Biz {
                    name: name.clone(),
                    version: version.clone(),
                    state: BizState::Activated,
                    web_context_path: None,
                });
                serve(list, name, version);
                Outcome::Installed(InstallOutcome::Installed(BizState::Activated))
            }
            Command::Uninstall { name, version } => {
                list.retain(|biz| biz.name != *name || biz.version != *version);
                Outcome::Uninstalled(UninstallOutcome::Gone)
            }
            Command::Switch { name, version } => {
                serve(list, name, version);
                Outcome::Switched(SwitchOutcome::Switched)
            }
            Command::Look => Outcome::Looked(Ok(list.clone())),
            Command::Health => Outcome::Health(Ok(None)),
        }
    }
}

/// One version of a biz serves; others of its name no longer do.
fn serve(list: &mut [Biz], name: &str, version: &str) {
    for biz in list.iter_mut().filter(|biz| biz.name == name) {
        biz.state = if biz.version == version { BizState::Activated } else { BizState::Deactivated };
    }
}

impl Agents for Rehearsed {
    fn carry_out<'a>(&'a self, base: &'a BaseId, at: Endpoint, command: &'a Command) -> BoxFuture<'a, Outcome> {
        match command {
            Command::Look => self.look(base, at).boxed(),
            Command::Health => self.real.carry_out(base, at, command),
            _ => std::future::ready(self.tell(base, command)).boxed(),
        }
    }

    fn health<'a>(&'a self, base: &'a BaseId, at: Endpoint) -> BoxFuture<'a, Result<Health, NoAnswer>> {
        self.real.health(base, at)
    }
}
