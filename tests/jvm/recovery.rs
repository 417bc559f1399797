//! A base that begins anew.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    client::ServiceClient,
    stage::{Deployment, LASTING, play},
};

/// A container that was restarted is an empty base with the pod's old name, address and UID. It gets its module back; the
/// other base is left alone.
#[test]
fn a_restarted_base_gets_its_module_back() {
    play("restarted", async |stage| {
        let hello = Deployment::of("hello", "1.0.0").with_service();
        stage.apply(&hello).await;
        stage.released(&hello).await;

        stage.bases[0].kill().await;
        stage.bases[0].start(LASTING.handle()).await;
        stage.bases[0].ready().await;
        let pods: Api<Pod> = stage.api();
        let mut pod = pods.get(&stage.bases[0].pod).await.expect("the pod");
        let containers = pod.status.as_mut().and_then(|status| status.container_statuses.as_mut());
        let containers = containers.expect("its containers");
        containers[0].restart_count += 1;
        let restarted = json!({ "status": { "containerStatuses": containers } });
        let patch = Patch::Merge(restarted);
        pods.patch_status(&stage.bases[0].pod, &PatchParams::default(), &patch).await.expect("patched");

        let base = &stage.bases[0];
        stage
            .eventually("the module is back", async || {
                (base.get("/hello/").await.as_deref() == Ok("hello from 1.0.0")).then_some(())
            })
            .await;
        stage.released(&hello).await;
        let both = stage.bases.iter().map(|base| base.at.ip).collect();
        stage.endpoints_are("hello-service", &both).await;
        // And the Service is as good as before.
        let client = ServiceClient::start(stage, "hello-service", "/hello/").await;
        stage.eventually("a hundred answers", async || (client.tally().answered() > 100).then_some(())).await;
        assert_eq!(client.stop().await.failures, Vec::<String>::new());
        stage.delete(&hello).await;
    });
}
