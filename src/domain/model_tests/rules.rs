//! What must hold after every write of the operator, said once more and independently of how it is reached.
//!
//! Nothing of the plans may be used here: a rule that shares their arithmetic shares their mistakes.

use super::{
    events::{Config, write_all},
    plans::Write,
    slots::{Deed, Doings},
    state::{Base, Flag, Resume, Shown, State, Terms, VERSIONS, count},
};
use crate::domain::policy::UpgradePolicy;

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// S1: versions on a base.
    Versions,
    /// S3: one Module for a base and a replica set, on a base that has room and is ready.
    Places,
    /// A replica set comes nearer to its number, and not past it: bases that aren't ready keep what they have.
    Number,
    /// The traffic label is on while the module serves; it is off, and the drain over, before the module goes.
    Traffic,
    /// Available is what is active for `minReadySeconds`, and gets traffic.
    Soak,
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
    let side_by_side = state.terms.policy == UpgradePolicy::InstallThenUninstall || config.extras.edits;
    let most = if side_by_side { 2 } else { 1 };
    for base in &state.bases {
        let installed = base.places().filter(|(_, place)| place.installed).count();
        keep(Rule::Versions, installed <= most, || format!("{installed} versions on {base}"))?;
    }
    Ok(())
}

/// S1, the traffic label and what is available, on what follows at a base.
pub fn doings(config: &Config, state: &State, base: Base, doings: &Doings) -> Kept {
    let mut serves = false;
    for (version, place) in base.places() {
        serves |= place.active && !place.leaving;
        let available = doings.noticed.place(version).available && !place.available;
        let soaked = place.active && (place.past || !config.extras.soak) && base.is(Flag::Labelled);
        keep(Rule::Soak, !available || soaked, || format!("v{} is said to be available on {base}", version + 1))?;
    }
    serves &= !base.is_ending();
    keep(Rule::Traffic, doings.label == serves, || format!("the label is to be {} on {base}", doings.label))?;
    let Some((version, deed)) = doings.step else { return Ok(()) };
    let place = base.place(version);
    match deed {
        Deed::Install => {
            let alone = base.places().all(|(_, place)| !place.installed);
            let allowed = alone || state.terms.policy != UpgradePolicy::UninstallThenInstall;
            keep(Rule::Versions, allowed, || format!("v{} comes beside another on {base}", version + 1))
        }
        Deed::Uninstall => {
            let drained = !place.served || place.past;
            let off = !(place.active && base.is(Flag::Labelled));
            keep(Rule::Traffic, drained && off, || format!("v{} goes too early from {base}", version + 1))
        }
        Deed::Switch => Ok(()),
    }
}

/// So many may be unavailable.
fn max_unavailable(terms: &Terms, desired: u8) -> u8 {
    match (terms.policy, terms.max_unavailable) {
        (UpgradePolicy::UninstallThenInstall, 0) => (desired / 4).max(1),
        (_, number) => number,
    }
}

/// S3 and S4, on what a replica set is about to create and delete.
pub fn set(config: &Config, before: &State, set: usize, writes: &[Write]) -> Kept {
    let mut after = before.clone();
    for write in writes {
        match *write {
            Write::Overfill => keep(Rule::Places, false, || "a full base gets a module".to_owned())?,
            Write::Place { set, base } => {
                let at = before.bases[base];
                // What takes the place of a Module that is there is nothing new there: a base that isn't ready may have it.
                let succeeds = at.stays() && at.places().count() > 0;
                let free = !at.place(set).here && (at.is_open() || succeeds) && at.places().count() < 2;
                keep(Rule::Places, free, || format!("one more of v{} on {at}", set + 1))?;
            }
            _ => {}
        }
    }
    write_all(&mut after, writes);
    let wanted = before.sets[set].desired;
    let (had, has) = (before.settled(set), after.settled(set));
    let nearer = if had < wanted { had..=wanted } else { wanted..=had };
    keep(Rule::Number, nearer.contains(&has), || format!("{wanted} of v{} are wanted: {had}, {has}", set + 1))?;
    let floor = before.desired.saturating_sub(max_unavailable(&before.terms, before.desired));
    // Looked at slowly an order may be carried out late: then only what is Available counts. And a version that was there
    // before needs none to stand by.
    let is_new = |newest: &usize| before.sets[*newest].name == before.sets[*newest].number;
    let soaks = before.newest().filter(is_new).filter(|_| config.extras.soak && !config.slow);
    // Which of a set's idle ones leaves isn't judged: placement doesn't see which of them stands by.
    let idle = |base: &&Base| {
        let place = base.place(set);
        place.here && !place.leaving && !place.available && !base.serves(soaks)
    };
    let instead = count(after.bases.iter().filter(idle).filter(|_| soaks.is_some()));
    let (had, has) = (before.serving(soaks), after.serving(soaks) + instead);
    // The user wants a base to go, and there is no other.
    let ordered = writes.iter().all(|write| match *write {
        Write::Delete { base, .. } => before.bases[base].is(Flag::Emptied),
        _ => true,
    });
    let nowhere = !before.bases.iter().any(|base| base.is_open() && !base.has_any());
    let kept = has >= had.min(floor) || ordered && nowhere;
    keep(Rule::Floor, kept, || {
        format!("{had} bases serve, then {has}, and {floor} must: v{} at\n    {before}\n    {after}", set + 1)
    })
}

