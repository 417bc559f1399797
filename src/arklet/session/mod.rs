//! One conversation per base pod.
//!
//! A reconcile never waits for an agent: it hands over a wish and returns; the session's task talks to the agent and
//! wakes the Modules concerned when their news changes. A hanging base costs one task. What is said next is decided
//! by [`state::State`]; this module only has it carried out, within the bounds of [`Agents`], and only while the pod's UID is
//! still the one that the session is about.
//!
//! Must not: outlive its pod, or believe an answer that came from another pod at the same address.

mod command;
pub mod state;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::state::State;
pub use self::state::{Command, Outcome};
use super::{
    agents::Agents,
    client::{Endpoint, NoAnswer},
    wire::Metaspace,
};
use crate::{
    domain::{
        module::Told,
        slot::{BizState, Wish},
        spread,
    },
    runtime::clock::Clock,
};

/// The pod that a conversation is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

/// What sessions need of the rest of the process.
pub trait World: Send + Sync {
    /// Whether the pod with this UID still has this address, as far as is known.
    fn is_current(&self, base: &BaseId, at: Endpoint) -> bool;
    /// There is news for a Module on this base.
    fn wake(&self, base: &BaseId, module: &str);
    /// The base has room for more again, or no longer has; or something that nobody here asked for came or went on it.
    fn room_changed(&self, base: &BaseId);
    /// A call ended.
    fn called(&self, command: &'static str, outcome: &'static str, took: Duration);
}

/// How much is asked of agents beside what is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// How often a base is asked for its list.
    pub health_interval: Duration,
    /// A base with less than this percentage of its metaspace free has no room for more; 0: nobody asks.
    pub min_free_metaspace: u8,
}

/// The metaspace is asked for every so many health intervals.
const ROOM_EVERY: i64 = 6;

/// All conversations of this process.
pub struct Sessions {
    agents: Arc<dyn Agents>,
    clock: Clock,
    care: Care,
    world: Arc<dyn World>,
    open: Mutex<HashMap<String, Arc<Session>>>,
    stop: CancellationToken,
}

