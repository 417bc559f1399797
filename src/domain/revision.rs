//! Which replica set is the newest revision, and when a new one is made.
//!
//! A revision is (module name, module version, base Deployment): a changed URL alone stays the same revision
//! (V1's contract). Revisions count from 1 by the *label*; names come from the same counter. A template that equals
//! an older revision's reuses that replica set and lifts its label, as Deployments do on a rollback.

use super::names;

/// What makes two templates the same revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Biz name.
    pub module: String,
    /// Biz version.
    pub version: String,
    /// The base Deployment's name.
    pub base: String,
}

/// A replica set of the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The object's name.
    pub name: String,
    /// The revision label; 0 where it is missing or no number.
    pub number: u64,
    /// What it runs.
    pub identity: Identity,
}

/// What to do to have the newest revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevisionPlan {
    /// The replica set at this index is the newest one.
    Use(usize),
    /// The replica set at this index becomes the newest one: its label is lifted to this number.
    Lift(usize, u64),
    /// A new replica set is made.
    Create {
        /// Its revision label.
        number: u64,
        /// Its name.
        name: String,
    },
}

/// The newest revision for `wanted`, among `revisions` of the deployment `deployment`. While `paused` nothing new is
/// made: the newest of what exists stays the newest.
/// `collisions` is how often a name was found taken by somebody else's object.
pub fn plan_revision(
    deployment: &str,
    wanted: &Identity,
    revisions: &[Revision],
    paused: bool,
    collisions: u64,
) -> RevisionPlan {
    let newest = (0..revisions.len()).max_by_key(|&index| revisions[index].number);
    let same = (0..revisions.len())
        .filter(|&index| revisions[index].identity == *wanted)
        .max_by_key(|&index| revisions[index].number);
    let next = newest.map_or(1, |index| revisions[index].number + 1);
    match (same, newest) {
        (Some(same), Some(newest)) if same == newest => RevisionPlan::Use(same),
        (_, Some(newest)) if paused => RevisionPlan::Use(newest),
        (Some(same), _) => RevisionPlan::Lift(same, next),
        (None, _) => RevisionPlan::Create { number: next, name: free_name(deployment, next + collisions, revisions) },
    }
}

/// V1's name for the revision, or the next one that no replica set of the deployment has (labels can be lifted
/// beyond names).
fn free_name(deployment: &str, number: u64, revisions: &[Revision]) -> String {
    (number..)
        .map(|candidate| names::replica_set(deployment, candidate))
        .find(|name| revisions.iter().all(|revision| revision.name != *name))
        .unwrap_or_else(|| names::replica_set(deployment, number))
}

/// Finished old revisions beyond `limit`, oldest first: their indices in `revisions`. `finished` says of each one
/// whether it wants and has no Modules.
pub fn plan_history(revisions: &[Revision], newest: usize, finished: &[bool], limit: usize) -> Vec<usize> {
    let mut old: Vec<usize> = (0..revisions.len()).filter(|&index| index != newest && finished[index]).collect();
    old.sort_by_key(|&index| revisions[index].number);
    let surplus = old.len().saturating_sub(limit);
    old.truncate(surplus);
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(version: &str) -> Identity {
        Identity { module: "m".into(), version: version.into(), base: "base".into() }
    }

    fn revision(number: u64, version: &str) -> Revision {
        Revision { name: format!("d-replicas-{number}"), number, identity: identity(version) }
    }

    fn plan(version: &str, revisions: &[Revision], paused: bool) -> RevisionPlan {
        plan_revision("d", &identity(version), revisions, paused, 0)
    }

    #[test]
    fn the_table_of_revisions() {
        let create = |number: u64| RevisionPlan::Create { number, name: format!("d-replicas-{number}") };
        let two = [revision(1, "1"), revision(2, "2")];
        assert_eq!(plan("1", &[], false), create(1));
        assert_eq!(plan("1", &[], true), create(1));
        assert_eq!(plan("2", &two, false), RevisionPlan::Use(1));
        assert_eq!(plan("3", &two, false), create(3));
        assert_eq!(plan("3", &two, true), RevisionPlan::Use(1));
        assert_eq!(plan("1", &two, false), RevisionPlan::Lift(0, 3));
    }

    #[test]
    fn a_lifted_label_never_leads_to_a_taken_name() {
        let mut lifted = [revision(3, "1"), revision(2, "2")];
        lifted[0].name = "d-replicas-4".into();
        assert_eq!(plan("3", &lifted, false), RevisionPlan::Create { number: 4, name: "d-replicas-5".into() });
    }

    #[test]
    fn a_name_that_somebody_else_has_is_left_to_them() {
        let plan = plan_revision("d", &identity("2"), &[revision(1, "1")], false, 1);
        assert_eq!(plan, RevisionPlan::Create { number: 2, name: "d-replicas-3".into() });
    }

    #[test]
    fn another_base_is_another_revision() {
        let wanted = Identity { base: "other".into(), ..identity("1") };
        let plan = plan_revision("d", &wanted, &[revision(1, "1")], false, 0);
        assert!(matches!(plan, RevisionPlan::Create { number: 2, .. }), "{plan:?}");
    }

    #[test]
    fn history_keeps_the_newest_finished_ones() {
        let revisions: Vec<Revision> = (1..=5).map(|n| revision(n, &n.to_string())).collect();
        assert_eq!(plan_history(&revisions, 4, &[true; 5], 2), [0, 1]);
        assert_eq!(plan_history(&revisions, 4, &[true, false, true, true, true], 2), [0]);
        assert_eq!(plan_history(&revisions, 4, &[true; 5], 10), [0; 0]);
    }
}
