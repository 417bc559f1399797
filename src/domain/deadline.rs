//! Does a release still get on, and since when doesn't it?
//!
//! As in a Kubernetes Deployment, every step forward (an instance created, active or available, an old one gone, another
//! batch) begins `progressDeadlineSeconds` anew. The clock stands still while the release waits for a person or for gray
//! time, and it doesn't count what nobody watched: an operator that comes back after an hour finds no failed releases.

/// How far a release had come, or has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The newest revision's name.
    pub revision: Option<String>,
    /// The batch under way.
    pub batch: u32,
    /// Whether a batch is under way: neither complete, nor paused, nor waiting for a confirmation.
    pub executing: bool,
    /// Instances of the newest revision.
    pub updated: u32,
    /// Active ones of them.
    pub ready: u32,
    /// Available ones of them.
    pub available: u32,
    /// Instances of older revisions.
    pub old: u32,
}

impl Mark {
    /// Whether this is further than `before`.
    fn is_beyond(&self, before: &Self) -> bool {
        self.revision != before.revision
            || self.batch > before.batch
            || (self.executing && !before.executing)
            || self.updated > before.updated
            || self.ready > before.ready
            || self.available > before.available
            || self.old < before.old
    }
}

/// What follows. Times are seconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline {
    /// How long a release may stand still.
    pub seconds: i64,
    /// When the release last got on.
    pub progressed_at: i64,
    /// Whether it is overdue.
    pub exceeded: bool,
    /// When it will be, if nothing happens.
    pub at: Option<i64>,
}

/// `before` and its time are as the status has them; `seconds` is the deadline; `watching_since` is when this process
/// began.
pub fn plan_deadline(
    before: &Mark,
    progressed_at: Option<i64>,
    mark: &Mark,
    seconds: i64,
    watching_since: i64,
    now: i64,
) -> Deadline {
    let progressed_at = progressed_at.filter(|_| !mark.is_beyond(before)).unwrap_or(now);
    if !mark.executing {
        return Deadline { seconds, progressed_at, exceeded: false, at: None };
    }
    let at = progressed_at.max(watching_since).saturating_add(seconds);
    Deadline { seconds, progressed_at, exceeded: now >= at, at: Some(at).filter(|at| now < *at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: i64 = 1_000;

    fn mark() -> Mark {
        Mark { revision: Some("d-2".into()), batch: 1, executing: true, updated: 2, ready: 1, available: 1, old: 2 }
    }

    fn plan(mark: &Mark, before: &Mark, now: i64) -> Deadline {
        plan_deadline(before, Some(BEGAN), mark, 600, 0, now)
    }

    #[test]
    fn every_step_forward_begins_the_deadline_anew() {
        let before = mark();
        let still = plan(&before, &before, 1_500);
        assert_eq!(still, Deadline { seconds: 600, progressed_at: BEGAN, exceeded: false, at: Some(1_600) });
        for (name, further) in [
            ("another revision", Mark { revision: Some("d-3".into()), ..mark() }),
            ("another batch", Mark { batch: 2, ..mark() }),
            ("one created", Mark { updated: 3, ..mark() }),
            ("one active", Mark { ready: 2, ..mark() }),
            ("one available", Mark { available: 2, ..mark() }),
            ("an old one gone", Mark { old: 1, ..mark() }),
        ] {
            assert_eq!(plan(&further, &before, 9_000).progressed_at, 9_000, "{name}");
            assert!(!plan(&further, &before, 9_000).exceeded, "{name}");
        }
        for (name, back) in
            [("one lost", Mark { available: 0, ready: 0, ..mark() }), ("old ones back", Mark { old: 3, ..mark() })]
        {
            assert!(plan(&back, &before, 9_000).exceeded, "{name}");
        }
    }

    #[test]
    fn it_is_exceeded_at_its_time_and_not_before() {
        assert!(!plan(&mark(), &mark(), 1_599).exceeded);
        assert_eq!(
            plan(&mark(), &mark(), 1_600),
            Deadline { seconds: 600, progressed_at: BEGAN, exceeded: true, at: None }
        );
    }

    #[test]
    fn the_clock_stands_still_while_a_release_waits_and_begins_anew_when_it_goes_on() {
        let waiting = Mark { executing: false, ..mark() };
        assert_eq!(
            plan(&waiting, &waiting, 99_000),
            Deadline { seconds: 600, progressed_at: BEGAN, exceeded: false, at: None }
        );
        assert_eq!(plan(&mark(), &waiting, 99_000).at, Some(99_600));
    }

    #[test]
    fn time_that_nobody_watched_does_not_count() {
        let back = plan_deadline(&mark(), Some(BEGAN), &mark(), 600, 5_000, 5_010);
        assert_eq!(back, Deadline { seconds: 600, progressed_at: BEGAN, exceeded: false, at: Some(5_600) });
    }
}
