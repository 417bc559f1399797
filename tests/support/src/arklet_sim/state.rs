//! One base as a state machine: which biz there are, which operations run, and what an agent would answer.
//!
//! Time passes outside: an operation is a begin, a wait somewhere else, and an end. Everything worth remembering is noted, and
//! whoever holds the lock carries the notes away.
//!
//! Must not: wait, do IO, or ask for the time.

use std::collections::{HashMap, VecDeque};

use super::config::{BaseConfig, Behaviour, Fault, Style};
use super::record::{Call, Command, Counts};
use super::reply;

/// Event loops of an agent on two cores.
pub(super) const LOOPS: usize = 4;

/// The states of a biz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Starting.
    Resolved,
    /// Serving.
    Activated,
    /// Started, not serving.
    Deactivated,
    /// Start or stop failed.
    Broken,
    /// Stopped; real lists don't show it.
    Stopped,
}

impl State {
    /// The word for it.
    pub fn word(self, style: Style) -> &'static str {
        match (self, style) {
            (Self::Resolved, Style::Upper) => "RESOLVED",
            (Self::Resolved, Style::Lower) => "resolved",
            (Self::Activated, Style::Upper) => "ACTIVATED",
            (Self::Activated, Style::Lower) => "activated",
            (Self::Deactivated, Style::Upper) => "DEACTIVATED",
            (Self::Deactivated, Style::Lower) => "deactivated",
            (Self::Broken, Style::Upper) => "BROKEN",
            (Self::Broken, Style::Lower) => "broken",
            (Self::Stopped, Style::Upper) => "STOPPED",
            (Self::Stopped, Style::Lower) => "stopped",
        }
    }
}

/// A biz as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BizView {
    /// `bizName`.
    pub name: String,
    /// `bizVersion`.
    pub version: String,
    /// Its state.
    pub state: State,
}

#[derive(Clone, Debug)]
pub(super) struct Biz {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) state: State,
    pub(super) context: Option<String>,
    pub(super) spring: bool,
    /// How many states it has been in; the list shows as many empty records.
    pub(super) records: usize,
}

/// An operation that has begun.
struct Running {
    command: Command,
    name: String,
    version: String,
}

/// A fault, for which commands, and how often still.
pub(super) struct Injected {
    pub(super) fault: Fault,
    pub(super) only: Option<Command>,
    pub(super) times: Option<u32>,
}

/// What the simulator's ledger should know.
pub(super) enum Note {
    Changed(String, String, Option<State>),
    Violated(String),
}

#[derive(Default)]
pub(super) struct BaseState {
    pub(super) config: BaseConfig,
    /// How many pods there were at this address before.
    pub(super) incarnation: u64,
    /// Grows with every restart of the JVM: what began before dies.
    pub(super) epoch: u64,
    pub(super) biz: Vec<Biz>,
    pub(super) ghosts: Vec<(String, String)>,
    pub(super) behaviours: HashMap<(String, String), Behaviour>,
    pub(super) faults: Vec<Injected>,
    pub(super) counts: Counts,
    pub(super) calls: VecDeque<Call>,
    pub(super) connections: usize,
    /// Operations that occupy each event loop.
    pub(super) busy: [usize; LOOPS],
    pub(super) notes: Vec<Note>,
    running: Vec<Running>,
}

