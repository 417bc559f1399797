//! The next command for a slot.
//!
//! Must not: uninstall what nobody here declared, or do anything on an unknown state but look.

use std::collections::BTreeMap;

use super::{
    BizState, History, LOOK_AGAIN_MS, Observation, Step, Verdict, Wish, WishKind, holder, is_complete,
    room::may_install, verdict::verdict_of,
};

/// The next command for a slot.
pub fn plan_slot(wishes: &[Wish], observation: Observation<'_>, history: &History, now: i64) -> Step {
    let Some(owner) = holder(wishes) else { return Step::Idle };
    let mine: Vec<&Wish> = wishes.iter().filter(|wish| wish.owner == owner).collect();
    let Observation::Known { at, versions } = observation else {
        return Step::Look;
    };
    if !is_complete(wishes) {
        return Step::Idle;
    }
    let mut running: Vec<&Wish> = mine.iter().copied().filter(|wish| wish.kind == WishKind::Run).collect();
    running.sort_by_key(|wish| wish.revision);
    let mut steps = Vec::new();
    // First of all: what leaves may be what serves, and an overtaken release goes back to the version that stands by.
    if let Some(version) = to_activate(&running, versions) {
        steps.push(gated(history, &version, now, Step::Switch { version: version.clone() }));
    }
    for wish in &mine {
        if let WishKind::Leave { drained: true } = wish.kind
            && verdict_of(wish, wishes, observation, history) != Verdict::Released
        {
            steps.push(gated(history, &wish.version, now, Step::Uninstall { version: wish.version.clone() }));
        }
    }
    steps.extend(leftovers(&running, wishes, versions).map(|version| {
        let step = Step::Uninstall { version: version.clone() };
        gated(history, &version, now, step)
    }));
    for wish in &running {
        steps.push(plan_run(wish, wishes, at, versions, history, now));
    }
    first_of(steps)
}

/// An action if there is one, else the earliest wait.
fn first_of(steps: Vec<Step>) -> Step {
    let wait = steps.iter().filter_map(|step| match step {
        Step::WaitUntil(at) => Some(*at),
        _ => None,
    });
    let wait = wait.min();
    let action = steps.into_iter().find(|step| !matches!(step, Step::WaitUntil(_) | Step::Idle));
    action.unwrap_or_else(|| wait.map_or(Step::Idle, Step::WaitUntil))
}

/// `step` unless the version's last failure says to wait.
fn gated(history: &History, version: &str, now: i64, step: Step) -> Step {
    match history.get(version).and_then(|history| history.retry_at) {
        Some(at) if at > now => Step::WaitUntil(at),
        _ => step,
    }
}

fn plan_run(
    wish: &Wish,
    wishes: &[Wish],
    looked_at: i64,
    versions: &BTreeMap<String, BizState>,
    history: &History,
    now: i64,
) -> Step {
    let step = match versions.get(&wish.version) {
        Some(BizState::Active | BizState::Inactive) => return Step::Idle,
        Some(BizState::Starting) if now < looked_at + LOOK_AGAIN_MS => {
            return Step::WaitUntil(looked_at + LOOK_AGAIN_MS);
        }
        Some(BizState::Starting) => return Step::Look,
        Some(BizState::Broken) => Step::Uninstall { version: wish.version.clone() },
        None if !may_install(wish, wishes, versions, history) => return Step::Idle,
        None => Step::Install { version: wish.version.clone(), url: wish.url.clone() },
    };
    gated(history, &wish.version, now, step)
}

/// Versions of the owner's revisions that no wish accounts for: left behind by an earlier controller.
fn leftovers<'a>(
    running: &'a [&'a Wish],
    wishes: &'a [Wish],
    versions: &'a BTreeMap<String, BizState>,
) -> impl Iterator<Item = String> + 'a {
    versions
        .keys()
        .filter(move |version| {
            running.iter().any(|wish| wish.own_versions.contains(version))
                && !wishes.iter().any(|wish| wish.version == **version)
        })
        .cloned()
}

/// The newest wanted version that the base has started, if it isn't the active one.
fn to_activate(running: &[&Wish], versions: &BTreeMap<String, BizState>) -> Option<String> {
    let started = |wish: &&&Wish| matches!(versions.get(&wish.version), Some(BizState::Active | BizState::Inactive));
    let newest = running.iter().rev().find(started)?;
    (versions.get(&newest.version) == Some(&BizState::Inactive)).then(|| newest.version.clone())
}
