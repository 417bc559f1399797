//! An agent as a real base has it, without a wire: versions with states, a lock for each name:version, installs that
//! take their time and show up in the list only when the jar is there.

use std::collections::BTreeMap;

use super::super::{Command, Outcome};
use crate::arklet::{
    client::{InstallOutcome, SwitchOutcome, UninstallOutcome},
    wire::{Biz, BizState, Metaspace},
};

pub type Key = (String, String);

/// How a start ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Fine,
    Fails,
}

/// What differs between bases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nature {
    /// `-Dactivate.new.module=true`.
    pub activates_new: bool,
    /// A failed start stays as BROKEN.
    pub keeps_broken: bool,
    /// An uninstall ends in an error although the biz is gone.
    pub without_spring: bool,
}

struct Running {
    ticket: u64,
    key: Key,
    start: Start,
    /// From then on it is listed as RESOLVED.
    registers_at: i64,
    ends_at: i64,
    registered: bool,
}

pub struct Agent {
    nature: Nature,
    biz: BTreeMap<Key, BizState>,
    running: Vec<Running>,
    ceased: BTreeMap<Key, i64>,
}

impl Agent {
    pub fn new(nature: Nature, foreign: &[Key]) -> Self {
        let biz = foreign.iter().map(|key| (key.clone(), BizState::Activated)).collect();
        Self { nature, biz, running: Vec::new(), ceased: BTreeMap::new() }
    }

    pub fn versions(&self, name: &str) -> Vec<(&str, &BizState)> {
        let of = self.biz.iter().filter(|((other, _), _)| other == name);
        of.map(|((_, version), state)| (version.as_str(), state)).collect()
    }

    /// The last time at which this version was active.
    pub fn last_active(&self, key: &Key, now: i64) -> Option<i64> {
        match self.biz.get(key) {
            Some(BizState::Activated) => Some(now),
            _ => self.ceased.get(key).copied(),
        }
    }

    pub fn has_or_installs(&self, key: &Key) -> bool {
        self.biz.contains_key(key) || self.running.iter().any(|op| op.key == *key)
    }

    pub fn next_end(&self) -> Option<i64> {
        let times = self.running.iter().map(|op| if op.registered { op.ends_at } else { op.registers_at });
        times.min()
    }

    /// A command arrives. `None`: it takes its time, [`Agent::advance`] tells its end.
    pub fn arrive(&mut self, ticket: u64, command: &Command, took: i64, start: Start, now: i64) -> Option<Outcome> {
        let key = |name: &String, version: &String| (name.clone(), version.clone());
        match command {
            Command::Health => Some(Outcome::Health(Ok(Some(Metaspace { max: Some(100), committed: 10, used: 5 })))),
            Command::Look => Some(Outcome::Looked(Ok(self.list()))),
            Command::Install { name, version, .. } => {
                let key = key(name, version);
                if self.locked(&key) {
                    return Some(Outcome::Installed(InstallOutcome::Conflict));
                }
                self.running.push(Running {
                    ticket,
                    key,
                    start,
                    registers_at: now + took * 9 / 10,
                    ends_at: now + took,
                    registered: false,
                });
                None
            }
            Command::Uninstall { name, version } => {
                Some(Outcome::Uninstalled(self.uninstall(&key(name, version), now)))
            }
            Command::Switch { name, version } => Some(Outcome::Switched(self.switch(&key(name, version), now))),
        }
    }

    fn locked(&self, key: &Key) -> bool {
        self.running.iter().any(|op| op.key == *key)
    }

    fn list(&self) -> Vec<Biz> {
        let biz = |((name, version), state): (&Key, &BizState)| Biz {
            name: name.clone(),
            version: version.clone(),
            state: state.clone(),
            web_context_path: None,
        };
        self.biz.iter().map(biz).collect()
    }

    fn uninstall(&mut self, key: &Key, now: i64) -> UninstallOutcome {
        if self.locked(key) {
            return UninstallOutcome::Conflict;
        }
        if !self.biz.contains_key(key) {
            return UninstallOutcome::Gone;
        }
        self.put(key, None, now);
        if self.nature.without_spring {
            UninstallOutcome::Failed("no such bean".to_owned())
        } else {
            UninstallOutcome::Gone
        }
    }

    fn switch(&mut self, key: &Key, now: i64) -> SwitchOutcome {
        if self.locked(key) {
            return SwitchOutcome::Conflict;
        }
        match self.biz.get(key) {
            None => SwitchOutcome::NotFound,
            Some(BizState::Activated | BizState::Deactivated) => {
                self.activate(key, now);
                SwitchOutcome::Switched
            }
            Some(_) => SwitchOutcome::Failed("illegal state".to_owned()),
        }
    }

    fn activate(&mut self, key: &Key, now: i64) {
        let others: Vec<Key> = self.biz.keys().filter(|other| other.0 == key.0 && *other != key).cloned().collect();
        for other in others {
            if self.biz[&other] == BizState::Activated {
                self.put(&other, Some(BizState::Deactivated), now);
            }
        }
        self.put(key, Some(BizState::Activated), now);
    }

    /// Puts a state in, as a fault or as the end of an operation.
    pub fn put(&mut self, key: &Key, state: Option<BizState>, now: i64) {
        if self.biz.get(key) == Some(&BizState::Activated) && state != Some(BizState::Activated) {
            self.ceased.insert(key.clone(), now);
        }
        match state {
            Some(state) => self.biz.insert(key.clone(), state),
            None => self.biz.remove(key),
        };
    }

    /// Time passes; tells what ended.
    pub fn advance(&mut self, now: i64) -> Vec<(u64, Outcome)> {
        let mut ended = Vec::new();
        for mut op in std::mem::take(&mut self.running) {
            let repeat = !op.registered && self.biz.contains_key(&op.key);
            if op.registers_at <= now && repeat {
                ended.push((op.ticket, Outcome::Installed(InstallOutcome::AlreadyThere)));
                continue;
            }
            if op.registers_at <= now && !op.registered {
                op.registered = true;
                self.put(&op.key.clone(), Some(BizState::Resolved), now);
            }
            if op.ends_at > now {
                self.running.push(op);
                continue;
            }
            ended.push((op.ticket, Outcome::Installed(self.started(&op, now))));
        }
        ended
    }

    fn started(&mut self, op: &Running, now: i64) -> InstallOutcome {
        if op.start == Start::Fails {
            self.put(&op.key, self.nature.keeps_broken.then_some(BizState::Broken), now);
            return InstallOutcome::Rejected("it does not start".to_owned());
        }
        let beside = self.biz.iter().any(|((name, _), state)| *name == op.key.0 && *state == BizState::Activated);
        if beside && !self.nature.activates_new {
            self.put(&op.key, Some(BizState::Deactivated), now);
            return InstallOutcome::Installed(BizState::Deactivated);
        }
        self.activate(&op.key, now);
        InstallOutcome::Installed(BizState::Activated)
    }

    /// The container is restarted: the JVM is empty, and nobody answers what ran in it.
    pub fn restart(&mut self, now: i64) {
        let had: Vec<Key> = self.biz.keys().cloned().collect();
        for key in had {
            self.put(&key, None, now);
        }
        self.running.clear();
    }
}
