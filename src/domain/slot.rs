//! What to tell an agent next about one biz name on one base.
//!
//! A *slot* is (base pod UID, biz name). Its Modules, an old version leaving and a new one coming, state wishes;
//! the session holds the last confirmed list of biz; [`plan_slot`] gives the next command and [`verdict`] says how
//! things stand for one Module. Rules that hold whatever the wishes:
//!
//! - nothing is done on an unknown state but looking;
//! - only what no remaining wish wants is uninstalled, and only what is ours: a Module's, or a version of one of the
//!   deployment's revisions. A biz that nobody declared is never touched;
//! - in a contested slot the deployment of the oldest Module wins; the others wait and never uninstall;
//! - an explicit answer to `uninstallBiz` releases a Module, never absence from the list alone: an install whose
//!   end nobody saw may still be running.

use std::collections::{BTreeMap, BTreeSet};

use super::policy::UpgradePolicy;
use crate::api::Reason;

/// How soon a biz that is starting, or whose agent reported a conflict, is looked at again (milliseconds).
pub const LOOK_AGAIN_MS: i64 = 1_000;

/// What one Module wants of its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The Module's UID.
    pub module: String,
    /// The ModuleDeployment's (or, without one, the ModuleReplicaSet's) name: Modules of one owner cooperate.
    pub owner: String,
    /// The biz version.
    pub version: String,
    /// Where the base fetches it.
    pub url: String,
    /// The revision: among wishes of one owner the highest is the one that should be active.
    pub revision: u64,
    /// When the Module was created, in seconds since the epoch: the oldest wins a contested slot.
    pub created: i64,
    /// How a newer version takes the place of an older one here.
    pub policy: UpgradePolicy,
    /// Versions of the owner's other revisions: found here without a Module they are leftovers of ours.
    pub own_versions: Vec<String>,
    /// The other Modules of this slot, as far as they are known: while one of them hasn't stated its wish (as after a
    /// start of the operator), nothing is done and nothing is called foreign or left over.
    pub mates: Vec<String>,
    /// What is wanted.
    pub kind: WishKind,
}

/// Whether a Module wants its version here or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishKind {
    /// Installed and active.
    Run,
    /// Uninstalled, once traffic is drained.
    Leave {
        /// No traffic is sent here any more.
        drained: bool,
    },
}

/// The state of one version that the base has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BizState {
    /// `RESOLVED`: being started or stopped.
    Starting,
    /// `ACTIVATED`.
    Active,
    /// `DEACTIVATED`: started and not serving.
    Inactive,
    /// `BROKEN`, or a state this operator doesn't know.
    Broken,
}

/// What is known of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation<'a> {
    /// Never asked, or something happened since whose outcome is unknown.
    Unknown,
    /// The confirmed versions.
    Known {
        /// When the list was confirmed (milliseconds).
        at: i64,
        /// Version and state.
        versions: &'a BTreeMap<String, BizState>,
    },
}

impl Observation<'_> {
    /// The state of one version; the outer `None` is unknown, the inner one absent.
    pub fn state_of(&self, version: &str) -> Option<Option<BizState>> {
        match self {
            Self::Unknown => None,
            Self::Known { versions, .. } => Some(versions.get(version).copied()),
        }
    }
}

/// What this process remembers of one version in the slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionHistory {
    /// Failures in a row.
    pub failures: u32,
    /// Nothing is tried before (milliseconds).
    pub retry_at: Option<i64>,
    /// The last failure, for people.
    pub error: Option<String>,
    /// An explicit uninstall was answered after the last install that this process began.
    pub uninstall_answered: bool,
    /// The last install ended without an answer, and nothing was heard of this version since: it may come yet.
    pub install_unclear: bool,
}

/// What this process remembers of a slot, by version.
pub type History = BTreeMap<String, VersionHistory>;

/// The next thing to do about a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `installBiz`.
    Install {
        /// Version.
        version: String,
        /// Where the base fetches it.
        url: String,
    },
    /// `switchBiz`.
    Switch {
        /// The version to activate.
        version: String,
    },
    /// `uninstallBiz`.
    Uninstall {
        /// The version to remove.
        version: String,
    },
    /// `queryAllBiz`.
    Look,
    /// Nothing before this time (milliseconds).
    WaitUntil(i64),
    /// Nothing until a wish or the observation changes.
    Idle,
}

