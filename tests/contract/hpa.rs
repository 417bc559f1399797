//! A HorizontalPodAutoscaler on a ModuleDeployment: what Kubernetes' own controller makes of the `scale` subresource.
//!
//! The controller is the real one and the sample is what it is given, so here the paths of `scale` in the CRD and what
//! the operator writes at them are shown to be what autoscalers want. How Modules come and go at a given scale is the
//! scenarios' business and isn't asked here beyond their number. Only one test in this process may have metrics: the
//! API that serves them is there for the whole cluster.

use std::time::Duration;

use rig::cluster::{BasePod, Kind, World, condition, module, scenario};
use serde_json::json;

/// The metric of the sample.
const METRIC: &str = "hello_requests_per_second";
/// The controller looks every two seconds, but may take half a minute to notice a kind that has just been installed.
const DEADLINE: Duration = Duration::from_secs(90);

#[test]
fn an_autoscaler_scales_a_module_deployment() {
    scenario("an_autoscaler", |world| async move {
        // One base more than the autoscaler may use: who counted bases and not instances would get other numbers.
        let pods = world.bases(5).await;
        world.deployed(&module("hello").replicas(1)).await;
        world.set_metric(METRIC, 300).await;
        world.kubectl(&["apply", "--server-side", "-f", "config/samples/hpa.yaml"]).await;

        // Three times what one instance is there for.
        scaled(&world, &pods, 3).await;
        until_average(&world, "100").await;
        let after = world.deployment("hello").await;
        assert_eq!(after["spec"]["replicas"], 1, "a user's field stays");
        world.set_metric(METRIC, 40).await;
        scaled(&world, &pods, 1).await;
        until_average(&world, "40").await;

        // With a target for the whole, the controller multiplies the ready pods that `status.selector` selects.
        let whole = json!([{ "type": "External", "external": {
            "metric": { "name": METRIC }, "target": { "type": "Value", "value": "100" },
        } }]);
        world.patch(Kind::HorizontalPodAutoscaler, "hello", json!({ "spec": { "metrics": whole } })).await;
        world.set_metric(METRIC, 200).await;
        // Doubled until it is as many as the sample allows.
        scaled(&world, &pods, 4).await;
        world.set_metric(METRIC, 40).await;
        // Two fifths of four are two, and of two one; two fifths of the five bases would stay two.
        scaled(&world, &pods, 1).await;
    });
}

/// Waits until the autoscaler wants so many instances, and the operator has made them so many.
async fn scaled(world: &World, pods: &[BasePod], count: usize) {
    let look = || async {
        let deployment = world.deployment("hello").await;
        if deployment["spec"]["scaleReplicas"] == count {
            return Ok(());
        }
        let autoscaler = world.get(Kind::HorizontalPodAutoscaler, "hello").await;
        Err(format!("{}, the autoscaler says {:#}", deployment["spec"]["scaleReplicas"], autoscaler["status"]))
    };
    world.eventually(DEADLINE, &format!("the autoscaler wants {count}"), look).await;
    world.completed("hello").await;
    world.until_modules("hello", &format!("{count}"), |modules| modules.len() == count).await;
    world.until_serving(pods, "hello", "1.0.0", count).await;
}

/// Waits until the autoscaler finds so much for one instance: the metric divided by `status.replicas`.
async fn until_average(world: &World, average: &str) {
    let look = || async {
        let autoscaler = world.get(Kind::HorizontalPodAutoscaler, "hello").await;
        let found = &autoscaler["status"]["currentMetrics"][0]["external"]["current"]["averageValue"];
        let active = condition(&autoscaler, "ScalingActive").unwrap_or_default();
        if found == average && active["status"] == "True" {
            return Ok(());
        }
        Err(format!("{:#}", autoscaler["status"]))
    };
    world.eventually(DEADLINE, &format!("{average} for each instance"), look).await;
}
