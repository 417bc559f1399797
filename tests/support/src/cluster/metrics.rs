//! Metrics that autoscalers read: a [`MetricsApi`] of the scenario's own, registered at the API server.
//!
//! An aggregated API is there for the whole cluster, so only one scenario of a process may have metrics; a second one fails
//! when it registers its own. What is registered must be withdrawn before the server ends: an API server that can't ask one of
//! its APIs ends no namespace.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::{
    api::{core::v1::Service, discovery::v1::EndpointSlice},
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{SOON, World};
use crate::metrics_api::{GROUP, MetricsApi, VERSION};

/// Kubernetes refuses loopback addresses as endpoints. This one is this machine's inside the rig, and neither a pod's nor a
/// node's.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 200, 255, 2));
/// The Service in front of the API, and its EndpointSlice.
const NAME: &str = "metrics-api";

fn typed<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).expect("an object")
}

fn api_service_name() -> String {
    format!("{VERSION}.{GROUP}")
}

impl World {
    /// Gives an external metric of this namespace its value. The first one brings the API that has it.
    pub async fn set_metric(&self, metric: &str, value: i64) {
        let started = || async { MetricsApi::start(ADDRESS).await.expect("a metrics API") };
        let fresh = !self.inner.metrics.initialized();
        let api = self.inner.metrics.get_or_init(started).await;
        // Before it is registered, or there would be a moment with an API of no resources, which clients complain about.
        api.set(self.namespace(), metric, value);
        if fresh {
            self.register(api).await;
        }
    }

    async fn register(&self, api: &MetricsApi) {
        let (namespace, address) = (self.namespace(), api.address());
        let service = json!({ "metadata": { "name": NAME }, "spec": { "ports": [{ "port": address.port() }] } });
        let slice = json!({
            "metadata": { "name": NAME, "labels": { "kubernetes.io/service-name": NAME } },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [address.ip().to_string()] }],
            "ports": [{ "port": address.port() }],
        });
        let api_service = json!({
            "metadata": { "name": api_service_name() },
            "spec": {
                "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
                "service": { "namespace": namespace, "name": NAME, "port": address.port() },
                "insecureSkipTLSVerify": true,
            },
        });
        let params = PostParams::default();
        let services = Api::<Service>::namespaced(self.client(), namespace);
        services.create(&params, &typed(service)).await.expect("a Service");
        let slices = Api::<EndpointSlice>::namespaced(self.client(), namespace);
        slices.create(&params, &typed(slice)).await.expect("an EndpointSlice");
        let registered = Api::<APIService>::all(self.client());
        registered.create(&params, &typed(api_service)).await.expect("no other scenario has metrics");

        let look = || async {
            let found = registered.get(&api_service_name()).await.map_err(|error| error.to_string())?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            let available = conditions.iter().any(|found| found.type_ == "Available" && found.status == "True");
            if available { Ok(()) } else { Err(format!("{conditions:?}")) }
        };
        self.eventually(SOON, "the API server reaches the metrics API", look).await;
    }

    /// Takes the API out of the cluster, if there is one.
    pub(super) async fn withdraw_metrics(&self) {
        if self.inner.metrics.initialized() {
            let registered = Api::<APIService>::all(self.client());
            if let Err(error) = registered.delete(&api_service_name(), &DeleteParams::default()).await {
                eprintln!("APIService {} stays: {error}", api_service_name());
            }
        }
    }
}
