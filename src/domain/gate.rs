//! When a base pod counts as ready, where its readiness waits for its modules.
//!
//! A base Deployment opts in by the readiness gate `koupleless.io/modules-ready` in its pod template. Its rollout then
//! takes an old pod away only when the new one has the modules that are due there: Kubernetes counts a pod as Ready once
//! the gate is open. So the modules of pods of an older template are placed a second time, on pods of the newest, and a
//! pod's gate opens when nothing more comes to it and all that it has is available.
//!
//! Must not: close a gate again. A module that is upgraded or fails must not take its neighbours out of their Services.

use std::collections::BTreeSet;

use crate::api::Reason;

/// A pod of a base Deployment, as far as its age matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aged<'a> {
    /// Its UID.
    pub uid: &'a str,
    /// Which template it was made from (`pod-template-hash`).
    pub template: Option<&'a str>,
    /// When it was created (seconds since the epoch).
    pub created: i64,
    /// Whether its template has the gate.
    pub gated: bool,
}

/// The UIDs of those pods that a rollout of the base Deployment is about to replace: all that aren't of the template
/// which the latest pod was made from, where that one has the gate.
pub fn superseded<'a>(pods: &[Aged<'a>]) -> BTreeSet<&'a str> {
    let Some(latest) = pods.iter().max_by_key(|pod| pod.created).filter(|pod| pod.gated) else {
        return BTreeSet::new();
    };
    // Two templates in one second: which of them is the newer one can't be told.
    let unclear = pods.iter().any(|pod| pod.created == latest.created && pod.template != latest.template);
    let old = |pod: &&Aged<'a>| !unclear && pod.template != latest.template;
    pods.iter().filter(old).map(|pod| pod.uid).collect()
}

/// What a gate depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate<'a> {
    /// The condition as it stands: its status and message.
    pub now: Option<(&'a str, &'a str)>,
    /// Whether nothing but the gate keeps the pod from being ready.
    pub else_ready: bool,
    /// ModuleDeployments that are about to put a module there, by name.
    pub coming: &'a [String],
    /// Modules on the pod that aren't available yet, by name.
    pub waiting: &'a [String],
}

/// The condition to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whether the gate opens.
    pub open: bool,
    /// The word.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

/// At most so many names stand in a message.
const NAMED: usize = 5;

/// What to write; `None` leaves the condition as it is.
pub fn plan_gate(gate: Gate<'_>) -> Option<Opening> {
    if gate.now.is_some_and(|(status, _)| status == "True") || !gate.else_ready {
        return None;
    }
    if gate.coming.is_empty() && gate.waiting.is_empty() {
        let message = "every module that is due on this base is available".to_owned();
        return Some(Opening { open: true, reason: Reason::ModulesAvailable, message });
    }
    let names: Vec<&str> = gate.waiting.iter().chain(gate.coming).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMED);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("waits for {}{tail}", names[..names.len() - more].join(", "));
    let known = gate.now.is_some_and(|(_, told)| told == message);
    (!known).then_some(Opening { open: false, reason: Reason::ModulesNotAvailable, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged<'a>(uid: &'a str, template: &'a str, created: i64, gated: bool) -> Aged<'a> {
        Aged { uid, template: Some(template), created, gated }
    }

    #[test]
    fn pods_of_another_template_than_the_latest_are_superseded() {
        let two = |gated| [aged("a", "old", 1, false), aged("b", "old", 2, false), aged("c", "new", 9, gated)];
        assert_eq!(superseded(&two(true)), BTreeSet::from(["a", "b"]));
        assert_eq!(superseded(&two(false)), BTreeSet::new(), "without the gate nobody asked for it");
        assert_eq!(superseded(&[aged("a", "old", 1, true)]), BTreeSet::new());
        assert_eq!(superseded(&[]), BTreeSet::new());
        let same_second = [aged("a", "old", 9, true), aged("c", "new", 9, true)];
        assert_eq!(superseded(&same_second), BTreeSet::new());
    }

    #[test]
    fn a_gate_opens_once_and_says_what_it_waits_for() {
        let names = |count: usize| -> Vec<String> { (0..count).map(|index| format!("m{index}")).collect() };
        let plan = |now, else_ready, coming: usize, waiting: usize| {
            plan_gate(Gate { now, else_ready, coming: &names(coming), waiting: &names(waiting) })
                .map(|opening| (opening.open, opening.message))
        };
        let open = Some((true, "every module that is due on this base is available".to_owned()));
        assert_eq!(plan(None, true, 0, 0), open);
        assert_eq!(plan(Some(("False", "waits for m0")), true, 0, 0), open);
        assert_eq!(plan(None, false, 0, 0), None, "its containers come first");
        assert_eq!(plan(Some(("True", "")), true, 1, 1), None, "never closed again");
        assert_eq!(plan(None, true, 0, 1), Some((false, "waits for m0".to_owned())));
        assert_eq!(plan(None, true, 1, 0), Some((false, "waits for m0".to_owned())));
        assert_eq!(plan(Some(("False", "waits for m0")), true, 1, 0), None, "said once");
        assert_eq!(
            plan(None, true, 2, 5).map(|(_, message)| message),
            Some("waits for m0, m1, m2, m3, m4 and 2 more".to_owned())
        );
    }
}
