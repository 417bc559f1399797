//! `/healthz`, `/readyz` and `/metrics`.
//!
//! *Live* means that this process's runtime still runs tasks: [`Freshness::keep`] touches a handle once a
//! second, and a handler that gets to answer sees how long ago that was. *Ready* means that nothing it relies
//! on is stale: caches hold a [`Freshness`] each, other parts register a check. Must not: ask the cluster
//! anything in a probe, or make a restart follow from a state that a restart doesn't cure (an unreachable
//! API server makes the process unready, never dead).

mod readiness;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::flags::BindAddress;
use super::metrics::Metrics;
pub use readiness::{Freshness, Readiness};

/// How long open connections may delay the end of a server.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The media type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why a server isn't there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can't be listened on.
    #[error("cannot listen on {address} ({source}); choose another address with {flag}, or 0 to switch it off")]
    Bind {
        /// The address as it was given.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Listening ended.
    #[error("a server ended: {0}")]
    Serve(#[from] io::Error),
}

/// Opens the address that `flag` gave; `None` if it is switched off.
///
/// An empty host means every address of the machine, IPv6 and IPv4; a machine without IPv6 gets IPv4.
pub async fn bind(address: &BindAddress, flag: &'static str) -> Result<Option<TcpListener>, Error> {
    let BindAddress::At { host, port } = address else {
        return Ok(None);
    };
    let opened = if host.is_empty() {
        match TcpListener::bind(("::", *port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => TcpListener::bind(("0.0.0.0", *port)).await,
            opened => opened,
        }
    } else {
        TcpListener::bind((host.as_str(), *port)).await
    };
    opened.map(Some).map_err(|source| Error::Bind { address: address.to_string(), flag, source })
}

/// Serves `/healthz` and `/readyz` until `stop` fires.
///
/// `/healthz` answers 503 once `alive` is stale; `/readyz` answers 503 with a line for each failing check.
pub async fn serve_probes(
    listener: TcpListener,
    alive: Freshness,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let healthz = move || async move { probe(alive.state(Instant::now()).err().into_iter().collect()) };
    let readyz = move || async move { probe(readiness.failing(Instant::now())) };
    serve(listener, Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)), stop).await
}

/// Serves `/metrics` until `stop` fires.
pub async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>, stop: CancellationToken) -> Result<(), Error> {
    let scrape = move || async move {
        match metrics.encode() {
            Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
            Err(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the metrics: {error}\n")).into_response()
            }
        }
    };
    serve(listener, Router::new().route("/metrics", get(scrape)), stop).await
}

fn probe(failing: Vec<String>) -> Response {
    if failing.is_empty() {
        return "ok".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, failing.join("\n") + "\n").into_response()
}

fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> impl Future<Output = Result<(), Error>> {
    let closing = stop.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { closing.cancelled().await });
    async move {
        tokio::select! {
            ended = server.into_future() => Ok(ended?),
            () = async { stop.cancelled().await; tokio::time::sleep(CLOSE_GRACE).await } => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "health/tests.rs"]
mod tests;
