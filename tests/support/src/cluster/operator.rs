//! The operator of a scenario.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use kube::Client;
use module_controller::{
    api::Delivery,
    arklet::{client::Client as Arklet, session::Care},
    controllers::{
        census::Census,
        context::Settings,
        run::{Scope, run},
    },
    runtime::{
        health::{Readiness, serve_metrics},
        metrics::Metrics,
        ops::Ops,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{World, provider, rights::Install, shared};

/// What the operator of a scenario asks of bases.
const CARE: Care = Care { health_interval: Duration::from_secs(1), min_free_metaspace: 10 };

/// How long an operator may take to stop.
const STOPPING: Duration = Duration::from_secs(20);

/// A running operator.
pub struct Operator {
    task: JoinHandle<()>,
    stop: CancellationToken,
    /// Where it serves its metrics.
    metrics: SocketAddr,
}

impl World {
    /// Starts the operator, as a new process would: it knows nothing. It has the rights of an install for one namespace, and
    /// reads no nodes.
    pub async fn start_operator(&self) {
        self.begin_operator(self.client_of(Install::Namespaced).await, false, Delivery::Arklet).await;
    }

    /// As [`World::start_operator`], with the rights of an install for the whole cluster: it reads nodes, and may make pods.
    pub async fn start_operator_with_nodes(&self) {
        self.begin_operator(self.client_of(Install::Cluster).await, true, Delivery::Arklet).await;
    }

    /// Starts the operator with the rights of a user, and what it does where a deployment doesn't say.
    pub async fn start_operator_as(&self, user: &str, default_delivery: Delivery) {
        self.begin_operator(shared::client_as(user).await, true, default_delivery).await;
    }

    pub(super) async fn begin_operator(&self, client: Client, nodes: bool, default_delivery: Delivery) {
        let (metrics, census) = (Arc::new(Metrics::new()), Arc::new(Census::default()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let served = listener.local_addr().expect("its address");
        let scope = Scope {
            namespace: Some(self.inner.namespace.clone()),
            nodes,
            ops: Ops::new(client, 32, Arc::clone(&metrics), "scenario".to_owned()),
            arklet: Arc::new(Arklet::new(provider::bounds()).expect("an HTTP client")),
            metrics: Arc::clone(&metrics),
            readiness: Arc::new(Readiness::new()),
            census: Arc::clone(&census),
            settings: Settings {
                care: CARE,
                watch_seconds: 60,
                concurrency: 16,
                default_delivery,
                vnode_env: self.env().to_owned(),
            },
        };
        let stop = CancellationToken::new();
        let (working, counting, serving) = (stop.clone(), stop.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let counted = census.keep(Arc::clone(&metrics), counting);
            let (.., ended) = tokio::join!(run(scope, working), counted, serve_metrics(listener, metrics, serving));
            ended.expect("metrics are served to the end");
        });
        let former = self.inner.operator.lock().await.replace(Operator { task, stop, metrics: served });
        assert!(former.is_none(), "the operator runs already");
    }

    /// The value of a series in the running operator's `/metrics`, named as there: `name{label="value",...}`.
    pub async fn gauge(&self, series: &str) -> Option<f64> {
        let address = self.inner.operator.lock().await.as_ref().expect("an operator runs").metrics;
        let mut stream = TcpStream::connect(address).await.expect("metrics are served");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let line = answer.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// How often the API server gave the running operator this answer (`ok`, `forbidden`, `conflict`, ...) when it wanted to
    /// create an object of a kind, by its plural.
    pub async fn creates(&self, plural: &str, answer: &str) -> f64 {
        let labels = format!("resource=\"{plural}\",verb=\"create\",result=\"{answer}\"");
        self.gauge(&format!("module_controller_api_writes_total{{{labels}}}")).await.unwrap_or_default()
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
