//! One base: the cell that connections work on, and the handle that tests hold.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::config::{BaseConfig, Behaviour, Fault};
use super::operate::Parameters;
use super::record::{Call, Change, Command, Counts, MAX_CALLS};
use super::state::{BaseState, BizView, Injected, Note, State};
use super::{Shared, lock};

pub(super) struct BaseCell {
    ip: IpAddr,
    state: Mutex<BaseState>,
    changed: Notify,
}

impl BaseCell {
    pub(super) fn new(ip: IpAddr, config: BaseConfig) -> Arc<Self> {
        Arc::new(Self { ip, state: Mutex::new(BaseState::new(config)), changed: Notify::new() })
    }

    /// Everybody who waits on this base looks again.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Looks without changing anything.
    pub(super) fn read<R>(&self, look: impl FnOnce(&BaseState) -> R) -> R {
        look(&lock(&self.state))
    }

    /// Changes the base; what is noteworthy goes to the ledger in the order in which it happened.
    pub(super) fn change<R>(&self, shared: &Shared, change: impl FnOnce(&mut BaseState) -> R) -> R {
        let mut state = lock(&self.state);
        let before = state.counts;
        let result = change(&mut state);
        let notes = std::mem::take(&mut state.notes);
        let mut ledger = lock(&shared.ledger);
        add_difference(&mut ledger.totals, before, state.counts);
        let at = shared.started.elapsed();
        for note in notes {
            match note {
                Note::Changed(name, version, state) => {
                    ledger.changed(Change { at, ip: self.ip, name, version, state });
                }
                Note::Violated(what) => ledger.violated(format!("{} at {at:?}: {what}", self.ip)),
            }
        }
        drop(ledger);
        drop(state);
        self.wake();
        result
    }

    /// Counts and logs a command as it arrives.
    pub(super) fn record(&self, shared: &Shared, command: Command, parameters: &Parameters) {
        let text = |parameter: &Option<String>| parameter.clone().unwrap_or_default();
        let mut state = lock(&self.state);
        state.counts.count(command);
        lock(&shared.ledger).totals.count(command);
        if !command.is_operation() && !state.config.log_questions {
            return;
        }
        if state.calls.len() == MAX_CALLS {
            state.calls.pop_front();
        }
        let call = Call {
            at: shared.started.elapsed(),
            incarnation: state.incarnation,
            command,
            name: text(&parameters.biz_name),
            version: text(&parameters.biz_version),
            url: text(&parameters.biz_url),
        };
        state.calls.push_back(call);
    }

    /// Waits until `look` finds something. The time, if one is given, ends the wait with nothing.
    pub(super) async fn wait<R>(
        &self,
        until: Option<Instant>,
        mut look: impl FnMut(&BaseState) -> Option<R>,
    ) -> Option<R> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before looking: a change between the look and the wait must not be missed.
            changed.as_mut().enable();
            if let Some(found) = look(&lock(&self.state)) {
                return Some(found);
            }
            match until {
                None => changed.await,
                Some(until) => timeout_at(until, changed).await.ok()?,
            }
        }
    }
}

fn add_difference(totals: &mut Counts, before: Counts, after: Counts) {
    let Counts { connections, installs, installed, uninstalls, uninstalled, switches, queries, healths, conflicts } =
        after;
    totals.connections += connections - before.connections;
    totals.installs += installs - before.installs;
    totals.installed += installed - before.installed;
    totals.uninstalls += uninstalls - before.uninstalls;
    totals.uninstalled += uninstalled - before.uninstalled;
    totals.switches += switches - before.switches;
    totals.queries += queries - before.queries;
    totals.healths += healths - before.healths;
    totals.conflicts += conflicts - before.conflicts;
}

/// A test's grip on one base. It stays valid over restarts and resets.
#[derive(Clone)]
pub struct Base {
    cell: Arc<BaseCell>,
    shared: Arc<Shared>,
}

impl Base {
    pub(super) fn new(cell: Arc<BaseCell>, shared: Arc<Shared>) -> Self {
        Self { cell, shared }
    }

