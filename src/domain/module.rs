//! A Module's phase, its wish, and when it may go.
//!
//! The phases are V1's. Two rules shape them: Available is gained only on a confirmed active biz and lost only on a
//! confirmed other state, a base that is gone, or no answer for [`UNREACHABLE_AFTER_MS`]; and a phase that lasts
//! less than a second isn't written, because nobody could have acted on it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::slot::{Verdict, WishKind};
use crate::api::{Module, ModuleInfo, ModuleStatus, Reason, module::InstalledModule};

/// An agent that hasn't answered for so long no longer counts as running its modules (milliseconds).
pub const UNREACHABLE_AFTER_MS: i64 = 60_000;
/// A deletion that an unreachable agent holds up for so long is reported (milliseconds).
pub const BLOCKED_AFTER_MS: i64 = 10_000;
/// A phase that is younger isn't written (milliseconds).
pub const WRITE_AFTER_MS: i64 = 1_000;
/// Nor is that of a Module on its way out, which its deletionTimestamp tells already (milliseconds): a thousand that
/// leave together would each be written twice.
pub const WRITE_LEAVING_AFTER_MS: i64 = 5_000;

/// `status.status` of a Module, V1's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Something outside keeps it from being installed.
    Pending,
    /// Its turn hasn't come.
    Prepare,
    /// Being installed, or being tried again.
    Upgrading,
    /// Active, for less than `minReadySeconds`.
    Completing,
    /// Active.
    Available,
    /// Being removed.
    Terminating,
}

impl Phase {
    /// All phases, in the order in which a Module walks through them.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Prepare, Self::Upgrading, Self::Completing, Self::Available, Self::Terminating];

    /// The word as it stands in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Prepare => "Prepare",
            Self::Upgrading => "Upgrading",
            Self::Completing => "Completing",
            Self::Available => "Available",
            Self::Terminating => "Terminating",
        }
    }

    /// The phase of a stored word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }
}

/// What is known of the base pod that a Module is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFate {
    /// The Module names no base (V1 created such ones).
    Unbound,
    /// The pod is gone, or its name belongs to another pod now.
    Gone,
    /// The pod has a deletionTimestamp.
    Ending,
    /// The pod exists but has no address yet.
    Starting,
    /// The pod exists.
    Alive,
}

/// What the session says of a Module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How things stand.
    pub verdict: Verdict,
    /// Since when (milliseconds).
    pub since: i64,
    /// Since when the agent hasn't answered, if it doesn't.
    pub silent_since: Option<i64>,
    /// Why it doesn't.
    pub silence: Option<String>,
}

/// All that is looked at. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleView<'a> {
    /// The stored phase.
    pub phase: Option<Phase>,
    /// Since when the stored phase stands.
    pub phase_since: i64,
    /// Whether it was seen active at some time.
    pub was_active: bool,
    /// When the Module was created.
    pub created: i64,
    /// Its deletionTimestamp.
    pub deleting: Option<i64>,
    /// The label `delete-module-directly=true`, or a deployment that goes without its modules.
    pub drop_directly: bool,
    /// Its base.
    pub base: BaseFate,
    /// The base pod's name, for messages.
    pub base_name: &'a str,
    /// What the session says; `None` before it said anything.
    pub told: Option<Told>,
    /// `minReadySeconds`, in milliseconds.
    pub min_ready: i64,
    /// The drain time, in milliseconds.
    pub drain: i64,
    /// Whether the traffic label of its slot is on the pod, as far as the API server has acknowledged.
    pub label_on: bool,
    /// Since when this process knows the label to be off.
    pub label_off_since: Option<i64>,
    /// Another Module of the slot is active: traffic goes on to it.
    pub successor_active: bool,
}

/// Why a Module isn't available: a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// The word.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModulePlan {
    /// What the slot is told; `None` withdraws the wish.
    pub wish: Option<WishKind>,
    /// The phase.
    pub phase: Phase,
    /// Why it isn't Available.
    pub because: Option<Because>,
    /// Whether the phase may be written now.
    pub write: bool,
    /// The Module is deleted.
    pub delete: bool,
    /// The finalizer is taken off.
    pub release: bool,
    /// When to look again without a new event.
    pub wake_at: Option<i64>,
}

impl ModulePlan {
    /// The status that says so. What was installed last stays known when it no longer runs: it has to be uninstalled.
    /// `url` is where it would be fetched from now.
    pub fn status(&self, module: &Module, before: &ModuleStatus, url: &str, now: Time) -> ModuleStatus {
        let same = before.status.as_deref() == Some(self.phase.as_str());
        let active = matches!(self.phase, Phase::Available | Phase::Completing);
        let info = module.spec.module.as_ref().filter(|_| active);
        let installed = info.map(|info| installed(info, before, url));
        ModuleStatus {
            status: Some(self.phase.as_str().to_owned()),
            last_transition_time: Some(before.last_transition_time.clone().filter(|_| same).unwrap_or(now)),
            reason: self.because.as_ref().map(|because| because.reason.to_string()),
            message: self.because.as_ref().map(|because| because.message.clone()),
            installed: installed.or_else(|| before.installed.clone()),
            conditions: before.conditions.clone(),
            observed_generation: module.metadata.generation,
        }
    }
}

