//! Why a module isn't available: what the operator last said, whole, what was told of it before, and what to do next.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{
    Observed,
    events::Told,
    observed::base_name,
    standing::{Because, NOT_OBSERVED, standing},
    tree::{Instance, Tree, instance, trees},
};
use crate::{
    api::{Module, ModuleDeployment, keys::label, reasons::Reason},
    arklet::wire::is_web_context_clash,
    cli::output::{Look, Tone, ago, indented},
    domain::names,
};

/// How many Events are shown of each object, the newest.
const EVENTS: usize = 10;

/// Something that keeps a module from being available.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble<'a> {
    /// What has it, and since when.
    pub what: String,
    /// What the operator says.
    pub because: Because,
    /// What was told of it.
    pub told: Vec<&'a Told>,
    /// What to do.
    pub next: String,
}

/// What is wrong with a deployment and its Modules.
pub fn of_deployment<'a>(
    observed: &Observed,
    deployment: &ModuleDeployment,
    told: &'a [Told],
    now: i64,
) -> Vec<Trouble<'a>> {
    let sets = observed.sets_of(deployment);
    let modules: Vec<&Module> = sets.iter().flat_map(|set| observed.modules_of(set)).collect();
    let troubled: Vec<Trouble<'a>> =
        modules.iter().filter_map(|module| of_module(observed, module, told, now)).collect();
    let said: BTreeSet<&str> = troubled.iter().map(|trouble| trouble.because.message.as_str()).collect();
    let uids: BTreeSet<Option<String>> = sets.iter().map(|set| set.uid()).chain([deployment.uid()]).collect();
    let standing = standing(deployment);
    let own = standing
        .because
        .into_iter()
        // A condition that only repeats what a Module says is told with that Module.
        .filter(|because| is_trouble(&because.reason) && !said.iter().any(|said| because.message.contains(said)))
        .map(|because| Trouble {
            what: format!("{}: {}", deployment.name_any(), because.reason),
            told: latest(told, |told| uids.contains(&Some(told.uid.clone())) && told.reason == because.reason),
            next: repeat(observed, deployment, &advice(&because, &Subject::deployment(deployment))),
            because,
        });
    let own: Vec<Trouble<'a>> = own.collect();
    own.into_iter().chain(troubled).collect()
}

/// What is wrong with one Module.
pub fn of_module<'a>(observed: &Observed, module: &Module, told: &'a [Told], now: i64) -> Option<Trouble<'a>> {
    let shown = instance(observed, module);
    let because = shown.because.clone().filter(|because| !Reason::Superseded.is(Some(&because.reason)))?;
    let uid = module.uid().unwrap_or_default();
    Some(Trouble {
        what: title(module, &shown, &because, now),
        told: latest(told, |told| told.uid == uid),
        next: repeat(observed, module, &advice(&because, &Subject::module(observed, module))),
        because,
    })
}

fn title(module: &Module, shown: &Instance, because: &Because, now: i64) -> String {
    let info = module.spec.module.clone().unwrap_or_default();
    let base = if shown.base.name.is_empty() { "no base" } else { shown.base.name.as_str() };
    let (phase, since) = (&shown.phase, ago(shown.since.as_ref(), now));
    format!("{} {} on {base}: {phase} for {since}, {} (Module {})", info.name, info.version, because.reason, shown.name)
}

fn latest(told: &[Told], about: impl Fn(&Told) -> bool) -> Vec<&Told> {
    let all: Vec<&Told> = told.iter().filter(|told| about(told)).collect();
    all[all.len().saturating_sub(EVENTS)..].to_vec()
}

/// Whether a reason of a condition says that something is wrong; others tell how far a release is.
fn is_trouble(reason: &str) -> bool {
    !matches!(
        Reason::parse(reason),
        Some(
            Reason::ReplicaSetUpdated
                | Reason::BatchPause
                | Reason::WaitingForConfirmation
                | Reason::DeploymentPaused
                | Reason::Restarting
        )
    ) && reason != NOT_OBSERVED
}

/// Its commands, completed.
fn repeat<K: ResourceExt>(observed: &Observed, about: &K, next: &str) -> String {
    observed.chosen.repeat(next, about.namespace().as_deref())
}

/// What an advice is about; a word in capitals where it isn't known.
struct Subject {
    /// The ModuleDeployment.
    deployment: String,
    /// The Module.
    module: String,
    /// The base pod.
    pod: String,
}

impl Subject {
    fn deployment(deployment: &ModuleDeployment) -> Self {
        Self { deployment: deployment.name_any(), module: "MODULE".to_owned(), pod: "POD".to_owned() }
    }

    fn module(observed: &Observed, module: &Module) -> Self {
        let label = module.labels().get(label::MODULE_DEPLOYMENT);
        let is_its = |name: &String| label == Some(&names::label_safe(name));
        let known = observed.deployments.iter().map(ResourceExt::name_any).find(is_its);
        // A long name isn't in a label as it is.
        let labelled = label.filter(|name| name.len() < names::LABEL_MAX).cloned();
        Self {
            deployment: known.or(labelled).unwrap_or_else(|| "NAME".to_owned()),
            module: module.name_any(),
            pod: base_name(module).unwrap_or_else(|| "POD".to_owned()),
        }
    }
}

