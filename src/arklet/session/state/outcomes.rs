//! What an agent's answers say: how a command's outcome changes what is known of a base.
//!
//! An unclear outcome makes a slot unknown, a clear one changes the list at once, a failure is remembered with the time of
//! the next try. Must not: decide what to do next.

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, List, Outcome, Slot, State, strangers};
use crate::{
    arklet::{
        client::{InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
        wire::{self, Biz},
    },
    domain::{
        backoff,
        slot::{BizState, LOOK_AGAIN_MS, VersionHistory, WishKind},
    },
};

/// How long to wait before a command that met an unfinished one is tried again (milliseconds).
const CONFLICT_WAIT_MS: i64 = 2_000;

impl State {
    /// Takes the outcome of a command that [`State::next`] gave.
    pub fn done(&mut self, command: &Command, outcome: Outcome, now: i64) {
        let outcome = match outcome {
            // It says nothing of any biz.
            Outcome::Health(answer) => return self.room.answered(answer, now),
            outcome => outcome,
        };
        if let Outcome::Looked(Ok(biz)) = &outcome
            && self.is_as_listed(biz)
        {
            (self.looking_since, self.listed_at) = (None, now);
            return self.heard(now);
        }
        self.quiet_until = None;
        self.sequence += 1;
        if let Some(slot) = command.name().and_then(|name| self.slots.get_mut(name)) {
            slot.in_flight = None;
            slot.touched = self.sequence;
        }
        match (command, outcome) {
            (Command::Install { name, version, .. }, Outcome::Installed(outcome)) => {
                self.room.changed(now);
                self.installed(name, version, outcome, now);
            }
            (Command::Uninstall { name, version }, Outcome::Uninstalled(outcome)) => {
                self.room.changed(now);
                self.uninstalled(name, version, outcome, now);
            }
            (Command::Switch { name, version }, Outcome::Switched(outcome)) => {
                self.switched(name, version, outcome, now);
            }
            (_, Outcome::Looked(result)) => self.looked(result, now),
            // An outcome of another kind than its command can't be made: nothing is known then.
            (command, _) => self.unclear(command.name().unwrap_or_default()),
        }
        self.slots.retain(|_, slot| !slot.wishes.is_empty() || slot.in_flight.is_some() || !slot.strays.is_empty());
        if let Some(slot) = command.name().and_then(|name| self.slots.get_mut(name)) {
            // What says nothing needn't be kept, a thousand times over.
            slot.history.retain(|_, record| *record != VersionHistory::default());
        }
    }

    /// Whether a fresh list says nothing new: the base has what it had, and no slot waited to hear of it.
    fn is_as_listed(&self, biz: &[Biz]) -> bool {
        let asked_at = self.looking_since.unwrap_or(self.sequence);
        let waits = |slot: &Slot| {
            slot.unknown || slot.in_flight.is_some() || slot.touched > asked_at || !slot.history.is_empty()
        };
        let Some(list) = self.list.as_ref().filter(|_| self.silent_since.is_none()) else { return false };
        // One that is starting is looked at again soon, by a plan.
        let settled = |biz: &Biz| known_state(&biz.state) != Some(BizState::Starting);
        let listed = |biz: &Biz| list.get(&biz.name).and_then(|versions| versions.get(&biz.version)).copied();
        let names: BTreeSet<(&str, &str)> = biz.iter().map(|biz| (biz.name.as_str(), biz.version.as_str())).collect();
        // One that counts as absent isn't in the list.
        list.values().map(BTreeMap::len).sum::<usize>() == names.len()
            && biz.iter().all(|biz| settled(biz) && listed(biz).is_some() && listed(biz) == known_state(&biz.state))
            && !self.slots.values().any(waits)
    }

    fn looked(&mut self, result: Result<Vec<Biz>, NoAnswer>, now: i64) {
        let asked_at = self.looking_since.take().unwrap_or(self.sequence);
        let biz = match result {
            Ok(biz) => biz,
            Err(no_answer) => return self.no_list(&no_answer, now),
        };
        self.heard(now);
        let mut fresh = List::new();
        for biz in biz {
            if let Some(state) = known_state(&biz.state) {
                fresh.entry(biz.name).or_default().insert(biz.version, state);
            }
        }
        let mut old = self.list.take().unwrap_or_default();
        self.strangers_changed |= strangers(&old, &self.slots).ne(strangers(&fresh, &self.slots));
        for (name, slot) in &mut self.slots {
            // What was operated on since the question was asked isn't answered by it.
            if slot.touched > asked_at || slot.in_flight.is_some() {
                match old.remove(name) {
                    Some(versions) => fresh.insert(name.clone(), versions),
                    None => fresh.remove(name),
                };
                self.look_wanted |= slot.unknown && slot.in_flight.is_none();
            } else {
                slot.unknown = false;
                note_listed(slot, fresh.get(name));
                forgive_active(slot, fresh.get(name));
                note_broken(slot, fresh.get(name), &self.seed, now);
                slot.strays
                    .retain(|(_, version)| fresh.get(name).is_some_and(|versions| versions.contains_key(version)));
            }
        }
        self.list = Some(fresh);
        self.listed_at = now;
    }

    fn no_list(&mut self, no_answer: &NoAnswer, now: i64) {
        self.failed_looks += 1;
        self.look_wanted = true;
        let wait = backoff::after(self.failed_looks, &self.seed);
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).min(self.health_interval);
        self.next_look = now + wait;
        // A base that is installing may hang: that says nothing about it.
        if self.installs() == 0 {
            self.silent_since.get_or_insert(now);
            self.silence = Some(no_answer.to_string());
        }
    }

    fn heard(&mut self, now: i64) {
        self.failed_looks = 0;
        self.next_look = now;
        self.silent_since = None;
        self.silence = None;
    }

    fn installed(&mut self, name: &str, version: &str, outcome: InstallOutcome, now: i64) {
        let unclear = match &outcome {
            InstallOutcome::NoAnswer(NoAnswer::Unknown(_)) => Some(true),
            InstallOutcome::NoAnswer(NoAnswer::NotSent(_)) | InstallOutcome::Conflict => None,
            _ => Some(false),
        };
        if let (Some(unclear), Some(slot)) = (unclear, self.slots.get_mut(name)) {
            slot.history.entry(version.to_owned()).or_default().install_unclear = unclear;
        }
        match outcome {
            InstallOutcome::Installed(state) => {
                self.heard(now);
                match known_state(&state) {
                    Some(BizState::Broken) | None => {
                        self.failed(name, version, format!("the agent installed it as {state:?}"), now);
                        self.unclear(name);
                    }
                    known => {
                        self.succeeded(name, version);
                        self.set(name, version, known);
                    }
                }
            }
            InstallOutcome::AlreadyThere => {
                // The list shows it, or else the base has a biz that it doesn't list: then later again.
                self.heard(now);
                let error = "the agent says that the biz is there, but does not list it".to_owned();
                self.failed(name, version, error, now);
                self.unclear(name);
            }
            InstallOutcome::Conflict => self.conflict(name, version, now),
            InstallOutcome::Rejected(cause) => {
                self.heard(now);
                self.failed(name, version, cause, now);
                self.unclear(name);
            }
            InstallOutcome::WrongIdentity { found } => self.wrong_identity(name, version, found, now),
            InstallOutcome::NoAnswer(no_answer) => self.no_outcome(name, version, "installBiz", &no_answer, now),
        }
    }

    fn wrong_identity(&mut self, name: &str, version: &str, found: Vec<(String, String)>, now: i64) {
        self.heard(now);
        let names: Vec<String> = found.iter().map(|(name, version)| format!("{name}:{version}")).collect();
        let message = format!(
            "the jar's manifest names {}, not {name}:{version}; correct the module's name and version, or the URL",
            names.join(", ")
        );
        self.failed(name, version, message, now);
        self.unclear(name);
        for (found_name, found_version) in found {
            let listed = self.list.as_ref().and_then(|list| list.get(&found_name));
            let was_there = listed.is_some_and(|versions| versions.contains_key(&found_version));
            let wanted = self
                .slots
                .get(&found_name)
                .is_some_and(|slot| slot.wishes.iter().any(|wish| wish.version == found_version));
            if !was_there && !wanted {
                let slot = self.slots.entry(found_name.clone()).or_default();
                slot.strays.insert((found_name, found_version));
                // A list that was asked for before doesn't show it.
                slot.touched = self.sequence;
            }
        }
    }

    fn uninstalled(&mut self, name: &str, version: &str, outcome: UninstallOutcome, now: i64) {
        let answered = matches!(outcome, UninstallOutcome::Gone | UninstallOutcome::Failed(_));
        if let Some(slot) = self.slots.get_mut(name) {
            if matches!(outcome, UninstallOutcome::Gone) {
                slot.strays.remove(&(name.to_owned(), version.to_owned()));
            }
            let record = slot.history.entry(version.to_owned()).or_default();
            record.uninstall_answered |= answered;
            record.install_unclear &= !answered;
        }
        match outcome {
            UninstallOutcome::Gone => {
                self.heard(now);
                self.set(name, version, None);
                // What made the last install fail isn't forgotten: a broken biz that was removed is tried again later.
                let leaving = self.slots.get(name).is_some_and(|slot| {
                    !slot.wishes.iter().any(|wish| wish.version == version && wish.kind == WishKind::Run)
                });
                if leaving {
                    self.succeeded(name, version);
                }
            }
            UninstallOutcome::Conflict => self.conflict(name, version, now),
            UninstallOutcome::Failed(cause) => {
                // A biz without Spring answers with an error although it is gone: the list tells.
                self.heard(now);
                self.failed(name, version, cause, now);
                self.unclear(name);
            }
            UninstallOutcome::NoAnswer(no_answer) => self.no_outcome(name, version, "uninstallBiz", &no_answer, now),
        }
    }

    fn switched(&mut self, name: &str, version: &str, outcome: SwitchOutcome, now: i64) {
        match outcome {
            SwitchOutcome::Switched => {
                self.heard(now);
                self.succeeded(name, version);
                if let Some(versions) = self.list.as_mut().and_then(|list| list.get_mut(name)) {
                    for state in versions.values_mut().filter(|state| **state == BizState::Active) {
                        *state = BizState::Inactive;
                    }
                }
                self.set(name, version, Some(BizState::Active));
            }
            SwitchOutcome::NotFound => {
                self.heard(now);
                let error = "the agent lists the biz, but does not find it to switch to it".to_owned();
                self.failed(name, version, error, now);
                self.unclear(name);
            }
            SwitchOutcome::Conflict => self.conflict(name, version, now),
            SwitchOutcome::Failed(cause) => {
                self.heard(now);
                self.failed(name, version, cause, now);
                self.unclear(name);
            }
            SwitchOutcome::NoAnswer(no_answer) => self.no_outcome(name, version, "switchBiz", &no_answer, now),
        }
    }

    fn no_outcome(&mut self, name: &str, version: &str, command: &str, no_answer: &NoAnswer, now: i64) {
        self.unclear(name);
        self.silent_since.get_or_insert(now);
        self.silence = Some(no_answer.to_string());
        if let NoAnswer::Unknown(reason) = no_answer {
            // It may have happened, and it may happen yet: the agent queues what its client gave up on.
            self.failed(name, version, format!("{command} got no answer: {reason}"), now);
        } else if let Some(slot) = self.slots.get_mut(name) {
            // A list may well be answered while this isn't: no hot loop of both.
            slot.history.entry(version.to_owned()).or_default().retry_at = Some(now + LOOK_AGAIN_MS);
        }
    }

    fn conflict(&mut self, name: &str, version: &str, now: i64) {
        self.heard(now);
        self.unclear(name);
        if let Some(slot) = self.slots.get_mut(name) {
            slot.history.entry(version.to_owned()).or_default().retry_at = Some(now + CONFLICT_WAIT_MS);
        }
    }

    fn failed(&mut self, name: &str, version: &str, error: String, now: i64) {
        if let Some(slot) = self.slots.get_mut(name) {
            record_failure(slot, version, error, &self.seed, now);
        }
    }

    fn succeeded(&mut self, name: &str, version: &str) {
        let record = self.slots.get_mut(name).and_then(|slot| slot.history.get_mut(version));
        if let Some(record) = record {
            (record.failures, record.retry_at, record.error) = (0, None, None);
        }
    }

    fn set(&mut self, name: &str, version: &str, state: Option<BizState>) {
        let Some(list) = &mut self.list else { return };
        let versions = list.entry(name.to_owned()).or_default();
        match state {
            Some(state) => versions.insert(version.to_owned(), state),
            None => versions.remove(version),
        };
        // With the base's own switch on, a version that starts active deactivates the other: the next list tells.
        let active = versions.values().filter(|state| **state == BizState::Active).count();
        if active > 1 {
            for (other, state) in versions.iter_mut() {
                if other != version && *state == BizState::Active {
                    *state = BizState::Inactive;
                }
            }
        }
        if versions.is_empty() {
            list.remove(name);
        }
    }

    fn unclear(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.unknown = true;
        }
        self.look_wanted = true;
    }
}

