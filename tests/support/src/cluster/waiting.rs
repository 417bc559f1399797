//! Waiting for conditions.

use std::{
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use super::{Kind, World, text};

/// Enough for everything that needs no waiting by itself, on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Between two looks.
const POLL: Duration = Duration::from_millis(50);

impl World {
    /// Looks until `look` succeeds; at the deadline fails with what it last complained of.
    pub async fn eventually<T, F>(&self, deadline: Duration, what: &str, look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, String>>,
    {
        until(deadline, what, look).await
    }

    /// Waits until nothing that the operator writes has changed for `time`; fails if that takes much longer.
    pub async fn no_writes_for(&self, time: Duration) {
        let deadline = Instant::now() + time * 2 + SOON / 2;
        let (mut known, mut since) = (self.versions().await, Instant::now());
        let mut last = String::new();
        while since.elapsed() < time {
            assert!(Instant::now() < deadline, "it never becomes quiet; the last to change: {last}");
            tokio::time::sleep(POLL * 2).await;
            let now = self.versions().await;
            if now != known {
                let changed = now.iter().filter(|(key, version)| known.get(*key) != Some(*version));
                last = changed.map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(", ");
                (known, since) = (now, Instant::now());
            }
        }
    }

    /// The resource version of everything that the operator may write.
    async fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        let kinds =
            [Kind::ModuleDeployment, Kind::ModuleReplicaSet, Kind::Module, Kind::Pod, Kind::Service, Kind::Event];
        for kind in kinds {
            for object in self.list(kind).await {
                let key = format!("{kind:?} {}", text(&object, "/metadata/name"));
                versions.insert(key, text(&object, "/metadata/resourceVersion").to_owned());
            }
        }
        versions
    }

    /// Looks again and again for `time`; fails as soon as `look` complains.
    pub async fn always<F>(&self, time: Duration, what: &str, mut look: impl FnMut() -> F)
    where
        F: Future<Output = Result<(), String>>,
    {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if let Err(complaint) = look().await {
                panic!("{what}: {complaint}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// As [`World::eventually`], for what belongs to no world.
pub async fn until<T, F>(deadline: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => assert!(began.elapsed() < deadline, "not within {deadline:?}: {what}; last seen: {last}"),
        }
        tokio::time::sleep(POLL).await;
    }
}
