//! An `external.metrics.k8s.io` API whose values a test sets, for the real HorizontalPodAutoscaler controller to read.
//!
//! Autoscalers know external metrics only from an aggregated API, which an API server reaches over HTTPS. This is as much of
//! one as they ask for: the discovery document and the values of one metric in one namespace. It asks nobody who they are, and
//! its certificate is its own, so it must not run where others than the rig can call it. It knows no cluster: who registers it
//! there is [`crate::cluster`].

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    process::Command,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// The API group.
pub const GROUP: &str = "external.metrics.k8s.io";
/// Its version.
pub const VERSION: &str = "v1beta1";
/// Bytes of a request's head; the API server's are about 1 KiB.
const MAX_HEAD: usize = 16 << 10;

/// A running metrics API; it ends when this is dropped.
pub struct MetricsApi {
    address: SocketAddr,
    values: Arc<Values>,
    task: JoinHandle<()>,
}

/// The value of a metric, by namespace and name.
#[derive(Default)]
struct Values(Mutex<BTreeMap<(String, String), i64>>);

impl MetricsApi {
    /// Listens on a free port of an address.
    ///
    /// # Errors
    /// If the address is none of this machine's, or `openssl` makes no certificate.
    pub async fn start(ip: IpAddr) -> io::Result<Self> {
        let tls = TlsAcceptor::from(Arc::new(tls().await?));
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        let values = Arc::<Values>::default();
        let task = tokio::spawn(listen(listener, tls, Arc::clone(&values)));
        Ok(Self { address, values, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a metric its value in a namespace. Before that it has none.
    pub fn set(&self, namespace: &str, metric: &str, value: i64) {
        self.values.lock().insert((namespace.to_owned(), metric.to_owned()), value);
    }
}

impl Drop for MetricsApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A certificate of nobody in particular: whoever calls must not verify it.
async fn tls() -> io::Result<ServerConfig> {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "-"];
    let made = Command::new("openssl")
        .args(["req", "-x509", "-days", "1", "-subj", "/CN=rig-metrics-api", "-out", "-"])
        .args(key)
        .stdin(Stdio::null())
        .output()
        .await?;
    if !made.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
    }
    let certificate = CertificateDer::from_pem_slice(&made.stdout).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(&made.stdout).map_err(io::Error::other)?;
    // Named, because the process may have no default provider yet.
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(io::Error::other)
}

/// Accepts for ever. All connections end with this future.
async fn listen(listener: TcpListener, tls: TlsAcceptor, values: Arc<Values>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that ended before it was accepted is nobody's any more.
                if let Ok((stream, _)) = accepted {
                    let (tls, values) = (tls.clone(), Arc::clone(&values));
                    connections.spawn(async move {
                        let served = async { answer(tls.accept(stream).await?, &values).await };
                        // The API server opens connections that it doesn't use, and asks again where one broke.
                        let _: io::Result<()> = served.await;
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers one request and closes: no protocol but HTTP/1.1 was agreed on, so that is what comes.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, values: &Values) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    // The selector of a metric's labels, after the question mark, has no say: the metrics here have no labels.
    let path = head.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next()).unwrap_or_default();
    let (status, body) = match values.look_up(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404 })),
    };
    let body = body.to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

impl Values {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lies at a path, if anything does.
    fn look_up(&self, path: &str) -> Option<Value> {
        let inside = path.strip_prefix(&format!("/apis/{GROUP}/{VERSION}"))?;
        let words: Vec<&str> = inside.split('/').skip(1).collect();
        match words[..] {
            [] => Some(self.discovery()),
            ["namespaces", namespace, metric] => Some(self.list(namespace, metric)),
            _ => None,
        }
    }

    /// Each metric is a resource, as real adapters have it.
    fn discovery(&self) -> Value {
        let names: BTreeSet<String> = self.lock().keys().map(|(_, metric)| metric.clone()).collect();
        let resource = |name: &String| {
            json!({
                "name": name, "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList", "verbs": ["get"],
            })
        };
        json!({
            "apiVersion": "v1", "kind": "APIResourceList", "groupVersion": format!("{GROUP}/{VERSION}"),
            "resources": names.iter().map(resource).collect::<Vec<_>>(),
        })
    }

    /// One item, or none where nobody has set a value: autoscalers tell that from zero.
    fn list(&self, namespace: &str, metric: &str) -> Value {
        let value = self.lock().get(&(namespace.to_owned(), metric.to_owned())).copied();
        let item = |value: i64| {
            json!({
                "metricName": metric, "metricLabels": {}, "timestamp": Timestamp::now().to_string(),
                "value": value.to_string(),
            })
        };
        json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ExternalMetricValueList", "metadata": {},
            "items": value.into_iter().map(item).collect::<Vec<_>>(),
        })
    }
}
