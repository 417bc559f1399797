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

mod room;
mod step;
mod verdict;

use std::collections::BTreeMap;

pub use self::{step::plan_slot, verdict::verdict};

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

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
