//! What can happen in a state, and which states follow.
//!
//! There are two ways to look at the operator. *Prompt*: after each event it looks at everything until it has nothing to
//! write any more; that is cheap, so fleets are larger, and the first look is over when the first event comes. *Slow*: each look of each controller is an event of its own, and
//! a restart may cut it short after any of its writes. An install that fails changes nothing that a plan sees, so it is
//! the event that doesn't happen; what a restart forgets (what agents said) is in no state, so nothing else follows it.

use std::fmt;

use super::{
    plans::{Plans, Write},
    rules::{self, Broken, Rule},
    slots::{Deed, Doings, Slots},
    state::{Base, Flag, HashMap, Place, Resume, Shown, State, Terms, VERSIONS},
};
use crate::domain::policy::UpgradePolicy;

/// What there is beside the events that are always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `minReadySeconds`: what is active has yet to become available.
    pub soak: bool,
    /// `drainSeconds`, and the traffic label with it as a write of its own.
    pub drain: bool,
    /// Bases turn NotReady, and Ready again.
    pub readiness: bool,
    /// The user labels bases `delete-pod`.
    pub emptying: bool,
    /// `replicas: -1`.
    pub peer: bool,
    /// The user edits the strategy.
    pub edits: bool,
}

/// One deployment and how it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub terms: Terms,
    pub extras: Extras,
    pub desired: u8,
    /// Bases beyond D.
    pub spare: u8,
    /// See the head of this file.
    pub slow: bool,
    /// How many faults and changes of mind there are.
    pub budget: u8,
}

/// The fleet never grows beyond this, and D stays below it.
pub const MOST: u8 = 7;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The agent of a base does what it is told next.
    Agent {
        base: usize,
    },
    /// The status of a Module is written.
    Noticed {
        base: usize,
        version: usize,
    },
    /// The traffic label of a base is written.
    Labelled {
        base: usize,
    },
    /// The soak or the drain of a Module is over.
    Passes {
        base: usize,
        version: usize,
    },
    /// A base loses what was installed.
    Restarts {
        base: usize,
    },
    /// A base turns Ready or NotReady.
    Ready {
        base: usize,
        ready: bool,
    },
    /// A base is labelled `delete-pod`.
    Emptied {
        base: usize,
    },
    /// A base is deleted.
    Dies {
        base: usize,
    },
    /// A base that was deleted is gone, and its Modules with it.
    Vanishes {
        base: usize,
    },
    Comes,
    Scale(u8),
    Version(u8),
    Confirm(u8),
    Pause(bool),
    Edit(Terms),
    TimePasses,
    /// The deployment is looked at, and so many writes are made before the operator is restarted.
    Deployment {
        writes: usize,
    },
    Set {
        set: usize,
        writes: usize,
    },
}

/// An event, told with what a base was like.
pub struct Told<'a>(pub &'a Event, pub &'a State);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(event, state) = self;
        match event {
            Event::Agent { base } => write!(f, "the agent of {} takes its next step", state.bases[*base]),
            Event::Noticed { base, version } => write!(f, "v{} on {} is noticed", version + 1, state.bases[*base]),
            Event::Labelled { base } => write!(f, "the label of {} is written", state.bases[*base]),
            Event::Passes { base, version } => {
                write!(f, "the time of v{} on {} passes", version + 1, state.bases[*base])
            }
            Event::Ready { base, ready } => write!(f, "the base {} turns ready: {ready}", state.bases[*base]),
            Event::Emptied { base } => write!(f, "the base {} is labelled delete-pod", state.bases[*base]),
            Event::Restarts { base } => write!(f, "the base {} restarts", state.bases[*base]),
            Event::Dies { base } => write!(f, "the base {} is deleted", state.bases[*base]),
            Event::Vanishes { base } => write!(f, "the base {} is gone", state.bases[*base]),
            Event::Comes => write!(f, "a base comes"),
            Event::Scale(desired) => write!(f, "the user scales to {desired}"),
            Event::Version(version) => write!(f, "the user asks for v{}", version + 1),
            Event::Confirm(batch) => write!(f, "the user confirms {batch}"),
            Event::Pause(paused) => write!(f, "the user sets paused to {paused}"),
            Event::Edit(terms) => write!(f, "the user edits the strategy: {terms}"),
            Event::TimePasses => write!(f, "the pause between batches is over"),
            Event::Deployment { writes } => write!(f, "the deployment is looked at ({writes} writes)"),
            Event::Set { set, writes } => {
                write!(f, "the replica set of v{} is looked at ({writes} writes)", set + 1)
            }
        }
    }
}

