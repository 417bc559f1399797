//! The search: breadth first, each state once, so that what is found broken is found by a shortest path.

use std::collections::HashSet;
use std::rc::Rc;

use super::{
    events::{Config, Event, Model, Told},
    plans::Plans,
    rules::{self, Broken, Rule},
    state::{Base, Place, Set, Shown, State, Status, VERSIONS},
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
}

/// Every state that can be reached, until a rule is broken.
pub fn explore(config: Config, plans: &mut Plans) -> Found {
    let mut search =
        Search { model: Model { config, plans }, nodes: Vec::new(), known: HashSet::new(), good: HashSet::new() };
    for state in [at_rest(&config, 1), nothing_yet(&config)] {
        // Prompt, the operator has looked before anything else can happen: nothing but trouble would make it look.
        let looked = if config.slow { Ok(state.clone()) } else { search.model.settle(state.clone(), false) };
        search.add(state.clone(), None);
        match looked {
            Ok(looked) => search.add(looked, None),
            Err(broken) => {
                let path = format!("    {state}");
                return Found { states: 1, transitions: 0, broken: Some((broken, path)) };
            }
        }
    }
    let (mut next, mut transitions) = (0, 0);
    while next < search.nodes.len() {
        let state = Rc::clone(&search.nodes[next].state);
        if let Err(broken) = search.ends_well(&state) {
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

    /// Liveness: from here on without trouble.
    fn ends_well(&mut self, from: &State) -> Result<(), Broken> {
        // What is left to go wrong makes no difference where nothing does.
        let mut state = State { budget: 0, ..from.clone() };
        let mut way = Vec::new();
        while !self.good.contains(&state) {
            way.push(state.clone());
            let next = self.model.calm(state.clone())?;
            if next == state {
                let unplaced = self.model.plans.placement(&state, false).unplaced;
                let told = |broken: Broken| Broken { why: format!("{}; the end is {state}", broken.why), ..broken };
                rules::end(&self.model.config, &state, unplaced).map_err(told)?;
                break;
            }
            if way.len() > 100 {
                return Err(Broken { rule: Rule::End, why: format!("no end after 100 rounds: {state}") });
            }
            state = next;
        }
        self.good.extend(way);
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
    let there = Place { here: true, leaving: false, available: true, installed: true, active: true };
    for base in state.bases.iter_mut().take(usize::from(config.desired)) {
        *base = base.with(0, there);
    }
    state.sets[0] = Set { exists: true, desired: config.desired, number: 1, name: 1, baseline: 0 };
    let batch = config.batches.clamp(1, config.desired.max(1));
    state.status = Status { revision: 1, batch, shown: Shown::Completed, ..Status::default() };
    state.sort();
    state
}
