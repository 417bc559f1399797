//! Whose VNode it is: one Lease a VNode, held by one provider.
//!
//! The Lease is the heartbeat that Kubernetes looks for and the lock between providers at once: who holds it writes the
//! Node, its vPods, and talks to the agent. A time inside a Lease belongs to somebody else's clock and is only compared
//! for equality; a Lease has run out when it looked the same for its whole duration *here*. So a provider with a clock that
//! is years off keeps its VNodes, and a dead one loses them.
//!
//! Must not: read a clock. All times but those inside the Lease are local milliseconds.

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};

use crate::api::vkeys::{self, component, label};

/// The periods around a VNode's Lease (milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// How long others leave it alone after they last saw it change. Whole seconds.
    pub duration: i64,
    /// How often the holder renews it.
    pub renew: i64,
    /// How long the holder acts after the last renewal that succeeded was sent: less than the duration, by more than the
    /// longest request, because others may begin then.
    pub deadline: i64,
}

impl Default for Periods {
    /// 40 s, renewed every 10 s: the contract's. Requests to the API server end within 15 s.
    fn default() -> Self {
        Self { duration: 40_000, renew: 10_000, deadline: 24_000 }
    }
}

/// The part of a Lease that says whether its holder lives. Two equal ones mean that nobody renewed in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty after a release.
    pub holder: String,
    /// When it was last renewed, by the holder's clock.
    pub renewed: Option<Timestamp>,
    /// What the holder promised (milliseconds); `None` where absent or not positive.
    pub duration: Option<i64>,
}

impl Record {
    /// Reads it out of a Lease.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.as_ref();
        Self {
            holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
            renewed: spec.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0),
            duration: spec
                .and_then(|spec| spec.lease_duration_seconds)
                .filter(|seconds| *seconds > 0)
                .map(|seconds| i64::from(seconds) * 1000),
        }
    }
}

/// What this process knows of a Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// It has to be looked for.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// There is one.
    Seen {
        /// How it looks.
        record: Record,
        /// Since when it has looked like that here.
        since: i64,
    },
}

impl Sight {
    /// What is known after a look at `now`.
    #[must_use]
    pub fn seen(&self, found: Option<&Lease>, now: i64) -> Self {
        let Some(lease) = found else { return Self::Absent };
        let fresh = Record::of(lease);
        match self {
            Self::Seen { record, since } if *record == fresh => Self::Seen { record: fresh, since: *since },
            _ => Self::Seen { record: fresh, since: now },
        }
    }
}

/// The next thing to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read it.
    Look,
    /// Create it, in our name.
    Create,
    /// Renew it: it is ours.
    Renew,
    /// Take it: it was given back, or has run out.
    TakeOver,
    /// Ours, and fresh until then.
    Keep(i64),
    /// Somebody else's, at least until then.
    HandsOff(i64),
}

/// The next thing to do at `now` about a Lease that `me` wants. `renewed_at`: when this process's last successful write of
/// it was sent.
pub fn plan(sight: &Sight, renewed_at: Option<i64>, me: &str, periods: &Periods, now: i64) -> Step {
    let (record, since) = match sight {
        Sight::Unknown => return Step::Look,
        Sight::Absent => return Step::Create,
        Sight::Seen { record, since } => (record, *since),
    };
    if record.holder == me {
        return match renewed_at {
            Some(sent) if now < sent + periods.renew => Step::Keep(sent + periods.renew),
            _ => Step::Renew,
        };
    }
    let until = since + record.duration.unwrap_or(periods.duration);
    if record.holder.is_empty() || now >= until { Step::TakeOver } else { Step::HandsOff(until) }
}

/// Whether `me` may act on the VNode at `now`.
pub fn is_held(sight: &Sight, renewed_at: Option<i64>, me: &str, periods: &Periods, now: i64) -> bool {
    let ours = matches!(sight, Sight::Seen { record, .. } if record.holder == me);
    ours && renewed_at.is_some_and(|sent| now < sent + periods.deadline)
}