/// All that is done with one [`Config`].
pub struct Model<'a> {
    config: Config,
    plans: &'a mut Plans,
    slots: &'a mut Slots,
    /// What a state comes to once everything is looked at, and whether ties played a part in it.
    settled: HashMap<(State, bool), (Next, bool)>,
}

type Next = Result<State, Broken>;

impl<'a> Model<'a> {
    pub fn new(config: Config, plans: &'a mut Plans, slots: &'a mut Slots) -> Self {
        Self { config, plans, slots, settled: HashMap::default() }
    }

    /// How many find no place in `state`.
    pub fn unplaced(&mut self, state: &State) -> u32 {
        self.plans.placement(state, false).unplaced
    }

    /// The state in which the first event finds a deployment. Looked at promptly, it was looked at already.
    pub fn begin(&mut self, state: State) -> Next {
        if self.config.slow { Ok(state) } else { self.settle(state, false).0 }
    }

    /// All that can follow from `state`, with what is broken on the way.
    pub fn successors(&mut self, state: &State) -> Vec<(Event, Next)> {
        let mut found = Vec::new();
        let events = self.free_events(state).into_iter().map(|event| (event, false));
        let costly = if state.budget > 0 { costly_events(&self.config, state) } else { vec![] };
        for (event, costs) in events.chain(costly.into_iter().map(|event| (event, true))) {
            let mut next = match self.happen(state, &event) {
                Ok(next) if next == *state => continue,
                Ok(next) => next,
                Err(broken) => {
                    found.push((event, Err(broken)));
                    continue;
                }
            };
            next.budget -= u8::from(costs);
            if self.config.slow {
                let ok = self.rested(next);
                found.push((event, ok));
                continue;
            }
            let (one, ties) = self.settle(next.clone(), false);
            found.push((event, one));
            if ties {
                let other = self.settle(next, true).0;
                found.push((event, other));
            }
        }
        if self.config.slow {
            self.looks(state, &mut found);
        }
        found
    }

    /// A state between two looks. Where labels aren't looked at by themselves they follow at once.
    fn rested(&mut self, mut state: State) -> Next {
        if !self.writes_labels() {
            for at in 0..state.bases.len() {
                state.bases[at] = self.labelled(&state, state.bases[at])?;
            }
        }
        state.sort();
        rules::versions(&self.config, &state)?;
        Ok(state)
    }

    fn writes_labels(&self) -> bool {
        self.config.slow && (self.slots.soak || self.slots.drain)
    }

    /// The looks of the operator as events; each can be cut short.
    fn looks(&mut self, state: &State, found: &mut Vec<(Event, Next)>) {
        let shortest = |all: usize| if state.budget > 0 { 0..all } else { all..all };
        let writes = self.plans.deployment(state);
        let ok = rules::deployment(state, &writes);
        for made in shortest(writes.len()).chain([writes.len()]) {
            let next = ok.clone().and_then(|()| self.rested(applied(state, &writes, made)));
            found.push((Event::Deployment { writes: made }, next));
        }
        for set in (0..VERSIONS).filter(|&set| state.sets[set].exists) {
            for reversed in [false, true] {
                let writes = self.of_set(state, set, reversed);
                let ok = rules::set(&self.config, state, set, &writes);
                for made in shortest(writes.len()).chain([writes.len()]) {
                    let next = ok.clone().and_then(|()| self.rested(applied(state, &writes, made)));
                    found.push((Event::Set { set, writes: made }, next));
                }
                if writes.is_empty() {
                    break;
                }
            }
        }
    }

