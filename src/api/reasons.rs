//! Every word by which the operator says why something is as it is, in one closed list.
//!
//! Reasons stand in conditions, in a Module's status, in Events and in the container statuses of vPods. People search for
//! them and alerts are made of them, so they don't change by accident: a plan can say only what is here, and a test holds
//! `docs/runbook.md` against this list. It must not decide which of them applies; that is [`crate::domain`].

use std::fmt;

/// The types of the conditions that the operator writes.
pub mod types {
    use crate::api::keys;

    /// Enough instances are available.
    pub const AVAILABLE: &str = "Available";
    /// The newest revision is coming, or has come.
    pub const PROGRESSING: &str = "Progressing";
    /// Some instance can't be installed or placed.
    pub const REPLICA_FAILURE: &str = "ReplicaFailure";
    /// The Service is as wanted.
    pub const SERVICE_READY: &str = "ServiceReady";
    /// The deletion waits for somebody.
    pub const DELETION_BLOCKED: &str = "DeletionBlocked";
    /// Of a base pod: the modules that are due on it are available.
    pub const MODULES_READY: &str = keys::MODULES_READY;
    /// Of a VNode and a vPod: it can serve.
    pub const READY: &str = "Ready";
    /// Of a vPod: all its modules are active.
    pub const CONTAINERS_READY: &str = "ContainersReady";
    /// Of a VNode, always False: its metaspace is told as memory.
    pub const MEMORY_PRESSURE: &str = "MemoryPressure";
    /// Of a VNode, always False.
    pub const DISK_PRESSURE: &str = "DiskPressure";
    /// Of a VNode, always False.
    pub const PID_PRESSURE: &str = "PIDPressure";
    /// Of a VNode, always False.
    pub const NETWORK_UNAVAILABLE: &str = "NetworkUnavailable";

    /// All of them.
    pub const ALL: [&str; 12] = [
        AVAILABLE,
        PROGRESSING,
        REPLICA_FAILURE,
        SERVICE_READY,
        DELETION_BLOCKED,
        MODULES_READY,
        READY,
        CONTAINERS_READY,
        MEMORY_PRESSURE,
        DISK_PRESSURE,
        PID_PRESSURE,
        NETWORK_UNAVAILABLE,
    ];
}

/// Where a reason stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a condition of this type.
    Condition(&'static str),
    /// In `status.reason` of a Module.
    Module,
    /// In the state of a vPod's container.
    Container,
    /// In an Event.
    Event,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition(type_) => write!(f, "condition `{type_}`"),
            Self::Module => f.write_str("Module status"),
            Self::Container => f.write_str("vPod container"),
            Self::Event => f.write_str("Event"),
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $name:ident in [$($place:expr),+];)+) => {
        /// Why something is as it is: one word for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word as it stands in objects.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_start(),)+ }
            }

            /// The reason that `word`, as it was read from an object, is; `None` for one of somebody else or of later.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }

            /// Whether `word`, as it was read from an object, is this one.
            pub fn is(self, word: Option<&str>) -> bool {
                word == Some(self.as_str())
            }

            /// Where it may stand.
            pub fn places(self) -> &'static [Place] {
                match self { $(Self::$name => &[$($place),+],)+ }
            }
        }
    };
}

use Place::{Condition, Container, Event, Module};
use types::{
    AVAILABLE, CONTAINERS_READY, DELETION_BLOCKED, DISK_PRESSURE, MEMORY_PRESSURE, MODULES_READY, NETWORK_UNAVAILABLE,
    PID_PRESSURE, PROGRESSING, READY, REPLICA_FAILURE, SERVICE_READY,
};

