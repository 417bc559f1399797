//! Events: what the operator tells about an object, as `kubectl describe` and `kubectl events` show it.
//!
//! What is said again within [`SERIES_ENDS`] is one Event that is counted (`series` of events.k8s.io/v1), and another
//! sentence is another Event. kube's own recorder takes both for the same as long as the reason is, so "release of 2.0.0
//! began" would be shown for 3.0.0 as well: the API server lets nobody change the note of an Event.
//!
//! [`Ledger`] decides, without a clock or a client; [`Ops::publish`] carries out. Must not: let anything depend on an
//! Event, or let one object fill the API server with them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use serde_json::json;

use super::ops::{MANAGER, Ops};
use crate::api::Reason;

/// What wasn't said again for so long, in milliseconds, is a new Event when it is (client-go's `finishTime`).
const SERIES_ENDS: i64 = 360_000;
/// From the second time on, a count is written so often at most, in milliseconds.
const COUNT_PACE: i64 = 60_000;
/// Different Events of one object that are alive at a time (the burst of client-go's spam filter). What is more is dropped.
const MOST_OF_ONE: usize = 25;
/// The API server refuses longer notes, in bytes (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1000;
/// And longer names and instances, in bytes.
const LONGEST_NAME: usize = 253;
const LONGEST_INSTANCE: usize = 128;

/// What is said, and of what: two that are equal are one Event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Said {
    object: Subject,
    warning: bool,
    reason: Reason,
    action: String,
    note: String,
}

/// The object that an Event is about. Without the resource version, which tells nothing about who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl From<&ObjectReference> for Subject {
    fn from(object: &ObjectReference) -> Self {
        let ObjectReference { kind, namespace, name, uid, .. } = object.clone();
        Self { kind, namespace, name, uid }
    }
}

/// An Event that is stored.
#[derive(Clone, Debug)]
struct Stored {
    name: String,
    count: i32,
    said_at: i64,
    written_at: i64,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A new Event.
    Create,
    /// This Event was said so often by now.
    Count { name: String, count: i32 },
    /// Nothing: the count was written a moment ago.
    Counted,
    /// Nothing: the object has too many.
    TooMany,
}

/// The Events of the last minutes.
#[derive(Debug, Default)]
struct Ledger(HashMap<Said, Stored>);

impl Ledger {
    /// What saying this takes, at `now` in milliseconds.
    fn next(&mut self, said: &Said, now: i64) -> Step {
        self.0.retain(|_, stored| now.saturating_sub(stored.said_at) < SERIES_ENDS);
        if let Some(stored) = self.0.get_mut(said) {
            stored.count = stored.count.saturating_add(1);
            stored.said_at = now;
            if stored.count > 2 && now.saturating_sub(stored.written_at) < COUNT_PACE {
                return Step::Counted;
            }
            stored.written_at = now;
            return Step::Count { name: stored.name.clone(), count: stored.count };
        }
        if self.0.keys().filter(|other| other.object == said.object).count() >= MOST_OF_ONE {
            return Step::TooMany;
        }
        Step::Create
    }

    fn created(&mut self, said: Said, name: String, now: i64) {
        self.0.insert(said, Stored { name, count: 1, said_at: now, written_at: now });
    }

    /// It is stored no longer: Events have an end of their own.
    fn lost(&mut self, said: &Said) {
        self.0.remove(said);
    }
}

/// Who reports, and what was reported.
#[derive(Debug)]
pub struct Recorder {
    instance: String,
    ledger: Mutex<Ledger>,
}

impl Recorder {
    /// `instance` names this process.
    pub fn new(mut instance: String) -> Self {
        instance.truncate(instance.floor_char_boundary(LONGEST_INSTANCE));
        Self { instance, ledger: Mutex::default() }
    }

    fn ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn event(&self, said: &Said, regarding: &ObjectReference, now: Timestamp) -> Event {
        let suffix = format!(".{:x}", now.as_nanosecond());
        let mut name = regarding.name.clone().unwrap_or_else(|| MANAGER.to_owned());
        name.truncate(name.floor_char_boundary(LONGEST_NAME - suffix.len()));
        Event {
            metadata: ObjectMeta {
                name: Some(name + &suffix),
                namespace: Some(home(regarding).to_owned()),
                ..ObjectMeta::default()
            },
            action: Some(said.action.clone()),
            event_time: Some(MicroTime(now)),
            note: Some(said.note.clone()),
            reason: Some(said.reason.to_string()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some(format!("koupleless.io/{MANAGER}")),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if said.warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}

impl Ops {
    /// Publishes an Event, or counts it where it was published a moment ago. One that can't be published is logged:
    /// nothing may depend on it.
    pub async fn publish(
        &self,
        regarding: &ObjectReference,
        warning: bool,
        reason: Reason,
        action: &str,
        note: String,
    ) {
        let (object, note) = (Subject::from(regarding), bounded(note));
        let said = Said { object, warning, reason, action: action.to_owned(), note };
        let now = Timestamp::now();
        let namespace = home(regarding);
        match self.recorder.ledger(|ledger| ledger.next(&said, now.as_millisecond())) {
            Step::Create => {}
            Step::Counted => return,
            Step::TooMany => {
                tracing::debug!(%reason, note = said.note, "an Event of an object that has too many is not published");
                return;
            }
            Step::Count { name, count } => {
                let patch = json!({ "series": { "count": count, "lastObservedTime": MicroTime(now) } });
                match self.patch::<Event>(namespace, &name, &patch).await {
                    Err(error) if error.is_not_found() => self.recorder.ledger(|ledger| ledger.lost(&said)),
                    Err(error) => return unpublished(reason, &error),
                    Ok(_) => return,
                }
            }
        }
        let event = self.recorder.event(&said, regarding, now);
        match self.create(namespace, &event).await {
            Ok(created) => {
                let name = created.metadata.name.unwrap_or_default();
                self.recorder.ledger(|ledger| ledger.created(said, name, now.as_millisecond()));
            }
            Err(error) => unpublished(reason, &error),
        }
    }
}

/// The namespace of an object's Events; what has none has them where Kubernetes keeps those of its own such objects.
fn home(regarding: &ObjectReference) -> &str {
    regarding.namespace.as_deref().unwrap_or("default")
}

fn unpublished(reason: Reason, error: &super::ops::Error) {
    tracing::warn!(%error, %reason, "an Event could not be published");
}

fn bounded(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        note.push_str("...");
    }
    note
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
