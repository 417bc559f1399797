//! Reading and writing the one Lease object.
//!
//! The trait is the seam between the protocol and the network: the tests put an in-memory API with lost,
//! late and refused calls behind it. Must not: retry, or hide whether a write may have been applied.

use std::future::Future;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};

/// Why a call brought no object.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The object changed, vanished or appeared in between; the write was not applied.
    #[error("somebody else wrote the Lease first")]
    Conflict,
    /// The API server said no; the write was not applied.
    #[error("{0}")]
    Refused(String),
    /// No answer, or one that says nothing: a write may or may not have been applied, now or later.
    #[error("{0}")]
    Unknown(String),
}

/// Access to one Lease.
pub trait LeaseStore: Send + Sync {
    /// The Lease as it stands, `None` where there is none.
    fn get(&self) -> impl Future<Output = Result<Option<Lease>, StoreError>> + Send;
    /// Creates the Lease; [`StoreError::Conflict`] if there is one.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Lease, StoreError>> + Send;
    /// Replaces the Lease if its resourceVersion is still the one in `lease`.
    fn replace(&self, lease: &Lease) -> impl Future<Output = Result<Lease, StoreError>> + Send;
}

/// The Lease of a cluster.
pub struct KubeStore {
    api: Api<Lease>,
    name: String,
}

impl KubeStore {
    /// The Lease `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }
}

impl LeaseStore for KubeStore {
    async fn get(&self) -> Result<Option<Lease>, StoreError> {
        self.api.get_opt(&self.name).await.map_err(classify)
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, StoreError> {
        self.api.create(&PostParams::default(), lease).await.map_err(classify)
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, StoreError> {
        // Without a resourceVersion the API server overwrites whatever is there: refuse to send that.
        if lease.metadata.resource_version.is_none() {
            return Err(StoreError::Refused("the Lease to replace carries no resourceVersion".to_owned()));
        }
        self.api.replace(&self.name, &PostParams::default(), lease).await.map_err(classify)
    }
}

fn classify(error: kube::Error) -> StoreError {
    match error {
        // 404 answers a replace whose object was deleted in between.
        kube::Error::Api(status) if matches!(status.code, 404 | 409) => StoreError::Conflict,
        kube::Error::Api(status) if (400..500).contains(&status.code) => StoreError::Refused(status.message.clone()),
        other => StoreError::Unknown(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api_error(code: u16) -> kube::Error {
        kube::Error::Api(Status { code, message: "no".to_owned(), ..Status::default() }.boxed())
    }

    #[test]
    fn classify_table() {
        for (code, want) in [
            (404, StoreError::Conflict),
            (409, StoreError::Conflict),
            (403, StoreError::Refused("no".to_owned())),
            (422, StoreError::Refused("no".to_owned())),
        ] {
            assert_eq!(classify(api_error(code)), want, "{code}");
        }
        for code in [500, 503, 504] {
            assert!(matches!(classify(api_error(code)), StoreError::Unknown(_)), "{code}");
        }
        let garbled = kube::Error::SerdeError(serde_json::from_str::<u8>("x").unwrap_err());
        assert!(matches!(classify(garbled), StoreError::Unknown(_)));
    }
}
