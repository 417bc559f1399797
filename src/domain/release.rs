//! A release as arithmetic: how many instances of the newest revision may exist now.
//!
//! A release brings a new revision in batches. [`plan_release`] is level-triggered: it reads what was stored
//! (which batch is under way), what is there, and the wishes of the user, and says which number of updated
//! instances is the target, which batch that is, and when to look again. Asking twice changes nothing. How the
//! target is reached without losing availability is [`crate::domain::rollout`]'s work.

use super::policy::Strategy;

/// `status.releaseStatus.progress`, V1's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was done yet.
    #[default]
    Init,
    /// A batch is under way.
    Executing,
    /// A batch is complete and the next one waits for `confirmBatchNum`.
    WaitingForConfirmation,
    /// `spec.paused`, or the time between two batches.
    Paused,
    /// Every batch is complete.
    Completed,
    /// The release failed and was rolled back.
    Aborted,
    /// The deployment is being deleted.
    Terminating,
    /// Nothing of it is left but the object itself, which somebody else holds.
    Terminated,
}

impl Progress {
    /// The word as it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "Init",
            Self::Executing => "Executing",
            Self::WaitingForConfirmation => "WaitingForConfirmation",
            Self::Paused => "Paused",
            Self::Completed => "Completed",
            Self::Aborted => "Aborted",
            Self::Terminating => "Terminating",
            Self::Terminated => "Terminated",
        }
    }
}

/// What was stored of the release when it was last planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Whether the stored release is about the revision that is newest now.
    pub same_revision: bool,
    /// The batch under way, from 1; 0 where none was stored.
    pub batch: u32,
    /// Whether it was completed, as this operator stored it (V1's word for it isn't trusted).
    pub completed: bool,
    /// When the pause after the current batch ends, in seconds since the epoch.
    pub resume_at: Option<i64>,
}

/// What is there, counted over the Modules of the deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Modules of the newest revision that are available.
    pub updated_available: u32,
    /// Modules of older revisions that still exist, ending ones included.
    pub old: u32,
}

/// What the user wants of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// D, the number of instances.
    pub desired: u32,
    /// Whether an older revision existed when this one began: beta is for new revisions only.
    pub replaces: bool,
    /// How it is brought in.
    pub strategy: &'a Strategy,
    /// `spec.paused`.
    pub paused: bool,
    /// The batch up to which the user confirmed; `None` where the value is older than the release.
    pub confirmed: Option<u32>,
}

/// The release as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// How many instances of the newest revision may exist; `None`: no more than there are now.
    pub target: Option<u32>,
    /// The batch under way, from 1.
    pub batch: u32,
    /// How many batches there are.
    pub batches: u32,
    /// What is shown.
    pub progress: Progress,
    /// Whether the current batch is complete.
    pub batch_complete: bool,
    /// When the pause after the current batch ends, or ended, in seconds since the epoch.
    pub resume_at: Option<i64>,
    /// `spec.paused` holds it: nothing goes on by itself, whatever the time.
    pub held: bool,
}

impl Release {
    /// When the release goes on by itself, in seconds since the epoch.
    pub fn wake_at(&self) -> Option<i64> {
        self.resume_at.filter(|_| self.progress == Progress::Paused && !self.held)
    }
}

/// How many batches a release of `desired` instances has.
pub fn batches(desired: u32, strategy: &Strategy, replaces: bool) -> u32 {
    if beta(desired, strategy, replaces) {
        strategy.batch_count.clamp(1, desired - 1) + 1
    } else {
        strategy.batch_count.clamp(1, desired.max(1))
    }
}

/// Updated instances after batch `batch` (from 1). 5 in 3: 2, 4, 5. 5 in 2 with beta: 1, 3, 5.
pub fn target(desired: u32, strategy: &Strategy, replaces: bool, batch: u32) -> u32 {
    let batches = batches(desired, strategy, replaces);
    let batch = batch.clamp(1, batches);
    if beta(desired, strategy, replaces) {
        1 + share(desired - 1, batch - 1, batches - 1)
    } else {
        share(desired, batch, batches)
    }
}

