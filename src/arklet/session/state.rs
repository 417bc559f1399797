//! The state of one conversation with one agent, without the talking.
//!
//! Wishes go in, commands come out, outcomes go in, reports come out. Time is an argument and nothing is async, so
//! that tests can walk it through any order of events against a simulated agent. What the next command for one biz
//! name is, [`crate::domain::slot`] decides; this module keeps what that decision needs: the last confirmed list,
//! which names an unclear outcome has made unknown, and what failed how often.
//!
//! Must not: hold two commands for one biz name at a time, install two biz at once on one base, or believe a list
//! that was asked for before an operation ended.

use std::collections::{BTreeMap, BTreeSet};

pub use super::command::{Command, Outcome};
use crate::arklet::{
    client::{InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
    wire::{self, Biz},
};
use crate::domain::{
    backoff,
    module::Told,
    slot::{
        BizState, History, LOOK_AGAIN_MS, Observation, Step, Verdict, VersionHistory, Wish, WishKind, plan_slot,
        verdict,
    },
};

/// How long to wait before a command that met an unfinished one is tried again (milliseconds).
const CONFLICT_WAIT_MS: i64 = 2_000;
/// How many installs may run on one base at a time.
const INSTALLS_AT_ONCE: usize = 1;

/// One biz name on this base.
#[derive(Debug, Default)]
struct Slot {
    wishes: Vec<Wish>,
    history: History,
    /// An outcome is unclear: only a list that is asked for from now on counts.
    unknown: bool,
    in_flight: Option<Command>,
    /// The number of the last operation on it, to tell older lists from newer ones.
    touched: u64,
    /// When, in the same count, the last of its wishes came: whoever waits longest is served first.
    asked: u64,
    /// What an install put there although nobody asked for it (the jar's manifest wins), to be undone.
    strays: BTreeSet<(String, String)>,
}

/// One conversation.
#[derive(Debug)]
pub struct State {
    slots: BTreeMap<String, Slot>,
    list: Option<List>,
    listed_at: i64,
    looking_since: Option<u64>,
    look_wanted: bool,
    next_look: i64,
    failed_looks: u32,
    silent_since: Option<i64>,
    silence: Option<String>,
    sequence: u64,
    seed: String,
    health_interval: i64,
    told: BTreeMap<String, Last>,
    /// Until then no slot has anything to do or to tell, unless something changes: `None` where that has to be found
    /// out. Most looks at a base find it as it was, and then nothing is planned again.
    quiet_until: Option<i64>,
}

/// What a Module was last told.
#[derive(Debug)]
struct Last {
    verdict: Verdict,
    since: i64,
    /// Whether the agent was silent when [`State::news`] last named the Module; `None` where it has yet to.
    announced: Option<bool>,
}

/// The confirmed versions by biz name.
type List = BTreeMap<String, BTreeMap<String, BizState>>;

/// The versions of a biz that a base doesn't have.
static NOTHING: BTreeMap<String, BizState> = BTreeMap::new();

impl State {
    /// A conversation that hasn't begun. `seed` is the base pod's UID; `health_interval` in milliseconds.
    pub fn new(seed: &str, health_interval: i64) -> Self {
        Self {
            slots: BTreeMap::new(),
            list: None,
            listed_at: 0,
            looking_since: None,
            look_wanted: true,
            next_look: 0,
            failed_looks: 0,
            silent_since: None,
            silence: None,
            sequence: 0,
            seed: seed.to_owned(),
            health_interval,
            told: BTreeMap::new(),
            quiet_until: None,
        }
    }

    /// Puts or replaces the wish of one Module in the slot `name`; says whether it is another one than before. A changed
    /// version or URL is tried at once, whatever failed before.
    pub fn wish(&mut self, name: &str, mut wish: Wish) -> bool {
        self.quiet_until = None;
        let slot = self.slots.entry(name.to_owned()).or_default();
        // Who holds a contested slot goes on holding it while its older Modules make room for newer ones.
        let of_owner = slot.wishes.iter().filter(|known| known.owner == wish.owner);
        wish.created = of_owner.map(|known| known.created).fold(wish.created, i64::min);
        match slot.wishes.iter_mut().find(|known| known.module == wish.module) {
            Some(known) if *known == wish => return false,
            Some(known) => {
                let another_try =
                    known.url != wish.url || (known.kind == WishKind::Run) != (wish.kind == WishKind::Run);
                if another_try && let Some(record) = slot.history.get_mut(&wish.version) {
                    (record.failures, record.retry_at, record.error) = (0, None, None);
                }
                *known = wish;
            }
            None => {
                self.sequence += 1;
                slot.asked = self.sequence;
                // Mostly the only one for ever.
                slot.wishes.reserve_exact(1);
                slot.wishes.push(wish);
            }
        }
        true
    }

    /// Takes the wish of one Module back.
    pub fn withdraw(&mut self, name: &str, module: &str) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        self.quiet_until = None;
        slot.wishes.retain(|wish| wish.module != module);
        let wanted: BTreeSet<&str> = slot.wishes.iter().map(|wish| wish.version.as_str()).collect();
        slot.history.retain(|version, _| wanted.contains(version.as_str()));
        self.told.remove(module);
        if slot.wishes.is_empty() && slot.in_flight.is_none() && slot.strays.is_empty() {
            self.slots.remove(name);
        }
    }

    /// The base's container was restarted: nothing that was known holds.
    pub fn restarted(&mut self) {
        self.quiet_until = None;
        self.list = None;
        self.look_wanted = true;
        self.next_look = 0;
        self.sequence += 1;
        for slot in self.slots.values_mut() {
            // A list that was asked for before doesn't count, not even as an empty one.
            (slot.touched, slot.unknown) = (self.sequence, true);
        }
    }

    /// Whether nobody wants anything and nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.looking_since.is_none() && self.slots.is_empty() && !self.has_strangers()
    }

    /// Whether the base has something that nobody here asked for: forgotten, it would look like a free place again.
    fn has_strangers(&self) -> bool {
        self.list.as_ref().is_some_and(|list| !list.is_empty())
    }

    /// The commands to begin at `now`; they count as under way from here on.
    pub fn next(&mut self, now: i64) -> Vec<Command> {
        let mut commands = Vec::new();
        let slots = if self.is_quiet(now) { None } else { Some(&self.slots) };
        let steps = slots.into_iter().flatten().map(|(name, slot)| (slot.asked, name, self.step(name, slot, now)));
        let mut due: Vec<(u64, String, Step)> = steps
            .filter(|(.., step)| !matches!(step, Step::WaitUntil(_) | Step::Idle))
            .map(|(asked, name, step)| (asked, name.clone(), step))
            .collect();
        due.sort_unstable_by_key(|(asked, ..)| *asked);
        let mut installs = self.installs();
        for (_, name, step) in due {
            match step {
                // A look that is under way answers it, or says that it can't.
                Step::Look => self.look_wanted |= self.looking_since.is_none(),
                Step::Install { .. } if installs >= INSTALLS_AT_ONCE => {}
                Step::Install { version, url } => {
                    installs += 1;
                    commands.push(self.begin(&name, Command::Install { name: name.clone(), version, url }));
                }
                Step::Uninstall { version } => {
                    commands.push(self.begin(&name, Command::Uninstall { name: name.clone(), version }));
                }
                Step::Switch { version } => {
                    commands.push(self.begin(&name, Command::Switch { name: name.clone(), version }));
                }
                Step::WaitUntil(_) | Step::Idle => {}
            }
        }
        if self.look_at().is_some_and(|at| at <= now) {
            self.looking_since = Some(self.sequence);
            self.look_wanted = false;
            commands.push(Command::Look);
        }
        commands
    }

    fn is_quiet(&self, now: i64) -> bool {
        self.quiet_until.is_some_and(|until| now < until)
    }

    fn installs(&self) -> usize {
        let installing = |slot: &&Slot| matches!(slot.in_flight, Some(Command::Install { .. }));
        self.slots.values().filter(installing).count()
    }

    /// When the list is asked for next; `None` while that is under way or waits for the end of an install.
    fn look_at(&self) -> Option<i64> {
        if self.looking_since.is_some() {
            return None;
        }
        if self.look_wanted || self.list.is_none() {
            return Some(self.next_look);
        }
        // A real base hangs every fourth connection while it installs: what isn't needed isn't asked then.
        (self.installs() == 0).then(|| self.next_look.max(self.listed_at + self.health_interval))
    }

    fn step(&self, name: &str, slot: &Slot, now: i64) -> Step {
        if slot.in_flight.is_some() {
            return Step::Idle;
        }
        if let Some((_, version)) = slot.strays.first() {
            return Step::Uninstall { version: version.clone() };
        }
        plan_slot(&slot.wishes, observation(self.list.as_ref(), self.listed_at, name, slot), &slot.history, now)
    }

    fn begin(&mut self, name: &str, command: Command) -> Command {
        self.sequence += 1;
        if let Some(slot) = self.slots.get_mut(name) {
            slot.touched = self.sequence;
            if let Command::Install { version, .. } = &command {
                slot.history.entry(version.clone()).or_default().uninstall_answered = false;
            }
            slot.in_flight = Some(command.clone());
        }
        command
    }

    /// When [`State::next`] has to be asked again if nothing happens before.
    pub fn deadline(&mut self, now: i64) -> i64 {
        let until = self.quiet_until.filter(|until| now < *until).unwrap_or_else(|| {
            let steps = self.slots.iter().map(|(name, slot)| self.step(name, slot, now));
            let waits = steps.filter_map(|step| match step {
                Step::WaitUntil(until) => Some(until),
                _ => None,
            });
            waits.min().unwrap_or(i64::MAX)
        });
        self.quiet_until = Some(until);
        self.look_at().unwrap_or(i64::MAX).min(until).max(now + 1)
    }

    /// Takes the outcome of a command that [`State::next`] gave.
    pub fn done(&mut self, command: &Command, outcome: Outcome, now: i64) {
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
                self.installed(name, version, outcome, now);
            }
            (Command::Uninstall { name, version }, Outcome::Uninstalled(outcome)) => {
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
        let listed = |biz: &Biz| list.get(&biz.name).and_then(|versions| versions.get(&biz.version)).copied();
        let names: BTreeSet<(&str, &str)> = biz.iter().map(|biz| (biz.name.as_str(), biz.version.as_str())).collect();
        // One that counts as absent isn't in the list.
        list.values().map(BTreeMap::len).sum::<usize>() == names.len()
            && biz.iter().all(|biz| listed(biz).is_some() && listed(biz) == known_state(&biz.state))
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
            }
        }
    }

    fn uninstalled(&mut self, name: &str, version: &str, outcome: UninstallOutcome, now: i64) {
        let answered = matches!(outcome, UninstallOutcome::Gone | UninstallOutcome::Failed(_));
        if let Some(slot) = self.slots.get_mut(name) {
            if answered {
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

    /// What the Module `module` in the slot `name` is told.
    pub fn report(&mut self, name: &str, module: &str, now: i64) -> Option<Told> {
        let slot = self.slots.get(name)?;
        let observation = observation(self.list.as_ref(), self.listed_at, name, slot);
        let verdict = verdict(module, &slot.wishes, observation, &slot.history)?;
        let last = note(&mut self.told, module, verdict, now);
        let (verdict, since) = (last.verdict.clone(), last.since);
        Some(Told { verdict, since, silent_since: self.silent_since, silence: self.silence.clone() })
    }

    /// The Modules that have something new to hear since this was last asked.
    pub fn news(&mut self, now: i64) -> Vec<String> {
        let silent = self.silent_since.is_some();
        let mut news = Vec::new();
        if self.is_quiet(now) {
            return news;
        }
        for (name, slot) in &self.slots {
            let observation = observation(self.list.as_ref(), self.listed_at, name, slot);
            for wish in &slot.wishes {
                let Some(verdict) = verdict(&wish.module, &slot.wishes, observation, &slot.history) else { continue };
                let last = note(&mut self.told, &wish.module, verdict, now);
                if last.announced != Some(silent) {
                    last.announced = Some(silent);
                    news.push(wish.module.clone());
                }
            }
        }
        news
    }

    /// Whether the agent didn't answer when it was last asked.
    pub fn is_silent(&self) -> bool {
        self.silent_since.is_some()
    }

    /// The last confirmed list.
    pub fn list(&self) -> Option<&List> {
        self.list.as_ref()
    }

    /// The confirmed versions of `name`; `None` while they are unknown.
    pub fn versions(&self, name: &str) -> Option<BTreeMap<String, BizState>> {
        if self.slots.get(name).is_some_and(|slot| slot.unknown) {
            return None;
        }
        self.list.as_ref().map(|list| list.get(name).cloned().unwrap_or_default())
    }
}

/// What is known of the slot `name`.
fn observation<'a>(list: Option<&'a List>, listed_at: i64, name: &str, slot: &Slot) -> Observation<'a> {
    match list {
        Some(list) if !slot.unknown => {
            Observation::Known { at: listed_at, versions: list.get(name).unwrap_or(&NOTHING) }
        }
        _ => Observation::Unknown,
    }
}

/// Notes how things stand for a Module, and since when.
fn note<'a>(told: &'a mut BTreeMap<String, Last>, module: &str, verdict: Verdict, now: i64) -> &'a mut Last {
    let news = told.get(module).is_none_or(|last| last.verdict != verdict);
    let last = told.entry(module.to_owned());
    let last = last.or_insert_with(|| Last { verdict: verdict.clone(), since: now, announced: None });
    if news {
        *last = Last { verdict, since: now, announced: None };
    }
    last
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

/// What a list shows as active has no failure left.
fn forgive_active(slot: &mut Slot, versions: Option<&BTreeMap<String, BizState>>) {
    for (version, record) in &mut slot.history {
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

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
