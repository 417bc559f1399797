//! Two electors, a bad network, clocks that disagree, restarts: never two leaders, and always one in the end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use super::super::fake::{FakeApi, Fate};
use super::super::plan::Timing;
use super::*;

const SEEDS: u64 = 200;
/// Virtual length of a run, and of the calm at its end.
const TROUBLE: Duration = Duration::from_secs(600);
const CALM: Duration = Duration::from_secs(60);

/// SplitMix64: a schedule is its seed.
#[derive(Clone)]
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
    fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

#[derive(Default)]
struct World {
    calm: AtomicBool,
    leading: AtomicI32,
    terms: AtomicU32,
    losses: AtomicU32,
    violations: Mutex<Vec<String>>,
}

/// Counts a leader for as long as its work exists, however it ends.
struct Term(Arc<World>);

impl Term {
    fn begin(world: &Arc<World>, who: &str) -> Self {
        if world.leading.fetch_add(1, Ordering::SeqCst) != 0 {
            world.violations.lock().unwrap().push(format!("{who} leads beside another"));
        }
        world.terms.fetch_add(1, Ordering::SeqCst);
        Self(world.clone())
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.0.leading.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One life's network: single faults, and outages during which nothing gets an answer. Half of the lives have
/// a good one, because it takes a healthy rival to catch a leader that stays too long.
fn weather(mut rng: Rng, world: Arc<World>) -> impl FnMut(super::super::fake::Call) -> Fate + Send + 'static {
    let mut outage_until = Instant::now();
    let good = rng.below(2) == 0;
    move |_| {
        if world.calm.load(Ordering::SeqCst) {
            return Fate::Fine;
        }
        let now = Instant::now();
        if now >= outage_until && rng.below(if good { 400 } else { 40 }) == 0 {
            outage_until = now + rng.millis(40_000);
        }
        if now < outage_until {
            return match rng.below(6) {
                0 => Fate::AnswerLost { there: rng.below(8_000) },
                1 | 2 => Fate::Down,
                _ => Fate::Hangs,
            };
        }
        match rng.below(if good { 52 } else { 100 }) {
            0..=49 => Fate::Slow { there: rng.below(150), back: rng.below(150) },
            // Applied at once, answered late: the others' clock starts long before ours would if it counted
            // from the answer.
            50..=74 => Fate::Slow { there: rng.below(100), back: rng.below(5_000) },
            75..=81 => Fate::Slow { there: rng.below(6_000), back: rng.below(6_000) },
            82..=89 => Fate::AnswerLost { there: rng.below(12_000) },
            90..=93 => Fate::Hangs,
            94..=96 => Fate::Down,
            _ => Fate::Refused,
        }
    }
}

/// One replica: stands for election, is stopped or loses, comes back under a new name.
async fn replica(api: FakeApi, world: Arc<World>, name: &'static str, mut rng: Rng) {
    let skew = i64::try_from(rng.below(172_800)).unwrap() - 86_400;
    for life in 0.. {
        let who = format!("{name}_{life}");
        let cfg = LeaseConfig {
            namespace: "default".to_owned(),
            name: "lease".to_owned(),
            identity: who.clone(),
            timing: Timing::default(),
            stop_grace: Duration::from_secs(20),
        };
        let store = api.store(weather(Rng(rng.next()), world.clone()));
        let wall = move || {
            Timestamp::now().checked_add(Duration::from_secs(86_400)).unwrap() + jiff::SignedDuration::from_secs(skew)
        };
        let stop = CancellationToken::new();
        let (fired, after, calm) = (stop.clone(), rng.millis(90_000), world.clone());
        let stopper = tokio::spawn(async move {
            sleep(after).await;
            if !calm.calm.load(Ordering::SeqCst) {
                fired.cancel();
            }
        });
        // A loss leaves at most 4 s to wind down; a stop any time up to the grace, or never.
        let (wind_down, world_in) = (rng.millis(30_000), world.clone());
        let outcome = Elector::new(cfg, store, Arc::new(wall))
            .run(stop, |token| async move {
                let _term = Term::begin(&world_in, &who);
                token.cancelled().await;
                sleep(wind_down).await;
            })
            .await;
        stopper.abort();
        if matches!(outcome, Outcome::Lost(_)) {
            world.losses.fetch_add(1, Ordering::SeqCst);
        }
        sleep(rng.millis(10_000)).await;
    }
}

async fn one_schedule(seed: u64) -> Arc<World> {
    let (api, world) = (FakeApi::new(), Arc::new(World::default()));
    let mut rng = Rng(seed);
    let replicas = ["a", "b"].map(|name| tokio::spawn(replica(api.clone(), world.clone(), name, Rng(rng.next()))));
    sleep(TROUBLE).await;
    world.calm.store(true, Ordering::SeqCst);
    sleep(CALM).await;
    if world.leading.load(Ordering::SeqCst) != 1 {
        world.violations.lock().unwrap().push("nobody leads after a minute of calm".to_owned());
    }
    replicas.iter().for_each(tokio::task::JoinHandle::abort);
    world
}

#[test]
fn never_two_leaders_over_random_schedules() {
    let (mut terms, mut losses) = (0, 0);
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let world = runtime.block_on(one_schedule(seed));
        let violations = world.violations.lock().unwrap();
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
        terms += world.terms.load(Ordering::SeqCst);
        losses += world.losses.load(Ordering::SeqCst);
    }
    println!("{SEEDS} schedules: {terms} terms, {losses} lost");
    assert!(terms > 5 * u32::try_from(SEEDS).unwrap(), "the schedules must bring leaders about: {terms}");
    assert!(losses > u32::try_from(SEEDS).unwrap() / 2, "and must make them lose: {losses}");
}
