//! The bases: what runs in each, by its agent's word and by the Modules', how much room it has, and when it was last heard
//! of. What isn't known is shown as that, with the reason.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde::Serialize;

use super::{
    Observed,
    tree::{BaseState, instance, state},
};
use crate::{
    api::{Module, keys::label, reasons::Reason},
    arklet::wire::{Biz, BizState, Metaspace},
    cli::output::{Cell, Look, Table, Tone, human},
    domain::module::{Phase, UNREACHABLE_AFTER_MS},
    runtime::{index, kinds::BasePod},
};

/// What asking a base's agent gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It answered.
    Heard {
        /// What is in the base.
        biz: Vec<Biz>,
        /// Its metaspace, where it tells.
        metaspace: Option<Metaspace>,
        /// From the question to the answer (milliseconds), the way included.
        latency: u64,
    },
    /// It didn't; the reason.
    Silent(String),
    /// Nobody asked it; the reason.
    NotAsked(String),
}

/// `-o json` of `bases`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bases {
    /// Tells this document from Kubernetes' own.
    pub kind: &'static str,
    /// By namespace and name.
    pub items: Vec<Base>,
}

/// One base.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// Its namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// How the pod is.
    pub state: BaseState,
    /// Whether the agent itself was heard; else all is by what Modules say.
    pub heard: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_heard_because: Option<String>,
    /// From the question to the answer, the way included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_milliseconds: Option<u64>,
    /// Bytes of metaspace that are free, by the agent; `None`: not known, or without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_metaspace_bytes: Option<u64>,
    /// The limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_metaspace_bytes: Option<u64>,
    /// When the operator or this command last heard of it, as far as that can be told.
    pub last_contact: Contact,
    /// What is in it.
    pub modules: Vec<Resident>,
}

/// When a base was last heard of.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Contact {
    /// By this command.
    Now,
    /// By the operator, not longer than this before (seconds): its Modules would say otherwise.
    Within(i64),
    /// Not by the operator since then, or a little earlier.
    SilentSince(Time),
    /// Nothing tells.
    Unknown,
}

/// A biz in a base, or a Module that should be in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resident {
    /// The biz name.
    pub name: String,
    /// The biz version.
    pub version: String,
    /// The agent's word for its state; `None`: it wasn't heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The Module that declares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The ModuleDeployment of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// The Module's phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why the Module isn't available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// The bases that were read, each with what its agent said.
pub fn bases(observed: &Observed, answers: &[(String, Answer)]) -> Bases {
    let pods = observed.pods.as_deref().unwrap_or_default();
    let mut items: Vec<Base> = pods
        .iter()
        .map(|pod| {
            let answer = answers.iter().find(|(uid, _)| uid == pod.uid()).map(|(_, answer)| answer);
            base(observed, pod, answer)
        })
        .collect();
    items.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Bases { kind: "ModuleBaseList", items }
}

fn base(observed: &Observed, pod: &BasePod, answer: Option<&Answer>) -> Base {
    let mut modules: Vec<&Module> =
        observed.modules.iter().filter(|module| index::base_uid(module) == Some(pod.uid())).collect();
    modules.sort_by_key(|module| module.name_any());
    let (biz, metaspace, latency, why) = match answer {
        Some(Answer::Heard { biz, metaspace, latency }) => (Some(biz.as_slice()), *metaspace, Some(*latency), None),
        Some(Answer::Silent(why)) => (None, None, None, Some(why.clone())),
        Some(Answer::NotAsked(why)) => (None, None, None, Some(why.clone())),
        None => (None, None, None, Some("it was not asked".to_owned())),
    };
    let max = metaspace.and_then(|metaspace| metaspace.max);
    Base {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        state: state(pod),
        heard: biz.is_some(),
        not_heard_because: why,
        latency_milliseconds: latency,
        // As the operator counts it where it looks for room.
        free_metaspace_bytes: metaspace.and_then(|space| space.max.map(|max| max.saturating_sub(space.committed))),
        max_metaspace_bytes: max,
        last_contact: if biz.is_some() { Contact::Now } else { contact(&modules) },
        modules: residents(observed, biz, &modules),
    }
}

/// What the Modules of a base say of its agent: Available is lost after a minute without an answer.
fn contact(modules: &[&Module]) -> Contact {
    let phase = |module: &Module| module.status.as_ref().and_then(|status| status.status.clone());
    let silent = modules.iter().find_map(|module| {
        let status = module.status.as_ref()?;
        let reason = status.reason.as_deref().and_then(Reason::parse);
        let unreachable = matches!(reason, Some(Reason::AgentUnreachable | Reason::DeletionBlocked));
        unreachable.then(|| status.last_transition_time.clone()).flatten()
    });
    match silent {
        Some(since) => Contact::SilentSince(since),
        None if modules.iter().any(|module| phase(module).as_deref() == Some(Phase::Available.as_str())) => {
            Contact::Within(UNREACHABLE_AFTER_MS / 1000)
        }
        None => Contact::Unknown,
    }
}