fn record_failure(slot: &mut Slot, version: &str, error: String, seed: &str, now: i64) {
    let record = slot.history.entry(version.to_owned()).or_default();
    record.failures += 1;
    record.error = Some(error);
    let wait = backoff::after(record.failures, &format!("{seed}/{version}"));
    record.retry_at = Some(now + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(LOOK_AGAIN_MS));
}

/// What a list shows has come: nobody waits for the end of its install any more.
fn note_listed(slot: &mut Slot, versions: Option<&BTreeMap<String, BizState>>) {
    for (version, record) in &mut slot.history {
        record.install_unclear &= !versions.is_some_and(|versions| versions.contains_key(version));
    }
}

/// What is to run and a list shows as active has no failure left. One that is to leave and is active has: its uninstall
/// was refused.
fn forgive_active(slot: &mut Slot, versions: Option<&BTreeMap<String, BizState>>) {
    let wishes = &slot.wishes;
    let runs = |version: &str| wishes.iter().any(|wish| wish.version == version && wish.kind == WishKind::Run);
    for (version, record) in slot.history.iter_mut().filter(|(version, _)| runs(version)) {
        if versions.and_then(|versions| versions.get(version)) == Some(&BizState::Active) {
            (record.failures, record.retry_at, record.error) = (0, None, None);
        }
    }
}

/// A biz that a list shows as broken counts as a failure, once for each time it is found so.
fn note_broken(slot: &mut Slot, versions: Option<&BTreeMap<String, BizState>>, seed: &str, now: i64) {
    let Some(versions) = versions else { return };
    for (version, state) in versions {
        let waiting = slot.history.get(version).is_some_and(|record| record.retry_at.is_some());
        let wanted = slot.wishes.iter().any(|wish| wish.version == *version && wish.kind == WishKind::Run);
        if *state == BizState::Broken && wanted && !waiting {
            record_failure(slot, version, "the biz is BROKEN in the base".to_owned(), seed, now);
        }
    }
}

/// The state as the plan knows it; `None`: the biz is as good as absent.
fn known_state(state: &wire::BizState) -> Option<BizState> {
    match state {
        wire::BizState::Resolved => Some(BizState::Starting),
        wire::BizState::Activated => Some(BizState::Active),
        wire::BizState::Deactivated => Some(BizState::Inactive),
        wire::BizState::Broken | wire::BizState::Other(_) => Some(BizState::Broken),
        wire::BizState::Stopped => None,
    }
}
