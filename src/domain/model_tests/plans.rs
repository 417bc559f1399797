//! The operator's own plans, asked about a state of the model; their answers as single writes.
//!
//! Everything here is translation: a state becomes the objects that `plan_deployment` and `plan_placement` look at,
//! their answer becomes the writes that a shell would make, in the order in which it makes them. What goes on at a base
//! is in [`super::slots`]. No decision may be made or repeated here. Answers are remembered, because many states look
//! alike to a plan.

use std::collections::BTreeSet;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{LabelSelector, Time},
    jiff::Timestamp,
};
use serde_json::json;

use super::state::{Base, Flag, HashMap, Place, Resume, Set, Shown, State, Status, Terms, VERSIONS};
use crate::{
    api::{
        IntOrString, ModuleDeployment, ModuleReplicaSet, OperationStrategy, ReleaseStatus,
        keys::{annotation, label},
    },
    domain::{
        deployment::{self, Reports, SetView, View, plan_deployment},
        placement::{self, Fleet, Placed, Wanted, plan_placement},
        policy::{SchedulingPolicy, Strategy, UpgradePolicy},
        replicas::PEER,
        rollout::SetCounts,
    },
};

/// Seconds.
const NOW: i64 = 1_700_000_000;
/// A base that has as many modules as it may have; nothing of it is part of a state, for nothing ever changes on it.
pub const FULL: &str = "full";

/// One write of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The deployment's own fields, in one patch.
    Own {
        confirm: Option<u8>,
        scale: Option<u8>,
    },
    Change {
        set: usize,
        desired: Option<u8>,
        number: Option<u8>,
        baseline: Option<u8>,
    },
    Create {
        set: usize,
        made: Set,
    },
    Status(Status),
    Place {
        set: usize,
        base: usize,
    },
    Delete {
        set: usize,
        base: usize,
    },
    Overfill,
    /// No write: the deployment wants to be looked at again at a time that has come already.
    WakeInThePast,
}

/// What of a state `plan_deployment` sees.
#[derive(PartialEq, Eq, Hash)]
struct DeploymentKey {
    sets: [Set; VERSIONS],
    counts: [[u8; 5]; VERSIONS],
    status: Status,
    spec: (u8, u8, u8, bool),
    terms: Terms,
    peers: u8,
}

/// What of a state `plan_placement` sees.
type PlacementKey = (Vec<Base>, [(bool, u8, u8); VERSIONS], u8, bool, Fleetwide);

/// What of a strategy it sees.
type Fleetwide = (UpgradePolicy, u8);

/// What the placement says to each set, and how many it can't place.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub writes: Vec<Write>,
    pub unplaced: u32,
}

/// The plans for one deployment.
pub struct Plans {
    /// Whether it has as many instances as there are bases.
    peer: bool,
    /// Whether there is a soak.
    soak: bool,
    deployment: ModuleDeployment,
    set: ModuleReplicaSet,
    selector: LabelSelector,
    deployments: HashMap<DeploymentKey, Vec<Write>>,
    placements: HashMap<PlacementKey, Places>,
}

fn operation_strategy(terms: &Terms) -> OperationStrategy {
    OperationStrategy {
        upgrade_policy: Some(terms.policy.as_str().to_owned()),
        batch_count: Some(i32::from(terms.batches)),
        use_beta: Some(terms.beta),
        need_confirm: Some(terms.confirm),
        gray_time_between_batch_seconds: Some(if terms.gray { 60 } else { 0 }),
        max_unavailable: Some(IntOrString::Int(i64::from(terms.max_unavailable))),
        ..OperationStrategy::default()
    }
}

