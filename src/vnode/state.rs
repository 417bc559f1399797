//! What this process knows of one VNode, shared by the loops that look after it.
//!
//! Must not: do IO, or decide; decisions are in [`crate::domain::vnode`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    arklet::{client::Endpoint, session::BaseId},
    domain::vnode::{
        keep::{Heard, Reach},
        lease::Sight,
        node::{Metaspace, VBase},
    },
};

/// A base as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What is known of it. Name and version are empty where only its agent can tell them.
    pub facts: VBase,
    /// Its pod. A base that was announced without one has its identity there.
    pub id: BaseId,
    /// Where its agent listens.
    pub at: Endpoint,
    /// Restarts of its containers: what was installed before is gone then.
    pub restarts: i64,
    /// What it calls itself in the topics of the MQTT tunnel, where it is found through that.
    pub device: Option<String>,
}

/// The variable part of a [`VNode`].
#[derive(Debug, Default)]
pub struct State {
    /// The base; `None` once it is gone.
    pub found: Option<Found>,
    /// Name and version as the agent tells them.
    pub told: Option<(String, String)>,
    /// The base's answers.
    pub heard: Heard,
    /// The Lease as this process sees it.
    pub sight: Sight,
    /// The Lease itself, to be replaced.
    pub lease: Option<Lease>,
    /// When the last successful write of the Lease was sent (milliseconds).
    pub renewed_at: Option<i64>,
    /// When the Node's status was last written (milliseconds).
    pub reported_at: Option<i64>,
    /// When its labels and taints were last written (milliseconds).
    pub patched_at: Option<i64>,
    /// Whether this process may act on the VNode, as last planned.
    pub acts: bool,
    /// How far the base can be reached, as last planned.
    pub reach: Option<Reach>,
}

impl State {
    /// The base with all that is known of it.
    pub fn base(&self) -> Option<VBase> {
        let mut base = self.found.as_ref()?.facts.clone();
        if let Some((name, version)) = &self.told {
            if base.name.is_empty() {
                base.name.clone_from(name);
            }
            if base.version.is_empty() {
                base.version.clone_from(version);
            }
        }
        Some(base)
    }

    /// Whether the VNode is another provider's business.
    pub fn stands_by(&self, me: &str) -> bool {
        matches!(&self.sight, Sight::Seen { record, .. } if record.holder != me && !record.holder.is_empty())
    }
}

/// One VNode.
pub struct VNode {
    /// The name of its Node and Lease.
    pub name: String,
    state: Mutex<State>,
    /// The Node or the Lease have to be looked at.
    pub node_turn: Notify,
    /// Its vPods have to be looked at.
    pub pods_turn: Notify,
    /// The base should be asked how it is.
    pub health_turn: Notify,
    /// This process may act on the VNode no longer: what waits to be written isn't its business any more.
    pub deposed: Notify,
    /// Ends the loops.
    pub stop: CancellationToken,
}

impl VNode {
    /// A VNode that this process has just heard of.
    pub fn new(name: String, found: Option<Found>, now: i64, stop: CancellationToken) -> Self {
        let state = State { found, heard: Heard { since: now, ..Heard::default() }, ..State::default() };
        Self {
            name,
            state: Mutex::new(state),
            node_turn: Notify::new(),
            pods_turn: Notify::new(),
            health_turn: Notify::new(),
            deposed: Notify::new(),
            stop,
        }
    }

    /// Its state. Never held while something is waited for.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything about it has to be looked at.
    pub fn wake(&self) {
        self.node_turn.notify_one();
        self.pods_turn.notify_one();
        self.health_turn.notify_one();
    }

    /// The base answered at `now`.
    pub fn answered(&self, now: i64, metaspace: Option<Metaspace>, told: Option<(String, String)>) {
        let mut state = self.state();
        state.heard.answered = Some(now);
        if let Some(metaspace) = metaspace {
            state.heard.metaspace = metaspace;
        }
        if told.is_some() {
            state.told = told;
        }
        drop(state);
        self.node_turn.notify_one();
    }
}