    fn of_set(&mut self, state: &State, set: usize, reversed: bool) -> Vec<Write> {
        let mine = |write: &Write| match write {
            Write::Place { set: whose, .. } | Write::Delete { set: whose, .. } => *whose == set,
            _ => true,
        };
        self.plans.placement(state, reversed).writes.into_iter().filter(mine).collect()
    }

    /// What follows at a base.
    fn doings(&mut self, state: &State, base: Base) -> Result<Doings, Broken> {
        let doings = self.slots.doings(base, &state.sets, state.terms.policy);
        rules::doings(&self.config, state, base, &doings)?;
        Ok(doings)
    }

    /// The base once its label is written.
    fn labelled(&mut self, state: &State, mut base: Base) -> Result<Base, Broken> {
        let label = self.doings(state, base)?.label;
        base.set(Flag::Labelled, label);
        for (version, place) in base.places().filter(|_| self.config.extras.drain && label) {
            base.put(version, Place { served: place.served || place.active, ..place });
        }
        Ok(base)
    }

    /// Everything is looked at until there is nothing to write; and whether it might have come out otherwise.
    pub fn settle(&mut self, state: State, reversed: bool) -> (Next, bool) {
        let budget = state.budget;
        let key = (State { budget: 0, ..state }, reversed);
        let with_budget = |(next, ties): (Next, bool)| (next.map(|next| State { budget, ..next }), ties);
        if let Some(known) = self.settled.get(&key) {
            return with_budget(known.clone());
        }
        let mut ties = false;
        let next = self.rest(key.0.clone(), reversed, &mut ties);
        self.settled.insert(key, (next.clone(), ties));
        with_budget((next, ties))
    }

    fn rest(&mut self, mut state: State, reversed: bool, ties: &mut bool) -> Next {
        for _ in 0..30 {
            let next = self.look(&state, reversed, ties)?;
            if next == state {
                return Ok(state);
            }
            state = next;
        }
        let next = self.look(&state, reversed, ties)?;
        Err(Broken { rule: Rule::Rest, why: format!("it never comes to rest:\n    {state}\n    {next}") })
    }

    /// Everything is looked at once.
    fn look(&mut self, before: &State, reversed: bool, ties: &mut bool) -> Next {
        let mut state = before.clone();
        let writes = self.plans.deployment(&state);
        rules::deployment(&state, &writes)?;
        write_all(&mut state, &writes);
        for set in (0..VERSIONS).filter(|&set| before.sets[set].exists) {
            let writes = self.of_set(&state, set, reversed);
            *ties |= !writes.is_empty();
            rules::set(&self.config, &state, set, &writes)?;
            write_all(&mut state, &writes);
        }
        state.bases.retain(|base| !is_vanishing(*base));
        for at in 0..state.bases.len() {
            state.bases[at] = self.labelled(&state, state.bases[at])?;
            state.bases[at] = self.doings(&state, state.bases[at])?.noticed;
        }
        state.sort();
        rules::versions(&self.config, &state)?;
        Ok(state)
    }

    /// One round of a time in which nothing goes wrong, agents do what they are told and users what they are asked.
    /// Bases that aren't ready become so, unless `unready`.
    pub fn calm(&mut self, mut state: State, unready: bool) -> Next {
        state.paused = false;
        if state.status.resume == Resume::Later {
            state.status.resume = Resume::Now;
        }
        if is_asked(&state) {
            confirm(&mut state);
        }
        for at in 0..state.bases.len() {
            if !unready {
                state.bases[at].set(Flag::Unready, false);
            }
            for version in 0..VERSIONS {
                self.pass(&mut state, at, version);
            }
            self.obey(&mut state, at)?;
        }
        self.settle(state, false).0
    }

    fn pass(&self, state: &mut State, at: usize, version: usize) {
        let base = state.bases[at];
        let place = base.place(version);
        if place.here && !base.is_ending() && self.slots.owes(base, place) {
            state.bases[at].put(version, Place { past: true, ..place });
        }
    }