impl Plans {
    pub fn new(peer: bool, soak: bool) -> Self {
        let replicas = if peer { PEER } else { 1 };
        let deployment = serde_json::from_value(json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment",
            "metadata": {
                "name": "d", "namespace": "n", "uid": "ud",
                "annotations": {annotation::SCALE_BASELINE: replicas.to_string()},
            },
            "spec": {
                "baseDeploymentName": "base", "replicas": replicas,
                "template": {"spec": {"module": {"name": "m", "version": "1", "url": "file:///m.jar"}}},
            }
        }))
        .expect("a ModuleDeployment");
        let set = serde_json::from_value(json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleReplicaSet",
            "metadata": {"name": "d", "namespace": "n", "uid": "us", "labels": {label::BASE_DEPLOYMENT: "base"}},
            "spec": {"template": {"spec": {"module": {"name": "m", "version": "1", "url": "file:///m.jar"}}}}
        }))
        .expect("a ModuleReplicaSet");
        Self {
            peer,
            soak,
            deployment,
            set,
            selector: LabelSelector::default(),
            deployments: HashMap::default(),
            placements: HashMap::default(),
        }
    }

    /// Forgets what only counts for one strategy.
    pub fn forget(&mut self) {
        self.deployments.clear();
    }

    /// The writes of one look at the deployment.
    pub fn deployment(&mut self, state: &State) -> Vec<Write> {
        let newest = state.newest();
        let counts = std::array::from_fn(|set| {
            let live = super::state::count(state.live(set));
            let covered = state.beside(set, newest, |place| place.available);
            let soaking = |place: Place| self.soak && place.active && !place.available;
            let standing_by = state.beside(set, newest, soaking);
            [state.existing(set), live, state.available(set), covered, standing_by]
        });
        let spec = (state.version, state.desired, state.confirm, state.paused);
        let peers = if self.peer { peers(state) } else { 0 };
        let key = DeploymentKey { sets: state.sets, counts, status: state.status, spec, terms: state.terms, peers };
        if let Some(known) = self.deployments.get(&key) {
            return known.clone();
        }
        let writes = self.ask_deployment(&key);
        self.deployments.insert(key, writes.clone());
        writes
    }

    fn ask_deployment(&self, key: &DeploymentKey) -> Vec<Write> {
        let there: Vec<usize> = (0..VERSIONS).filter(|&set| key.sets[set].exists).collect();
        let objects: Vec<ModuleReplicaSet> = there.iter().map(|&set| self.set_object(set, key.sets[set])).collect();
        let views = there.iter().zip(&objects).map(|(&set, object)| {
            let [existing, live, available, covered, standing_by] = key.counts[set].map(u32::from);
            let desired = object.desired();
            let counts =
                SetCounts { desired, existing, live, ready: available, available, covered, standing_by, upgrading: 0 };
            SetView { object, counts }
        });
        let deployment = self.deployment_object(key);
        let view = View {
            deployment: &deployment,
            base: deployment::Base::Present { uid: "ub", selector: &self.selector },
            sets: views.collect(),
            reports: Reports { peers: u32::from(key.peers), ..Reports::default() },
            watching_since: 0,
        };
        self.writes(key, plan_deployment(&view, NOW * 1000))
    }

    fn writes(&self, key: &DeploymentKey, plan: deployment::Plan) -> Vec<Write> {
        let mut writes = Vec::new();
        if plan.wake_at.is_some_and(|at| at <= NOW * 1000) {
            writes.push(Write::WakeInThePast);
        }
        let own = plan.own_patch.unwrap_or_default();
        let field = |name: &str| own["spec"][name].as_u64().map(small);
        let (confirm, scale) = (field("confirmBatchNum"), field("scaleReplicas"));
        if confirm.is_some() || scale.is_some() {
            writes.push(Write::Own { confirm, scale });
        }
        for change in plan.change {
            let named = |set: &usize| key.sets[*set].exists && change.name == set_name(key.sets[*set].name);
            let set = (0..VERSIONS).find(named).expect("a set that exists");
            let desired = change.patch["spec"]["replicas"].as_u64().map(small);
            let number =
                change.patch["metadata"]["labels"][label::REVISION].as_str().and_then(|text| text.parse().ok());
            let baseline = change.patch["metadata"]["annotations"][annotation::CONFIRM_BASELINE].as_str();
            let baseline = baseline.and_then(|text| text.parse().ok());
            if desired.is_some() || number.is_some() || baseline.is_some() {
                writes.push(Write::Change { set, desired, number, baseline });
            }
        }
        let mut names: Vec<u8> = key.sets.iter().map(|set| set.name).collect();
        if let Some(created) = plan.create {
            let name = created.metadata.name.as_deref().map_or(0, number_in);
            let baseline = created.metadata.annotations.as_ref().and_then(|all| all.get(annotation::CONFIRM_BASELINE));
            let made = Set {
                exists: true,
                desired: small(u64::from(created.desired())),
                number: small(deployment::number(&created)),
                name,
                baseline: baseline.and_then(|text| text.parse().ok()).unwrap_or(0),
            };
            names.push(name);
            writes.push(Write::Create { set: usize::from(key.spec.0), made });
        }
        assert!(plan.delete.is_empty(), "the history is longer than there are versions");
        let status = plan.status.and_then(|status| status.release_status).map(|release| status_of(&release));
        let status = status.expect("a status");
        assert!(names.contains(&status.revision), "the release is about a revision that is there");
        writes.push(Write::Status(status));
        writes
    }

    fn deployment_object(&self, key: &DeploymentKey) -> ModuleDeployment {
        let (version, desired, confirm, paused) = key.spec;
        let mut object = self.deployment.clone();
        object.spec.scale_replicas = Some(i32::from(desired));
        object.spec.confirm_batch_num = Some(i32::from(confirm));
        object.spec.paused = Some(paused);
        object.spec.operation_strategy = Some(operation_strategy(&key.terms));
        let module = object.spec.template.as_mut().and_then(|template| template.spec.as_mut());
        if let Some(info) = module.and_then(|spec| spec.module.as_mut()) {
            info.version = version_name(usize::from(version));
        }
        if key.status.revision > 0 {
            let at = match key.status.resume {
                Resume::None => None,
                Resume::Later => Some(NOW + 30),
                Resume::Now => Some(NOW - 1),
            };
            let release = ReleaseStatus {
                update_revision: Some(set_name(key.status.revision)),
                current_batch: Some(i32::from(key.status.batch)),
                progress: Some(word(key.status.shown).to_owned()),
                next_reconcile_time: at.and_then(|at| Timestamp::from_second(at).ok()).map(Time),
                ..ReleaseStatus::default()
            };
            object.status.get_or_insert_default().release_status = Some(release);
        }
        object
    }

    fn set_object(&self, version: usize, set: Set) -> ModuleReplicaSet {
        let mut object = self.set.clone();
        object.metadata.name = Some(set_name(set.name));
        let labels = object.metadata.labels.get_or_insert_default();
        labels.insert(label::REVISION.to_owned(), set.number.to_string());
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(annotation::CONFIRM_BASELINE.to_owned(), set.baseline.to_string());
        object.spec.replicas = Some(i32::from(set.desired));
        let module = object.spec.template.as_mut().and_then(|template| template.spec.as_mut());
        if let Some(info) = module.and_then(|spec| spec.module.as_mut()) {
            info.version = version_name(version);
        }
        object
    }

    /// What the placement says to all sets. Ties between bases are broken by their names, which a state doesn't have:
    /// `reversed` gives them the other way round.
    pub fn placement(&mut self, state: &State, reversed: bool) -> Places {
        let bases = state.bases.iter().map(|base| base.for_placement()).collect();
        let sets = state.sets.map(|set| (set.exists, set.desired, set.number));
        let fleetwide = (state.terms.policy, state.terms.max_unavailable);
        let key = (bases, sets, state.desired, reversed, fleetwide);
        if let Some(known) = self.placements.get(&key) {
            return known.clone();
        }
        let places = self.ask_placement(state, reversed);
        self.placements.insert(key, places.clone());
        places
    }

    fn ask_placement(&self, state: &State, reversed: bool) -> Places {
        let there: Vec<usize> = (0..VERSIONS).filter(|&set| state.sets[set].exists).collect();
        let name = |base: usize| format!("b{}", if reversed { state.bases.len() - 1 - base } else { base });
        let mut modules = Vec::new();
        let mut bases = vec![base_object(FULL.to_owned(), 1, Some(1))];
        for (at, base) in state.bases.iter().enumerate() {
            bases.push(base_of(name(at), *base));
            modules.extend(base.places().map(|(version, place)| placed(&there, version, name(at), place)));
        }
        let total = u32::from(state.desired);
        let wanted = |&set: &usize| Wanted {
            desired: u32::from(state.sets[set].desired),
            revision: u64::from(state.sets[set].number),
        };
        let (policy, max_unavailable) = (state.terms.policy, state.terms.max_unavailable);
        let terms = Terms { policy, max_unavailable, batches: 1, beta: false, confirm: false, gray: false };
        let strategy = Strategy::parse(Some(&operation_strategy(&terms)));
        let answer = plan_placement(&Fleet {
            policy: strategy.policy,
            scheduling: SchedulingPolicy::Scatter,
            total: Some(total),
            floor: total.saturating_sub(strategy.max_unavailable(total)),
            restart_floor: Some(0),
            sets: there.iter().map(wanted).collect(),
            modules,
            bases,
        });
        let at = |uid: &str| (0..state.bases.len()).find(|&base| name(base) == uid);
        let create = answer.create.iter().map(|(set, uid)| match at(uid) {
            Some(base) => Write::Place { set: there[*set], base },
            None => Write::Overfill,
        });
        let delete = answer.delete.iter().filter_map(|(set, module)| {
            let base = at(module.rsplit('-').next()?)?;
            Some(Write::Delete { set: there[*set], base })
        });
        Places { writes: create.chain(delete).collect(), unplaced: answer.unplaced.values().sum() }
    }
}

