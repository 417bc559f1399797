//! What "ready" depends on: named checks and freshness handles. Must not: block in a check.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// A check: fine, or one line on what is wrong.
pub type Check = Arc<dyn Fn(Instant) -> Result<(), String> + Send + Sync>;

/// The checks of a process, by name.
#[derive(Default)]
pub struct Readiness {
    checks: RwLock<BTreeMap<String, Check>>,
}

impl Readiness {
    /// No checks: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, in place of one of the same name.
    pub fn check(&self, name: &str, check: impl Fn(Instant) -> Result<(), String> + Send + Sync + 'static) {
        let mut checks = self.checks.write().unwrap_or_else(PoisonError::into_inner);
        checks.insert(name.to_owned(), Arc::new(check));
    }

    /// Adds a handle that must be touched at least every `stale_after`; unready until the first touch.
    pub fn freshness(&self, name: &str, stale_after: Duration) -> Freshness {
        let handle = Freshness::new(name, stale_after);
        let watched = handle.clone();
        self.check(name, move |now| watched.state(now));
        handle
    }

    /// Takes a check out, for something that isn't relied on any more.
    pub fn remove(&self, name: &str) {
        self.checks.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A line for each failing check, ordered by name; empty means ready.
    pub fn failing(&self, now: Instant) -> Vec<String> {
        // The checks run outside the lock, so that one may register another.
        let checks: Vec<_> = self
            .checks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(n, c)| (n.clone(), c.clone()))
            .collect();
        checks
            .into_iter()
            .filter_map(|(name, check)| {
                check(now).err().map(|why| if why.starts_with(&name) { why } else { format!("{name}: {why}") })
            })
            .collect()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(checks.keys()).finish()
    }
}

/// Says "still current" from time to time; clones share the state, and a touch costs one atomic write.
#[derive(Clone, Debug)]
pub struct Freshness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    stale_after: Duration,
    created: Instant,
    /// Milliseconds from `created` to the last touch, plus one; 0 before the first touch.
    touched: AtomicU64,
}

impl Freshness {
    /// A handle outside of any registry.
    pub fn new(name: &str, stale_after: Duration) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            stale_after,
            created: Instant::now(),
            touched: AtomicU64::new(0),
        }))
    }

    /// It is current now.
    pub fn touch(&self) {
        self.touch_at(Instant::now());
    }

    fn touch_at(&self, now: Instant) {
        let age = now.saturating_duration_since(self.0.created).as_millis();
        self.0.touched.fetch_max(u64::try_from(age).unwrap_or(u64::MAX - 1) + 1, Ordering::Relaxed);
    }

    /// Touches it every second until `stop` fires: proof that the runtime still runs tasks.
    pub async fn keep(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.touch();
        }
    }

    /// Fine, or one line that says since when it isn't.
    pub fn state(&self, now: Instant) -> Result<(), String> {
        let Inner { name, stale_after, created, touched } = &*self.0;
        let Some(at) = touched.load(Ordering::Relaxed).checked_sub(1) else {
            return Err(format!("{name}: not there yet"));
        };
        let age = now.saturating_duration_since(*created + Duration::from_millis(at));
        if age <= *stale_after {
            return Ok(());
        }
        Err(format!("{name}: stale for {} s, {} s are allowed", age.as_secs(), stale_after.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_table() {
        let handle = Freshness::new("pods", Duration::from_secs(30));
        let start = handle.0.created;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(handle.state(at(1)), Err("pods: not there yet".to_owned()));
        handle.touch_at(at(10));
        assert_eq!(handle.state(at(10)), Ok(()));
        assert_eq!(handle.state(at(40)), Ok(()));
        assert_eq!(handle.state(at(41)), Err("pods: stale for 31 s, 30 s are allowed".to_owned()));
        handle.clone().touch_at(at(41));
        assert_eq!(handle.state(at(60)), Ok(()));
        handle.touch_at(at(5));
        assert_eq!(handle.state(at(60)), Ok(()), "an older touch takes nothing back");
        assert_eq!(handle.state(start), Ok(()), "a caller with an older now is not told it is stale");
    }

    #[test]
    fn registry_lists_what_fails_by_name() {
        let readiness = Readiness::new();
        let now = Instant::now();
        assert_eq!(readiness.failing(now), [""; 0]);
        let modules = readiness.freshness("modules", Duration::from_secs(30));
        let pods = readiness.freshness("base pods in a", Duration::from_secs(30));
        readiness.check("webhook", |_| Err("no certificate".to_owned()));
        assert_eq!(
            readiness.failing(now),
            ["base pods in a: not there yet", "modules: not there yet", "webhook: no certificate"]
        );
        modules.touch();
        readiness.check("webhook", |_| Ok(()));
        assert_eq!(readiness.failing(now), ["base pods in a: not there yet"]);
        readiness.remove("base pods in a");
        assert_eq!(readiness.failing(now), [""; 0]);
        pods.touch();
        assert_eq!(format!("{readiness:?}"), r#"{"modules", "webhook"}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn keep_touches_until_stopped() {
        let (handle, stop) = (Freshness::new("loop", Duration::from_secs(5)), CancellationToken::new());
        let kept = tokio::spawn(handle.clone().keep(stop.clone()));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(handle.state(Instant::now()), Ok(()));
        stop.cancel();
        kept.await.unwrap();
    }
}