fn residents(observed: &Observed, biz: Option<&[Biz]>, modules: &[&Module]) -> Vec<Resident> {
    let declares = |module: &&&Module, biz: &Biz| {
        module.spec.module.as_ref().is_some_and(|info| info.name == biz.name && info.version == biz.version)
    };
    let mut residents: Vec<Resident> = Vec::new();
    for biz in biz.unwrap_or_default() {
        let module = modules.iter().find(|module| declares(module, biz)).copied();
        residents.push(resident(observed, &biz.name, &biz.version, Some(word(&biz.state)), module));
    }
    for module in modules {
        let info = module.spec.module.clone().unwrap_or_default();
        if !residents.iter().any(|known| known.module.as_deref() == Some(module.name_any().as_str())) {
            let absent = biz.map(|_| "absent".to_owned());
            residents.push(resident(observed, &info.name, &info.version, absent, Some(module)));
        }
    }
    residents.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    residents
}

fn resident(
    observed: &Observed,
    name: &str,
    version: &str,
    state: Option<String>,
    module: Option<&Module>,
) -> Resident {
    let shown = module.map(|module| instance(observed, module));
    Resident {
        name: name.to_owned(),
        version: version.to_owned(),
        state,
        module: module.map(ResourceExt::name_any),
        deployment: module.and_then(|module| module.labels().get(label::MODULE_DEPLOYMENT).cloned()),
        phase: shown.as_ref().map(|shown| shown.phase.clone()),
        because: shown
            .and_then(|shown| shown.because)
            .map(|because| format!("{}: {}", because.reason, because.message)),
    }
}

fn word(state: &BizState) -> String {
    match state {
        BizState::Resolved => "RESOLVED".to_owned(),
        BizState::Activated => "ACTIVATED".to_owned(),
        BizState::Deactivated => "DEACTIVATED".to_owned(),
        BizState::Broken => "BROKEN".to_owned(),
        BizState::Stopped => "STOPPED".to_owned(),
        BizState::Other(word) => word.clone(),
    }
}

/// The bases at `now` (milliseconds).
pub fn render(bases: &Bases, namespaces: bool, look: &Look, now: i64) -> String {
    let mut headers = vec!["NAME", "STATE", "DECLARED BY", "FREE METASPACE", "LATENCY", "LAST CONTACT", "WHY"];
    if namespaces {
        headers.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&headers);
    for base in &bases.items {
        let mut rows = vec![root(base, now)];
        for (at, resident) in base.modules.iter().enumerate() {
            let twig = if at + 1 == base.modules.len() { "└─ " } else { "├─ " };
            rows.push(leaf(resident, twig));
        }
        for mut cells in rows {
            if namespaces {
                cells.insert(0, base.namespace.as_str().into());
            }
            table.row(cells);
        }
    }
    table.render(look)
}

const UNKNOWN: &str = "<unknown>";

fn root(base: &Base, now: i64) -> Vec<Cell> {
    let (state, tone) = match base.state {
        BaseState::Ready => ("Ready", Tone::Good),
        BaseState::NotReady => ("NotReady", Tone::Bad),
        BaseState::Ending => ("Ending", Tone::Busy),
        BaseState::Gone => ("Gone", Tone::Bad),
        BaseState::Unknown => (UNKNOWN, Tone::Faint),
    };
    let metaspace = match (base.free_metaspace_bytes, base.max_metaspace_bytes) {
        (Some(free), Some(max)) => format!("{} of {}", size(free), size(max)),
        _ if base.heard => "no limit".to_owned(),
        _ => UNKNOWN.to_owned(),
    };
    let contact = match &base.last_contact {
        Contact::Now => "now".to_owned(),
        Contact::Within(seconds) => format!("<{}, by the operator", human(*seconds)),
        Contact::SilentSince(since) => {
            let seconds = (now - since.0.as_millisecond()).div_euclid(1000);
            format!(">{}, by the operator", human(seconds))
        }
        Contact::Unknown => UNKNOWN.to_owned(),
    };
    vec![
        base.name.as_str().into(),
        Cell::new(state, tone),
        Cell::default(),
        metaspace.into(),
        base.latency_milliseconds.map_or_else(|| UNKNOWN.to_owned(), |latency| format!("{latency}ms")).into(),
        contact.into(),
        Cell::new(base.not_heard_because.as_deref().unwrap_or_default(), Tone::Faint),
    ]
}

fn leaf(resident: &Resident, twig: &str) -> Vec<Cell> {
    let active = resident.state.as_deref() == Some("ACTIVATED")
        || resident.state.is_none() && resident.phase.as_deref() == Some(Phase::Available.as_str());
    // By the Module's word it isn't the agent's.
    let state = match (&resident.state, &resident.phase) {
        (Some(state), _) => state.clone(),
        (None, Some(phase)) if !phase.is_empty() => format!("{phase} (Module)"),
        _ => UNKNOWN.to_owned(),
    };
    vec![
        format!("{twig}{} {}", resident.name, resident.version).into(),
        Cell::new(state, if active { Tone::Good } else { Tone::Busy }),
        Cell::or_none(resident.deployment.as_deref()),
        Cell::default(),
        Cell::default(),
        Cell::default(),
        resident.because.as_deref().unwrap_or_default().into(),
    ]
}

/// Bytes for people: `182Mi`.
fn size(bytes: u64) -> String {
    const MEBI: u64 = 1 << 20;
    match bytes {
        bytes if bytes >= 10 * 1024 * MEBI => format!("{}Gi", bytes / (1024 * MEBI)),
        bytes if bytes >= MEBI => format!("{}Mi", bytes / MEBI),
        bytes => format!("{}Ki", bytes / 1024),
    }
}