reasons! {
    /// As many instances are available as the spec asks for, less those that `maxUnavailable` lets be missing.
    MinimumReplicasAvailable in [Condition(AVAILABLE)];
    /// Fewer instances are available than the spec asks for, less those that may be missing.
    MinimumReplicasUnavailable in [Condition(AVAILABLE)];

    /// The spec can't be carried out; the message says what to change. What runs goes on running.
    InvalidSpec in [Condition(PROGRESSING), Event];
    /// The Deployment that `spec.baseDeploymentName` names isn't in the namespace.
    BaseDeploymentNotFound in [Condition(PROGRESSING), Event];
    /// A batch of the release is under way.
    ReplicaSetUpdated in [Condition(PROGRESSING)];
    /// The release is complete: every instance has the new version and is available.
    NewReplicaSetAvailable in [Condition(PROGRESSING)];
    /// A batch is complete, and the next one waits for `spec.confirmBatchNum`.
    WaitingForConfirmation in [Condition(PROGRESSING), Event];
    /// A batch is complete, and the next one waits for gray time, or for the batch to be available again.
    BatchPause in [Condition(PROGRESSING)];
    /// `spec.paused` holds the release, or a new template, back.
    DeploymentPaused in [Condition(PROGRESSING)];
    /// A restart of the same version is under way.
    Restarting in [Condition(PROGRESSING)];
    /// The release, or the restart, has made no progress for `progressDeadlineSeconds`.
    ProgressDeadlineExceeded in [Condition(PROGRESSING)];
    /// The release was given up after the deadline, and the last completed revision was brought back.
    RolledBack in [Condition(PROGRESSING), Event];

    /// An object can't be created: a quota, an admission policy, a missing right, or a pod that has its name.
    FailedCreate in [Condition(REPLICA_FAILURE), Event];
    /// Modules find no base; the message counts the bases by why each refuses.
    InsufficientBases in [Condition(REPLICA_FAILURE), Event];
    /// The agent refuses the install; the message has its own words. It is tried again with growing pauses.
    InstallFailed in [Module, Condition(REPLICA_FAILURE), Event, Container];
    /// The agent of the base doesn't answer.
    AgentUnreachable in [Module, Condition(REPLICA_FAILURE), Condition(DELETION_BLOCKED), Event];
    /// Another ModuleDeployment, or a vPod of another namespace, has this module on this base already.
    Conflict in [Module, Condition(REPLICA_FAILURE), Event, Container];
    /// The base runs a version of this module that no object declares; it is left alone.
    ForeignModule in [Module, Condition(REPLICA_FAILURE), Event, Container];
    /// A newer version of the module is active on the base: nothing is wrong.
    Superseded in [Module];
    /// The Module is to be delivered as a vPod, and no virtual node stands for its base.
    VirtualNodeMissing in [Module, Condition(REPLICA_FAILURE), Event];
    /// The scheduler finds no virtual node for the Module's vPod; the message has its words.
    Unschedulable in [Module, Condition(REPLICA_FAILURE), Event];
    /// The agent refuses the uninstall; the message has its own words.
    UninstallFailed in [Module, Event, Container];
    /// A Module that is being deleted waits for an agent that doesn't answer.
    DeletionBlocked in [Module, Event];

    /// A Service of the name exists that isn't the operator's; it is left alone.
    ForeignService in [Condition(SERVICE_READY)];
    /// An older ModuleDeployment of the module publishes the Service with other ports.
    PortClash in [Condition(SERVICE_READY)];

    /// A release of a new revision began.
    ReleaseStarted in [Event];
    /// The next batch of a release began.
    BatchStarted in [Event];
    /// The new version is available on every wanted base.
    ReleaseCompleted in [Event];
    /// Somebody scaled a deployment in peer mode; the scale was put back.
    ScaleIgnored in [Event];
    /// A ModuleReplicaSet of the name belongs to somebody else; another name is taken.
    NameCollision in [Event];
    /// A Go V1 runs, and nothing is done beside it.
    PredecessorRuns in [Event];

    /// Every module that is due on the base is available: its readiness gate is open.
    ModulesAvailable in [Condition(MODULES_READY)];
    /// The readiness gate is closed; the message names the modules that it waits for.
    ModulesNotAvailable in [Condition(MODULES_READY)];

    /// The base's agent answers.
    BaseReady in [Condition(READY)];
    /// The base says that it isn't activated.
    BaseNotActivated in [Condition(READY)];
    /// The base's agent doesn't answer.
    BaseUnreachable in [Condition(READY), Condition(CONTAINERS_READY)];
    /// A VNode tells its metaspace as memory.
    BaseHasSufficientMemory in [Condition(MEMORY_PRESSURE)];
    /// Modules have no disk of their own.
    BaseHasNoDiskPressure in [Condition(DISK_PRESSURE)];
    /// Modules have no processes of their own.
    BaseHasSufficientPID in [Condition(PID_PRESSURE)];
    /// Modules use the base's network.
    RouteCreated in [Condition(NETWORK_UNAVAILABLE)];

    /// Modules of the vPod aren't active; the message names them.
    ContainersNotReady in [Condition(READY), Condition(CONTAINERS_READY)];
    /// A readiness gate of the vPod, which somebody else opens, is closed.
    ReadinessGatesNotReady in [Condition(READY)];
    /// All modules of the vPod were uninstalled.
    PodCompleted in [Condition(READY), Condition(CONTAINERS_READY)];
    /// The module is starting.
    Resolved in [Container];
    /// The module is there and about to be switched to.
    Inactive in [Container];
    /// A newer version is active on the base, and this one stands by.
    Deactivated in [Container];
    /// The module's image was changed in place, and it is fetched anew.
    Replacing in [Container];
    /// The module failed to start and is still in the base.
    Broken in [Container];
    /// The module was uninstalled.
    Stopped in [Container];
    /// No image of the pod names a .jar, so there is no module to install.
    NoModule in [Container];
    /// The container says no version of its module.
    InvalidModule in [Container];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, word: &&str) -> bool {
        self.as_str() == *word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_type_has_its_reasons_and_every_reason_a_known_place() {
        let places: Vec<Place> = Reason::ALL.iter().flat_map(|reason| reason.places()).copied().collect();
        for type_ in types::ALL {
            assert!(places.contains(&Condition(type_)), "no reason stands in {type_}");
        }
        for place in places {
            assert!(!matches!(place, Condition(type_) if !types::ALL.contains(&type_)), "{place}");
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert!(reason.meaning().ends_with('.'), "{reason}: a sentence says what it means");
        }
    }
}
