//! Commands to bases over MQTT, and their answers.
//!
//! What isn't known to have been written was not sent; what was written and isn't answered in time, or whose answer was lost
//! with the connection, is unknown, and whoever asked looks. There is no command that switches versions: a version that the
//! base left idle is taken away instead, once no other one serves, and the plan installs it again, which makes it the active
//! one. Must not: send anything twice.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    desk::Desk,
    link::Parcel,
    message::{About, Answer},
    topics::{Order, Topics},
};
use crate::{
    arklet::{
        client::{Bounds, Health, InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
        outcome,
        session::{Command, Outcome},
        wire::{Biz, BizRequest, BizState, NoParameters},
    },
    runtime::clock::Clock,
};

/// A broker that keeps a command for a base that is away, against all configuration, shall do so no longer (seconds).
const EXPIRY: u32 = 10;
/// Longest message to a base; a command has some hundred bytes.
const LONGEST: usize = 256 << 10;
/// A base that isn't heard for so long after the broker came back may still be on its way there (milliseconds): clients
/// double the wait between their attempts up to two minutes.
pub const RETURN_MS: i64 = 150_000;

/// Between two looks at a base that installs something, in times of a question's bound.
const LOOK_EVERY: u32 = 3;

/// Why a base keeps the old version, and what to do.
const NO_SWITCH: &str = "the base left the new version idle, and MQTT has no command to switch to it; start the base with \
                         -Dactivate.new.module=true, or let the old pod go first (strategy Recreate, or maxSurge 0)";
/// Why a version is taken away that was just installed.
const AGAIN: &str = "the base left this version idle; it is installed again, which makes it active";

/// The way to the broker, as far as it is open.
#[derive(Default)]
struct Way {
    parcels: Option<mpsc::Sender<Parcel>>,
    /// Since when it is open, or why it isn't.
    state: Option<Result<i64, String>>,
}

/// Tells bases what to do.
pub struct Commands {
    topics: Topics,
    bounds: Bounds,
    clock: Clock,
    way: Mutex<Way>,
    desk: Mutex<Desk<oneshot::Sender<Answer>>>,
    /// A question was closed.
    closed: Notify,
    returning: i64,
}

impl Commands {
    /// For the bases of one environment. `returning`: as [`RETURN_MS`].
    pub fn new(topics: Topics, bounds: Bounds, returning: i64) -> Self {
        let (way, desk) = (Mutex::default(), Mutex::default());
        Self { topics, bounds, clock: Clock::start(), way, desk, closed: Notify::new(), returning }
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desk(&self) -> MutexGuard<'_, Desk<oneshot::Sender<Answer>>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The broker takes messages from now on.
    pub fn opened(&self, parcels: mpsc::Sender<Parcel>) {
        *self.way() = Way { parcels: Some(parcels), state: Some(Ok(self.clock.now())) };
    }

    /// The broker is away: whoever waits for an answer waits no longer.
    pub fn lost(&self, why: String) {
        *self.way() = Way { parcels: None, state: Some(Err(why)) };
        // Dropped, which wakes those who wait.
        drop(self.desk().lost());
        self.closed.notify_waiters();
    }

    /// Whether the broker can be reached.
    pub fn is_open(&self) -> Result<(), String> {
        match &self.way().state {
            Some(Ok(_)) => Ok(()),
            Some(Err(why)) => Err(why.clone()),
            None => Err("the broker wasn't reached yet".to_owned()),
        }
    }

    /// Until when the silence of a base that was last heard at `heard` says nothing about it, at `now` (milliseconds); see
    /// [`excused`].
    pub fn excused(&self, heard: Option<i64>, now: i64) -> Option<i64> {
        let since = match &self.way().state {
            Some(Ok(since)) => Some(*since),
            _ => None,
        };
        excused(since, heard, self.returning, now)
    }

    /// Whether every base has had the time to be heard, at `now`.
    pub fn has_listened(&self, now: i64) -> bool {
        self.excused(None, now).is_some_and(|until| until < now)
    }

    /// A base published something.
    pub fn heard(&self, device: &str, published: i64) {
        self.desk().heard(device, published, self.clock.now());
    }

    /// A base answered.
    pub fn answered(&self, device: &str, about: &About, published: i64, answer: Answer) {
        let asked = self.desk().answered(device, about, published);
        match asked {
            Some(reply) => {
                // Whoever asked may have given up in this moment.
                let _ = reply.send(answer);
                self.closed.notify_waiters();
            }
            None => tracing::debug!(device, order = about.order.word(), "nobody waits for this answer"),
        }
    }

    /// Carries a command out and tells how it ended.
    pub async fn carry_out(&self, device: &str, command: &Command) -> Outcome {
        match command {
            Command::Look => Outcome::Looked(self.look(device).await),
            Command::Health => Outcome::Health(self.health(device).await.map(|health| health.metaspace)),
            Command::Install { name, version, url } => {
                Outcome::Installed(self.install(device, name, version, url).await)
            }
            Command::Uninstall { name, version } => {
                let body = self.operate(device, Order::UninstallBiz, (name, version), None).await;
                Outcome::Uninstalled(UninstallOutcome::of(body))
            }
            Command::Switch { name, version } => Outcome::Switched(self.switch(device, name, version).await),
        }
    }

    /// Asks a base how it is.
    pub async fn health(&self, device: &str) -> Result<Health, NoAnswer> {
        match self.question(device, Order::Health).await? {
            Answer::Reply(body) => outcome::health(&body),
            Answer::List(_) => Err(NoAnswer::Unknown("the agent's answer is about something else".to_owned())),
        }
    }

    /// A base whose own connection breaks in mid-install answers never, and nobody tells us: so its list is looked at too.
    async fn install(&self, device: &str, name: &str, version: &str, url: &str) -> InstallOutcome {
        let answer = self.operate(device, Order::InstallBiz, (name, version), Some(url));
        tokio::select! {
            body = answer => InstallOutcome::of(body, name, version),
            state = self.until_started(device, name, version) => InstallOutcome::Installed(state),
        }
    }

    /// Waits until a version has been listed as started twice in a row: time enough for the answer that says so.
    async fn until_started(&self, device: &str, name: &str, version: &str) -> BizState {
        let mut seen = 0;
        loop {
            tokio::time::sleep(self.bounds.query * LOOK_EVERY).await;
            let list = self.look(device).await.unwrap_or_default();
            let found = list.into_iter().find(|biz| biz.name == name && biz.version == version);
            match found.map(|biz| biz.state) {
                Some(state @ (BizState::Activated | BizState::Deactivated)) if seen > 0 => return state,
                Some(BizState::Activated | BizState::Deactivated) => seen += 1,
                _ => seen = 0,
            }
        }
    }

    async fn look(&self, device: &str) -> Result<Vec<Biz>, NoAnswer> {
        match self.question(device, Order::QueryAllBiz).await? {
            Answer::Reply(body) => outcome::list(&body),
            Answer::List(list) => Ok(list),
        }
    }

    async fn switch(&self, device: &str, name: &str, version: &str) -> SwitchOutcome {
        let list = match self.look(device).await {
            Ok(list) => list,
            Err(no_answer) => return SwitchOutcome::NoAnswer(no_answer),
        };
        match idle(&list, name, version) {
            Idle::Active => SwitchOutcome::Switched,
            Idle::Absent => SwitchOutcome::NotFound,
            Idle::Starting => SwitchOutcome::Conflict,
            Idle::Behind => SwitchOutcome::Failed(NO_SWITCH.to_owned()),
            Idle::Alone => {
                let body = self.operate(device, Order::UninstallBiz, (name, version), None).await;
                match UninstallOutcome::of(body) {
                    UninstallOutcome::Gone => SwitchOutcome::Failed(AGAIN.to_owned()),
                    UninstallOutcome::Conflict => SwitchOutcome::Conflict,
                    UninstallOutcome::Failed(cause) => SwitchOutcome::Failed(cause),
                    UninstallOutcome::NoAnswer(no_answer) => SwitchOutcome::NoAnswer(no_answer),
                }
            }
        }
    }

    async fn operate(
        &self,
        device: &str,
        order: Order,
        (name, version): (&str, &str),
        url: Option<&str>,
    ) -> Result<Vec<u8>, NoAnswer> {
        let request = BizRequest { biz_name: name, biz_version: version, biz_url: url };
        let payload = serde_json::to_vec(&request).map_err(|error| not_sent(error.to_string()))?;
        let about = About { order, biz: Some((name.to_owned(), version.to_owned())) };
        match self.ask(device, &about, payload).await? {
            Answer::Reply(body) => Ok(body),
            Answer::List(_) => Err(NoAnswer::Unknown("the agent's answer is about something else".to_owned())),
        }
    }

    async fn question(&self, device: &str, order: Order) -> Result<Answer, NoAnswer> {
        let payload = serde_json::to_vec(&NoParameters {}).map_err(|error| not_sent(error.to_string()))?;
        self.ask(device, &About { order, biz: None }, payload).await
    }

    /// Sends a command once its turn has come, and waits for the answer.
    async fn ask(&self, device: &str, about: &About, payload: Vec<u8>) -> Result<Answer, NoAnswer> {
        let time = match about.order {
            Order::Health | Order::QueryAllBiz => self.bounds.query,
            Order::InstallBiz => self.bounds.install,
            Order::UninstallBiz => self.bounds.uninstall,
        };
        let turn = timeout_at(Instant::now() + time, self.turn(device, about)).await;
        let (ticket, answer) = turn.map_err(|_| not_sent("another command of this kind is under way".to_owned()))?;
        let _open = Closing { commands: self, device, order: about.order, ticket };
        self.desk().asked(device, about.order, ticket, self.clock.now());
        let until = Instant::now() + time;
        self.send(self.topics.order(device, about.order), payload, until).await?;
        match timeout_at(until, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoAnswer::Unknown("the connection to the broker was lost before the answer".to_owned())),
            Err(_) => Err(NoAnswer::Unknown(format!("no answer over MQTT within {time:?}"))),
        }
    }

    /// Waits until no question of this kind is open with the base, and opens this one.
    async fn turn(&self, device: &str, about: &About) -> (u64, oneshot::Receiver<Answer>) {
        let (mut reply, answer) = oneshot::channel();
        loop {
            let closed = self.closed.notified();
            tokio::pin!(closed);
            // Before looking: a question that is closed in between must not be missed.
            closed.as_mut().enable();
            let opened = self.desk().open(device, about, reply, self.clock.now());
            match opened {
                Ok(ticket) => return (ticket, answer),
                Err(back) => reply = back,
            }
            closed.await;
        }
    }

    /// Sends a message; `Ok` once it is written.
    pub async fn send(&self, topic: String, payload: Vec<u8>, until: Instant) -> Result<(), NoAnswer> {
        if payload.len() > LONGEST {
            return Err(not_sent(format!("a message of {} bytes is too long", payload.len())));
        }
        let closed = || not_sent(self.is_open().err().unwrap_or_else(|| "the broker is away".to_owned()));
        let Some(parcels) = self.way().parcels.clone() else { return Err(closed()) };
        let (written, done) = oneshot::channel();
        let parcel = Parcel { topic, payload, expiry: EXPIRY, written };
        if timeout_at(until, parcels.send(parcel)).await.map_or(true, |sent| sent.is_err()) {
            return Err(closed());
        }
        match timeout_at(until, done).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why))) => Err(NoAnswer::Unknown(format!("the command may not have left: {why}"))),
            Ok(Err(_)) => Err(closed()),
            // It may be on its way to the socket in this moment.
            Err(_) => Err(NoAnswer::Unknown("the broker takes no messages".to_owned())),
        }
    }
}