/// A base as placement sees it.
fn base_of(name: String, base: Base) -> placement::Base {
    let closed = match (base.stays(), base.is(Flag::Unready)) {
        (false, _) => Some(placement::Ineligible::Ending),
        (true, true) => Some(placement::Ineligible::NotReady),
        (true, false) => None,
    };
    let emptied = base.is(Flag::Emptied) && !base.is_ending();
    placement::Base { closed, emptied, ..base_object(name, u32::from(base.has_any()), Some(1)) }
}

/// How many instances a peer deployment can have.
fn peers(state: &State) -> u8 {
    let name = |at: usize| format!("b{at}");
    let named = state.bases.iter().enumerate();
    let mut bases: Vec<placement::Base> = named.clone().map(|(at, base)| base_of(name(at), *base)).collect();
    bases.push(base_object(FULL.to_owned(), 1, Some(1)));
    let carrying: Vec<String> = named.filter(|(_, base)| base.has_any()).map(|(at, _)| name(at)).collect();
    let carrying: BTreeSet<&str> = carrying.iter().map(String::as_str).collect();
    small(u64::from(placement::peers(&bases, &carrying)))
}

fn base_object(name: String, slots: u32, max_slots: Option<u32>) -> placement::Base {
    placement::Base {
        uid: name.clone(),
        name,
        closed: None,
        slots,
        max_slots,
        tight: false,
        superseded: false,
        taken: false,
        emptied: false,
    }
}

