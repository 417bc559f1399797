//! What goes on at one base: what its agent is told, what the statuses of its Modules say, and its traffic label.
//!
//! Translation again, between a [`Base`] and what `plan_module`, `plan_slot` and the traffic label's rule look at.
//! Whatever a process remembers and a restart forgets is given to them as if it had just begun.

use std::collections::BTreeMap;

use super::{
    plans::version_name,
    state::{Base, Flag, HashMap, Place, Set, VERSIONS},
};
use crate::domain::{
    module::{BaseFate, ModulePlan, ModuleView, Phase, Told, plan_module},
    policy::UpgradePolicy,
    slot::{BizState, History, Observation, Step, Verdict, Wish, WishKind, plan_slot, verdict},
    traffic::Traffic,
};

/// Milliseconds.
const NOW: i64 = 1_700_000_000_000;
/// What is told has been so for so long: long enough to be written.
const RECENT: i64 = 2_000;
/// `minReadySeconds` and the drain, where there is one.
const OWED: i64 = 10_000;

/// What an agent can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Install,
    Switch,
    Uninstall,
}

/// What follows at a base.
#[derive(Clone, Copy, Debug)]
pub struct Doings {
    /// What the agent is told next, about which version.
    pub step: Option<(usize, Deed)>,
    /// The base once the status of each Module is written, but for the label.
    pub noticed: Base,
    /// Whether it is to carry the traffic label.
    pub label: bool,
}

/// What is seen of the replica sets: their numbers.
type Key = (Base, [u8; VERSIONS], UpgradePolicy);

/// The plans for what goes on at a base.
pub struct Slots {
    /// Whether there is a soak (`minReadySeconds`).
    pub soak: bool,
    /// Whether there is a drain.
    pub drain: bool,
    known: HashMap<Key, Doings>,
}

impl Slots {
    pub fn new(soak: bool, drain: bool) -> Self {
        Self { soak, drain, known: HashMap::default() }
    }

    /// What follows at `base`.
    pub fn doings(&mut self, base: Base, sets: &[Set; VERSIONS], policy: UpgradePolicy) -> Doings {
        let key = (base, sets.map(|set| set.number), policy);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let doings = self.ask(base, sets, policy);
        self.known.insert(key, doings);
        doings
    }

    fn ask(&self, base: Base, sets: &[Set; VERSIONS], policy: UpgradePolicy) -> Doings {
        // First what each wants by itself, then what the slot says to that.
        let wish = |(version, place): (usize, Place)| {
            let kind = self.plan(base, place, None).wish.unwrap_or(WishKind::Run);
            wish(base, version, kind, policy, sets)
        };
        let wishes: Vec<Wish> = base.places().map(wish).collect();
        let biz = |(version, place): (usize, Place)| {
            let state = if place.active { BizState::Active } else { BizState::Inactive };
            place.installed.then(|| (version_name(version), state))
        };
        let versions: BTreeMap<String, BizState> = base.places().filter_map(biz).collect();
        let observation = Observation::Known { at: NOW, versions: &versions };
        let history = History::new();
        let number = |version: &str| version.parse::<usize>().map_or(0, |number| number - 1);
        let step = match plan_slot(&wishes, observation, &history, NOW) {
            Step::Install { version, .. } => Some((number(&version), Deed::Install)),
            Step::Switch { version } => Some((number(&version), Deed::Switch)),
            Step::Uninstall { version } => Some((number(&version), Deed::Uninstall)),
            Step::Look | Step::WaitUntil(_) | Step::Idle => None,
        };
        let (mut noticed, mut traffic) = (base, None::<Traffic>);
        for (version, place) in base.places() {
            let verdict = verdict(&version_name(version), &wishes, observation, &history).unwrap_or(Verdict::Unknown);
            let since = if place.past && !place.leaving { 0 } else { NOW - RECENT };
            let told = Told { verdict, since, silent_since: None, silence: None };
            let wanted = Traffic::wanted(place.leaving || base.is_ending(), Some(&told), NOW);
            traffic = Some(traffic.map_or(wanted, |other| other.or(wanted)));
            noticed.put(version, self.noticed(place, &self.plan(base, place, Some(told))));
        }
        let label = match traffic {
            Some(Traffic::On) => true,
            Some(Traffic::Keep) => base.is(Flag::Labelled),
            Some(Traffic::Off) | None => false,
        };
        Doings { step: step.filter(|_| !base.is_ending()), noticed, label }
    }

    /// The Module as its status says it is; what it owes matters no more once it is paid.
    fn noticed(&self, place: Place, plan: &ModulePlan) -> Place {
        if !plan.write || place.leaving {
            return place;
        }
        let available = plan.phase == Phase::Available;
        let active = available || plan.phase == Phase::Completing;
        let noted = place.noted || self.drain && (active || place.available);
        Place { available, noted, past: place.past && active && !available, ..place }
    }

    fn plan(&self, base: Base, place: Place, told: Option<Told>) -> ModulePlan {
        let phase = match place {
            Place { available: true, .. } => Phase::Available,
            Place { active: true, .. } => Phase::Completing,
            _ => Phase::Upgrading,
        };
        let since = if place.past { 0 } else { NOW - RECENT };
        let elsewhere = |(_, other): (usize, Place)| other.active && !other.leaving && other != place;
        plan_module(
            &ModuleView {
                phase: Some(phase),
                phase_since: since,
                was_active: place.noted || place.available,
                created: 0,
                deleting: place.leaving.then_some(since),
                drop_directly: false,
                base: BaseFate::Alive,
                base_name: "b",
                told,
                min_ready: if self.soak { OWED } else { 0 },
                drain: if self.drain { OWED } else { 0 },
                label_on: base.is(Flag::Labelled),
                label_off_since: (place.served && !base.is(Flag::Labelled)).then_some(since),
                successor_active: place.leaving && base.places().any(elsewhere),
            },
            NOW,
        )
    }

    /// Whether time has to pass for the Module: it is in its soak, or is being drained.
    pub fn owes(&self, base: Base, place: Place) -> bool {
        if place.past {
            return false;
        }
        if !place.leaving {
            return self.soak && place.active && !place.available;
        }
        let elsewhere = |(_, other): (usize, Place)| other.active && !other.leaving;
        self.drain && (!base.is(Flag::Labelled) || base.places().any(elsewhere))
    }
}

fn wish(base: Base, version: usize, kind: WishKind, policy: UpgradePolicy, sets: &[Set; VERSIONS]) -> Wish {
    let mates = base.places().map(|(other, _)| other).filter(|&other| other != version);
    Wish {
        module: version_name(version),
        owner: "d".to_owned(),
        version: version_name(version),
        url: "file:///m.jar".to_owned(),
        revision: u64::from(sets[version].number),
        created: 0,
        policy,
        own_versions: (0..VERSIONS).filter(|&set| sets[set].exists).map(version_name).collect(),
        mates: mates.map(version_name).collect(),
        kind,
    }
}
