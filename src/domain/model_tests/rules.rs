//! What must hold after every write of the operator, said once more and independently of how it is reached.
//!
//! Nothing of the plans may be used here: a rule that shares their arithmetic shares their mistakes.

use super::{
    events::{Config, write_all},
    known,
    plans::Write,
    state::{Resume, Shown, State, VERSIONS},
};
use crate::domain::policy::Strategy;

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// S1: versions on a base.
    Versions,
    /// S3: one Module for a base and a replica set, on a base that has room.
    Places,
    /// S4: what is available.
    Floor,
    /// The number and the order of batches.
    Batch,
    /// A batch that isn't complete is passed, or said to be complete.
    Complete,
    /// Confirmations are waited for, and heard.
    Confirmation,
    /// No more updated instances than the batch brings.
    Target,
    /// Nothing moves while paused.
    Paused,
    /// There is an end to it.
    Rest,
    /// What was asked for is reached.
    End,
}

/// A rule is broken.
#[derive(Clone, Debug)]
pub struct Broken {
    pub rule: Rule,
    pub why: String,
}

type Kept = Result<(), Broken>;

fn keep(rule: Rule, holds: bool, why: impl FnOnce() -> String) -> Kept {
    if holds { Ok(()) } else { Err(Broken { rule, why: why() }) }
}

/// S1, on what bases have.
pub fn versions(config: &Config, state: &State) -> Kept {
    let most = if config.policy == "install_then_uninstall" { 2 } else { 1 };
    for base in &state.bases {
        let installed = base.places().filter(|(_, place)| place.installed).count();
        keep(Rule::Versions, installed <= most, || format!("{installed} versions on {base}"))?;
    }
    Ok(())
}

/// S3 and S4, on what a replica set is about to create and delete.
pub fn set(strategy: &Strategy, before: &State, writes: &[Write]) -> Kept {
    for write in writes {
        match *write {
            Write::Overfill => keep(Rule::Places, false, || "a full base gets a module".to_owned())?,
            Write::Place { set, base } => {
                let at = before.bases[base];
                let free = !at.place(set).here && !at.is_ending() && at.places().count() < 2;
                keep(Rule::Places, free, || format!("one more of v{} on {at}", set + 1))?;
            }
            _ => {}
        }
    }
    let mut after = before.clone();
    write_all(&mut after, writes);
    let desired = u32::from(before.desired);
    let floor = u8::try_from(desired.saturating_sub(strategy.max_unavailable(desired))).unwrap_or(u8::MAX);
    let (had, has) = (before.serving(), after.serving());
    keep(Rule::Floor, has >= had.min(floor), || format!("{had} bases serve, then {has}, and {floor} must"))
}

/// A release as the rules see it, before and after one look at the deployment.
pub struct Look<'a> {
    pub config: &'a Config,
    pub before: &'a State,
    pub after: State,
    pub newest: usize,
    /// The newest revision was it before, by the status.
    pub same: bool,
}

impl Look<'_> {
    fn beta(&self) -> bool {
        let others = (0..VERSIONS).any(|set| set != self.newest && self.after.sets[set].exists);
        self.config.beta && others && self.before.desired > 1
    }

    fn batches(&self) -> u8 {
        let least = |desired: u8| self.config.batches.min(desired.max(1));
        if self.beta() { 1 + least(self.before.desired - 1) } else { least(self.before.desired) }
    }

    /// So many updated instances after batch `batch`: equal parts, rounded up.
    fn target(&self, batch: u8) -> u8 {
        let desired = self.before.desired;
        if self.beta() {
            1 + ((desired - 1) * (batch - 1)).div_ceil(self.batches() - 1)
        } else {
            (desired * batch).div_ceil(self.batches())
        }
    }

    fn is_complete(&self, batch: u8) -> bool {
        let target = self.target(batch);
        let old = self.before.existing_old(self.newest);
        self.before.available(self.newest) >= target && old <= self.before.desired - target
    }
}

