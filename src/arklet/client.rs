//! The HTTP client for Arklet: one command, one connection, one bounded answer, one typed outcome.
//!
//! An agent is a stranger: it may hang, stream without end, redirect, or close in the middle of a sentence. Every call is
//! bounded in time and in bytes while it streams, follows nothing and retries nothing, because an install that may have
//! happened must be looked up and not repeated. The agent closes after each reply, so connections aren't kept; it sends no
//! length either, so only the JSON itself tells a whole answer from a cut one.
//!
//! Must not: know Kubernetes, decide what to do next, or keep state between calls.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde::Serialize;

use super::outcome;
pub use super::outcome::{Health, InstallOutcome, NoAnswer, SwitchOutcome, UninstallOutcome};
use super::wire::{Biz, BizRequest, NoParameters, for_people};

/// Where an agent listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The base pod's address.
    pub ip: IpAddr,
    /// The base's port for Arklet, 1238 unless it says otherwise.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// How long and how much to take from an agent. Each time includes connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// To connect.
    pub connect: Duration,
    /// For `queryAllBiz` and `health`.
    pub query: Duration,
    /// For an install: it lasts as long as the module's start.
    pub install: Duration,
    /// For an uninstall.
    pub uninstall: Duration,
    /// For a switch.
    pub switch: Duration,
    /// Bytes of an operation's answer; real ones with a stack trace are 4 to 10 KiB.
    pub small_body: usize,
    /// Bytes of a list or of the health.
    pub large_body: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            query: Duration::from_secs(3),
            install: Duration::from_secs(300),
            uninstall: Duration::from_secs(60),
            switch: Duration::from_secs(30),
            small_body: 64 << 10,
            large_body: 1 << 20,
        }
    }
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for agents could not be set up: {0}")]
pub struct SetupError(#[from] reqwest::Error);

/// Talks to any number of agents; clones share everything.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    bounds: Bounds,
}

impl Client {
    /// A client with these bounds.
    pub fn new(bounds: Bounds) -> Result<Self, SetupError> {
        let http = reqwest::Client::builder()
            .connect_timeout(bounds.connect)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { http, bounds })
    }

    /// All biz of a base, the base itself left out.
    pub async fn query_all(&self, at: Endpoint) -> Result<Vec<Biz>, NoAnswer> {
        let body = self.post(at, "queryAllBiz", &NoParameters {}, self.bounds.query, self.bounds.large_body).await?;
        outcome::list(&body)
    }

    /// Installs a biz and waits until it has started.
    pub async fn install(&self, at: Endpoint, name: &str, version: &str, url: &str) -> InstallOutcome {
        let request = BizRequest { biz_name: name, biz_version: version, biz_url: Some(url) };
        let body = self.post(at, "installBiz", &request, self.bounds.install, self.bounds.small_body).await;
        InstallOutcome::of(body, name, version)
    }

    /// Uninstalls a biz and waits until it has stopped.
    pub async fn uninstall(&self, at: Endpoint, name: &str, version: &str) -> UninstallOutcome {
        let request = BizRequest { biz_name: name, biz_version: version, biz_url: None };
        UninstallOutcome::of(
            self.post(at, "uninstallBiz", &request, self.bounds.uninstall, self.bounds.small_body).await,
        )
    }

    /// Makes this version of `name` the one that serves.
    pub async fn switch(&self, at: Endpoint, name: &str, version: &str) -> SwitchOutcome {
        let request = BizRequest { biz_name: name, biz_version: version, biz_url: None };
        SwitchOutcome::of(self.post(at, "switchBiz", &request, self.bounds.switch, self.bounds.small_body).await)
    }

    /// Whether the agent answers, and how full its JVM is.
    pub async fn health(&self, at: Endpoint) -> Result<Health, NoAnswer> {
        let body = self.post(at, "health", &NoParameters {}, self.bounds.query, self.bounds.large_body).await?;
        outcome::health(&body)
    }

    /// One command on a fresh connection; the body of a 200 that ended within its bounds.
    async fn post<T: Serialize>(
        &self,
        at: Endpoint,
        command: &str,
        request: &T,
        time: Duration,
        bytes: usize,
    ) -> Result<Vec<u8>, NoAnswer> {
        let body = serde_json::to_vec(request)
            .map_err(|e| NoAnswer::NotSent(format!("the request cannot be written: {e}")))?;
        let sent = self
            .http
            .post(format!("http://{at}/{command}"))
            .timeout(time)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(CONNECTION, HeaderValue::from_static("close"))
            .body(body)
            .send()
            .await;
        let response = sent.map_err(|error| no_answer(error, time))?;
        if response.status() != StatusCode::OK {
            return Err(NoAnswer::Unknown(format!("the agent answered with HTTP {}", response.status().as_u16())));
        }
        read_bounded(response, bytes, time).await
    }
}

/// Collects a body, and gives it up at the first byte over the bound.
async fn read_bounded(mut response: Response, bytes: usize, time: Duration) -> Result<Vec<u8>, NoAnswer> {
    let too_large = || NoAnswer::Unknown(format!("the agent's answer is larger than {bytes} bytes"));
    if response.content_length().is_some_and(|length| length > bytes as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(error, time))? {
        if body.len() + chunk.len() > bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Only an error before there was a connection proves that the agent didn't get the command.
fn no_answer(error: reqwest::Error, time: Duration) -> NoAnswer {
    let (connecting, late) = (error.is_connect(), error.is_timeout());
    let why = root(&error);
    match (connecting, late) {
        (true, true) => NoAnswer::NotSent("no connection to the agent in time".to_owned()),
        (true, false) => NoAnswer::NotSent(format!("no connection to the agent: {why}")),
        (false, true) => NoAnswer::Unknown(format!("no answer from the agent within {time:?}")),
        (false, false) => NoAnswer::Unknown(format!("the agent's answer broke off: {why}")),
    }
}

/// The innermost error: the outer ones only repeat that a request failed.
fn root(error: &reqwest::Error) -> String {
    let mut innermost = error.source();
    while let Some(source) = innermost.and_then(|error| error.source()) {
        innermost = Some(source);
    }
    for_people(&innermost.map_or_else(|| error.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests;
