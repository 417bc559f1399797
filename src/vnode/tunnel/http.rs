//! The HTTP tunnel's server: `POST /heartbeat` and `POST /queryBaseline`.
//!
//! Its clients are strangers: bodies are small and end soon, or they aren't read. Must not: answer `SUCCESS` to what had
//! no effect.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Reception, Refusal, Way};

/// Longest body; a heartbeat has some hundred bytes.
const LONGEST: usize = 64 << 10;
/// For how long a body may arrive.
const SLOWEST: Duration = Duration::from_secs(5);

/// An open HTTP tunnel.
pub struct Open {
    /// Where it listens.
    pub listener: TcpListener,
    /// The file with the token that announcements have to carry.
    pub token_file: Option<PathBuf>,
}

struct Desk {
    reception: Arc<Reception>,
    token_file: Option<PathBuf>,
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    token_file: Option<PathBuf>,
    reception: Arc<Reception>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let desk = Arc::new(Desk { reception, token_file });
    let router =
        Router::new().route("/heartbeat", post(heartbeat)).route("/queryBaseline", post(baseline)).with_state(desk);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service);
    tokio::select! {
        ended = server.into_future() => ended,
        () = stop.cancelled() => Ok(()),
    }
}

async fn heartbeat(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let beat = match read(&desk, &headers, body).await {
        Ok(beat) => beat,
        Err(refused) => return refused.into_response(),
    };
    let peer = peer.ip().to_canonical();
    match desk.reception.heartbeat(Way::Http { peer }, beat).await {
        Ok(()) => "SUCCESS".into_response(),
        Err(refusal) => {
            tracing::debug!(%peer, %refusal, "an announcement has no effect");
            let status = match refusal {
                Refusal::Unusable(_) => StatusCode::BAD_REQUEST,
                Refusal::NotBelieved(_) => StatusCode::FORBIDDEN,
                Refusal::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, refusal.to_string()).into_response()
        }
    }
}

async fn baseline(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let base = match read(&desk, &headers, body).await {
        Ok(base) => base,
        Err(refused) => return refused.into_response(),
    };
    let modules = desk.reception.baseline(peer.ip().to_canonical(), &base);
    match serde_json::to_vec(&modules) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A status and what is said about it.
type Refused = (StatusCode, String);

/// A body of this shape, from somebody who has the token.
async fn read<T: DeserializeOwned>(desk: &Desk, headers: &HeaderMap, body: Body) -> Result<T, Refused> {
    permit(desk, headers)?;
    let refused = |status, why: &str| (status, why.to_owned());
    let body = match tokio::time::timeout(SLOWEST, to_bytes(body, LONGEST)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broke off")),
        Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body takes too long")),
    };
    serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

/// Whether the request carries the token. The file is read each time: a mounted Secret changes while the process runs.
fn permit(desk: &Desk, headers: &HeaderMap) -> Result<(), Refused> {
    let Some(file) = &desk.token_file else { return Ok(()) };
    let token = std::fs::read_to_string(file).map_err(|error| {
        tracing::warn!(file = %file.display(), %error, "the token can't be read; no announcement is taken");
        (StatusCode::SERVICE_UNAVAILABLE, "the token can't be read".to_owned())
    })?;
    if token.trim().is_empty() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "the token is empty".to_owned()));
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Hashes are compared, so that the time tells nothing about the token.
    let same = given.is_some_and(|given| Sha256::digest(given.trim()) == Sha256::digest(token.trim()));
    if same { Ok(()) } else { Err((StatusCode::UNAUTHORIZED, "a token is needed".to_owned())) }
}