    fn change<R>(&self, change: impl FnOnce(&mut BaseState) -> R) -> R {
        self.cell.change(&self.shared, change)
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        self.cell.ip
    }

    /// Changes its settings; operations that have begun keep the old ones.
    pub fn configure(&self, change: impl FnOnce(&mut BaseConfig)) {
        self.change(|state| change(&mut state.config));
    }

    /// How `name:version` behaves here, before what the simulator says for all. Ends a hang of an install that is under way.
    pub fn behave(&self, name: &str, version: &str, behaviour: Behaviour) {
        self.change(|state| state.behaviours.insert((name.to_owned(), version.to_owned()), behaviour));
    }

    /// From now on every command meets this fault, and no other.
    pub fn fault(&self, fault: Fault) {
        self.change(|state| state.faults = vec![Injected { fault, only: None, times: None }]);
    }

    /// From now on commands of this kind meet this fault, beside the others.
    pub fn fault_for(&self, command: Command, fault: Fault) {
        self.change(|state| state.faults.push(Injected { fault, only: Some(command), times: None }));
    }

    /// The next command of this kind meets this fault, beside the others.
    pub fn fault_once(&self, command: Command, fault: Fault) {
        self.change(|state| state.faults.push(Injected { fault, only: Some(command), times: Some(1) }));
    }

    /// Ends all faults. What hangs in one is closed without an answer.
    pub fn heal(&self) {
        self.change(|state| state.faults.clear());
    }

    /// Puts a biz there without a call, as an earlier operator might have.
    pub fn put(&self, name: &str, version: &str, state: State) {
        self.put_with_context(name, version, state, None);
    }

    /// As [`Base::put`], with a web context.
    pub fn put_with_context(&self, name: &str, version: &str, state: State, context: Option<&str>) {
        self.change(|base| {
            base.remove(name, version);
            base.put(name, version, state, context.map(str::to_owned), true);
        });
    }

    /// Moves a biz into a state by itself, as a module that breaks does.
    pub fn set_state(&self, name: &str, version: &str, state: State) {
        self.change(|base| base.enter(name, version, state));
    }

    /// Takes a biz away behind everybody's back.
    pub fn remove(&self, name: &str, version: &str) {
        self.change(|base| base.remove(name, version));
    }

    /// Restarts the container: same pod, nothing installed, every connection cut.
    pub fn empty(&self) {
        self.change(BaseState::empty);
    }

    /// A new pod in place of this one; see [`super::Sim::reset`].
    pub(super) fn replace(&self) {
        let config = lock(&self.shared.settings).config.clone();
        self.change(|state| {
            state.empty();
            state.config = config;
            state.incarnation += 1;
            state.behaviours.clear();
            state.faults.clear();
        });
    }

    /// Every listed biz, by name and version.
    pub fn list(&self) -> Vec<BizView> {
        self.cell.read(BaseState::view)
    }

    /// The state of a biz; `None` if it isn't listed.
    pub fn state(&self, name: &str, version: &str) -> Option<State> {
        self.list().into_iter().find(|biz| biz.name == name && biz.version == version).map(|biz| biz.state)
    }

    /// The version of `name` that serves.
    pub fn serving(&self, name: &str) -> Option<String> {
        let serves = |biz: &BizView| biz.name == name && biz.state == State::Activated;
        self.list().into_iter().find(serves).map(|biz| biz.version)
    }

    /// What serves without being listed, as name and version.
    pub fn ghosts(&self) -> Vec<(String, String)> {
        self.cell.read(|state| state.ghosts.clone())
    }

    /// The latest calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.cell.read(|state| state.calls.iter().cloned().collect())
    }

    /// How often what was asked since the base was first seen.
    pub fn counts(&self) -> Counts {
        self.cell.read(|state| state.counts)
    }

    /// Waits until the list is as wanted; `false` if it isn't by then.
    pub async fn until(&self, time: Duration, wanted: impl Fn(&[BizView]) -> bool) -> bool {
        let until = Instant::now() + time;
        self.cell.wait(Some(until), |state| wanted(&state.view()).then_some(())).await.is_some()
    }
}
