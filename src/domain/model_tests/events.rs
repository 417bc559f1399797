//! What can happen in a state, and which states follow.
//!
//! There are two ways to look at the operator. *Prompt*: after each event it looks at everything until it has nothing to
//! write any more; that is cheap, so fleets are larger. *Slow*: each look of each controller is an event of its own, and
//! a restart may cut it short after any of its writes. An install that fails changes nothing that a plan sees, so it is
//! the event that doesn't happen; what a restart forgets (what agents said) is in no state, so nothing else follows it.

use std::fmt;

use super::{
    plans::{Deed, Plans, Write},
    rules::{self, Broken, Rule},
    state::{Base, Place, Resume, Shown, State, VERSIONS},
};

/// One deployment and how it is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub policy: &'static str,
    pub desired: u8,
    pub batches: u8,
    pub beta: bool,
    pub confirm: bool,
    pub gray: bool,
    pub max_unavailable: u8,
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
    /// A base loses what was installed.
    Restarts {
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
            Event::Restarts { base } => write!(f, "the base {} restarts", state.bases[*base]),
            Event::Dies { base } => write!(f, "the base {} is deleted", state.bases[*base]),
            Event::Vanishes { base } => write!(f, "the base {} is gone", state.bases[*base]),
            Event::Comes => write!(f, "a base comes"),
            Event::Scale(desired) => write!(f, "the user scales to {desired}"),
            Event::Version(version) => write!(f, "the user asks for v{}", version + 1),
            Event::Confirm(batch) => write!(f, "the user confirms {batch}"),
            Event::Pause(paused) => write!(f, "the user sets paused to {paused}"),
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
    pub config: Config,
    pub plans: &'a mut Plans,
}

type Next = Result<State, Broken>;