struct Session {
    base: BaseId,
    at: Endpoint,
    state: Mutex<State>,
    /// A wish changed.
    changed: Notify,
    stop: CancellationToken,
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// No conversations yet. All of them end when `stop` is cancelled.
    pub fn new(
        agents: Arc<dyn Agents>,
        clock: Clock,
        care: Care,
        world: Arc<dyn World>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let open = Mutex::new(HashMap::new());
        Arc::new(Self { agents, clock, care, world, open, stop })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the conversation with `base` what a Module wants of the slot `name`; begins it if needed. Returns what
    /// is known for the Module.
    pub fn wish(self: &Arc<Self>, base: &BaseId, at: Endpoint, name: &str, wish: Wish) -> Option<Told> {
        let mut open = self.open();
        let session = match open.get(&base.uid) {
            Some(session) if session.at == at => Arc::clone(session),
            _ => {
                let session = self.begin(base, at);
                if let Some(old) = open.insert(base.uid.clone(), Arc::clone(&session)) {
                    old.stop.cancel();
                }
                session
            }
        };
        // Under the map's lock, so that the conversation can't end as idle in between.
        let module = wish.module.clone();
        let mut state = session.state();
        let changed = state.wish(name, wish);
        let told = state.report(name, &module, self.clock.now());
        drop(state);
        drop(open);
        if changed {
            session.changed.notify_one();
        }
        told
    }

    fn begin(self: &Arc<Self>, base: &BaseId, at: Endpoint) -> Arc<Session> {
        let interval = spread::around(self.care.health_interval, &base.uid).as_millis();
        let interval = i64::try_from(interval).unwrap_or(i64::MAX);
        let room = (self.care.min_free_metaspace > 0).then(|| interval.saturating_mul(ROOM_EVERY));
        let session = Arc::new(Session {
            base: base.clone(),
            at,
            state: Mutex::new(State::new(&base.uid, interval, room)),
            changed: Notify::new(),
            stop: self.stop.child_token(),
        });
        tokio::spawn(converse(Arc::clone(self), Arc::clone(&session)));
        session
    }

    /// Takes a Module's wish back.
    pub fn withdraw(&self, base_uid: &str, name: &str, module: &str) {
        let session = self.open().get(base_uid).cloned();
        if let Some(session) = session {
            session.state().withdraw(name, module);
            session.changed.notify_one();
        }
    }

    /// The base's container was restarted.
    pub fn restarted(&self, base_uid: &str) {
        let session = self.open().get(base_uid).cloned();
        if let Some(session) = session {
            session.state().restarted();
            session.changed.notify_one();
        }
    }

    /// The pod is gone: the conversation ends, whatever is under way.
    pub fn close(&self, base_uid: &str) {
        if let Some(session) = self.open().remove(base_uid) {
            session.stop.cancel();
        }
    }

    /// What is known for one Module, without changing anything.
    pub fn told(&self, base_uid: &str, name: &str, module: &str) -> Option<Told> {
        let session = self.open().get(base_uid).cloned()?;
        session.state().report(name, module, self.clock.now())
    }

    /// The confirmed versions of a biz on a base; `None` where nobody asks or the state is unknown.
    pub fn versions(&self, base_uid: &str, name: &str) -> Option<BTreeMap<String, BizState>> {
        let session = self.open().get(base_uid).cloned()?;
        session.state().versions(name)
    }

    /// Whether a base is known to have too little metaspace left.
    pub fn is_tight(&self, base_uid: &str) -> bool {
        let session = self.open().get(base_uid).cloned();
        session.is_some_and(|session| self.leaves_too_little(session.state().metaspace()))
    }

    fn leaves_too_little(&self, metaspace: Option<Metaspace>) -> bool {
        metaspace.is_some_and(|metaspace| metaspace.has_less_free_than(self.care.min_free_metaspace))
    }

    /// Whether the agent of a base has stopped answering.
    pub fn is_silent(&self, base_uid: &str) -> bool {
        let session = self.open().get(base_uid).cloned();
        session.is_some_and(|session| session.state().is_silent())
    }

    /// How many conversations there are.
    pub fn count(&self) -> usize {
        self.open().len()
    }

    /// Takes note of an outcome.
    fn done(&self, session: &Session, command: &Command, outcome: Outcome) {
        let mut state = session.state();
        let before = self.leaves_too_little(state.metaspace());
        state.done(command, outcome, self.clock.now());
        let room_changed = before != self.leaves_too_little(state.metaspace());
        let changed = state.strangers_changed() | room_changed;
        drop(state);
        if changed {
            self.world.room_changed(&session.base);
        }
    }

    /// Forgets a conversation that has ended. Not another one that has begun with the same pod since.
    fn forget(&self, session: &Arc<Session>) {
        let mut open = self.open();
        if open.get(&session.base.uid).is_some_and(|known| Arc::ptr_eq(known, session)) {
            open.remove(&session.base.uid);
        }
    }

    /// Ends a conversation that nobody needs any more. Whether it ended. One about a base that is taken or tight goes on:
    /// forgotten, it would look like a free place again, and nobody would hear when it is one.
    fn end_if_idle(&self, session: &Arc<Session>) -> bool {
        let mut open = self.open();
        let state = session.state();
        let idle = state.is_idle() && !self.leaves_too_little(state.metaspace());
        drop(state);
        if idle && open.get(&session.base.uid).is_some_and(|known| Arc::ptr_eq(known, session)) {
            open.remove(&session.base.uid);
        }
        idle
    }
}

type Running<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = (Command, Option<Outcome>)> + Send + 'a>>>;

/// The task of one conversation.
async fn converse(sessions: Arc<Sessions>, session: Arc<Session>) {
    let mut running: Running<'_> = FuturesUnordered::new();
    loop {
        let now = sessions.clock.now();
        let commands = session.state().next(now);
        for command in commands {
            running.push(Box::pin(carry_out(&sessions, &session, command)));
        }
        let news = session.state().news(now);
        for module in news {
            sessions.world.wake(&session.base, &module);
        }
        if running.is_empty() && sessions.end_if_idle(&session) {
            return;
        }
        let wait = sessions.clock.until(session.state().deadline(now));
        tokio::select! {
            () = session.stop.cancelled() => return,
            Some((command, outcome)) = running.next() => match outcome {
                Some(outcome) => sessions.done(&session, &command, outcome),
                None => {
                    // The address belongs to another pod, or to none: whoever is concerned hears of it from the pod.
                    sessions.forget(&session);
                    return;
                }
            },
            () = session.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Carries a command out; `None` where the pod isn't the one meant any more, before or after.
async fn carry_out(sessions: &Sessions, session: &Session, command: Command) -> (Command, Option<Outcome>) {
    let current = || sessions.world.is_current(&session.base, session.at);
    if !current() {
        return (command, None);
    }
    let began = tokio::time::Instant::now();
    let outcome = sessions.agents.carry_out(&session.base, session.at, &command).await;
    let (kind, end) = words(&command, &outcome);
    sessions.world.called(kind, end, began.elapsed());
    if command.name().is_some() {
        tracing::debug!(base = %session.base.pod, ?command, outcome = end, "agent call ended");
    }
    let outcome = current().then_some(outcome);
    (command, outcome)
}

/// The command's and the outcome's words for metrics.
fn words(command: &Command, outcome: &Outcome) -> (&'static str, &'static str) {
    use super::client::{InstallOutcome as I, SwitchOutcome as S, UninstallOutcome as U};
    let kind = match command {
        Command::Look => "queryAllBiz",
        Command::Health => "health",
        Command::Install { .. } => "installBiz",
        Command::Uninstall { .. } => "uninstallBiz",
        Command::Switch { .. } => "switchBiz",
    };
    let no_answer = |no_answer: &NoAnswer| match no_answer {
        NoAnswer::NotSent(_) => "not_sent",
        NoAnswer::Unknown(_) => "unknown",
    };
    let end = match outcome {
        Outcome::Looked(Ok(_))
        | Outcome::Health(Ok(_))
        | Outcome::Installed(I::Installed(_) | I::AlreadyThere)
        | Outcome::Uninstalled(U::Gone)
        | Outcome::Switched(S::Switched) => "success",
        Outcome::Installed(I::Conflict) | Outcome::Uninstalled(U::Conflict) | Outcome::Switched(S::Conflict) => {
            "conflict"
        }
        Outcome::Installed(I::Rejected(_) | I::WrongIdentity { .. })
        | Outcome::Uninstalled(U::Failed(_))
        | Outcome::Switched(S::Failed(_) | S::NotFound) => "failed",
        Outcome::Looked(Err(error))
        | Outcome::Health(Err(error))
        | Outcome::Installed(I::NoAnswer(error))
        | Outcome::Uninstalled(U::NoAnswer(error))
        | Outcome::Switched(S::NoAnswer(error)) => no_answer(error),
    };
    (kind, end)
}
