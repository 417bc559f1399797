//! The process as conversations with agents see it: is the pod still the one meant, who has news, what is counted.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::context::Context;
use crate::{
    arklet::{
        client::Endpoint,
        session::{BaseId, World},
    },
    runtime::metrics::{AgentCommand, AgentOutcome, Metrics},
};

/// What sessions see of the process.
pub struct SessionWorld {
    context: Weak<Context>,
    metrics: Arc<Metrics>,
}

impl SessionWorld {
    /// The process as `context` sees it.
    pub fn new(context: Weak<Context>, metrics: Arc<Metrics>) -> Self {
        Self { context, metrics }
    }
}

impl World for SessionWorld {
    fn is_current(&self, base: &BaseId, at: Endpoint) -> bool {
        let Some(context) = self.context.upgrade() else {
            return false;
        };
        match context.bases.pod(&base.namespace, &base.pod) {
            Some(pod) => pod.uid() == base.uid && pod.status.pod_ip.as_deref() == Some(at.ip.to_string().as_str()),
            // It left the selector; the Module's reconcile asks the API server and closes the session if it is gone.
            None => true,
        }
    }

    fn wake(&self, base: &BaseId, module: &str) {
        if let Some(context) = self.context.upgrade() {
            context.queues.modules.push_named(&base.namespace, module);
            context.queues.pods.push_named(&base.namespace, &base.pod);
        }
    }

    fn room_changed(&self, base: &BaseId) {
        if let Some(context) = self.context.upgrade() {
            context.wake_users_of_pod(&base.namespace, &base.pod);
        }
    }

    fn called(&self, command: &'static str, outcome: &'static str, took: Duration) {
        let (command, outcome) = (AgentCommand::of(command), AgentOutcome::of(outcome));
        self.metrics.agent_call(command, outcome, took);
    }
}