impl Model<'_> {
    /// All that can follow from `state`, with what is broken on the way.
    pub fn successors(&mut self, state: &State) -> Vec<(Event, Next)> {
        let mut events = free_events(state);
        if state.budget > 0 {
            events.extend(costly_events(state));
        }
        let mut found = Vec::new();
        for (event, costs) in events {
            let Some(mut next) = self.happen(state, &event) else { continue };
            next.budget -= u8::from(costs);
            if self.config.slow {
                next.sort();
                let ok = rules::versions(&self.config, &next).map(|()| next);
                found.push((event, ok));
            } else {
                found.extend([false, true].map(|reversed| (event, self.settle(next.clone(), reversed))));
            }
        }
        if self.config.slow {
            self.looks(state, &mut found);
        }
        found
    }

    /// The looks of the operator as events; each can be cut short.
    fn looks(&mut self, state: &State, found: &mut Vec<(Event, Next)>) {
        let shortest = |all: usize| if state.budget > 0 { 0..all } else { all..all };
        let writes = self.plans.deployment(state);
        let ok = rules::deployment(&self.config, state, &writes);
        for made in shortest(writes.len()).chain([writes.len()]) {
            let next = applied(state, &writes, made);
            found.push((Event::Deployment { writes: made }, ok.clone().map(|()| next)));
        }
        for set in (0..VERSIONS).filter(|&set| state.sets[set].exists) {
            for reversed in [false, true] {
                let writes = self.of_set(state, set, reversed);
                let ok = rules::set(&self.plans.strategy, state, &writes);
                for made in shortest(writes.len()).chain([writes.len()]) {
                    let next = applied(state, &writes, made);
                    found.push((Event::Set { set, writes: made }, ok.clone().map(|()| next)));
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

    /// Everything is looked at until there is nothing to write.
    pub fn settle(&mut self, mut state: State, reversed: bool) -> Next {
        for _ in 0..30 {
            let next = self.look(&state, reversed)?;
            if next == state {
                return Ok(state);
            }
            state = next;
        }
        let next = self.look(&state, reversed)?;
        Err(Broken { rule: Rule::Rest, why: format!("it never comes to rest:\n    {state}\n    {next}") })
    }

    /// Everything is looked at once.
    fn look(&mut self, before: &State, reversed: bool) -> Next {
        let mut state = before.clone();
        let writes = self.plans.deployment(&state);
        rules::deployment(&self.config, &state, &writes)?;
        write_all(&mut state, &writes);
        for set in (0..VERSIONS).filter(|&set| before.sets[set].exists) {
            let writes = self.of_set(&state, set, reversed);
            rules::set(&self.plans.strategy, &state, &writes)?;
            write_all(&mut state, &writes);
        }
        state.bases.retain(|base| !base.is_ending());
        for base in &mut state.bases {
            notice(base);
        }
        state.sort();
        rules::versions(&self.config, &state)?;
        Ok(state)
    }

    /// One round of a time in which nothing goes wrong, agents do what they are told and users what they are asked.
    pub fn calm(&mut self, mut state: State) -> Next {
        state.paused = false;
        if state.status.resume == Resume::Later {
            state.status.resume = Resume::Now;
        }
        if is_asked(&state) {
            confirm(&mut state);
        }
        for base in 0..state.bases.len() {
            self.obey(&mut state, base);
        }
        self.settle(state, false)
    }

    fn obey(&mut self, state: &mut State, at: usize) -> bool {
        let base = state.bases[at];
        let step = if base.is_ending() { None } else { self.plans.step(base, &state.sets) };
        let Some((version, deed)) = step else { return false };
        let place = base.place(version);
        let changed = &mut state.bases[at];
        match deed {
            Deed::Install | Deed::Switch => {
                for (other, place) in base.places() {
                    changed.put(other, Place { active: false, ..place });
                }
                changed.put(version, Place { installed: true, active: true, ..place });
            }
            Deed::Uninstall if place.leaving => changed.put(version, Place::default()),
            Deed::Uninstall => changed.put(version, Place { installed: false, active: false, ..place }),
        }
        true
    }

    /// `None` where nothing comes of it.
    fn happen(&mut self, state: &State, event: &Event) -> Option<State> {
        let mut next = state.clone();
        match *event {
            Event::Agent { base } => return self.obey(&mut next, base).then_some(next),
            Event::Noticed { base, version } => {
                let place = state.bases[base].place(version);
                next.bases[base].put(version, Place { available: place.active, ..place });
            }
            Event::Restarts { base } => {
                for (version, place) in state.bases[base].places() {
                    next.bases[base].put(version, Place { installed: false, active: false, ..place });
                }
            }
            Event::Dies { base } => next.bases[base].end(),
            Event::Vanishes { base } => drop(next.bases.remove(base)),
            Event::Comes => next.bases.push(Base::default()),
            Event::Scale(desired) => next.desired = desired,
            Event::Version(version) => next.version = version,
            Event::Confirm(_) => confirm(&mut next),
            Event::Pause(paused) => next.paused = paused,
            Event::TimePasses => next.status.resume = Resume::Now,
            Event::Deployment { .. } | Event::Set { .. } => return None,
        }
        (next != *state).then_some(next)
    }
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

fn notice(base: &mut Base) {
    for (version, place) in base.places() {
        base.put(version, Place { available: place.active && !place.leaving, ..place });
    }
}

/// One of each kind of base: they are sorted, and what befalls one of two like ones befalls the other.
fn kinds(state: &State) -> impl Iterator<Item = (usize, Base)> {
    let bases = &state.bases;
    (0..bases.len()).filter(|&at| at == 0 || bases[at] != bases[at - 1]).map(|at| (at, bases[at]))
}

/// What may happen as often as it likes, because it leads on.
fn free_events(state: &State) -> Vec<(Event, bool)> {
    let mut events = Vec::new();
    for (at, base) in kinds(state) {
        if base.is_ending() {
            events.push(Event::Vanishes { base: at });
            continue;
        }
        events.push(Event::Agent { base: at });
        let unnoticed = base.places().filter(|(_, place)| place.available != (place.active && !place.leaving));
        events.extend(unnoticed.map(|(version, _)| Event::Noticed { base: at, version }));
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
    events.into_iter().map(|event| (event, false)).collect()
}

/// What counts against the budget.
fn costly_events(state: &State) -> Vec<(Event, bool)> {
    let mut events = Vec::new();
    for (at, base) in kinds(state).filter(|(_, base)| !base.is_ending()) {
        if base.places().any(|(_, place)| place.installed) {
            events.push(Event::Restarts { base: at });
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
    events.into_iter().map(|event| (event, true)).collect()
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
            Write::Confirm(number) => state.confirm = number,
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
                state.bases[base].put(set, Place { leaving: true, available: false, ..place });
            }
            Write::Overfill | Write::WakeInThePast => {}
        }
    }
}