impl BaseState {
    pub(super) fn new(config: BaseConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// The end of the JVM: all that lived in it is gone.
    pub(super) fn empty(&mut self) {
        self.epoch += 1;
        self.running.clear();
        self.ghosts.clear();
        self.busy = [0; LOOPS];
        for biz in std::mem::take(&mut self.biz) {
            self.notes.push(Note::Changed(biz.name, biz.version, None));
        }
    }

    /// The fault that a command of this kind meets, if one is left for it.
    pub(super) fn fault_for(&mut self, command: Command) -> Option<Fault> {
        let meets = |injected: &Injected| injected.only.is_none_or(|only| only == command);
        let position = self.faults.iter().position(meets)?;
        let injected = &mut self.faults[position];
        let fault = injected.fault.clone();
        if let Some(times) = &mut injected.times {
            *times -= 1;
            if *times == 0 {
                self.faults.remove(position);
            }
        }
        Some(fault)
    }

    /// Takes `name:version` for an operation, or gives the refusal.
    pub(super) fn begin(&mut self, command: Command, name: &str, version: &str) -> Result<(), String> {
        if let Some(running) = self.running.iter().find(|r| r.name == name && r.version == version) {
            self.counts.conflicts += 1;
            return Err(reply::conflict(command, running.command, name, version));
        }
        if let Some(other) = self.running.iter().find(|r| r.name == name) {
            let (word, other_word, other_version) = (command.word(), other.command.word(), &other.version);
            self.notes.push(Note::Violated(format!(
                "{word} of {name}:{version} while {other_word} of {name}:{other_version} runs"
            )));
        }
        self.running.push(Running { command, name: name.to_owned(), version: version.to_owned() });
        Ok(())
    }

    /// Gives `name:version` back.
    pub(super) fn end(&mut self, name: &str, version: &str) {
        self.running.retain(|r| r.name != name || r.version != version);
    }

    pub(super) fn find(&mut self, name: &str, version: &str) -> Option<&mut Biz> {
        self.biz.iter_mut().find(|biz| biz.name == name && biz.version == version)
    }

    /// Moves a biz into a state.
    pub(super) fn enter(&mut self, name: &str, version: &str, state: State) {
        if let Some(biz) = self.find(name, version)
            && biz.state != state
        {
            biz.state = state;
            biz.records += 1;
            self.notes.push(Note::Changed(name.to_owned(), version.to_owned(), Some(state)));
        }
    }

    /// Takes a biz out of the list.
    pub(super) fn remove(&mut self, name: &str, version: &str) -> Option<Biz> {
        let position = self.biz.iter().position(|biz| biz.name == name && biz.version == version)?;
        self.notes.push(Note::Changed(name.to_owned(), version.to_owned(), None));
        Some(self.biz.remove(position))
    }

    /// The jar is here: the biz is in the list from now on, starting. A repeat is only noticed now.
    pub(super) fn register(&mut self, name: &str, version: &str, jar: &Behaviour) -> Result<(), String> {
        if self.find(name, version).is_some() {
            return Err(reply::repeated(name, version));
        }
        self.put(name, version, State::Resolved, jar.context.clone(), jar.spring);
        let versions: Vec<_> = self.biz.iter().filter(|biz| biz.name == name).map(|biz| biz.version.as_str()).collect();
        if versions.len() > 2 {
            let violation = format!("{} versions of {name} at once: {}", versions.len(), versions.join(", "));
            self.notes.push(Note::Violated(violation));
        }
        Ok(())
    }

    /// Adds a biz in a state.
    pub(super) fn put(&mut self, name: &str, version: &str, state: State, context: Option<String>, spring: bool) {
        let (name, version) = (name.to_owned(), version.to_owned());
        self.notes.push(Note::Changed(name.clone(), version.clone(), Some(state)));
        self.biz.push(Biz { name, version, state, context, spring, records: 1 });
    }

    /// The start is over. Which of two versions serves, only now is decided.
    pub(super) fn started(&mut self, name: &str, version: &str, jar: &Behaviour) -> String {
        if let Some(path) = jar.context.clone() {
            let holds = |biz: &Biz| (biz.name != name || biz.version != version) && biz.context.as_ref() == Some(&path);
            let serves = |biz: &Biz| matches!(biz.state, State::Activated | State::Deactivated);
            if self.biz.iter().any(|biz| holds(biz) && serves(biz)) {
                let clash = format!("java.lang.IllegalArgumentException: Child name [{path}] is not unique");
                return self.failed(name, version, &clash);
            }
        }
        let rival = self.biz.iter().find(|biz| biz.name == name && biz.state == State::Activated);
        let rival = rival.map(|biz| biz.version.clone());
        let state = match &rival {
            Some(_) if !self.config.activate_new => State::Deactivated,
            _ => State::Activated,
        };
        if let Some(rival) = rival.filter(|_| self.config.activate_new) {
            self.enter(name, &rival, State::Deactivated);
        }
        self.enter(name, version, state);
        self.counts.installed += 1;
        let (context, spring) = (jar.context.clone(), jar.spring);
        let plain = Biz { name: name.to_owned(), version: version.to_owned(), state, context, spring, records: 2 };
        let style = self.config.style;
        let Some(biz) = self.find(name, version).cloned() else {
            // It was removed while it started: it serves on, out of everybody's reach.
            self.ghosts.push((name.to_owned(), version.to_owned()));
            return reply::installed(&plain, style);
        };
        if jar.ghost {
            self.remove(name, version);
            self.ghosts.push((name.to_owned(), version.to_owned()));
        }
        reply::installed(&biz, style)
    }

    /// The start threw.
    pub(super) fn failed(&mut self, name: &str, version: &str, cause: &str) -> String {
        if self.config.auto_uninstall_failed {
            self.remove(name, version);
        } else {
            self.enter(name, version, State::Broken);
        }
        let wrapper = "org.springframework.beans.factory.BeanCreationException: the start failed";
        reply::threw(reply::INVOCATION, &[reply::INVOCATION, wrapper, cause])
    }

    /// `uninstallThenInstall`: every version of the name goes first, even one that is starting.
    pub(super) fn remove_all(&mut self, name: &str) {
        let versions: Vec<_> = self.biz.iter().filter(|b| b.name == name).map(|b| b.version.clone()).collect();
        for version in versions {
            self.remove(name, &version);
        }
    }

    /// The first half of an uninstall: from now on it doesn't serve.
    pub(super) fn stopping(&mut self, name: &str, version: &str) -> Result<(), String> {
        match self.find(name, version).map(|biz| biz.state) {
            None => {
                let message = format!("Uninstall biz: {name}:{version} not found.");
                Err(reply::refused("uninstall", "NOT_FOUND_BIZ", message))
            }
            Some(State::Resolved | State::Stopped) => {
                let why = "BizState must be ACTIVATED, DEACTIVATED or BROKEN.";
                let cause = format!("java.lang.IllegalArgumentException: {why}");
                Err(reply::threw(&cause, &[&cause]))
            }
            Some(_) => {
                self.enter(name, version, State::Deactivated);
                Ok(())
            }
        }
    }

    /// The second half of an uninstall: it is gone, whatever the answer says.
    pub(super) fn stopped(&mut self, name: &str, version: &str) -> String {
        let Some(biz) = self.remove(name, version) else {
            let message = format!("Uninstall biz: {name}:{version} not found.");
            return reply::refused("uninstall", "NOT_FOUND_BIZ", message);
        };
        self.counts.uninstalled += 1;
        if !biz.spring && self.config.no_spring_uninstall_errors {
            let cause = "java.lang.NullPointerException: no Spring context for this biz";
            return reply::threw(reply::INVOCATION, &[reply::INVOCATION, cause]);
        }
        reply::done(format!("Uninstall biz: {name}:{version} success."))
    }

    /// `switchBiz`, which takes no time.
    pub(super) fn switch(&mut self, name: &str, version: &str) -> String {
        match self.find(name, version).map(|biz| biz.state) {
            None => reply::refused("switch", "NOT_FOUND_BIZ", format!("Switch biz: {name}:{version} not found.")),
            Some(State::Activated | State::Deactivated) => {
                let active: Vec<_> = self
                    .biz
                    .iter()
                    .filter(|b| b.name == name && b.version != version && b.state == State::Activated)
                    .map(|b| b.version.clone())
                    .collect();
                for other in active {
                    self.enter(name, &other, State::Deactivated);
                }
                self.enter(name, version, State::Activated);
                reply::done(format!("Switch biz: {name}:{version} is activated."))
            }
            Some(state) => {
                let word = state.word(self.config.style);
                let message = format!("Switch Biz: {name}:{version}'s state must not be {word}.");
                reply::refused("switch", "ILLEGAL_STATE_BIZ", message)
            }
        }
    }

    /// The list as a test sees it, sorted.
    pub(super) fn view(&self) -> Vec<BizView> {
        let view = |biz: &Biz| BizView { name: biz.name.clone(), version: biz.version.clone(), state: biz.state };
        let mut list: Vec<_> = self.biz.iter().map(view).collect();
        list.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        list
    }
}