/// A release as the rules see it, before and after one look at the deployment.
pub struct Look<'a> {
    pub before: &'a State,
    pub after: State,
    pub newest: usize,
    /// The newest revision was it before, by the status.
    pub same: bool,
}

impl Look<'_> {
    fn terms(&self) -> &Terms {
        &self.before.terms
    }

    fn beta(&self) -> bool {
        let others = (0..VERSIONS).any(|set| set != self.newest && self.after.sets[set].exists);
        self.terms().beta && others && self.after.desired > 1
    }

    fn batches(&self) -> u8 {
        let least = |desired: u8| self.terms().batches.min(desired.max(1));
        if self.beta() { 1 + least(self.after.desired - 1) } else { least(self.after.desired) }
    }

    /// So many updated instances after batch `batch`: equal parts, rounded up.
    fn target(&self, batch: u8) -> u8 {
        let desired = self.after.desired;
        if self.beta() {
            1 + ((desired - 1) * (batch - 1)).div_ceil(self.batches() - 1)
        } else {
            (desired * batch).div_ceil(self.batches())
        }
    }

    fn is_complete(&self, batch: u8) -> bool {
        let target = self.target(batch);
        let old = self.before.existing_old(self.newest);
        self.before.available(self.newest) >= target && old <= self.after.desired - target
    }
}

/// The rules of a release, on one look at its deployment.
pub fn deployment(before: &State, writes: &[Write]) -> Kept {
    let woken = !writes.contains(&Write::WakeInThePast);
    keep(Rule::Rest, woken, || "it is looked at again without end".to_owned())?;
    let mut after = before.clone();
    write_all(&mut after, writes);
    let Some(newest) = after.newest() else { return Ok(()) };
    let same = before.status.revision == after.status.revision;
    let look = Look { before, after, newest, same };
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
    let asked_for = look.terms().confirm || (look.beta() && then == 1);
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
pub fn end(state: &State, unplaced: u32) -> Kept {
    let newest = state.newest().unwrap_or(0);
    let old = state.existing_old(newest);
    let available = state.available(newest);
    let asked_for = usize::from(state.version) == newest;
    let completed = state.status.shown == Shown::Completed;
    let emptied = state.bases.iter().any(|base| base.is(Flag::Emptied));
    if asked_for && available == state.desired && old == 0 && completed && !emptied {
        return Ok(());
    }
    let able = count(state.bases.iter().filter(|base| base.is_open() || base.has_any()));
    let open = count(state.bases.iter().filter(|base| base.is_open()));
    let free = state.bases.iter().any(|base| base.is_open() && !base.has_any());
    let surge = state.terms.policy == UpgradePolicy::ScaleUpThenScaleDown;
    let serving = state.serving(None) == able.min(state.desired);
    let told = asked_for && unplaced > 0;
    let excused = told && !free && serving && !emptied && (surge || open < state.desired);
    keep(Rule::End, excused, || format!("{available} new, {old} old, {unplaced} told to be without a base"))
}
