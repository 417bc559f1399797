//! What the bases served, and got traffic for, at every moment of a scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{BasePod, Sighting, World};
use crate::arklet_sim::{Change, State};

/// The states of one module on some bases, over time.
#[derive(Debug)]
pub struct Timeline {
    changes: Vec<Change>,
    bases: BTreeSet<IpAddr>,
}

/// A base stopped serving a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// When.
    pub at: Duration,
    /// Which base.
    pub ip: IpAddr,
    /// On how many others something served right after.
    pub others: usize,
}

/// Versions and states on each base.
type Moment = BTreeMap<IpAddr, BTreeMap<String, State>>;

impl World {
    /// Now, by the clock of timelines.
    pub fn now(&self) -> Duration {
        self.sim().elapsed()
    }

    /// What happened to a module on these bases since the scenario began.
    pub fn timeline(&self, pods: &[BasePod], name: &str) -> Timeline {
        let bases: BTreeSet<IpAddr> = pods.iter().map(|pod| pod.ip).collect();
        let mut changes = self.sim().changes();
        changes.retain(|change| change.at >= self.inner.began && bases.contains(&change.ip) && change.name == name);
        Timeline { changes, bases }
    }

    /// When the pod stopped getting traffic for a module, for the last time.
    pub fn traffic_ended(&self, pod: &BasePod, name: &str) -> Option<Duration> {
        let sightings = self.sightings(pod);
        let has = |index: usize| sightings[index].traffic.iter().any(|module| module == name);
        (1..sightings.len()).rev().find(|&index| has(index - 1) && !has(index)).map(|index| sightings[index].at)
    }

    /// How many of these pods got traffic for a module at the worst moment since then, by the labels on them.
    pub fn least_traffic(&self, pods: &[BasePod], name: &str, since: Duration) -> usize {
        let mut sightings: Vec<Sighting> = pods.iter().flat_map(|pod| self.sightings(pod)).collect();
        sightings.sort_by_key(|sighting| sighting.at);
        let mut served: BTreeSet<String> = BTreeSet::new();
        let mut least = usize::MAX;
        for sighting in sightings {
            if sighting.at >= since {
                least = least.min(served.len());
            }
            let serves = !sighting.gone && sighting.traffic.iter().any(|module| module == name);
            if serves {
                served.insert(sighting.uid);
            } else {
                served.remove(&sighting.uid);
            }
        }
        least.min(served.len())
    }
}

/// The bases on which a version is active.
fn serving(moment: &Moment) -> BTreeSet<IpAddr> {
    let serves = |versions: &BTreeMap<String, State>| versions.values().any(|state| *state == State::Activated);
    moment.iter().filter(|(_, versions)| serves(versions)).map(|(ip, _)| *ip).collect()
}

impl Timeline {
    /// Every moment from `since` on, the state at `since` first. What one command changes is one moment.
    fn moments(&self, since: Duration) -> Vec<(Duration, Moment)> {
        let mut now = Moment::new();
        let mut moments = BTreeMap::new();
        moments.insert(since, now.clone());
        for change in &self.changes {
            let versions = now.entry(change.ip).or_default();
            match change.state {
                Some(state) => versions.insert(change.version.clone(), state),
                None => versions.remove(&change.version),
            };
            moments.insert(change.at.max(since), now.clone());
        }
        moments.into_iter().collect()
    }

    /// On how many bases something served at the worst moment since then.
    pub fn least_serving(&self, since: Duration) -> usize {
        self.moments(since).iter().map(|(_, moment)| serving(moment).len()).min().unwrap_or(0)
    }

    /// Every time that a base stopped serving since then, its end included.
    pub fn stopped(&self, since: Duration) -> Vec<Stopped> {
        let moments = self.moments(since);
        let steps = moments.iter().zip(moments.iter().skip(1));
        let stopped = steps.flat_map(|((_, before), (at, after))| {
            let left = serving(after);
            let gone = serving(before).difference(&left).copied().collect::<Vec<_>>();
            gone.into_iter().map(move |ip| Stopped { at: *at, ip, others: left.len() })
        });
        stopped.collect()
    }

    /// The most versions that any base had at once since then.
    pub fn most_versions(&self, since: Duration) -> usize {
        let most = |moment: &Moment| moment.values().map(BTreeMap::len).max().unwrap_or(0);
        self.moments(since).iter().map(|(_, moment)| most(moment)).max().unwrap_or(0)
    }

    /// Whether every base served something at every moment since then.
    pub fn never_interrupted(&self, since: Duration) -> bool {
        self.bases.iter().all(|&base| {
            let alone = Timeline {
                changes: self.changes.iter().filter(|change| change.ip == base).cloned().collect(),
                bases: BTreeSet::from([base]),
            };
            alone.least_serving(since) == 1
        })
    }

    /// What each of `pods` served from `since` to `until`, a character for each `step`: the first character of the version
    /// that is active, `.` while one is being started, `-` where there is none.
    pub fn lanes(&self, pods: &[BasePod], since: Duration, until: Duration, step: Duration) -> Vec<String> {
        let steps = until.saturating_sub(since).as_millis() / step.as_millis().max(1);
        let steps = u32::try_from(steps).unwrap_or(0);
        let lane = |pod: &BasePod| (0..=steps).map(|index| self.mark(pod, since + step * index)).collect();
        pods.iter().map(lane).collect()
    }

    fn mark(&self, pod: &BasePod, at: Duration) -> char {
        let mut versions: BTreeMap<&str, State> = BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.ip == pod.ip && change.at <= at) {
            match change.state {
                Some(state) => versions.insert(&change.version, state),
                None => versions.remove(change.version.as_str()),
            };
        }
        let active = versions.iter().find(|(_, state)| **state == State::Activated);
        match active {
            Some((version, _)) => version.chars().next().unwrap_or('?'),
            None if versions.is_empty() => '-',
            None => '.',
        }
    }

    /// When a version came into a state on a base, for the first time.
    pub fn entered(&self, pod: &BasePod, version: &str, state: Option<State>) -> Option<Duration> {
        let found = |change: &&Change| change.ip == pod.ip && change.version == version && change.state == state;
        self.changes.iter().find(found).map(|change| change.at)
    }
}