/// The rules of a release, on one look at its deployment.
pub fn deployment(config: &Config, before: &State, writes: &[Write]) -> Kept {
    let woken = !writes.contains(&Write::WakeInThePast);
    keep(Rule::Rest, woken, || "it is looked at again without end".to_owned())?;
    let mut after = before.clone();
    write_all(&mut after, writes);
    let Some(newest) = after.newest() else { return Ok(()) };
    let same = before.status.revision == after.status.revision;
    let look = Look { config, before, after, newest, same };
    let completed = same && before.status.shown == Shown::Completed;
    if completed {
        let shown = look.after.status.shown;
        return keep(Rule::Complete, shown == Shown::Completed, || "Completed is taken back".to_owned());
    }
    batch(&look)?;
    words(&look)?;
    orders(&look)
}

fn batch(look: &Look<'_>) -> Kept {
    let batches = look.batches();
    let now = look.after.status.batch;
    keep(Rule::Batch, (1..=batches).contains(&now), || format!("batch {now} of {batches}"))?;
    // With nothing left to do there is nothing to wait for either.
    if look.after.status.shown == Shown::Completed && look.is_complete(batches) {
        return Ok(());
    }
    let then = if look.same { look.before.status.batch.clamp(1, batches) } else { 1 };
    keep(Rule::Batch, now == then || now == then + 1, || format!("from batch {then} to {now}"))?;
    if now == then {
        return Ok(());
    }
    keep(Rule::Complete, look.is_complete(then), || format!("batch {now} begins and {then} isn't complete"))?;
    let asked_for = look.config.confirm || (look.beta() && then == 1);
    let confirmed = !asked_for || look.after.confirmed >= then;
    keep(Rule::Confirmation, confirmed, || format!("batch {now} begins and nobody confirmed {then}"))?;
    keep(Rule::Paused, !look.before.paused, || format!("batch {now} begins while paused"))
}

/// What is shown is true.
fn words(look: &Look<'_>) -> Kept {
    let status = look.after.status;
    let complete = look.is_complete(status.batch);
    match status.shown {
        Shown::Waiting => {
            keep(Rule::Complete, complete, || format!("batch {} is said to be complete", status.batch))?;
            let heard = look.after.confirmed < status.batch;
            keep(Rule::Confirmation, heard, || format!("batch {} was confirmed and still waits", status.batch))
        }
        Shown::Completed => keep(Rule::Complete, complete && status.batch == look.batches(), || {
            format!("Completed in batch {} with {} old", status.batch, look.before.existing_old(look.newest))
        }),
        Shown::Paused => {
            let in_pause = look.same && look.before.status.resume != Resume::None;
            let truly = status.resume == Resume::None || complete || in_pause;
            keep(Rule::Complete, truly, || format!("a pause after batch {}, which isn't complete", status.batch))
        }
        Shown::Executing => Ok(()),
    }
}

fn orders(look: &Look<'_>) -> Kept {
    let (had, has) = (look.before.sets[look.newest], look.after.sets[look.newest]);
    let target = look.target(look.after.status.batch);
    keep(Rule::Target, has.desired <= had.desired.max(target), || {
        format!("{} updated are ordered, {target} are the target, {} were there", has.desired, had.desired)
    })?;
    let others = (0..VERSIONS).any(|set| set != look.newest && look.before.sets[set].exists);
    let still = !look.before.paused || has.desired <= had.desired && had.exists || !others && !had.exists;
    keep(Rule::Paused, still, || format!("{} of the newest, {} before, while paused", has.desired, had.desired))
}

/// What must be true when nothing goes wrong any more and nothing changes: what was asked for is there, or the bases
/// that are missing are told and those that are there serve.
pub fn end(config: &Config, state: &State, unplaced: u32) -> Kept {
    let newest = state.newest().unwrap_or(0);
    let old = state.existing_old(newest);
    let available = state.available(newest);
    let asked_for = usize::from(state.version) == newest;
    let completed = state.status.shown == Shown::Completed;
    if asked_for && available == state.desired && old == 0 && completed {
        return Ok(());
    }
    let bases = super::state::count(state.bases.iter());
    let told = asked_for && (unplaced > 0 || known::untold(config, state));
    let free = state.bases.iter().any(|base| base.places().next().is_none());
    let surge = config.policy == "scaleup_then_scaledown";
    let serving = state.serving() == bases.min(state.desired);
    let excused = told && !free && serving && (surge || bases < state.desired);
    keep(Rule::End, excused, || format!("{available} new, {old} old, {unplaced} told to be without a base"))
}