/// How things stand for one Module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The agent hasn't told yet, or an outcome is unknown.
    Unknown,
    /// Its turn hasn't come.
    Waiting,
    /// Being installed or started.
    Installing,
    /// Confirmed active.
    Active,
    /// Confirmed deactivated, because a newer version of the same deployment is active.
    Superseded,
    /// Confirmed deactivated, about to be switched.
    Inactive,
    /// The last try failed.
    Failed(String),
    /// Something outside keeps it from being tried: a word for programs, a sentence for people.
    Held(Reason, String),
    /// Another deployment's Module holds the slot.
    Contested(String),
    /// The base has a version that no Module declares.
    Foreign(String),
    /// Nothing of it is left on the base: the Module may go.
    Released,
}

/// The owner that holds the slot: the one with the oldest Module (ties by UID, so every look says the same).
fn holder(wishes: &[Wish]) -> Option<&str> {
    wishes.iter().min_by_key(|wish| (wish.created, &wish.module)).map(|wish| wish.owner.as_str())
}

/// Whether every Module of the slot that is known has stated its wish.
fn is_complete(wishes: &[Wish]) -> bool {
    wishes.iter().flat_map(|wish| &wish.mates).all(|mate| wishes.iter().any(|wish| wish.module == *mate))
}

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

/// Whether what else is on the base leaves room for this version.
fn may_install(wish: &Wish, wishes: &[Wish], versions: &BTreeMap<String, BizState>, history: &History) -> bool {
    if foreign_version(wish, wishes, versions).is_some() {
        return false;
    }
    // The same version is on its way out for another Module: a new install waits for the end of the old.
    let leaving_same = wishes.iter().any(|other| other.version == wish.version && other.kind != WishKind::Run);
    if leaving_same && versions.contains_key(&wish.version) {
        return false;
    }
    let others = versions.keys().filter(|version| **version != wish.version).count()
        + lingering(wish, wishes, versions, history).len();
    match wish.policy {
        UpgradePolicy::UninstallThenInstall => {
            // Revisions of another owner, who lost this slot, say nothing here.
            let older = |other: &Wish| other.owner == wish.owner && other.revision < wish.revision;
            let older_runs = wishes.iter().any(|other| other.kind == WishKind::Run && older(other));
            others == 0 && !older_runs
        }
        UpgradePolicy::InstallThenUninstall | UpgradePolicy::ScaleUpThenScaleDown => others < 2,
    }
}

/// Other versions of this owner that the list doesn't show and that may be there all the same: one whose install nobody
/// saw end, or one that leaves and isn't uninstalled by word yet (a jar that is being fetched is in no list).
fn lingering<'a>(
    wish: &Wish,
    wishes: &'a [Wish],
    versions: &BTreeMap<String, BizState>,
    history: &History,
) -> BTreeSet<&'a str> {
    let unlisted = wishes.iter().filter(|other| {
        other.owner == wish.owner && other.version != wish.version && !versions.contains_key(&other.version)
    });
    let may_be_there = |other: &&Wish| match history.get(&other.version) {
        Some(record) => record.install_unclear || (other.kind != WishKind::Run && !record.uninstall_answered),
        None => other.kind != WishKind::Run,
    };
    unlisted.filter(may_be_there).map(|other| other.version.as_str()).collect()
}

