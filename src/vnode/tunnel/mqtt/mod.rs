//! The MQTT tunnel: bases and provider meet at a broker, and neither needs to reach the other.
//!
//! ```text
//! base --heart, queryBaseline--> [broker] --> Post --queue--> Reception
//! base --answers---------------> [broker] --> Post ---------> Commands: whoever asked
//! base <--commands, baseline---- [broker] <-- link <--------- Commands
//! ```
//!
//! Every provider subscribes to everything of its environment; only the one that holds a VNode's Lease tells its base
//! anything. A session ends with its connection, and the next one begins with all subscriptions. Whoever may publish at the
//! broker may announce bases and answer for them, so the broker's access rules have to keep each base to its own topics.
//!
//! Must not: let a slow API server keep the connection from being read.

pub mod commands;
mod desk;
pub mod link;
mod message;
pub mod packets;
pub mod tls;
pub mod topics;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::{
    commands::Commands,
    link::{Address, Listener, Parcel},
    message::{Message, Said},
};
use super::{
    Reception, Way,
    wire::{BaseMetadata, Heartbeat},
};
use crate::domain::backoff;

/// Longest wait before the broker is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Announcements that may wait to be looked at. What doesn't fit is announced again in ten seconds.
const WAITING: usize = 1024;
/// Announcements that are looked at at a time: each may be a question to the API server, and anybody may ask for it.
const AT_ONCE: usize = 4;
/// Between two lines in the log about messages that have no effect.
const COMPLAIN: Duration = Duration::from_secs(30);
/// Not ready after the broker was away for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// An MQTT tunnel that was asked for.
#[derive(Clone)]
pub struct Open {
    /// The broker.
    pub address: Address,
    /// The way of commands.
    pub commands: Arc<Commands>,
}

/// What a base wants of the reception.
enum News {
    Heart(String, Box<Heartbeat>),
    QueryBaseline(String, BaseMetadata),
}

/// Connects, and connects again, until `stop`.
pub async fn serve(open: Open, reception: Arc<Reception>, stop: CancellationToken) {
    let Open { address, commands } = open;
    let filters = commands.topics().filters();
    let (inbox, news) = mpsc::channel(WAITING);
    let post = Post { commands: Arc::clone(&commands), inbox, complaints: Complaints::default() };
    let connecting = async {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            match link::run(&address, &filters, &post, &stop).await {
                Ok(()) => return,
                Err(why) => {
                    // Two clients of one name put each other out as soon as they are in.
                    failures = if began.elapsed() > LONGEST_WAIT { 1 } else { failures + 1 };
                    tracing::warn!(%why, failures, "no connection to the MQTT broker, trying again");
                    commands.lost(why.to_string());
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff::after(failures, &address.client_id).min(LONGEST_WAIT)) => {}
            }
        }
    };
    let receiving = receive(news, &reception, &post);
    tokio::select! {
        () = connecting => commands.lost("the process ends".to_owned()),
        () = receiving => {}
    }
}

/// Looks at announcements until there can be no more.
async fn receive(news: mpsc::Receiver<News>, reception: &Reception, post: &Post) {
    let news = futures::stream::unfold(news, |mut news| async move { Some((news.recv().await?, news)) });
    let look = |news| async move {
        match news {
            News::Heart(device, beat) => {
                let way = Way::Mqtt { device: device.clone() };
                if let Err(refusal) = reception.heartbeat(way, *beat).await {
                    post.complaints.about(&device, &refusal);
                }
            }
            News::QueryBaseline(device, base) => {
                let Some(modules) = reception.baseline_of_device(&device) else {
                    tracing::debug!(
                        device,
                        name = base.name,
                        "another provider answers, or nobody knows this base yet"
                    );
                    return;
                };
                match serde_json::to_vec(&modules) {
                    Ok(modules) => commands::send_baseline(&post.commands, &device, modules).await,
                    Err(error) => tracing::debug!(device, %error, "a baseline can't be written"),
                }
            }
        }
    };
    news.for_each_concurrent(AT_ONCE, look).await;
}

/// Sorts what arrives.
struct Post {
    commands: Arc<Commands>,
    inbox: mpsc::Sender<News>,
    complaints: Complaints,
}

impl Post {
    fn queue(&self, device: &str, news: News) {
        if self.inbox.try_send(news).is_err() {
            self.complaints.about(device, &"too many announcements wait; the base will announce itself again");
        }
    }
}

impl Listener for Post {
    fn open(&self, parcels: mpsc::Sender<Parcel>) {
        tracing::info!("the MQTT broker is connected");
        self.commands.opened(parcels);
    }

    fn message(&self, topic: &str, payload: &[u8]) {
        let Some((device, word)) = self.commands.topics().read(topic) else { return };
        // A wall clock: it is compared with another machine's.
        let Message { published, said } = match message::read(word, payload, Timestamp::now().as_millisecond()) {
            Ok(message) => message,
            Err(unfit) => return self.complaints.about(device, &unfit),
        };
        self.commands.heard(device, published);
        match said {
            Said::Heart(beat) => self.queue(device, News::Heart(device.to_owned(), beat)),
            Said::QueryBaseline(base) => self.queue(device, News::QueryBaseline(device.to_owned(), base)),
            Said::Answer(about, answer) => self.commands.answered(device, &about, published, answer),
            Said::BatchInstalled(Ok(())) => tracing::debug!(device, "a base has installed its baseline"),
            Said::BatchInstalled(Err(why)) => tracing::info!(device, why, "a base couldn't install its baseline"),
        }
    }

    fn too_long(&self, bytes: usize) {
        self.complaints.about("?", &format!("a message of {bytes} bytes is too long"));
    }
}

/// Says why messages have no effect, and not once for each: there is nobody to answer to, and anybody may send them.
#[derive(Default)]
struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    fn about(&self, device: &str, why: &dyn std::fmt::Display) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, unsaid) = &mut *state;
        if last.is_some_and(|last| last.elapsed() < COMPLAIN) {
            *unsaid += 1;
            return tracing::debug!(device, %why, "a message over MQTT has no effect");
        }
        tracing::warn!(device, %why, others = *unsaid, "a message over MQTT has no effect");
        *state = (Some(Instant::now()), 0);
    }
}

/// A check for the process's readiness: whether the broker can be reached. It makes the process unready for a while, and never
/// dead: a restart doesn't bring a broker back.
pub fn check(commands: Arc<Commands>) -> impl Fn(Instant) -> Result<(), String> + Send + Sync + 'static {
    let trouble: Mutex<Option<Instant>> = Mutex::new(None);
    move |now| {
        let mut began = trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match commands.is_open() {
            Ok(()) => {
                *began = None;
                Ok(())
            }
            Err(why) => {
                let since = *began.get_or_insert(now);
                if now.saturating_duration_since(since) < PATIENCE { Ok(()) } else { Err(why) }
            }
        }
    }
}