fn beta(desired: u32, strategy: &Strategy, replaces: bool) -> bool {
    strategy.use_beta && replaces && desired > 1
}

/// `ceil(total * part / parts)`.
fn share(total: u32, part: u32, parts: u32) -> u32 {
    let share = (u64::from(total) * u64::from(part)).div_ceil(u64::from(parts));
    u32::try_from(share).unwrap_or(total)
}

/// Where the release stands at `now` (seconds since the epoch).
pub fn plan_release(wanted: &Wanted<'_>, stored: &Stored, seen: Seen, now: i64) -> Release {
    let batches = batches(wanted.desired, wanted.strategy, wanted.replaces);
    if stored.same_revision && stored.completed {
        return Release {
            target: Some(wanted.desired),
            batch: batches,
            batches,
            progress: Progress::Completed,
            batch_complete: true,
            resume_at: None,
            held: false,
        };
    }
    // What is stored of another revision, its pause too, says nothing of this one.
    let stored = match stored.same_revision {
        true => Stored { batch: stored.batch.clamp(1, batches), ..stored.clone() },
        false => Stored { batch: 1, ..Stored::default() },
    };
    let release = advance(wanted, &stored, seen, batches, now);
    if wanted.paused && release.progress != Progress::Completed {
        // The next batch begins when the pause ends, also where everything else allows it.
        let over = release.batch > stored.batch;
        let batch_complete = release.batch_complete || over;
        return Release {
            target: None,
            batch: stored.batch,
            progress: Progress::Paused,
            batch_complete,
            resume_at: if over { stored.resume_at } else { release.resume_at },
            held: true,
            ..release
        };
    }
    release
}