/// A version on the base that neither a wish nor one of the owner's revisions accounts for.
fn foreign_version(wish: &Wish, wishes: &[Wish], versions: &BTreeMap<String, BizState>) -> Option<String> {
    versions
        .keys()
        .find(|version| !wishes.iter().any(|other| other.version == **version) && !wish.own_versions.contains(version))
        .cloned()
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

/// How things stand for the Module `module`; `None` where it has no wish here.
pub fn verdict(module: &str, wishes: &[Wish], observation: Observation<'_>, history: &History) -> Option<Verdict> {
    let wish = wishes.iter().find(|wish| wish.module == module)?;
    Some(verdict_of(wish, wishes, observation, history))
}

fn verdict_of(wish: &Wish, wishes: &[Wish], observation: Observation<'_>, history: &History) -> Verdict {
    let holder = holder(wishes).unwrap_or(&wish.owner);
    let contested = wish.owner != holder;
    let record = history.get(&wish.version);
    let state = observation.state_of(&wish.version);
    if !is_complete(wishes) {
        return match (wish.kind, state) {
            (WishKind::Run, Some(Some(BizState::Active))) if !contested => Verdict::Active,
            (WishKind::Run, _) => Verdict::Unknown,
            (WishKind::Leave { .. }, _) => Verdict::Waiting,
        };
    }
    if wish.kind != WishKind::Run {
        let wanted_by_other = wishes
            .iter()
            .any(|other| other.module != wish.module && other.version == wish.version && other.kind == WishKind::Run);
        let gone = state == Some(None) && record.is_some_and(|record| record.uninstall_answered);
        return match state {
            _ if contested || wanted_by_other || gone => Verdict::Released,
            // A biz without Spring is gone although its uninstall ends in an error: the list tells.
            None => Verdict::Waiting,
            Some(_) => failed_or(record, Verdict::Waiting),
        };
    }
    if contested {
        return Verdict::Contested(holder.to_owned());
    }
    match state {
        None => failed_or(record, Verdict::Unknown),
        Some(Some(BizState::Active)) => Verdict::Active,
        Some(Some(BizState::Starting)) => Verdict::Installing,
        Some(Some(BizState::Inactive)) => inactive(wish, wishes, observation, record),
        Some(Some(BizState::Broken)) => failed_or(record, Verdict::Failed("the biz is BROKEN in the base".to_owned())),
        Some(None) => match observation {
            Observation::Known { versions, .. } => match foreign_version(wish, wishes, versions) {
                Some(version) => Verdict::Foreign(version),
                None if !may_install(wish, wishes, versions, history) => Verdict::Waiting,
                None => failed_or(record, Verdict::Installing),
            },
            Observation::Unknown => Verdict::Unknown,
        },
    }
}

fn inactive(wish: &Wish, wishes: &[Wish], observation: Observation<'_>, record: Option<&VersionHistory>) -> Verdict {
    let newer_active = wishes.iter().any(|other| {
        other.kind == WishKind::Run
            && other.revision > wish.revision
            && observation.state_of(&other.version) == Some(Some(BizState::Active))
    });
    if newer_active { Verdict::Superseded } else { failed_or(record, Verdict::Inactive) }
}

fn failed_or(record: Option<&VersionHistory>, otherwise: Verdict) -> Verdict {
    match record.and_then(|record| record.error.clone()) {
        Some(error) => Verdict::Failed(error),
        None => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 100_000;

    fn wish(module: &str, version: &str, revision: u64, kind: WishKind) -> Wish {
        Wish {
            module: module.into(),
            owner: "d".into(),
            version: version.into(),
            url: format!("file:///{version}.jar"),
            revision,
            created: i64::try_from(revision).unwrap(),
            policy: UpgradePolicy::InstallThenUninstall,
            own_versions: vec![],
            mates: vec![],
            kind,
        }
    }

    fn run(module: &str, version: &str, revision: u64) -> Wish {
        wish(module, version, revision, WishKind::Run)
    }

    fn leave(module: &str, version: &str, revision: u64) -> Wish {
        wish(module, version, revision, WishKind::Leave { drained: true })
    }

    fn known(versions: &[(&str, BizState)]) -> Observation<'static> {
        let versions = versions.iter().map(|(version, state)| ((*version).to_owned(), *state)).collect();
        // A table of a test lives as long as the test.
        Observation::Known { at: NOW, versions: Box::leak(Box::new(versions)) }
    }

    fn install(version: &str) -> Step {
        Step::Install { version: version.into(), url: format!("file:///{version}.jar") }
    }

    fn uninstall(version: &str) -> Step {
        Step::Uninstall { version: version.into() }
    }

    fn switch(version: &str) -> Step {
        Step::Switch { version: version.into() }
    }

    use BizState::{Active, Broken, Inactive, Starting};

    #[test]
    fn the_table_of_steps() {
        let strict = |mut wish: Wish| {
            wish.policy = UpgradePolicy::UninstallThenInstall;
            wish
        };
        let undrained = wish("a", "1", 1, WishKind::Leave { drained: false });
        let cases: Vec<(&str, Vec<Wish>, Observation<'_>, Step)> = vec![
            ("nothing is done on an unknown state", vec![run("a", "1", 1)], Observation::Unknown, Step::Look),
            ("absent is installed", vec![run("a", "1", 1)], known(&[]), install("1")),
            ("active is left alone", vec![run("a", "1", 1)], known(&[("1", Active)]), Step::Idle),
            (
                "starting is looked at again",
                vec![run("a", "1", 1)],
                known(&[("1", Starting)]),
                Step::WaitUntil(NOW + 1000),
            ),
            ("deactivated is switched", vec![run("a", "1", 1)], known(&[("1", Inactive)]), switch("1")),
            ("broken is removed first", vec![run("a", "1", 1)], known(&[("1", Broken)]), uninstall("1")),
            (
                "a new version comes beside",
                vec![run("a", "1", 1), run("b", "2", 2)],
                known(&[("1", Active)]),
                install("2"),
            ),
            (
                "and is switched to",
                vec![run("a", "1", 1), run("b", "2", 2)],
                known(&[("1", Active), ("2", Inactive)]),
                switch("2"),
            ),
            (
                "the old one may stand by",
                vec![run("a", "1", 1), run("b", "2", 2)],
                known(&[("1", Inactive), ("2", Active)]),
                Step::Idle,
            ),
            (
                "an old one leaves",
                vec![leave("a", "1", 1), run("b", "2", 2)],
                known(&[("1", Inactive), ("2", Active)]),
                uninstall("1"),
            ),
            (
                "a new one that is overtaken leaves when the old one serves again",
                vec![run("a", "1", 1), leave("b", "2", 2)],
                known(&[("1", Inactive), ("2", Active)]),
                switch("1"),
            ),
            ("not before it is drained", vec![undrained.clone()], known(&[("1", Active)]), Step::Idle),
            (
                "strictly one version at a time",
                vec![strict(leave("a", "1", 1)), strict(run("b", "2", 2))],
                known(&[("1", Active)]),
                uninstall("1"),
            ),
            (
                "also while the old one drains",
                vec![strict(undrained), strict(run("b", "2", 2))],
                known(&[("1", Active)]),
                Step::Idle,
            ),
            (
                "and while it isn't leaving yet",
                vec![strict(run("a", "1", 1)), strict(run("b", "2", 2))],
                known(&[("1", Active)]),
                Step::Idle,
            ),
            ("what is absent is uninstalled all the same", vec![leave("a", "1", 1)], known(&[]), uninstall("1")),
            (
                "a version that another Module wants stays",
                vec![leave("a", "1", 1), run("b", "1", 2)],
                known(&[("1", Active)]),
                Step::Idle,
            ),
            ("a foreign version is never touched", vec![run("a", "1", 1)], known(&[("0", Active)]), Step::Idle),
            (
                "no third version comes",
                vec![run("a", "1", 1), run("b", "2", 2), run("c", "3", 3)],
                known(&[("1", Active), ("2", Inactive)]),
                switch("2"),
            ),
            ("nobody wishes, nothing happens", vec![], known(&[("1", Active)]), Step::Idle),
        ];
        for (name, wishes, observation, step) in cases {
            assert_eq!(plan_slot(&wishes, observation, &History::new(), NOW), step, "{name}");
        }
    }

    #[test]
    fn a_leftover_of_the_own_revisions_is_removed() {
        let mut wish = run("a", "2", 2);
        wish.own_versions = vec!["1".into(), "2".into()];
        assert_eq!(plan_slot(&[wish], known(&[("1", Active)]), &History::new(), NOW), uninstall("1"));
    }

    #[test]
    fn nothing_is_done_before_every_module_of_the_slot_has_spoken() {
        // After a start of the operator the old Module speaks first: its successor's biz is no leftover, and the old
        // version isn't switched back to.
        let mut old = run("a", "1", 1);
        old.own_versions = vec!["1".into(), "2".into()];
        old.mates = vec!["b".into()];
        let there = known(&[("1", Inactive), ("2", Active)]);
        assert_eq!(plan_slot(&[old.clone()], there, &History::new(), NOW), Step::Idle);
        assert_eq!(verdict("a", &[old.clone()], there, &History::new()), Some(Verdict::Unknown));
        let both = [old, run("b", "2", 2)];
        assert_eq!(plan_slot(&both, there, &History::new(), NOW), Step::Idle);
        assert_eq!(verdict("a", &both, there, &History::new()), Some(Verdict::Superseded));
    }

    #[test]
    fn failures_wait_and_are_told() {
        let failed = VersionHistory {
            failures: 2,
            retry_at: Some(NOW + 500),
            error: Some("no such file".into()),
            ..VersionHistory::default()
        };
        let history = History::from([("1".to_owned(), failed)]);
        let wishes = [run("a", "1", 1)];
        assert_eq!(plan_slot(&wishes, known(&[]), &history, NOW), Step::WaitUntil(NOW + 500));
        assert_eq!(plan_slot(&wishes, known(&[]), &history, NOW + 500), install("1"));
        assert_eq!(verdict("a", &wishes, known(&[]), &history), Some(Verdict::Failed("no such file".into())));
    }

    #[test]
    fn what_leaves_is_not_held_by_a_switch_that_fails() {
        let failed = VersionHistory { failures: 1, retry_at: Some(NOW + 500), ..VersionHistory::default() };
        let history = History::from([("1".to_owned(), failed)]);
        let wishes = [run("a", "1", 1), leave("b", "2", 2)];
        let there = known(&[("1", Inactive), ("2", Active)]);
        assert_eq!(plan_slot(&wishes, there, &history, NOW), uninstall("2"));
        assert_eq!(plan_slot(&wishes, there, &history, NOW + 500), switch("1"));
    }

    #[test]
    fn in_a_contested_slot_the_oldest_wins_and_the_loser_never_uninstalls() {
        let mut loser = run("b", "2", 9);
        loser.owner = "other".into();
        let mut wishes = vec![run("a", "1", 1), loser];
        assert_eq!(plan_slot(&wishes, known(&[]), &History::new(), NOW), install("1"));
        assert_eq!(verdict("b", &wishes, known(&[]), &History::new()), Some(Verdict::Contested("d".into())));
        wishes[1].kind = WishKind::Leave { drained: true };
        wishes[1].version = "1".into();
        assert_eq!(plan_slot(&wishes, known(&[("1", Active)]), &History::new(), NOW), Step::Idle);
        assert_eq!(verdict("b", &wishes, known(&[("1", Active)]), &History::new()), Some(Verdict::Released));
    }

    #[test]
    fn only_an_answered_uninstall_releases() {
        let wishes = [leave("a", "1", 1)];
        let answered = VersionHistory { uninstall_answered: true, ..VersionHistory::default() };
        let answered = History::from([("1".to_owned(), answered)]);
        assert_eq!(verdict("a", &wishes, known(&[]), &History::new()), Some(Verdict::Waiting));
        assert_eq!(verdict("a", &wishes, known(&[]), &answered), Some(Verdict::Released));
        assert_eq!(verdict("a", &wishes, known(&[("1", Active)]), &answered), Some(Verdict::Waiting));
        assert_eq!(verdict("a", &wishes, Observation::Unknown, &answered), Some(Verdict::Waiting));
    }

    #[test]
    fn verdicts_of_running_modules() {
        let both = [run("a", "1", 1), run("b", "2", 2)];
        let history = History::new();
        let told = |versions: &[(&str, BizState)], module| verdict(module, &both, known(versions), &history);
        assert_eq!(told(&[("1", Inactive), ("2", Active)], "a"), Some(Verdict::Superseded));
        assert_eq!(told(&[("1", Inactive)], "a"), Some(Verdict::Inactive));
        assert_eq!(told(&[("1", Active), ("2", Active)], "b"), Some(Verdict::Active));
        assert_eq!(told(&[("9", Active)], "b"), Some(Verdict::Foreign("9".into())));
        assert_eq!(told(&[], "nobody"), None);
    }
}
