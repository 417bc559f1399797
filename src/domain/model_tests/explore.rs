//! The search: breadth first, each state once, so that what is found broken is found by a shortest path.

use std::rc::Rc;

use super::{
    events::{Config, Event, Model, Told},
    plans::Plans,
    rules::{self, Broken, Rule},
    slots::Slots,
    state::{Base, Flag, HashSet, Place, Set, Shown, State, Status, VERSIONS},
};

/// What one search came to.
pub struct Found {
    pub states: usize,
    pub transitions: usize,
    pub broken: Option<(Broken, String)>,
}

struct Node {
    state: Rc<State>,
    /// The state before, and what happened in it.
    from: Option<(usize, Event)>,
}

struct Search<'a> {
    model: Model<'a>,
    nodes: Vec<Node>,
    known: HashSet<Rc<State>>,
    /// States from which a time of calm is known to end well.
    good: HashSet<State>,
    /// The same where bases that aren't ready stay so.
    good_unready: HashSet<State>,
}

/// Every state that can be reached, until a rule is broken.
pub fn explore(config: Config, plans: &mut Plans, slots: &mut Slots) -> Found {
    let mut search = Search {
        model: Model::new(config, plans, slots),
        nodes: Vec::new(),
        known: HashSet::default(),
        good: HashSet::default(),
        good_unready: HashSet::default(),
    };
    for state in [at_rest(&config, 1), nothing_yet(&config)] {
        match search.model.begin(state.clone()) {
            Ok(state) => search.add(state, None),
            Err(broken) => {
                let path = format!("    {state}: BROKEN");
                return Found { states: 1, transitions: 0, broken: Some((broken, path)) };
            }
        }
    }
    let (mut next, mut transitions) = (0, 0);
    while next < search.nodes.len() {
        let state = Rc::clone(&search.nodes[next].state);
        if let Err(broken) = search.ends_well(&state, false).and_then(|()| search.ends_well(&state, true)) {
            let path = search.path(next, None);
            return Found { states: search.nodes.len(), transitions, broken: Some((broken, path)) };
        }
        for (event, after) in search.model.successors(&state) {
            transitions += 1;
            match after {
                Ok(after) => search.add(after, Some((next, event))),
                Err(broken) => {
                    let path = search.path(next, Some(&event));
                    return Found { states: search.nodes.len(), transitions, broken: Some((broken, path)) };
                }
            }
        }
        next += 1;
    }
    Found { states: search.nodes.len(), transitions, broken: None }
}

impl Search<'_> {
    fn add(&mut self, state: State, from: Option<(usize, Event)>) {
        let state = Rc::new(state);
        if self.known.insert(Rc::clone(&state)) {
            self.nodes.push(Node { state, from });
        }
    }

    /// Liveness: from here on without trouble. Bases that aren't ready become so, unless `unready`.
    fn ends_well(&mut self, from: &State, unready: bool) -> Result<(), Broken> {
        if unready && !from.bases.iter().any(|base| base.is(Flag::Unready)) {
            return Ok(());
        }
        // What is left to go wrong makes no difference where nothing does.
        let mut state = State { budget: 0, ..from.clone() };
        let mut way = Vec::new();
        while !(if unready { &self.good_unready } else { &self.good }).contains(&state) {
            way.push(state.clone());
            let next = self.model.calm(state.clone(), unready)?;
            if next == state {
                let unplaced = self.model.unplaced(&state);
                let told = |broken: Broken| Broken { why: format!("{}; the end is {state}", broken.why), ..broken };
                rules::end(&state, unplaced).map_err(told)?;
                break;
            }
            if way.len() > 100 {
                return Err(Broken { rule: Rule::End, why: format!("no end after 100 rounds: {state}") });
            }
            state = next;
        }
        (if unready { &mut self.good_unready } else { &mut self.good }).extend(way);
        Ok(())
    }

    /// How a state is reached, and what happens then.
    fn path(&self, mut at: usize, then: Option<&Event>) -> String {
        let mut lines = Vec::new();
        if let Some(event) = then {
            lines.push(format!("{}: BROKEN", Told(event, &self.nodes[at].state)));
        }
        loop {
            lines.push(format!("    {}", self.nodes[at].state));
            let Some((before, event)) = &self.nodes[at].from else { break };
            lines.push(Told(event, &self.nodes[*before].state).to_string());
            at = *before;
        }
        lines.reverse();
        lines.join("\n")
    }
}

fn begin(config: &Config) -> State {
    State {
        bases: vec![Base::default(); usize::from(config.desired + config.spare)],
        sets: [Set::default(); VERSIONS],
        status: Status::default(),
        terms: config.terms,
        version: 0,
        desired: config.desired,
        confirm: 0,
        paused: false,
        confirmed: 0,
        budget: config.budget,
    }
}

/// A deployment that was just made.
fn nothing_yet(config: &Config) -> State {
    begin(config)
}

/// The first version runs on all bases but the spare ones, and the user has just asked for `version`.
fn at_rest(config: &Config, version: u8) -> State {
    let mut state = State { version, ..begin(config) };
    let there = Place {
        here: true,
        available: true,
        installed: true,
        active: true,
        noted: config.extras.drain,
        served: config.extras.drain,
        ..Place::default()
    };
    for base in state.bases.iter_mut().take(usize::from(config.desired)) {
        *base = base.with(0, there);
        base.set(Flag::Labelled, true);
    }
    state.sets[0] = Set { exists: true, desired: config.desired, number: 1, name: 1, baseline: 0 };
    let batch = config.terms.batches.clamp(1, config.desired.max(1));
    state.status = Status { revision: 1, batch, shown: Shown::Completed, ..Status::default() };
    state.sort();
    state
}
