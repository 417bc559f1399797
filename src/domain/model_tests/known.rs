//! What is known to be broken, and when: the rules look away there, and nowhere else.
//!
//! Each function is one fault of a plan, with its shortest course. Whoever mends the plan takes the function out, and
//! the rule bites. Nothing may be added here without such a course.

use super::{
    events::Config,
    rules::Look,
    state::{Base, Resume, State},
};

/// `plan_release` takes the pause between two batches over into the next revision. v1's or v2's first batch is complete
/// and the pause has begun; the user asks for another version: its first batch is passed, or waits for confirmation as
/// "available", before an instance of it was ordered. A confirmation from before counts too, because a revision that is
/// just being made has no baseline yet.
pub fn inherited_pause(look: &Look<'_>) -> bool {
    !look.same && look.before.status.resume != Resume::None
}

/// A revision whose label is lifted keeps the `confirm-baseline` of the day it was made. With `needConfirm` the user
/// confirms batch 1 of v2 and then goes back to v1: v1's baseline is 0, so the 1 counts as given for the way back, and
/// its second batch begins unasked.
pub fn lifted_baseline(look: &Look<'_>) -> bool {
    let newest = look.after.sets[look.newest];
    newest.number != newest.name
}

/// A confirmation that equals the baseline is never heard, even where another one was given in between. v2 is asked for
/// while `confirmBatchNum` is 2; the user confirms 1, as told, and then 2, as told: the release waits on and asks for 2.
pub fn baseline_again(look: &Look<'_>) -> bool {
    look.after.confirm == look.after.sets[look.newest].baseline
}

/// A batch that is complete when the user pauses is followed by the next in the status, with its event; nothing of it is
/// ordered.
pub fn batch_while_paused(look: &Look<'_>) -> bool {
    look.before.paused
}

/// While the oldest revision's last Module leaves, `plan_rollout` sees the one after it as unfinished. It orders that
/// one's last away (held up: ordered and not available), at the next look gives it back as the old revisions' share (it
/// is held up no more), and so on: a write at every look until the leaving Module is gone, and no end while its agent is
/// silent.
pub fn seesaw(one: &State, other: &State) -> bool {
    let Some(newest) = one.newest() else { return false };
    let same_newest = one.sets[newest] == other.sets[newest];
    same_newest && State { sets: one.sets, ..other.clone() } == *one
}

/// `uninstall_then_install` on fewer bases than D: the old Module must stay, because nothing else serves, and the new
/// one waits beside it for an end that never comes. That is as it should be, but nobody is told: it counts as placed.
pub fn untold(config: &Config, state: &State) -> bool {
    let shut_out = |base: &Base| base.places().count() > 1 && base.serves();
    let short = state.bases.len() < usize::from(state.desired);
    config.policy == "uninstall_then_install" && short && state.bases.iter().any(shut_out)
}