/// One look at the current batch: still executing, waiting, or on to the next.
fn advance(wanted: &Wanted<'_>, stored: &Stored, seen: Seen, batches: u32, now: i64) -> Release {
    let target_of = |batch| target(wanted.desired, wanted.strategy, wanted.replaces, batch);
    let batch = stored.batch;
    let complete = seen.updated_available >= target_of(batch) && seen.old <= wanted.desired - target_of(batch);
    let here = |progress, batch_complete, resume_at| Release {
        target: Some(target_of(batch)),
        batch,
        batches,
        progress,
        batch_complete,
        resume_at,
        held: false,
    };
    let next =
        || Release { target: Some(target_of(batch + 1)), batch: batch + 1, ..here(Progress::Executing, false, None) };
    // With nothing left to bring and nothing to take away the other batches would be empty.
    if seen.updated_available >= wanted.desired && seen.old == 0 {
        return Release { target: Some(wanted.desired), batch: batches, ..here(Progress::Completed, true, None) };
    }
    let beta_batch = beta(wanted.desired, wanted.strategy, wanted.replaces) && batch == 1;
    let asks = wanted.strategy.need_confirm || beta_batch;
    let gray = if asks { 0 } else { i64::try_from(wanted.strategy.gray_time.as_secs()).unwrap_or(i64::MAX) };
    let resume_at = stored.resume_at.filter(|_| gray > 0);
    if !complete {
        // The time between batches is there to notice what breaks: the next one waits for it, and then for nothing else.
        let pauses = resume_at.is_some_and(|at| at > now);
        return here(if pauses { Progress::Paused } else { Progress::Executing }, false, resume_at);
    }
    if asks && wanted.confirmed.is_none_or(|confirmed| confirmed < batch) {
        return here(Progress::WaitingForConfirmation, true, None);
    }
    match resume_at.unwrap_or_else(|| now.saturating_add(gray)) {
        at if at <= now => next(),
        at => here(Progress::Paused, true, Some(at)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::policy::Strategy;

    fn strategy(batch_count: u32, use_beta: bool) -> Strategy {
        Strategy { batch_count, use_beta, ..Strategy::default() }
    }

    fn targets(desired: u32, batch_count: u32, use_beta: bool) -> Vec<u32> {
        let strategy = strategy(batch_count, use_beta);
        (1..=batches(desired, &strategy, true)).map(|k| target(desired, &strategy, true, k)).collect()
    }

    #[test]
    fn batches_split_the_desired_number() {
        assert_eq!(targets(5, 3, false), [2, 4, 5]);
        assert_eq!(targets(5, 2, true), [1, 3, 5]);
        assert_eq!(targets(2, 2, true), [1, 2]);
        assert_eq!(targets(1, 4, true), [1]);
        assert_eq!(targets(0, 4, true), [0]);
        assert_eq!(targets(3, i32::MAX as u32, false), [1, 2, 3]);
    }

    #[test]
    fn beta_is_for_new_revisions_only() {
        assert_eq!(batches(5, &strategy(2, true), false), 2);
    }

    fn wanted(strategy: &Strategy, desired: u32, confirmed: Option<u32>) -> Wanted<'_> {
        Wanted { desired, replaces: true, strategy, paused: false, confirmed }
    }

    fn stored(batch: u32) -> Stored {
        Stored { same_revision: true, batch, completed: false, resume_at: None }
    }

    #[test]
    fn a_batch_is_complete_when_the_new_are_available_and_the_old_are_gone() {
        let strategy = strategy(2, false);
        let seen = |updated_available, old| Seen { updated_available, old };
        for (batch, seen, progress, target, next) in [
            (1, seen(1, 4), Progress::Executing, 2, 1),
            (1, seen(2, 3), Progress::Executing, 2, 1),
            (1, seen(2, 2), Progress::Executing, 4, 2),
            (2, seen(4, 1), Progress::Executing, 4, 2),
            (2, seen(4, 0), Progress::Completed, 4, 2),
        ] {
            let release = plan_release(&wanted(&strategy, 4, None), &stored(batch), seen, 0);
            assert_eq!((release.progress, release.target, release.batch), (progress, Some(target), next), "{seen:?}");
        }
    }

    #[test]
    fn confirmation_waits_for_the_batch_or_a_later_one() {
        let strategy = Strategy { need_confirm: true, ..strategy(3, false) };
        let seen = Seen { updated_available: 1, old: 2 };
        for (confirmed, progress, batch) in [
            (None, Progress::WaitingForConfirmation, 1),
            (Some(0), Progress::WaitingForConfirmation, 1),
            (Some(1), Progress::Executing, 2),
            (Some(3), Progress::Executing, 2),
        ] {
            let release = plan_release(&wanted(&strategy, 3, confirmed), &stored(1), seen, 0);
            assert_eq!((release.progress, release.batch), (progress, batch), "{confirmed:?}");
        }
    }

    #[test]
    fn a_release_with_nothing_left_to_do_is_complete_whatever_batches_there_could_be() {
        let confirm = Strategy { need_confirm: true, ..strategy(3, false) };
        let gray = Strategy { gray_time: Duration::from_secs(60), ..strategy(3, true) };
        let seen = |updated_available, old| Seen { updated_available, old };
        for strategy in [&confirm, &gray] {
            for stored in [stored(1), Stored::default()] {
                let done = plan_release(&wanted(strategy, 3, None), &stored, seen(3, 0), 0);
                assert_eq!((done.progress, done.batch, done.batches), (Progress::Completed, 3, 3));
            }
            // An old one has yet to leave, or, as in a first release, new ones have yet to come.
            for seen in [seen(3, 1), seen(2, 0), seen(1, 0)] {
                let first = plan_release(&wanted(strategy, 3, None), &stored(1), seen, 0);
                assert!(first.progress != Progress::Completed && first.batch == 1, "{seen:?}: {first:?}");
            }
        }
    }

    #[test]
    fn a_beta_batch_always_waits() {
        let strategy = strategy(1, true);
        let seen = Seen { updated_available: 1, old: 4 };
        let release = plan_release(&wanted(&strategy, 5, None), &stored(1), seen, 0);
        assert_eq!(release.progress, Progress::WaitingForConfirmation);
    }

    #[test]
    fn gray_time_ends_by_itself_and_survives_a_restart() {
        let strategy = Strategy { gray_time: Duration::from_secs(120), ..strategy(2, false) };
        let seen = Seen { updated_available: 1, old: 1 };
        let wanted = wanted(&strategy, 2, None);
        let first = plan_release(&wanted, &stored(1), seen, 1000);
        assert_eq!((first.progress, first.resume_at), (Progress::Paused, Some(1120)));
        let kept = Stored { resume_at: first.resume_at, ..stored(1) };
        assert_eq!(plan_release(&wanted, &kept, seen, 1119).resume_at, Some(1120));
        let on = plan_release(&wanted, &kept, seen, 1120);
        assert_eq!((on.progress, on.batch, on.resume_at), (Progress::Executing, 2, None));
    }

    #[test]
    fn what_breaks_in_gray_time_keeps_the_next_batch_from_coming() {
        let strategy = Strategy { gray_time: Duration::from_secs(120), ..strategy(2, false) };
        let broken = Seen { updated_available: 0, old: 1 };
        let well = Seen { updated_available: 1, old: 1 };
        let at = |seen, paused, now| {
            let wanted = Wanted { paused, ..wanted(&strategy, 2, None) };
            plan_release(&wanted, &Stored { resume_at: Some(1120), ..stored(1) }, seen, now)
        };
        for (seen, now, progress, batch, batch_complete, wakes) in [
            (well, 1119, Progress::Paused, 1, true, Some(1120)),
            (broken, 1119, Progress::Paused, 1, false, Some(1120)),
            (broken, 1120, Progress::Executing, 1, false, None),
            (broken, 9999, Progress::Executing, 1, false, None),
            // Gray time is over: what recovers late goes straight on.
            (well, 9999, Progress::Executing, 2, false, None),
        ] {
            let release = at(seen, false, now);
            let found = (release.progress, release.batch, release.batch_complete, release.wake_at());
            assert_eq!(found, (progress, batch, batch_complete, wakes), "{seen:?} at {now}");
            assert_eq!(release.target, Some(batch), "{seen:?} at {now}");
        }
        let paused = at(broken, true, 9999);
        assert_eq!((paused.progress, paused.resume_at, paused.wake_at()), (Progress::Paused, Some(1120), None));
        // A pause of a strategy that the user has changed since is none.
        let confirm = Strategy { need_confirm: true, gray_time: Duration::ZERO, ..strategy.clone() };
        let kept = Stored { resume_at: Some(1120), ..stored(1) };
        let release = plan_release(&wanted(&confirm, 2, Some(1)), &kept, broken, 1119);
        assert_eq!((release.progress, release.batch), (Progress::Executing, 1));
    }

    #[test]
    fn a_completed_release_follows_the_scale_and_a_paused_one_stands_still() {
        let strategy = strategy(3, false);
        let done = Stored { completed: true, ..stored(3) };
        let release = plan_release(&wanted(&strategy, 9, None), &done, Seen::default(), 0);
        assert_eq!((release.progress, release.target), (Progress::Completed, Some(9)));
        let paused = Wanted { paused: true, ..wanted(&strategy, 3, None) };
        let release = plan_release(&paused, &stored(1), Seen { updated_available: 1, old: 2 }, 0);
        assert_eq!((release.progress, release.target), (Progress::Paused, None));
    }

    proptest! {
        #[test]
        fn targets_only_grow_and_end_at_desired(desired in 0u32..200, count in 0u32..300, beta: bool) {
            let targets = targets(desired, count, beta);
            prop_assert!(targets.is_sorted());
            prop_assert_eq!(targets.last().copied(), Some(desired));
            if beta && desired > 1 { prop_assert_eq!(targets[0], 1); }
        }

        #[test]
        fn asking_twice_changes_nothing(
            desired in 0u32..20, count in 1u32..6, batch in 1u32..6, available in 0u32..20, old in 0u32..20,
            confirm: bool, beta: bool, confirmed in proptest::option::of(0u32..6),
        ) {
            let strategy = Strategy { need_confirm: confirm, ..strategy(count, beta) };
            let wanted = wanted(&strategy, desired, confirmed);
            let seen = Seen { updated_available: available.min(desired), old };
            let first = plan_release(&wanted, &stored(batch), seen, 0);
            prop_assert!(first.target.unwrap_or(0) <= desired);
            let completed = first.progress == Progress::Completed;
            prop_assert!(completed || first.batch <= batch.min(first.batches) + 1, "at most one batch further");
        }
    }
}