    fn obey(&mut self, state: &mut State, at: usize) -> Result<(), Broken> {
        let base = state.bases[at];
        let Some((version, deed)) = self.doings(state, base)?.step else { return Ok(()) };
        let place = base.place(version);
        let changed = &mut state.bases[at];
        match deed {
            Deed::Install | Deed::Switch => {
                for (other, place) in base.places() {
                    changed.put(other, Place { active: false, past: place.past && place.leaving, ..place });
                }
                changed.put(version, Place { installed: true, active: true, ..place });
            }
            Deed::Uninstall if place.leaving => changed.put(version, Place::default()),
            Deed::Uninstall => changed.put(version, Place { installed: false, active: false, ..place }),
        }
        Ok(())
    }

    /// The same state where nothing comes of it.
    fn happen(&mut self, state: &State, event: &Event) -> Next {
        let mut next = state.clone();
        match *event {
            Event::Agent { base } => self.obey(&mut next, base)?,
            Event::Noticed { base, version } => {
                let noticed = self.doings(state, state.bases[base])?.noticed;
                next.bases[base].put(version, noticed.place(version));
            }
            Event::Labelled { base } => next.bases[base] = self.labelled(state, state.bases[base])?,
            Event::Passes { base, version } => self.pass(&mut next, base, version),
            Event::Restarts { base } => {
                for (version, place) in state.bases[base].places() {
                    let past = place.past && place.leaving;
                    next.bases[base].put(version, Place { installed: false, active: false, past, ..place });
                }
            }
            Event::Ready { base, ready } => next.bases[base].set(Flag::Unready, !ready),
            Event::Emptied { base } => next.bases[base].set(Flag::Emptied, true),
            Event::Dies { base } => next.bases[base].set(Flag::Ending, true),
            Event::Vanishes { base } => drop(next.bases.remove(base)),
            Event::Comes => next.bases.push(Base::default()),
            Event::Scale(desired) => next.desired = desired,
            Event::Version(version) => next.version = version,
            Event::Confirm(_) => confirm(&mut next),
            Event::Pause(paused) => next.paused = paused,
            Event::Edit(terms) => next.terms = terms,
            Event::TimePasses => next.status.resume = Resume::Now,
            Event::Deployment { .. } | Event::Set { .. } => {}
        }
        Ok(next)
    }

    /// What may happen as often as it likes, because it leads on.
    fn free_events(&self, state: &State) -> Vec<Event> {
        let mut events = Vec::new();
        for (at, base) in kinds(state) {
            if is_vanishing(base) {
                events.push(Event::Vanishes { base: at });
            }
            if base.is_ending() {
                continue;
            }
            events.push(Event::Agent { base: at });
            if base.is(Flag::Unready) {
                events.push(Event::Ready { base: at, ready: true });
            }
            if self.writes_labels() {
                events.push(Event::Labelled { base: at });
            }
            for (version, place) in base.places() {
                if self.config.slow {
                    events.push(Event::Noticed { base: at, version });
                }
                if self.slots.owes(base, place) {
                    events.push(Event::Passes { base: at, version });
                }
            }
        }
        if is_asked(state) {
            events.push(Event::Confirm(asked(state)));
        }
        if state.paused {
            events.push(Event::Pause(false));
        }
        if state.status.resume == Resume::Later {
            events.push(Event::TimePasses);
        }
        events
    }
}

/// Whether nothing holds the end of the base up.
fn is_vanishing(base: Base) -> bool {
    base.is_ending() || base.is(Flag::Emptied) && !base.has_any()
}

/// Whether the status asks for a confirmation that isn't given yet.
fn is_asked(state: &State) -> bool {
    let baseline = state.newest().map_or(0, |newest| state.sets[newest].baseline);
    let given = state.confirmed >= state.status.batch && state.confirm != baseline;
    state.status.shown == Shown::Waiting && !given
}

/// What the status asks for; where that number stands in the spec already, from an earlier release, the next one.
fn asked(state: &State) -> u8 {
    let batch = state.status.batch;
    if state.confirm == batch { batch + 1 } else { batch }
}

fn confirm(state: &mut State) {
    state.confirm = asked(state);
    state.confirmed = state.confirm;
}

/// One of each kind of base: they are sorted, and what befalls one of two like ones befalls the other.
fn kinds(state: &State) -> impl Iterator<Item = (usize, Base)> {
    let bases = &state.bases;
    (0..bases.len()).filter(|&at| at == 0 || bases[at] != bases[at - 1]).map(|at| (at, bases[at]))
}

