//! What to do about the lease, decided without client, clock or randomness.
//!
//! Expiry is judged as client-go's elector judges it: the times *inside* a record belong to somebody
//! else's clock and are only compared for equality. What counts is how long ago, by our own monotonic
//! clock, the record last looked different. So a holder with a clock years off keeps its lease as long as
//! it renews, and a dead one loses it one lease duration after our last sight of a change.
//!
//! Must not: read a clock, or take a wall-clock time into any decision.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;
use tokio::time::Instant;

/// The part of a Lease that leader election reads. Two equal records mean "nobody renewed in between".
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Identity of the holder; empty after a release.
    pub holder: String,
    /// What the holder promised. `None` where absent or not positive.
    pub duration: Option<Duration>,
    /// When the holder took the lease, by its own clock.
    pub acquired: Option<Timestamp>,
    /// When the holder last renewed, by its own clock.
    pub renewed: Option<Timestamp>,
    /// How often the lease changed hands.
    pub transitions: i32,
}

impl Record {
    /// Reads the record out of a Lease; a Lease without spec is a free one.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            duration: spec
                .lease_duration_seconds
                .and_then(|s| u64::try_from(s).ok())
                .filter(|s| *s > 0)
                .map(Duration::from_secs),
            acquired: spec.acquire_time.map(|t| t.0),
            renewed: spec.renew_time.map(|t| t.0),
            transitions: spec.lease_transitions.unwrap_or_default(),
        }
    }
}

/// The three periods of the protocol. See [`Timing::default`] for the values of client-go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// How long others leave a lease alone after they last saw it change.
    pub lease: Duration,
    /// How long the holder goes on without a successful renewal, counted from when the last one was *sent*.
    pub renew_deadline: Duration,
    /// Pause between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    /// 15 s, 10 s and 2 s: the defaults of client-go, which V1 ran with.
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

impl Timing {
    /// Checks what the safety argument rests on: the holder stops before the others may start, and gets
    /// more than one try to renew. The lease must be whole seconds, because the record stores seconds.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.lease.subsec_nanos() != 0 || self.lease.is_zero() {
            Err("the lease duration must be a whole number of seconds, at least 1")
        } else if self.renew_deadline >= self.lease {
            Err("the renew deadline must be shorter than the lease duration")
        } else if self.retry.is_zero() || self.retry * 2 > self.renew_deadline {
            Err("the retry period must be positive and at most half of the renew deadline")
        } else {
            Ok(())
        }
    }
}

/// What this process remembers between two attempts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The last record seen, and when, by our clock, it was first seen looking like that.
    pub seen: Option<(Record, Instant)>,
    /// Set while this process leads: when its last successful write was sent.
    pub renewed_at: Option<Instant>,
}

impl Memory {
    /// Takes note of what a look at the API returned. `now` is when the answer was there.
    pub fn note(&mut self, observed: Option<&Record>, now: Instant) {
        match (observed, &self.seen) {
            (None, _) => self.seen = None,
            (Some(new), Some((old, _))) if new == old => {}
            (Some(new), _) => self.seen = Some((new.clone(), now)),
        }
    }

    /// Since when the record has looked as it does; a record that was never noted was first seen now.
    fn unchanged_since(&self, record: &Record, now: Instant) -> Instant {
        match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => now,
        }
    }
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// No Lease object: create it in our name.
    Create,
    /// Replace the Lease that was observed, guarded by its resourceVersion.
    Replace(Claim),
    /// Somebody else holds it; it can't be taken before `until` unless it is released.
    Wait {
        /// When the lease runs out if nobody renews it.
        until: Instant,
        /// Who holds it.
        holder: String,
    },
    /// This process led and must stop at once.
    Lost(Loss),
}

/// In which role the Lease is replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claim {
    /// We hold it: only the renew time changes.
    Renew,
    /// It is free or has run out: new acquire time, one transition more.
    TakeOver,
}