/// Closes a question, however the wait for its answer ends.
struct Closing<'a> {
    commands: &'a Commands,
    device: &'a str,
    order: Order,
    ticket: u64,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.commands.desk().close(self.device, self.order, self.ticket);
        self.commands.closed.notify_waiters();
    }
}

/// How a version stands that should serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// It serves.
    Active,
    /// It isn't there.
    Absent,
    /// It is starting, and may serve soon.
    Starting,
    /// Another version serves, or may soon.
    Behind,
    /// No other version serves.
    Alone,
}

fn idle(list: &[Biz], name: &str, version: &str) -> Idle {
    let named = || list.iter().filter(|biz| biz.name == name);
    match named().find(|biz| biz.version == version) {
        None => Idle::Absent,
        Some(biz) if biz.state == BizState::Activated => Idle::Active,
        Some(biz) if biz.state == BizState::Resolved => Idle::Starting,
        Some(_) => {
            let serves =
                |biz: &&Biz| !matches!(biz.state, BizState::Deactivated | BizState::Broken | BizState::Stopped);
            let other = named().filter(|biz| biz.version != version).find(serves);
            if other.is_some() { Idle::Behind } else { Idle::Alone }
        }
    }
}

/// Until when the silence of a base says nothing about it. Without a broker we are deaf, and it isn't the base that is gone:
/// it goes on serving. Once the broker is back (`since`), bases need a while (`returning`) until they are, too.
fn excused(since: Option<i64>, heard: Option<i64>, returning: i64, now: i64) -> Option<i64> {
    match since {
        None => Some(now),
        Some(since) if heard.is_none_or(|heard| heard < since) => Some(now.min(since.saturating_add(returning))),
        Some(_) => None,
    }
}

fn not_sent(why: String) -> NoAnswer {
    NoAnswer::NotSent(why)
}

/// For how long a baseline may wait to be sent.
const BASELINE: Duration = Duration::from_secs(5);

/// Answers a base that asks for its baseline.
pub async fn send_baseline(commands: &Arc<Commands>, device: &str, modules: Vec<u8>) {
    let sent = commands.send(commands.topics.baseline(device), modules, Instant::now() + BASELINE).await;
    if let Err(error) = sent {
        tracing::debug!(device, %error, "a baseline was not sent");
    }
}

#[cfg(test)]
mod tests;