/// What counts against the budget.
fn costly_events(config: &Config, state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    for (at, base) in kinds(state).filter(|(_, base)| !base.is_ending()) {
        if base.places().any(|(_, place)| place.installed) {
            events.push(Event::Restarts { base: at });
        }
        if config.extras.readiness && !base.is(Flag::Unready) {
            events.push(Event::Ready { base: at, ready: false });
        }
        if config.extras.emptying && base.stays() {
            events.push(Event::Emptied { base: at });
        }
        events.push(Event::Dies { base: at });
    }
    if state.bases.len() < usize::from(MOST) {
        events.push(Event::Comes);
    }
    events.extend(state.desired.checked_sub(1).map(Event::Scale));
    if state.desired + 1 < MOST {
        events.push(Event::Scale(state.desired + 1));
    }
    let versions = (0..VERSIONS).filter(|&version| version != usize::from(state.version));
    // Versions are asked for in their order at first: which of those never seen comes is all the same.
    let known = versions.filter(|&version| version == 0 || state.sets[version - 1].exists);
    events.extend(known.filter_map(|version| u8::try_from(version).ok()).map(Event::Version));
    if !is_asked(state) {
        events.push(Event::Confirm(asked(state)));
    }
    if !state.paused {
        events.push(Event::Pause(true));
    }
    if config.extras.edits {
        events.extend(edits(config, state.terms).map(Event::Edit));
    }
    events
}

/// The strategies that differ from this one in one field.
fn edits(config: &Config, terms: Terms) -> impl Iterator<Item = Terms> {
    let policies =
        [UpgradePolicy::InstallThenUninstall, UpgradePolicy::UninstallThenInstall, UpgradePolicy::ScaleUpThenScaleDown];
    // A peer deployment can't have it.
    let peer = config.extras.peer;
    let possible = policies.into_iter().filter(move |policy| !peer || *policy != UpgradePolicy::ScaleUpThenScaleDown);
    let others = [
        Terms { batches: if terms.batches == 1 { 3 } else { 1 }, ..terms },
        Terms { max_unavailable: if terms.max_unavailable == 0 { 2 } else { 0 }, ..terms },
        Terms { confirm: !terms.confirm, ..terms },
        Terms { gray: !terms.gray, ..terms },
        Terms { beta: !terms.beta, ..terms },
    ];
    possible.map(move |policy| Terms { policy, ..terms }).chain(others).filter(move |other| *other != terms)
}

/// `state` after the first `made` of `writes`; sorted, and poorer where the operator was restarted before the others.
fn applied(state: &State, writes: &[Write], made: usize) -> State {
    let mut next = state.clone();
    write_all(&mut next, &writes[..made]);
    next.budget -= u8::from(made < writes.len());
    next.sort();
    next
}

/// The API server takes the writes.
pub fn write_all(state: &mut State, writes: &[Write]) {
    for write in writes {
        match *write {
            Write::Own { confirm, scale } => {
                state.confirm = confirm.unwrap_or(state.confirm);
                state.desired = scale.unwrap_or(state.desired);
            }
            Write::Change { set, desired, number, baseline } => {
                let of_set = &mut state.sets[set];
                of_set.desired = desired.unwrap_or(of_set.desired);
                of_set.number = number.unwrap_or(of_set.number);
                of_set.baseline = baseline.unwrap_or(of_set.baseline);
                if number.is_some() {
                    state.confirmed = 0;
                }
            }
            Write::Create { set, made } => {
                state.sets[set] = made;
                state.confirmed = 0;
            }
            Write::Status(status) => state.status = status,
            Write::Place { set, base } => {
                state.bases[base].put(set, Place { here: true, ..Place::default() });
            }
            Write::Delete { set, base } => {
                let place = state.bases[base].place(set);
                let left = Place { leaving: true, available: false, past: false, ..place };
                state.bases[base].put(set, Place { noted: place.noted || place.available, ..left });
            }
            Write::Overfill | Write::WakeInThePast => {}
        }
    }
}