fn placed(there: &[usize], version: usize, base: String, place: Place) -> Placed {
    Placed {
        module: format!("m{version}-{base}"),
        set: there.iter().position(|&set| set == version).expect("a set that exists"),
        base,
        coming: false,
        available: place.available,
        leaving: place.leaving,
        stuck: false,
        outdated: false,
        created: 0,
    }
}

fn status_of(release: &ReleaseStatus) -> Status {
    let shown = [Shown::Executing, Shown::Waiting, Shown::Paused, Shown::Completed];
    let is = |shown: &Shown| release.progress.as_deref() == Some(word(*shown));
    let at = release.next_reconcile_time.as_ref().map(|time| time.0.as_second());
    Status {
        revision: release.update_revision.as_deref().map_or(0, number_in),
        batch: release.current_batch.and_then(|batch| u8::try_from(batch).ok()).unwrap_or(0),
        shown: shown.into_iter().find(is).expect("a word that a deployment uses"),
        resume: match at {
            None => Resume::None,
            Some(at) if at > NOW => Resume::Later,
            Some(_) => Resume::Now,
        },
    }
}

fn word(shown: Shown) -> &'static str {
    match shown {
        Shown::Executing => "Executing",
        Shown::Waiting => "WaitingForConfirmation",
        Shown::Paused => "Paused",
        Shown::Completed => "Completed",
    }
}

fn set_name(number: u8) -> String {
    crate::domain::names::replica_set("d", u64::from(number))
}

fn number_in(name: &str) -> u8 {
    name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub fn version_name(version: usize) -> String {
    (version + 1).to_string()
}

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
