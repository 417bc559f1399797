//! The one client of the Kubernetes API.
//!
//! Must not: retry by itself (kube's default policy sits on a 429 or 503 for minutes; every caller here has
//! its own backoff), or cut a quiet watch short.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How long a connection may take to be set up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take to be sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may be silent while an answer is due. kube's watcher gives a silent watch up after
/// its watch timeout (290 s unless set shorter) and 5 s more; this comes after that, as the last resort.
/// Single calls are to be given a shorter limit by their callers.
const READ_TIMEOUT: Duration = Duration::from_secs(330);

/// What the API server's audit log shows.
const AGENT: &str = concat!("module-controller/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The named kubeconfig can't be used.
    #[error("cannot use the kubeconfig {file}: {source}")]
    Kubeconfig {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// What `KUBECONFIG` names can't be used.
    #[error("cannot use the kubeconfig that KUBECONFIG names: {0}")]
    Env(#[source] KubeconfigError),
    /// Nothing says where the cluster is.
    #[error(
        "found no cluster: give --kubeconfig or KUBECONFIG, or run in a pod (in-cluster: {cluster}; default kubeconfig: {file})"
    )]
    Nowhere {
        /// Why the in-cluster settings can't be used.
        cluster: Box<InClusterError>,
        /// Why the default kubeconfig can't be used.
        file: Box<KubeconfigError>,
    },
    /// The settings were found but can't be turned into a client.
    #[error("cannot set up the API client: {0}")]
    Setup(#[source] Box<kube::Error>),
}

/// Installs the process's TLS provider; to be called before any client is built, and harmless if called again.
pub fn install_crypto() {
    // The only error is that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Finds the cluster and builds the client: the file given, else `KUBECONFIG`, else the pod's own cluster,
/// else `~/.kube/config` (the order of V1). Does not talk to the cluster.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    install_crypto();
    build(find_config(kubeconfig).await?)
}

/// A client for settings that were found elsewhere.
pub fn build(config: Config) -> Result<Client, Error> {
    build_as(config, AGENT, READ_TIMEOUT)
}

/// A client for another program than the operator: `agent` is what the audit log shows, `silence` how long an answer may
/// take (zero: for ever).
pub fn build_as(mut config: Config, agent: &'static str, silence: Duration) -> Result<Client, Error> {
    install_crypto();
    tune(&mut config, agent, silence);
    Client::try_from(config).map_err(|e| Error::Setup(Box::new(e)))
}

async fn find_config(kubeconfig: Option<&Path>) -> Result<Config, Error> {
    let options = KubeConfigOptions::default();
    if let Some(file) = kubeconfig {
        let named = |source| Error::Kubeconfig { file: file.to_owned(), source };
        let content = Kubeconfig::read_from(file).map_err(named)?;
        return Config::from_custom_kubeconfig(content, &options).await.map_err(named);
    }
    if std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()) {
        return Config::from_kubeconfig(&options).await.map_err(Error::Env);
    }
    match Config::incluster() {
        Ok(config) => Ok(config),
        Err(cluster) => Config::from_kubeconfig(&options)
            .await
            .map_err(|file| Error::Nowhere { cluster: Box::new(cluster), file: Box::new(file) }),
    }
}

fn tune(config: &mut Config, agent: &'static str, silence: Duration) {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.read_timeout = Some(silence).filter(|silence| !silence.is_zero());
    // Otherwise the time that a pooled connection lay idle counts as silence.
    config.reset_reader_on_write = true;
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;

    use super::*;

    #[test]
    fn a_quiet_watch_outlives_its_own_timeout() {
        let mut config = Config::new("http://127.0.0.1:1".parse().unwrap());
        tune(&mut config, AGENT, READ_TIMEOUT);
        let watch = Duration::from_secs(290 + 5);
        assert!(config.read_timeout.unwrap() > watch);
        assert!(config.reset_reader_on_write && !config.default_retry);
        assert!(config.connect_timeout.unwrap() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn asks_once_and_says_who_it_is() {
        let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
        let noted = seen.clone();
        let app = Router::new().fallback(move |headers: HeaderMap| async move {
            noted.lock().unwrap().push(headers);
            (StatusCode::TOO_MANY_REQUESTS, "slow down")
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await });

        let client = build(Config::new(url.parse().unwrap())).unwrap();
        assert!(Api::<Pod>::namespaced(client, "default").get("x").await.is_err());
        let agents: Vec<_> = seen.lock().unwrap().iter().map(|h| h[USER_AGENT].to_str().unwrap().to_owned()).collect();
        assert_eq!(agents, [AGENT], "one request, no retry");
        server.abort();
    }

    #[tokio::test]
    async fn a_bad_kubeconfig_is_named() {
        install_crypto();
        install_crypto();
        let Err(error) = connect(Some(Path::new("no/such/file"))).await else {
            panic!("there is no such file");
        };
        assert!(error.to_string().starts_with("cannot use the kubeconfig no/such/file: "), "{error}");
    }
}