/// The Lease to create for a VNode.
pub fn build(vnode: &str, env: &str, me: &str, periods: &Periods, wall: Timestamp) -> Lease {
    let labels = [(label::COMPONENT, component::VNODE_LEASE), (label::ENV, env)];
    let time = MicroTime(micros(wall));
    Lease {
        metadata: ObjectMeta {
            namespace: Some(vkeys::LEASE_NAMESPACE.to_owned()),
            name: Some(vnode.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: Some(seconds(periods.duration)),
            acquire_time: Some(time.clone()),
            renew_time: Some(time),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }),
    }
}

/// The Lease that replaces `current`, renewed or taken. Its resource version guards the write.
pub fn claim(current: &Lease, me: &str, periods: &Periods, wall: Timestamp) -> Lease {
    let mut lease = current.clone();
    let before = Record::of(current);
    let spec = lease.spec.get_or_insert_default();
    // A clock that stands still must not make a renewal look like none.
    let wall = micros(wall);
    let same = before.renewed.map(micros) == Some(wall);
    let wall = if same { micros(wall + std::time::Duration::from_micros(1)) } else { wall };
    let time = MicroTime(wall);
    if before.holder != me {
        spec.acquire_time = Some(time.clone());
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
    }
    spec.holder_identity = Some(me.to_owned());
    spec.lease_duration_seconds = Some(seconds(periods.duration));
    spec.renew_time = Some(time);
    lease
}

/// The Lease that gives `current` back, so that another provider needn't wait; `None` unless it is `me`'s.
pub fn release(current: &Lease, me: &str) -> Option<Lease> {
    if Record::of(current).holder != me {
        return None;
    }
    let mut lease = current.clone();
    lease.spec.get_or_insert_default().holder_identity = Some(String::new());
    Some(lease)
}

