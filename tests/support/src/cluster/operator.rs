//! The operator of a scenario.

use std::{sync::Arc, time::Duration};

use module_controller::{
    api::Delivery,
    arklet::{
        client::{Bounds, Client as Arklet},
        session::Care,
    },
    controllers::{
        context::Settings,
        run::{Scope, run},
    },
    runtime::{health::Readiness, metrics::Metrics, ops::Ops},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{World, shared};

/// What the operator of a scenario asks of bases.
const CARE: Care = Care { health_interval: Duration::from_secs(1), min_free_metaspace: 10 };

/// How long an operator may take to stop.
const STOPPING: Duration = Duration::from_secs(20);

/// A running operator.
pub struct Operator {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl World {
    /// Starts the operator, as a new process would: it knows nothing.
    pub async fn start_operator(&self) {
        let client = shared::client().await;
        let metrics = Arc::new(Metrics::new());
        let bounds = Bounds {
            connect: Duration::from_secs(1),
            query: Duration::from_secs(1),
            install: Duration::from_secs(30),
            uninstall: Duration::from_secs(5),
            switch: Duration::from_secs(5),
            ..Bounds::default()
        };
        let scope = Scope {
            namespace: Some(self.inner.namespace.clone()),
            ops: Ops::new(client, 32, Arc::clone(&metrics), "scenario".to_owned()),
            arklet: Arklet::new(bounds).expect("an HTTP client"),
            metrics,
            readiness: Arc::new(Readiness::new()),
            census: Arc::default(),
            settings: Settings {
                care: CARE,
                watch_seconds: 60,
                concurrency: 16,
                default_delivery: Delivery::Arklet,
                vnode_env: None,
            },
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(scope, stop.clone()));
        let former = self.inner.operator.lock().await.replace(Operator { task, stop });
        assert!(former.is_none(), "the operator runs already");
    }

    /// Stops the operator in good order.
    pub async fn stop_operator(&self) {
        if let Some(operator) = self.inner.operator.lock().await.take() {
            operator.stop.cancel();
            let ended = tokio::time::timeout(STOPPING, operator.task).await;
            assert!(ended.is_ok(), "the operator did not stop within {STOPPING:?}");
        }
    }

    /// Ends the operator in the middle of whatever it does.
    pub async fn kill_operator(&self) {
        if let Some(operator) = self.inner.operator.lock().await.take() {
            operator.task.abort();
            operator.stop.cancel();
            // Only the abort's own error can come, and a panic of the operator is no matter of its end.
            let _ = operator.task.await;
        }
    }

    /// Ends the operator in the middle of whatever it does, and starts a new one.
    pub async fn restart_operator(&self) {
        self.kill_operator().await;
        self.start_operator().await;
    }
}