/// What runs, now that it is active. What nobody installed anew since it was last seen so is still from where it was from.
fn installed(info: &ModuleInfo, before: &ModuleStatus, url: &str) -> InstalledModule {
    let phase = before.status.as_deref().and_then(Phase::parse);
    let known = before.installed.as_ref().filter(|known| known.name == info.name && known.version == info.version);
    match known {
        Some(known) if phase != Some(Phase::Upgrading) => known.clone(),
        _ => {
            // One that V1 installed is from where its Module says.
            let taken_over = before.installed.is_none() && phase == Some(Phase::Available);
            let url = if taken_over { &info.url } else { url };
            InstalledModule { name: info.name.clone(), version: info.version.clone(), url: Some(url.to_owned()) }
        }
    }
}

/// What to do about a Module at `now`.
pub fn plan_module(view: &ModuleView<'_>, now: i64) -> ModulePlan {
    match view.deleting {
        Some(since) => plan_leaving(view, since, now),
        None if view.drop_directly || matches!(view.base, BaseFate::Unbound | BaseFate::Gone | BaseFate::Ending) => {
            ModulePlan { delete: true, ..quiet(None, Phase::Terminating) }
        }
        None => {
            let plan = plan_running(view, now);
            let wakes = [plan.wake_at, silence_tells_more(view, now)];
            ModulePlan { wake_at: wakes.into_iter().flatten().min(), ..plan }
        }
    }
}

/// When the silence of the agent next says more of a Module that runs, or should. Nobody else wakes it for that.
fn silence_tells_more(view: &ModuleView<'_>, now: i64) -> Option<i64> {
    let told = view.told.as_ref()?;
    let since = told.silent_since?;
    let reported = (told.verdict == Verdict::Unknown && !was_running(view.phase)).then_some(BLOCKED_AFTER_MS);
    [reported, Some(UNREACHABLE_AFTER_MS)].into_iter().flatten().map(|after| since + after).find(|at| *at > now)
}

fn quiet(wish: Option<WishKind>, phase: Phase) -> ModulePlan {
    ModulePlan { wish, phase, because: None, write: false, delete: false, release: false, wake_at: None }
}

fn plan_leaving(view: &ModuleView<'_>, since: i64, now: i64) -> ModulePlan {
    let owes_nothing = matches!(view.base, BaseFate::Unbound | BaseFate::Gone | BaseFate::Ending);
    if owes_nothing || view.drop_directly {
        return ModulePlan { release: true, ..quiet(None, Phase::Terminating) };
    }
    // The label may have been on for a moment that no status tells of.
    let had_traffic = view.label_on || view.label_off_since.is_some_and(|off| off >= since);
    let drain = if view.was_active || had_traffic { view.drain } else { 0 };
    let off_since = view.label_off_since.unwrap_or(since).max(since.min(now));
    let traffic_elsewhere = !view.label_on || view.successor_active;
    let drained = traffic_elsewhere && now >= off_since.saturating_add(drain);
    let released = view.told.as_ref().is_some_and(|told| told.verdict == Verdict::Released);
    let mut plan = quiet(Some(WishKind::Leave { drained }), Phase::Terminating);
    // A Module that this process never told the session to remove isn't released by an older word of it.
    plan.release = released && drained;
    if traffic_elsewhere && !drained {
        plan.wake_at = Some(off_since.saturating_add(drain));
    }
    plan.because = leaving_because(view, since, now);
    let blocked = plan.because.is_some();
    let write_at = since + WRITE_LEAVING_AFTER_MS;
    plan.write = blocked || now >= write_at;
    if !plan.write {
        plan.wake_at = Some(plan.wake_at.map_or(write_at, |at| at.min(write_at)));
    }
    // Nobody else wakes a Module because time passes, not even one whose uninstall has failed already.
    let reported = plan.because.as_ref().is_some_and(|because| because.reason == Reason::DeletionBlocked);
    if let (false, Some(silent)) = (reported, view.told.as_ref().and_then(|told| told.silent_since)) {
        let at = silent.max(since) + BLOCKED_AFTER_MS;
        plan.wake_at = Some(plan.wake_at.map_or(at, |known| known.min(at)));
    }
    plan
}

