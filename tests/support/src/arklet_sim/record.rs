//! What is remembered of a run: calls, counts, changes and violations. All of it is bounded.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::state::State;

/// Calls kept for each base, the latest.
pub(super) const MAX_CALLS: usize = 512;
/// Changes kept for all bases, the latest; about 100 bytes each.
const MAX_CHANGES: usize = 200_000;
/// Violations kept, the first ones: the rest is their consequence more often than not.
const MAX_VIOLATIONS: usize = 100;

/// A command of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// `installBiz`
    Install,
    /// `uninstallBiz`
    Uninstall,
    /// `switchBiz`
    Switch,
    /// `queryAllBiz`
    Query,
    /// `health`
    Health,
    /// Anything else.
    Other,
}

impl Command {
    /// The command behind a path without its slash.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "installBiz" => Self::Install,
            "uninstallBiz" => Self::Uninstall,
            "switchBiz" => Self::Switch,
            "queryAllBiz" => Self::Query,
            "health" => Self::Health,
            _ => Self::Other,
        }
    }

    /// The agent's own word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Install => "installBiz",
            Self::Uninstall => "uninstallBiz",
            Self::Switch => "switchBiz",
            Self::Query => "queryAllBiz",
            Self::Health => "health",
            Self::Other => "other",
        }
    }

    /// Whether it changes the base.
    pub(super) fn is_operation(self) -> bool {
        matches!(self, Self::Install | Self::Uninstall | Self::Switch)
    }
}

/// One command as it arrived, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When, since the simulator's start.
    pub at: Duration,
    /// Which pod it reached: 0 for the first at this address, one more after each reset.
    pub incarnation: u64,
    /// What was asked for.
    pub command: Command,
    /// `bizName`, empty for questions.
    pub name: String,
    /// `bizVersion`, empty for questions.
    pub version: String,
    /// `bizUrl`, empty unless something is installed.
    pub url: String,
}

/// How often what was asked for and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// `installBiz` received.
    pub installs: u64,
    /// Installs that put a biz there.
    pub installed: u64,
    /// `uninstallBiz` received.
    pub uninstalls: u64,
    /// Uninstalls that took a biz away.
    pub uninstalled: u64,
    /// `switchBiz` received.
    pub switches: u64,
    /// `queryAllBiz` received.
    pub queries: u64,
    /// `health` received.
    pub healths: u64,
    /// Operations refused because another one ran on the same name:version.
    pub conflicts: u64,
}

impl Counts {
    pub(super) fn count(&mut self, command: Command) {
        match command {
            Command::Install => self.installs += 1,
            Command::Uninstall => self.uninstalls += 1,
            Command::Switch => self.switches += 1,
            Command::Query => self.queries += 1,
            Command::Health => self.healths += 1,
            Command::Other => {}
        }
    }
}

/// A biz came into a state or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, since the simulator's start.
    pub at: Duration,
    /// On which base.
    pub ip: IpAddr,
    /// `bizName`.
    pub name: String,
    /// `bizVersion`.
    pub version: String,
    /// Its state from then on; `None` once it is gone.
    pub state: Option<State>,
}

/// The memory of all bases together.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) totals: Counts,
    pub(super) changes: VecDeque<Change>,
    pub(super) violations: Vec<String>,
}

impl Ledger {
    pub(super) fn changed(&mut self, change: Change) {
        if self.changes.len() == MAX_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    pub(super) fn violated(&mut self, violation: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(violation);
        }
    }
}
