//! The elector on an in-memory API, in paused time: who leads when, and what the record says afterwards.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::fake::{Call, FakeApi, FakeStore, Fate};
use super::super::plan::Timing;
use super::super::{LEASE_NAME, run_with};
use super::*;

fn cfg(identity: &str) -> LeaseConfig {
    LeaseConfig {
        namespace: "default".to_owned(),
        name: LEASE_NAME.to_owned(),
        identity: identity.to_owned(),
        timing: Timing::default(),
        stop_grace: Duration::from_secs(20),
    }
}

/// A work that notes, in seconds since the start of the test, when it began and when it was told to end.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<(&'static str, u64)>>>, Instant);

impl Log {
    fn new() -> Self {
        Self(Arc::default(), Instant::now())
    }
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().push((what, self.1.elapsed().as_secs()));
    }
    fn entries(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unwrap().clone()
    }
    async fn work(self, token: CancellationToken) {
        self.note("leads");
        token.cancelled().await;
        self.note("ends");
    }
}

fn stop_after(seconds: u64) -> CancellationToken {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(seconds)).await;
        fired.cancel();
    });
    stop
}

/// A lease that `holder` renewed a moment ago, with a renew time of its own clock.
fn foreign(holder: &str, renewed: &str) -> Lease {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE_NAME, "namespace": "default"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4,
                 "acquireTime": "2024-05-01T08:00:00.000000Z", "renewTime": renewed}
    }))
    .unwrap()
}

/// Fates for the first calls, then all is fine.
fn scripted(fates: &[Fate]) -> impl FnMut(Call) -> Fate + Send + 'static {
    let mut fates = VecDeque::from(fates.to_vec());
    move |_| fates.pop_front().unwrap_or(Fate::Fine)
}

