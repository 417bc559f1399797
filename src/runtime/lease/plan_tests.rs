//! Tables on the lease decision: every input that matters, every step, clocks that disagree.

use super::*;

const ME: &str = "me_1";

fn wall(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(holder: &str, renewed: i64) -> Record {
    Record {
        holder: holder.to_owned(),
        duration: Some(secs(15)),
        acquired: Some(wall(0)),
        renewed: Some(wall(renewed)),
        transitions: 3,
    }
}

#[test]
fn plan_table() {
    struct Row {
        name: &'static str,
        observed: Option<Record>,
        /// The record remembered and its age in seconds.
        seen: Option<(Record, u64)>,
        /// Age in seconds of our last renewal, while leading.
        renewed: Option<u64>,
        want: fn(Instant) -> Step,
    }
    fn wait(now: Instant, left: u64) -> Step {
        Step::Wait { until: now + secs(left), holder: "other".to_owned() }
    }
    fn short(duration: Option<Duration>) -> Record {
        Record { duration, ..record("other", 0) }
    }
    let other = || record("other", 0);
    let rows = [
        Row { name: "no lease", observed: None, seen: None, renewed: None, want: |_| Step::Create },
        Row {
            name: "lease deleted under a waiting one",
            observed: None,
            seen: Some((other(), 3)),
            renewed: None,
            want: |_| Step::Create,
        },
        Row {
            name: "released",
            observed: Some(record("", 0)),
            seen: None,
            renewed: None,
            want: |_| Step::Replace(Claim::TakeOver),
        },
        Row {
            name: "ours by a lost answer",
            observed: Some(record(ME, 0)),
            seen: None,
            renewed: None,
            want: |_| Step::Replace(Claim::Renew),
        },
        Row {
            name: "first sight, record years old",
            observed: Some(record("other", -100_000_000)),
            seen: None,
            renewed: None,
            want: |now| wait(now, 15),
        },
        Row {
            name: "first sight, record from the future",
            observed: Some(record("other", 100_000_000)),
            seen: None,
            renewed: None,
            want: |now| wait(now, 15),
        },
        Row {
            name: "unchanged for 14 s",
            observed: Some(other()),
            seen: Some((other(), 14)),
            renewed: None,
            want: |now| wait(now, 1),
        },
        Row {
            name: "unchanged for 15 s",
            observed: Some(other()),
            seen: Some((other(), 15)),
            renewed: None,
            want: |_| Step::Replace(Claim::TakeOver),
        },
        Row {
            name: "unchanged, from the future: still expires",
            observed: Some(record("other", 9_999)),
            seen: Some((record("other", 9_999), 15)),
            renewed: None,
            want: |_| Step::Replace(Claim::TakeOver),
        },
        Row {
            name: "renewed since, clock going backwards",
            observed: Some(record("other", -50)),
            seen: Some((other(), 20)),
            renewed: None,
            want: |now| wait(now, 15),
        },
        Row {
            name: "another holder since",
            observed: Some(other()),
            seen: Some((record("third", 0), 20)),
            renewed: None,
            want: |now| wait(now, 15),
        },
        Row {
            name: "the holder's own duration counts",
            observed: Some(short(Some(secs(40)))),
            seen: Some((short(Some(secs(40))), 39)),
            renewed: None,
            want: |now| wait(now, 1),
        },
        Row {
            name: "no duration: ours counts",
            observed: Some(short(None)),
            seen: Some((short(None), 14)),
            renewed: None,
            want: |now| wait(now, 1),
        },
        Row {
            name: "leading, own record",
            observed: Some(record(ME, 0)),
            seen: Some((record(ME, 0), 2)),
            renewed: Some(2),
            want: |_| Step::Replace(Claim::Renew),
        },
        Row {
            name: "leading, just within the deadline",
            observed: Some(record(ME, 0)),
            seen: None,
            renewed: Some(9),
            want: |_| Step::Replace(Claim::Renew),
        },
        Row {
            name: "leading, past the deadline",
            observed: Some(record(ME, 0)),
            seen: None,
            renewed: Some(10),
            want: |_| Step::Lost(Loss::Deadline),
        },
        Row {
            name: "leading, taken",
            observed: Some(other()),
            seen: None,
            renewed: Some(2),
            want: |_| Step::Lost(Loss::Taken { by: "other".to_owned() }),
        },
        Row {
            name: "leading, emptied by hand",
            observed: Some(record("", 0)),
            seen: None,
            renewed: Some(2),
            want: |_| Step::Lost(Loss::Taken { by: String::new() }),
        },
        Row {
            name: "leading, deleted",
            observed: None,
            seen: None,
            renewed: Some(2),
            want: |_| Step::Lost(Loss::Deleted),
        },
    ];
    let now = Instant::now() + secs(1_000);
    for row in rows {
        let memory = Memory {
            seen: row.seen.map(|(record, age)| (record, now - secs(age))),
            renewed_at: row.renewed.map(|age| now - secs(age)),
        };
        let got = plan_lease(row.observed.as_ref(), &memory, now, ME, &Timing::default());
        assert_eq!(got, (row.want)(now), "{}", row.name);
    }
}

/// The same holder watched for a while: each renewal moves the expiry, silence ends it, whatever its clock.
#[test]
fn expiry_follows_what_was_seen_and_nothing_else() {
    for skew in [0, -86_400, 86_400, 31_536_000] {
        let start = Instant::now();
        let mut memory = Memory::default();
        let timing = Timing::default();
        for tick in 0..10 {
            let now = start + secs(2 * tick);
            let seen = record("other", skew + i64::try_from(tick).unwrap());
            memory.note(Some(&seen), now);
            let want = Step::Wait { until: now + secs(15), holder: "other".to_owned() };
            assert_eq!(plan_lease(Some(&seen), &memory, now, ME, &timing), want, "skew {skew}, tick {tick}");
        }
        let last = record("other", skew + 9);
        for silence in 1..=20 {
            let now = start + secs(18 + silence);
            memory.note(Some(&last), now);
            let taken = plan_lease(Some(&last), &memory, now, ME, &timing) == Step::Replace(Claim::TakeOver);
            assert_eq!(taken, silence >= 15, "skew {skew}, silent for {silence} s");
        }
    }
}

#[test]
fn note_keeps_the_first_sight_of_a_record() {
    let start = Instant::now();
    let mut memory = Memory::default();
    memory.note(Some(&record("other", 0)), start);
    memory.note(Some(&record("other", 0)), start + secs(5));
    assert_eq!(memory.seen, Some((record("other", 0), start)));
    memory.note(Some(&record("other", 1)), start + secs(6));
    assert_eq!(memory.seen, Some((record("other", 1), start + secs(6))));
    memory.note(None, start + secs(7));
    assert_eq!(memory.seen, None);
}

#[test]
fn built_leases_have_the_shape_of_client_go() {
    let timing = Timing::default();
    let new = build_new("ns", "lock", ME, wall(0), &timing);
    let json = serde_json::to_value(&new).unwrap();
    assert_eq!(
        json["spec"],
        serde_json::json!({
            "holderIdentity": ME, "leaseDurationSeconds": 15, "leaseTransitions": 0,
            "acquireTime": "2023-11-14T22:13:20.000000Z", "renewTime": "2023-11-14T22:13:20.000000Z",
        })
    );
    assert_eq!((json["metadata"]["namespace"].as_str(), json["metadata"]["name"].as_str()), (Some("ns"), Some("lock")));

    let renewed = build_claim(&new, Claim::Renew, ME, wall(2), &timing);
    assert_eq!(
        Record::of(&renewed),
        Record {
            holder: ME.into(),
            duration: Some(secs(15)),
            acquired: Some(wall(0)),
            renewed: Some(wall(2)),
            transitions: 0
        }
    );

    let mut foreign = renewed.clone();
    foreign.metadata.resource_version = Some("7".to_owned());
    foreign.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    let taken = build_claim(&foreign, Claim::TakeOver, "you_2", wall(60), &timing);
    assert_eq!(taken.metadata, foreign.metadata, "nothing outside the spec is ours");
    assert_eq!(
        Record::of(&taken),
        Record {
            holder: "you_2".into(),
            duration: Some(secs(15)),
            acquired: Some(wall(60)),
            renewed: Some(wall(60)),
            transitions: 1
        }
    );

    assert_eq!(build_release(&taken, ME, wall(61)), None, "another's lease is never dropped");
    let released = build_release(&taken, "you_2", wall(61)).unwrap();
    assert_eq!(
        Record::of(&released),
        Record {
            holder: String::new(),
            duration: Some(secs(1)),
            acquired: Some(wall(61)),
            renewed: Some(wall(61)),
            transitions: 1
        }
    );
}

#[test]
fn a_renewal_is_always_visible() {
    let timing = Timing::default();
    let lease = build_new("ns", "lock", ME, wall(0), &timing);
    let again = build_claim(&lease, Claim::Renew, ME, wall(0), &timing);
    assert_ne!(Record::of(&lease), Record::of(&again));
    let nanos = wall(0).checked_add(Duration::from_nanos(300)).unwrap();
    let same_micro = build_claim(&lease, Claim::Renew, ME, nanos, &timing);
    assert_ne!(Record::of(&lease), Record::of(&same_micro));
}

#[test]
fn reads_a_lease_of_v1_and_odd_ones() {
    let lease: Lease = serde_json::from_value(serde_json::json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "2245841c.koupleless.io", "namespace": "default", "resourceVersion": "12"},
        "spec": {"holderIdentity": "pod-1_c1a9", "leaseDurationSeconds": 15, "leaseTransitions": 2,
                 "acquireTime": "2024-05-01T08:00:00.123456Z", "renewTime": "2024-05-01T08:00:10.654321Z"}
    }))
    .unwrap();
    let record = Record::of(&lease);
    assert_eq!((record.holder.as_str(), record.duration, record.transitions), ("pod-1_c1a9", Some(secs(15)), 2));
    assert_eq!(record.renewed, Some("2024-05-01T08:00:10.654321Z".parse().unwrap()));

    let free = Record { holder: String::new(), duration: None, acquired: None, renewed: None, transitions: 0 };
    assert_eq!(Record::of(&Lease::default()), free);
    for seconds in [0, -5] {
        let spec = LeaseSpec { lease_duration_seconds: Some(seconds), ..LeaseSpec::default() };
        assert_eq!(Record::of(&Lease { spec: Some(spec), ..Lease::default() }), free, "{seconds} s");
    }
}

#[test]
fn timing_table() {
    let timing = |lease: u64, deadline: u64, retry: u64| Timing {
        lease: Duration::from_millis(lease),
        renew_deadline: Duration::from_millis(deadline),
        retry: Duration::from_millis(retry),
    };
    for (timing, ok) in [
        (Timing::default(), true),
        (timing(3_000, 2_000, 500), true),
        (timing(10_000, 10_000, 2_000), false),
        (timing(15_500, 10_000, 2_000), false),
        (timing(0, 0, 0), false),
        (timing(15_000, 10_000, 0), false),
        (timing(15_000, 10_000, 6_000), false),
    ] {
        assert_eq!(timing.check().is_ok(), ok, "{timing:?}");
    }
}