/// Why leadership ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// No renewal succeeded within the deadline.
    Deadline,
    /// The record names somebody else, or was emptied.
    Taken {
        /// The name in the record; may be empty.
        by: String,
    },
    /// The Lease object is gone, so anybody may have created and held it since.
    Deleted,
}

/// Decides the next step.
///
/// While leading, anything but our own name in the record ends the leadership, and so does the deadline:
/// nothing is won back in place, because somebody else may have led in between. Outside of it, a lease is
/// taken only if it is absent, released, already in our name (a write whose answer was lost), or unchanged
/// for its whole duration.
pub fn plan_lease(observed: Option<&Record>, memory: &Memory, now: Instant, me: &str, timing: &Timing) -> Step {
    if let Some(renewed_at) = memory.renewed_at {
        return plan_renewal(observed, renewed_at, now, me, timing);
    }
    let Some(record) = observed else {
        return Step::Create;
    };
    if record.holder == me {
        return Step::Replace(Claim::Renew);
    }
    if record.holder.is_empty() {
        return Step::Replace(Claim::TakeOver);
    }
    let until = memory.unchanged_since(record, now) + record.duration.unwrap_or(timing.lease);
    if now >= until { Step::Replace(Claim::TakeOver) } else { Step::Wait { until, holder: record.holder.clone() } }
}

fn plan_renewal(observed: Option<&Record>, renewed_at: Instant, now: Instant, me: &str, timing: &Timing) -> Step {
    if now >= renewed_at + timing.renew_deadline {
        return Step::Lost(Loss::Deadline);
    }
    match observed {
        None => Step::Lost(Loss::Deleted),
        Some(record) if record.holder == me => Step::Replace(Claim::Renew),
        Some(record) => Step::Lost(Loss::Taken { by: record.holder.clone() }),
    }
}

/// The Lease to create where there is none.
pub fn build_new(namespace: &str, name: &str, me: &str, wall: Timestamp, timing: &Timing) -> Lease {
    let time = MicroTime(micros(wall));
    Lease {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: Some(whole_seconds(timing.lease)),
            acquire_time: Some(time.clone()),
            renew_time: Some(time),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }),
    }
}

/// The Lease that replaces `current`. Everything that isn't ours to write (labels, owner references, the
/// resourceVersion that guards the write) is kept.
pub fn build_claim(current: &Lease, claim: Claim, me: &str, wall: Timestamp, timing: &Timing) -> Lease {
    let mut lease = current.clone();
    let old = Record::of(current);
    let spec = lease.spec.get_or_insert_default();
    let time = MicroTime(distinct_from(wall, old.renewed));
    spec.holder_identity = Some(me.to_owned());
    spec.lease_duration_seconds = Some(whole_seconds(timing.lease));
    if claim == Claim::TakeOver {
        spec.acquire_time = Some(time.clone());
        spec.lease_transitions = Some(old.transitions.saturating_add(1));
    }
    spec.renew_time = Some(time);
    lease
}

/// The Lease that gives `current` back, as client-go writes it: no holder, a duration of one second. `None`
/// unless the record names us, so another's lease is never dropped.
pub fn build_release(current: &Lease, me: &str, wall: Timestamp) -> Option<Lease> {
    let old = Record::of(current);
    if old.holder != me {
        return None;
    }
    let mut lease = current.clone();
    let spec = lease.spec.get_or_insert_default();
    let time = MicroTime(distinct_from(wall, old.renewed));
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    spec.acquire_time = Some(time.clone());
    spec.renew_time = Some(time);
    Some(lease)
}

/// A wall clock that stands still or is stepped back by exactly the right amount must not make a renewal
/// look like no change at all.
fn distinct_from(wall: Timestamp, last: Option<Timestamp>) -> Timestamp {
    let wall = micros(wall);
    if Some(wall) == last { wall.checked_add(Duration::from_micros(1)).unwrap_or(wall) } else { wall }
}

/// The API stores microseconds; comparing needs the same precision.
fn micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