/// What to do about a reason.
fn advice(because: &Because, subject: &Subject) -> String {
    let Subject { deployment, module, pod } = subject;
    let Some(reason) = Reason::parse(&because.reason) else { return "see the message".to_owned() };
    match reason {
        Reason::InstallFailed => about_install(&because.message, subject),
        Reason::AgentUnreachable => format!(
            "see whether the base runs (`kubectl describe pod {pod}`) and its agent listens (`kubectl module bases`); a base \
             that hangs is replaced with `kubectl delete pod {pod}`"
        ),
        Reason::DeletionBlocked => format!(
            "delete the pod {pod}, or drop the Module without uninstalling: \
             `kubectl label module {module} koupleless.io/delete-module-directly=true`"
        ),
        Reason::UninstallFailed => {
            format!("the operator tries again by itself; `kubectl logs {pod}` says why the base refuses")
        }
        Reason::ForeignModule => {
            format!("somebody else put that biz into {pod}: take it out there, or give the module other bases")
        }
        Reason::Conflict => {
            "two ModuleDeployments want one module on one base, and the older one keeps it: give the other \
                             more bases, or delete one of them"
                .to_owned()
        }
        Reason::Unschedulable | Reason::VirtualNodeMissing => {
            "the virtual node of the base has to be there and have room: `kubectl get nodes` and `kubectl get pods` show it"
                .to_owned()
        }
        Reason::InsufficientBases => {
            "scale the base Deployment up, or the module down; `kubectl module bases` shows what \
                                      the bases hold"
                .to_owned()
        }
        Reason::FailedCreate => {
            "the API server refuses what the operator creates: raise the quota, or correct the policy or \
                                 the role that the message names"
                .to_owned()
        }
        Reason::InvalidSpec => "correct the field that the message names".to_owned(),
        Reason::BaseDeploymentNotFound => "create the base Deployment, or correct spec.baseDeploymentName".to_owned(),
        Reason::ProgressDeadlineExceeded => format!(
            "correct the version with `kubectl module set-version {deployment} VERSION`, or go back with \
             `kubectl module undo {deployment}`"
        ),
        Reason::RolledBack => format!(
            "correct the version with `kubectl module set-version {deployment} VERSION`; `kubectl module undo {deployment}` \
             makes the spec say what runs"
        ),
        Reason::PortClash | Reason::ForeignService => {
            "correct spec.operationStrategy.serviceStrategy, or remove what the message names".to_owned()
        }
        other => other.meaning().to_owned(),
    }
}

/// What to do about an install that failed with this message.
fn about_install(message: &str, subject: &Subject) -> String {
    let Subject { deployment, pod, .. } = subject;
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match () {
        () if is_web_context_clash(message) => {
            "a web module with a fixed context path can't have two versions on one base: set \
             spec.operationStrategy.upgradePolicy to uninstall_then_install"
                .to_owned()
        }
        () if has(&["FileNotFound", "404", "UnknownHost", "Connection refused", "ConnectException"]) => {
            format!(
                "see whether the module's URL answers from inside the base (`kubectl module history {deployment}` shows it), and \
                 correct it with `kubectl module set-version {deployment} VERSION --url URL`"
            )
        }
        () if has(&["Metaspace", "OutOfMemory"]) => {
            "the base has no room left: replace its pod, or raise its JVM's MaxMetaspaceSize; `kubectl module bases` shows \
             how much is free"
                .to_owned()
        }
        () => format!(
            "`kubectl logs {pod}` has the whole stack trace; the operator tries again by itself, with growing pauses; a \
             corrected version goes in with `kubectl module set-version {deployment} VERSION`"
        ),
    }
}

/// All of it at `now` (milliseconds); `subject` is what was asked about.
pub fn render(subject: &str, troubles: &[Trouble<'_>], look: &Look, now: i64) -> String {
    if troubles.is_empty() {
        return format!("Nothing keeps {subject} from being available.\n");
    }
    let mut text = String::new();
    for trouble in troubles {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{}\n", look.paint(Tone::Bad, &trouble.what)));
        text.push_str(&indented(&trouble.because.message, "    ", look));
        if !trouble.told.is_empty() {
            text.push_str("  told before:\n");
        }
        for told in &trouble.told {
            let times = if told.count > 1 { format!(", {} times", told.count) } else { String::new() };
            let head = format!("{} ago{times}, {}: ", ago(told.at.as_ref(), now), told.reason);
            let note = if told.note == trouble.because.message { "as above" } else { told.note.as_str() };
            text.push_str(&indented(&format!("{head}{note}"), "    ", look));
        }
        text.push_str(&indented(&format!("next: {}", trouble.next), "  ", look));
    }
    text
}

/// What a deployment's own line says above its troubles.
pub fn summary(observed: &Observed) -> Option<String> {
    let tree: Tree = trees(observed).items.into_iter().next()?;
    Some(format!("{} is {}: {} of {} available\n", tree.name, tree.standing.word, tree.available, tree.desired))
}