async fn lead_with(store: FakeStore, stop: CancellationToken, log: &Log) -> Outcome {
    run_with(cfg("me"), store, stop, |token| log.clone().work(token)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn creates_renews_and_releases() {
    let (api, log) = (FakeApi::new(), Log::new());
    let outcome = lead_with(api.store(|_| Fate::Fine), stop_after(30), &log).await;
    assert_eq!(outcome, Outcome::Stopped { released: true });
    assert_eq!(log.entries(), [("leads", 0), ("ends", 30)]);
    let history = api.history();
    assert!((15..=17).contains(&history.len()), "create, a renewal every 2 s, release: {}", history.len());
    let (first, last) = (&history[0], &history[history.len() - 1]);
    assert_eq!((first.holder.as_str(), first.transitions), ("me", 0));
    assert_eq!((last.holder.as_str(), last.transitions, last.duration), ("", 0, Some(Duration::from_secs(1))));
    assert!(history[..history.len() - 1].iter().all(|r| r.acquired == first.acquired && r.holder == "me"));
}

#[tokio::test(start_paused = true)]
async fn waits_out_a_dead_holder_whatever_its_clock() {
    for renewed in ["1999-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"] {
        let (api, log) = (FakeApi::new(), Log::new());
        api.force(Some(foreign("v1-manager_1", renewed)));
        lead_with(api.store(|_| Fate::Fine), stop_after(40), &log).await;
        assert_eq!(log.entries(), [("leads", 15), ("ends", 40)], "{renewed}");
        let taken = api.history().into_iter().find(|r| r.holder == "me").unwrap();
        assert_eq!(taken.transitions, 5, "{renewed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_living_holder_is_never_displaced() {
    let (api, log) = (FakeApi::new(), Log::new());
    let renewing = api.clone();
    let v1 = tokio::spawn(async move {
        for second in (0..3_000).step_by(10) {
            renewing.force(Some(foreign(
                "v1-manager_1",
                &format!("2024-05-01T08:{:02}:{:02}.000000Z", second / 60, second % 60),
            )));
            sleep(Duration::from_secs(10)).await;
        }
    });
    let outcome = lead_with(api.store(|_| Fate::Fine), stop_after(2_000), &log).await;
    assert_eq!((outcome, log.entries()), (Outcome::NeverLed, vec![]));
    assert_eq!(api.record().unwrap().holder, "v1-manager_1");
    v1.abort();
}

#[tokio::test(start_paused = true)]
async fn takes_a_released_lease_at_once() {
    let (api, log) = (FakeApi::new(), Log::new());
    api.force(Some(foreign("", "2024-05-01T08:00:00.000000Z")));
    lead_with(api.store(|_| Fate::Fine), stop_after(5), &log).await;
    assert_eq!(log.entries(), [("leads", 0), ("ends", 5)]);
}

/// One row per way a call can go wrong; the ten seconds of the deadline forgive each of them once.
#[tokio::test(start_paused = true)]
async fn single_failures_are_survived() {
    for bad in [
        Fate::Hangs,
        Fate::Down,
        Fate::Refused,
        Fate::AnswerLost { there: 5 },
        Fate::AnswerLost { there: 6_000 },
        Fate::Slow { there: 100, back: 4_000 },
    ] {
        // Call 0 looks, 1 creates, 2 renews, 3 renews.
        for position in 0..4 {
            let mut fates = vec![Fate::Fine; position];
            fates.push(bad);
            let (api, log) = (FakeApi::new(), Log::new());
            let outcome = lead_with(api.store(scripted(&fates)), stop_after(60), &log).await;
            assert_eq!(outcome, Outcome::Stopped { released: true }, "{bad:?} at {position}");
            let entries = log.entries();
            assert_eq!((entries.len(), entries[1]), (2, ("ends", 60)), "{bad:?} at {position}");
            assert!(api.history().iter().all(|r| r.transitions == 0), "{bad:?} at {position}");
        }
    }
}

/// An API that is gone for good costs the leadership exactly at the deadline, however it is gone.
#[tokio::test(start_paused = true)]
async fn a_lost_api_ends_the_leadership_at_the_deadline() {
    for bad in [Fate::Hangs, Fate::Down, Fate::Refused] {
        let (api, log) = (FakeApi::new(), Log::new());
        let mut calls = 0;
        let store = api.store(move |_| {
            calls += 1;
            if calls <= 3 { Fate::Fine } else { bad }
        });
        let outcome = lead_with(store, CancellationToken::new(), &log).await;
        assert_eq!(outcome, Outcome::Lost(Loss::Deadline), "{bad:?}");
        // Looked and created at 0, renewed at 2, lost 10 s after that renewal was sent.
        assert_eq!(log.entries(), [("leads", 0), ("ends", 12)], "{bad:?}");
        assert_eq!(api.record().unwrap().holder, "me", "left to run out");
    }
}

/// Leadership counts from when the write was sent, not from its late answer: others count from the write.
#[tokio::test(start_paused = true)]
async fn a_late_answer_lends_no_time() {
    let (api, log) = (FakeApi::new(), Log::new());
    let late = [Fate::Fine, Fate::Slow { there: 5, back: 4_500 }];
    let store = api.store(scripted(&[late.as_slice(), &[Fate::Down; 50]].concat()));
    assert_eq!(lead_with(store, CancellationToken::new(), &log).await, Outcome::Lost(Loss::Deadline));
    assert_eq!(log.entries(), [("leads", 4), ("ends", 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_stolen_emptied_or_deleted_lease_ends_the_leadership() {
    let now = "2024-05-01T08:00:00.000000Z";
    for (forced, want) in [
        (Some(foreign("other", now)), Loss::Taken { by: "other".to_owned() }),
        (Some(foreign("", now)), Loss::Taken { by: String::new() }),
        (None, Loss::Deleted),
    ] {
        let (api, log) = (FakeApi::new(), Log::new());
        let (thief, loot) = (api.clone(), forced.clone());
        tokio::spawn(async move {
            sleep(Duration::from_secs(7)).await;
            thief.force(loot);
        });
        let outcome = lead_with(api.store(|_| Fate::Fine), CancellationToken::new(), &log).await;
        assert_eq!(outcome, Outcome::Lost(want));
        assert_eq!(api.record(), forced.as_ref().map(Record::of), "left as it was found");
        assert_eq!(log.entries().first(), Some(&("leads", 0)));
        assert_eq!(log.1.elapsed().as_secs(), 8, "found out at the next renewal");
    }
}

/// The lease is renewed until the work has wound down, and only then given back.
#[tokio::test(start_paused = true)]
async fn a_long_wind_down_is_covered_by_the_lease() {
    let api = FakeApi::new();
    let during = Arc::new(Mutex::new(None));
    let (watched, seen) = (api.clone(), during.clone());
    let outcome = run_with(cfg("me"), api.store(|_| Fate::Fine), stop_after(5), |token| async move {
        token.cancelled().await;
        sleep(Duration::from_secs(18)).await;
        *seen.lock().unwrap() = watched.record();
    })
    .await
    .unwrap();
    assert_eq!(outcome, Outcome::Stopped { released: true });
    assert_eq!(during.lock().unwrap().as_ref().unwrap().holder, "me");
    assert!(api.history().len() >= 12, "renewals went on: {}", api.history().len());
    assert_eq!(api.record().unwrap().holder, "");
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_end_keeps_the_lease() {
    let (api, start) = (FakeApi::new(), Instant::now());
    let outcome =
        run_with(cfg("me"), api.store(|_| Fate::Fine), stop_after(5), |_| std::future::pending()).await.unwrap();
    assert_eq!((outcome, start.elapsed().as_secs()), (Outcome::Stopped { released: false }, 25));
    assert_eq!(api.record().unwrap().holder, "me", "somebody may still be at work");
}

#[tokio::test(start_paused = true)]
async fn work_that_ignores_a_loss_is_dropped_before_the_lease_runs_out() {
    let (api, start) = (FakeApi::new(), Instant::now());
    let store = api.store(scripted(&[[Fate::Fine; 2].as_slice(), &[Fate::Down; 50]].concat()));
    let outcome = run_with(cfg("me"), store, CancellationToken::new(), |_| std::future::pending()).await.unwrap();
    assert_eq!((outcome, start.elapsed().as_secs()), (Outcome::Lost(Loss::Deadline), 14));
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_by_itself_gives_the_lease_back() {
    let api = FakeApi::new();
    let outcome = run_with(cfg("me"), api.store(|_| Fate::Fine), CancellationToken::new(), |_| async {}).await.unwrap();
    assert_eq!(outcome, Outcome::Ended { released: true });
    assert_eq!(api.record().unwrap().holder, "");
}

/// The stop comes while the write that would take the lease is without an answer: it is looked for and undone.
#[tokio::test(start_paused = true)]
async fn a_stop_in_mid_acquisition_leaves_no_lease_behind() {
    let (api, log) = (FakeApi::new(), Log::new());
    let store = api.store(scripted(&[Fate::Fine, Fate::AnswerLost { there: 5 }]));
    assert_eq!(lead_with(store, stop_after(1), &log).await, Outcome::NeverLed);
    assert_eq!(log.entries(), []);
    assert_eq!(api.record().unwrap().holder, "");
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_conflicts_and_never_drops_anothers_lease() {
    // The release looks (Fine), is beaten by a write (Conflict by the forced write below), and looks again.
    for (forced, released, holder) in [
        (foreign("me", "2031-01-01T00:00:00.000000Z"), true, ""),
        (foreign("other", "2031-01-01T00:00:00.000000Z"), false, "other"),
    ] {
        let api = FakeApi::new();
        let (rival, loot) = (api.clone(), Mutex::new(Some(forced)));
        let mut replaces = 0;
        let store = api.store(move |call| {
            replaces += u32::from(call == Call::Replace);
            // Stop comes at 1 s, before any renewal: the first replace is the release.
            if replaces == 1
                && let Some(lease) = loot.lock().unwrap().take()
            {
                rival.force(Some(lease));
            }
            Fate::Fine
        });
        let outcome = lead_with(store, stop_after(1), &Log::new()).await;
        assert_eq!(outcome, Outcome::Stopped { released });
        assert_eq!(api.record().unwrap().holder, holder);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_election_cancels_the_work() {
    let api = FakeApi::new();
    let token = Arc::new(Mutex::new(None));
    let given = token.clone();
    let election = run_with(cfg("me"), api.store(|_| Fate::Fine), CancellationToken::new(), |t| {
        *given.lock().unwrap() = Some(t);
        std::future::pending()
    });
    assert!(timeout(Duration::from_secs(5), election).await.is_err());
    assert!(token.lock().unwrap().as_ref().unwrap().is_cancelled());
}
