//! An API server in memory that holds one Lease, and stores that reach it through a bad network.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::sleep;

use super::plan::Record;
use super::store::{LeaseStore, StoreError};

/// What happens to one call. Delays are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// Answered in 10 ms.
    Fine,
    /// The server acts after `there`, the answer arrives `back` later. A caller that has given up in
    /// between doesn't stop the server from acting.
    Slow { there: u64, back: u64 },
    /// The server acts after `there`; the answer never comes.
    AnswerLost { there: u64 },
    /// Never reaches the server, never answers.
    Hangs,
    /// Never reaches the server, fails at once.
    Down,
    /// The server says no.
    Refused,
}

/// Which call is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Call {
    Get,
    Create,
    Replace,
}

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    /// Every record that was stored, in order.
    history: Vec<Record>,
}

/// The server.
#[derive(Clone, Default)]
pub(super) struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A store for one client; `fates` is asked before each call.
    pub(super) fn store(&self, fates: impl FnMut(Call) -> Fate + Send + 'static) -> FakeStore {
        FakeStore { api: self.clone(), fates: Mutex::new(Box::new(fates)) }
    }

    pub(super) fn record(&self) -> Option<Record> {
        self.0.lock().unwrap().lease.as_ref().map(Record::of)
    }

    pub(super) fn history(&self) -> Vec<Record> {
        self.0.lock().unwrap().history.clone()
    }

    /// Overwrites the Lease as somebody with kubectl would.
    pub(super) fn force(&self, lease: Option<Lease>) {
        let mut state = self.0.lock().unwrap();
        state.lease = lease;
        state.stamp();
    }

    fn act(&self, call: Call, lease: Option<Lease>) -> Result<Option<Lease>, StoreError> {
        let mut state = self.0.lock().unwrap();
        let version = |lease: &Option<Lease>| lease.as_ref().and_then(|l| l.metadata.resource_version.clone());
        let allowed = match call {
            Call::Get => return Ok(state.lease.clone()),
            Call::Create => state.lease.is_none(),
            Call::Replace => state.lease.is_some() && version(&state.lease) == version(&lease),
        };
        if !allowed {
            return Err(StoreError::Conflict);
        }
        // As on the wire: what is stored is what the JSON says.
        let text = serde_json::to_string(&lease).unwrap();
        state.lease = serde_json::from_str(&text).unwrap();
        state.stamp();
        Ok(state.lease.clone())
    }
}

impl State {
    fn stamp(&mut self) {
        self.version += 1;
        let version = self.version.to_string();
        if let Some(lease) = &mut self.lease {
            lease.metadata.resource_version = Some(version);
            self.history.push(Record::of(lease));
        }
    }
}

/// One client's way to the server.
pub(super) struct FakeStore {
    api: FakeApi,
    fates: Mutex<Box<dyn FnMut(Call) -> Fate + Send>>,
}

impl FakeStore {
    async fn call(&self, call: Call, lease: Option<Lease>) -> Result<Option<Lease>, StoreError> {
        let fate = (self.fates.lock().unwrap())(call);
        let (there, back) = match fate {
            Fate::Fine => (5, Some(5)),
            Fate::Slow { there, back } => (there, Some(back)),
            Fate::AnswerLost { there } => (there, None),
            Fate::Hangs => std::future::pending().await,
            Fate::Down => return Err(StoreError::Unknown("connection refused".to_owned())),
            Fate::Refused => return Err(StoreError::Refused("forbidden".to_owned())),
        };
        let api = self.api.clone();
        let acted = tokio::spawn(async move {
            sleep(Duration::from_millis(there)).await;
            api.act(call, lease)
        });
        let answer = acted.await.unwrap();
        match back {
            Some(back) => sleep(Duration::from_millis(back)).await,
            None => std::future::pending().await,
        }
        answer
    }

    async fn write(&self, call: Call, lease: &Lease) -> Result<Lease, StoreError> {
        self.call(call, Some(lease.clone())).await.map(|lease| lease.unwrap())
    }
}

impl LeaseStore for FakeStore {
    async fn get(&self) -> Result<Option<Lease>, StoreError> {
        self.call(Call::Get, None).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.write(Call::Create, lease).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.write(Call::Replace, lease).await
    }
}
