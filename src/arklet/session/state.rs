//! The state of one conversation with one agent, without the talking.
//!
//! Wishes go in, commands come out, outcomes go in, reports come out. Time is an argument and nothing is async, so
//! that tests can walk it through any order of events against a simulated agent. What the next command for one biz
//! name is, [`crate::domain::slot`] decides; this module keeps what that decision needs: the last confirmed list,
//! which names an unclear outcome has made unknown, and what failed how often.
//!
//! Must not: hold two commands for one biz name at a time, install two biz at once on one base, or believe a list
//! that was asked for before an operation ended.

mod outcomes;
mod room;

use std::collections::{BTreeMap, BTreeSet};

use self::room::Room;
pub use super::command::{Command, Outcome};
use crate::{
    arklet::wire::Metaspace,
    domain::{
        module::Told,
        slot::{BizState, History, Observation, Step, Verdict, Wish, WishKind, plan_slot, verdict},
    },
};

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
    room: Room,
    told: BTreeMap<String, Last>,
    /// Whether what nobody here asked for has changed since [`State::strangers_changed`] was last asked.
    strangers_changed: bool,
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
    /// A conversation that hasn't begun. `seed` is the base pod's UID; `health_interval` is how often the list is asked
    /// for, `room_interval` how often the metaspace, if at all (milliseconds).
    pub fn new(seed: &str, health_interval: i64, room_interval: Option<i64>) -> Self {
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
            room: Room::new(room_interval),
            told: BTreeMap::new(),
            strangers_changed: false,
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
        for wish in &mut slot.wishes {
            // It has said all that it will ever say.
            wish.mates.retain(|mate| mate != module);
        }
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
        self.strangers_changed |= self.has_strangers();
        self.list = None;
        self.look_wanted = true;
        self.next_look = 0;
        self.sequence += 1;
        self.room.restarted();
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
        self.list.as_ref().is_some_and(|list| strangers(list, &self.slots).next().is_some())
    }

    /// Whether a list has shown, since this was last asked, that something nobody here asked for came or went: the base
    /// is a place for that module no longer, or is one again.
    pub fn strangers_changed(&mut self) -> bool {
        std::mem::take(&mut self.strangers_changed)
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
        if self.room_at().is_some_and(|at| at <= now) {
            self.room.asked();
            commands.push(Command::Health);
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

    /// When the metaspace is asked for next. It changes with the end of an install, so that isn't before.
    fn room_at(&self) -> Option<i64> {
        self.room.at().filter(|_| self.installs() == 0)
    }

    fn step(&self, name: &str, slot: &Slot, now: i64) -> Step {
        if slot.in_flight.is_some() {
            return Step::Idle;
        }
        let plan =
            || plan_slot(&slot.wishes, observation(self.list.as_ref(), self.listed_at, name, slot), &slot.history, now);
        let Some((_, version)) = slot.strays.first() else { return plan() };
        // A base that doesn't answer, or refuses, is asked again at a pace; meanwhile others in the slot get on.
        match slot.history.get(version).and_then(|record| record.retry_at).filter(|at| now < *at) {
            None => Step::Uninstall { version: version.clone() },
            Some(again) => match plan() {
                Step::Idle => Step::WaitUntil(again),
                Step::WaitUntil(until) => Step::WaitUntil(until.min(again)),
                step => step,
            },
        }
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
        let asked = [self.look_at(), self.room_at()].into_iter().flatten().min();
        asked.unwrap_or(i64::MAX).min(until).max(now + 1)
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

    /// The metaspace as the agent told it last.
    pub fn metaspace(&self) -> Option<Metaspace> {
        self.room.metaspace()
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

/// What of a list nobody here asked for.
fn strangers<'a>(
    list: &'a List,
    slots: &'a BTreeMap<String, Slot>,
) -> impl Iterator<Item = (&'a String, &'a BTreeMap<String, BizState>)> {
    list.iter().filter(|(name, _)| !slots.contains_key(*name))
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

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
