//! How often one object may be written.
//!
//! Where an admission webhook, a GitOps tool or another operator undoes what is written, each answer looks like a
//! difference, and each difference asks for a write: without a bound such a quarrel is as hot as the API server is fast.
//! Here it is bounded for every object and every writer in one place: a burst that no honest release comes near, then two
//! writes a second. Must not: drop a write, or read a clock.

use std::{borrow::Cow, collections::HashMap};

/// Writes of one object at once, before they are held back.
const BURST: i64 = 60;
/// Between two writes from then on (milliseconds).
const INTERVAL: i64 = 500;
/// A quarrel is told about so often (milliseconds).
const TELL: i64 = 60_000;
/// Objects that are known before those that are at rest are forgotten.
const FEW: usize = 1_024;

/// Which object: plural, namespace, name.
pub type Key = (Cow<'static, str>, String, String);

#[derive(Debug)]
struct Written {
    /// When it would be at rest if nobody wrote it any more.
    rests_at: i64,
    told_at: Option<i64>,
}

/// What a write has to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// For so long (milliseconds).
    pub wait: i64,
    /// And somebody should be told.
    pub tell: bool,
}

/// The pace of every object that was written lately.
#[derive(Debug)]
pub struct Paces {
    written: HashMap<Key, Written>,
    sweep_above: usize,
}

impl Default for Paces {
    fn default() -> Self {
        Self { written: HashMap::new(), sweep_above: FEW }
    }
}

impl Paces {
    /// Takes a turn at `now` (milliseconds) to write an object.
    pub fn take(&mut self, key: Key, now: i64) -> Held {
        if self.written.len() > self.sweep_above {
            self.written.retain(|_, written| written.rests_at > now);
            self.sweep_above = FEW.max(2 * self.written.len());
        }
        let written = self.written.entry(key).or_insert(Written { rests_at: now, told_at: None });
        written.rests_at = written.rests_at.max(now).saturating_add(INTERVAL);
        let wait = (written.rests_at - now - BURST * INTERVAL).max(0);
        let tell = wait > 0 && written.told_at.is_none_or(|at| now - at >= TELL);
        if tell {
            written.told_at = Some(now);
        }
        Held { wait, tell }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str) -> Key {
        (Cow::Borrowed("services"), "shop".to_owned(), name.to_owned())
    }

    #[test]
    fn a_quarrel_is_held_to_two_writes_a_second_and_told_once_a_minute() {
        let (mut paces, mut now, mut writes, mut told) = (Paces::default(), 0, 0, 0);
        while now < 120_000 {
            let held = paces.take(key("fought"), now);
            now += held.wait + 1;
            (writes, told) = (writes + 1, told + i32::from(held.tell));
        }
        assert!((290..=310).contains(&writes), "{writes}");
        assert_eq!(told, 2);
        assert_eq!(paces.take(key("another"), now), Held::default());
    }

    #[test]
    fn what_is_at_rest_is_forgotten() {
        let mut paces = Paces::default();
        for n in 0..100_000_i64 {
            paces.take(key(&n.to_string()), n);
        }
        assert!(paces.written.len() <= FEW + 1, "{}", paces.written.len());
    }

    proptest! {
        /// No release writes one object sixty times within a moment: what is slower than two a second on the whole never waits.
        #[test]
        fn honest_writers_never_wait(pauses in prop::collection::vec(0..1_000_i64, 0..59)) {
            let (mut paces, mut now) = (Paces::default(), 0);
            for pause in pauses {
                now += pause;
                prop_assert_eq!(paces.take(key("x"), now), Held::default());
            }
        }

        /// Whoever writes, and how: in any time there are no more writes than the burst and two a second.
        #[test]
        fn writes_are_bounded(pauses in prop::collection::vec(0..200_i64, 1..400)) {
            let (mut paces, mut now, mut last) = (Paces::default(), 0, 0);
            let writes = i64::try_from(pauses.len()).unwrap();
            for pause in pauses {
                now += pause;
                last = now + paces.take(key("x"), now).wait;
            }
            prop_assert!(writes <= BURST + last / INTERVAL + 1, "{} in {}", writes, last);
        }
    }
}