/// The API server stores microseconds.
fn micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn seconds(millis: i64) -> i32 {
    i32::try_from(millis / 1000).unwrap_or(i32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ME: &str = "me";

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn lease(holder: &str, second: i64) -> Lease {
        build("vnode.a.dev", "dev", holder, &Periods::default(), wall(second))
    }

    fn seen(holder: &str, since: i64) -> Sight {
        Sight::Seen { record: Record::of(&lease(holder, 1)), since }
    }

    #[test]
    fn the_lease_is_what_the_contract_says() {
        let value = serde_json::to_value(lease(ME, 100)).unwrap();
        assert_eq!(value["metadata"]["namespace"], "kube-node-lease");
        assert_eq!(value["metadata"]["name"], "vnode.a.dev");
        assert_eq!(value["metadata"]["labels"]["virtual-kubelet.koupleless.io/component"], "vnode-lease");
        assert_eq!(value["metadata"]["labels"]["virtual-kubelet.koupleless.io/env"], "dev");
        assert_eq!(
            (&value["spec"]["holderIdentity"], &value["spec"]["leaseDurationSeconds"]),
            (&ME.into(), &40.into())
        );
        let time = "1970-01-01T00:01:40.000000Z";
        assert_eq!((&value["spec"]["acquireTime"], &value["spec"]["renewTime"]), (&time.into(), &time.into()));
        assert_eq!(value["spec"]["leaseTransitions"], 0);
        assert_eq!(Periods::default().renew, 10_000);
    }

    #[test]
    fn the_table_of_steps() {
        let periods = Periods::default();
        for (name, sight, renewed_at, now, step, held) in [
            ("nobody looked yet", Sight::Unknown, None, 5_000, Step::Look, false),
            ("there is none", Sight::Absent, None, 5_000, Step::Create, false),
            ("none, although we had it", Sight::Absent, Some(1_000), 5_000, Step::Create, false),
            ("ours and fresh", seen(ME, 0), Some(1_000), 5_000, Step::Keep(11_000), true),
            ("ours and due", seen(ME, 0), Some(1_000), 11_000, Step::Renew, true),
            ("ours and overdue", seen(ME, 0), Some(1_000), 25_000, Step::Renew, false),
            ("ours, of an earlier process", seen(ME, 0), None, 5_000, Step::Renew, false),
            ("another's", seen("other", 1_000), None, 40_999, Step::HandsOff(41_000), false),
            ("another's that ran out", seen("other", 1_000), None, 41_000, Step::TakeOver, false),
            ("another took ours", seen("other", 1_000), Some(900), 5_000, Step::HandsOff(41_000), false),
            ("given back", seen("", 1_000), None, 1_001, Step::TakeOver, false),
        ] {
            assert_eq!(plan(&sight, renewed_at, ME, &periods, now), step, "{name}");
            assert_eq!(is_held(&sight, renewed_at, ME, &periods, now), held, "{name}");
        }
    }

    #[test]
    fn a_lease_runs_out_by_the_local_clock_only() {
        // Renewed in the far future, by a clock that is wrong: it runs out all the same.
        let odd = lease("other", 9_999_999_999);
        let sight = Sight::Unknown.seen(Some(&odd), 7_000);
        assert_eq!(sight.seen(Some(&odd), 20_000), sight);
        assert_eq!(plan(&sight, None, ME, &Periods::default(), 47_000), Step::TakeOver);
        let renewed = claim(&odd, "other", &Periods::default(), wall(3));
        let Sight::Seen { since, .. } = sight.seen(Some(&renewed), 20_000) else { panic!("it was seen") };
        assert_eq!(since, 20_000);
    }

    #[test]
    fn claims_and_releases() {
        let old = lease("other", 100);
        let taken = claim(&old, ME, &Periods::default(), wall(100)).spec.unwrap();
        assert_eq!((taken.holder_identity.as_deref(), taken.lease_transitions), (Some(ME), Some(1)));
        assert_ne!(taken.renew_time, old.spec.as_ref().unwrap().renew_time, "a clock that stands still");
        let renewed = claim(&lease(ME, 100), ME, &Periods::default(), wall(110)).spec.unwrap();
        assert_eq!(
            (renewed.lease_transitions, renewed.acquire_time),
            (Some(0), lease(ME, 100).spec.unwrap().acquire_time)
        );
        assert_eq!(release(&old, ME), None);
        let free = release(&lease(ME, 100), ME).unwrap();
        assert_eq!(Record::of(&free).holder, "");
    }

    proptest! {
        #![proptest_config(crate::sweep::config(300, 1000))]

        /// Two providers, each with renewals that succeed or fail at random and looks at random times: never do both hold
        /// the VNode, as long as a write takes less than the difference of duration and deadline.
        #[test]
        fn two_providers_never_hold_one_vnode(steps in proptest::collection::vec((0usize..2, 1i64..9_000, 0i64..15_000, 0u8..4), 1..120)) {
            let periods = Periods::default();
            let mut stored: Option<Lease> = None;
            let mut sights = [Sight::Unknown, Sight::Unknown];
            let mut renewed: [Option<i64>; 2] = [None, None];
            let names = ["a", "b"];
            let mut now = 0i64;
            for (who, passed, latency, fate) in steps {
                now += passed;
                let me = names[who];
                sights[who] = sights[who].seen(stored.as_ref(), now);
                let sent = now;
                let step = plan(&sights[who], renewed[who], me, &periods, now);
                // The request is under way while time goes on; nobody else writes meanwhile (the resource version).
                if matches!(step, Step::Create | Step::Renew | Step::TakeOver) && fate > 0 {
                    now += latency;
                    let wall = Timestamp::from_millisecond(now).unwrap();
                    let written = match &stored {
                        None => build("v", "e", me, &periods, wall),
                        Some(lease) => claim(lease, me, &periods, wall),
                    };
                    stored = Some(written);
                    // The answer may be lost.
                    if fate > 1 {
                        sights[who] = sights[who].seen(stored.as_ref(), now);
                        renewed[who] = Some(sent);
                    }
                }
                let holds = |index: usize| is_held(&sights[index], renewed[index], names[index], &periods, now);
                prop_assert!(!(holds(0) && holds(1)), "at {now}: {sights:?} {renewed:?}");
            }
        }
    }
}
