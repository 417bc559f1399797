//! What a session does about an agent, and how that ended.

use crate::arklet::{
    client::{InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome},
    wire::{Biz, Metaspace},
};

/// A command to carry out. At most one `Look`, one `Health` and one of the others per biz name are under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `queryAllBiz`.
    Look,
    /// `health`.
    Health,
    /// `installBiz`.
    Install {
        /// Biz name.
        name: String,
        /// Biz version.
        version: String,
        /// Where the base fetches it.
        url: String,
    },
    /// `uninstallBiz`.
    Uninstall {
        /// Biz name.
        name: String,
        /// Biz version.
        version: String,
    },
    /// `switchBiz`.
    Switch {
        /// Biz name.
        name: String,
        /// Biz version.
        version: String,
    },
}

impl Command {
    /// The biz name that the command is about.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Look | Self::Health => None,
            Self::Install { name, .. } | Self::Uninstall { name, .. } | Self::Switch { name, .. } => Some(name),
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of [`Command::Look`].
    Looked(Result<Vec<Biz>, NoAnswer>),
    /// Of [`Command::Health`]: the metaspace, where the agent tells it.
    Health(Result<Option<Metaspace>, NoAnswer>),
    /// Of [`Command::Install`].
    Installed(InstallOutcome),
    /// Of [`Command::Uninstall`].
    Uninstalled(UninstallOutcome),
    /// Of [`Command::Switch`].
    Switched(SwitchOutcome),
}