fn leaving_because(view: &ModuleView<'_>, since: i64, now: i64) -> Option<Because> {
    let told = view.told.as_ref()?;
    let silent_for = told.silent_since.map_or(0, |silent| now - silent.max(since));
    if silent_for >= BLOCKED_AFTER_MS {
        return Some(Because {
            reason: Reason::DeletionBlocked,
            message: format!(
                "the agent of base pod {} does not answer ({}), so the module cannot be uninstalled; delete the pod, \
                 or label this Module koupleless.io/delete-module-directly=true to drop it without uninstalling",
                view.base_name,
                told.silence.as_deref().unwrap_or("no reason known"),
            ),
        });
    }
    match &told.verdict {
        Verdict::Failed(error) => {
            Some(Because { reason: Reason::UninstallFailed, message: format!("uninstalling failed: {error}") })
        }
        _ => None,
    }
}

fn plan_running(view: &ModuleView<'_>, now: i64) -> ModulePlan {
    let Some(told) = &view.told else {
        return running(view, Phase::Pending, view.created, None, now);
    };
    let silent_for = told.silent_since.map_or(0, |since| now - since);
    let because = |reason, message: String| Some(Because { reason, message });
    let silent = |told: &Told| {
        because(
            Reason::AgentUnreachable,
            format!(
                "the agent of base pod {} does not answer: {}",
                view.base_name,
                told.silence.as_deref().unwrap_or("no reason known"),
            ),
        )
    };
    if silent_for >= UNREACHABLE_AFTER_MS {
        let since = told.silent_since.unwrap_or(now) + UNREACHABLE_AFTER_MS;
        return running(view, Phase::Pending, since, silent(told), now);
    }
    match &told.verdict {
        Verdict::Active => plan_active(view, told, now),
        Verdict::Unknown if was_running(view.phase) => {
            quiet(Some(WishKind::Run), view.phase.unwrap_or(Phase::Available))
        }
        Verdict::Unknown => {
            let why = (silent_for >= BLOCKED_AFTER_MS).then(|| silent(told)).flatten();
            running(view, Phase::Pending, told.since, why, now)
        }
        Verdict::Waiting => running(view, Phase::Prepare, told.since, None, now),
        Verdict::Installing | Verdict::Inactive | Verdict::Released => {
            running(view, Phase::Upgrading, told.since, None, now)
        }
        Verdict::Failed(error) => {
            let why = because(Reason::InstallFailed, error.clone());
            running(view, Phase::Upgrading, told.since, why, now)
        }
        Verdict::Held(reason, message) => {
            running(view, Phase::Pending, told.since, because(*reason, message.clone()), now)
        }
        Verdict::Superseded => {
            let why = because(Reason::Superseded, "a newer version is active on this base".to_owned());
            // No news by itself: the one that took its place is.
            let write_at = told.since + WRITE_AFTER_MS;
            let write = now >= write_at || view.phase == Some(Phase::Pending);
            let wake_at = (!write).then_some(write_at);
            ModulePlan { because: why, write, wake_at, ..quiet(Some(WishKind::Run), Phase::Pending) }
        }
        Verdict::Contested(owner) => {
            let why =
                because(Reason::Conflict, format!("the ModuleDeployment {owner} has this module on this base already"));
            running(view, Phase::Pending, told.since, why, now)
        }
        Verdict::Foreign(version) => {
            let why = because(
                Reason::ForeignModule,
                format!("the base runs version {version} of this module, which no Module declares; it is left alone"),
            );
            running(view, Phase::Pending, told.since, why, now)
        }
    }
}

fn was_running(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Available | Phase::Completing))
}

fn plan_active(view: &ModuleView<'_>, told: &Told, now: i64) -> ModulePlan {
    if view.phase == Some(Phase::Available) {
        return ModulePlan { write: true, ..quiet(Some(WishKind::Run), Phase::Available) };
    }
    // A soak that an earlier process began goes on.
    let since = match view.phase {
        Some(Phase::Completing) => told.since.min(view.phase_since),
        _ => told.since,
    };
    let ready_at = since.saturating_add(view.min_ready);
    // Available promises traffic: a release takes the next base out of the Service on the strength of it.
    if now >= ready_at && view.label_on {
        return ModulePlan { write: true, ..quiet(Some(WishKind::Run), Phase::Available) };
    }
    let mut plan = running(view, Phase::Completing, since, None, now);
    if now < ready_at {
        plan.wake_at = Some(plan.wake_at.map_or(ready_at, |at| at.min(ready_at)));
    }
    plan
}

/// A phase of a Module that isn't available (yet): written once it lasts, or at once where it is news to somebody.
fn running(view: &ModuleView<'_>, phase: Phase, since: i64, because: Option<Because>, now: i64) -> ModulePlan {
    let news = because.is_some() || view.phase == Some(Phase::Available);
    let write = news || now >= since + WRITE_AFTER_MS || view.phase == Some(phase);
    ModulePlan {
        because,
        write,
        wake_at: (!write).then_some(since + WRITE_AFTER_MS),
        ..quiet(Some(WishKind::Run), phase)
    }
}

#[cfg(test)]
#[path = "module_tests.rs"]
mod tests;
