//! The Service of a module.
//!
//! Several deployments of one module share it: the oldest one that asks for it decides its spec, each that asks holds
//! one non-controlling owner reference, and it goes when nobody asks any more. A Service of that name which isn't
//! ours is never touched. On a take-over nodePort and clusterIP stay: only what differs in the ports that we own is
//! patched.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::names;
use crate::api::{IntOrString, ModuleDeployment, ServiceStrategy, keys};

/// A deployment that has the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// An owner reference to it.
    pub owner: OwnerReference,
    /// When it was created (seconds since the epoch).
    pub created: i64,
    /// The ports, if it asks for a Service.
    pub ports: Option<Ports>,
    /// It doesn't take the Service along when it goes.
    pub hands_over: bool,
}

/// What a deployment asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The Service's port.
    pub port: i32,
    /// The base's port.
    pub target: IntOrString,
}

/// What to do about the Service.
#[derive(Clone, Debug, PartialEq)]
pub enum ServicePlan {
    /// It is as it should be.
    Keep,
    /// Make it.
    Create(Box<Service>),
    /// Change it.
    Patch(Value),
    /// Delete it: nobody asks for it any more.
    Delete,
    /// Leave it alone: it isn't ours.
    Foreign,
}

/// The wish of a deployment; no ports where it wants no Service. An absent or zero target port means the port itself. One that
/// hands over what it has asks for its Service to the end, and owns it no more.
pub fn claim(deployment: &ModuleDeployment) -> Claim {
    let strategy = deployment.spec.operation_strategy.as_ref().and_then(|strategy| strategy.service_strategy.as_ref());
    let ending = deployment.metadata.deletion_timestamp.is_some();
    let created = deployment.creation_timestamp().map_or(0, |time| time.0.as_second());
    let hands_over = super::deployment::hands_over(deployment);
    Claim {
        owner: super::deployment::owner_of(deployment),
        created,
        ports: strategy.filter(|_| !ending || hands_over).and_then(ports),
        hands_over,
    }
}

fn ports(strategy: &ServiceStrategy) -> Option<Ports> {
    if !strategy.enable_module_service.unwrap_or(false) {
        return None;
    }
    let port = strategy.port.filter(|port| (1..=65_535).contains(port))?;
    let target = match &strategy.target_port {
        None | Some(IntOrString::Int(0)) => IntOrString::Int(i64::from(port)),
        Some(target) => target.clone(),
    };
    Some(Ports { port, target })
}

/// What to do about the Service of `module`, given every deployment that has the module.
pub fn plan_service(namespace: &str, module: &str, claims: &[Claim], found: Option<&Service>) -> ServicePlan {
    let mut asking: Vec<&Claim> = claims.iter().filter(|claim| claim.ports.is_some()).collect();
    asking.sort_by(|a, b| (a.created, &a.owner.uid).cmp(&(b.created, &b.owner.uid)));
    let Some(found) = found else {
        return match asking.first().and_then(|first| first.ports.as_ref()) {
            Some(ports) => ServicePlan::Create(Box::new(new_service(namespace, module, ports, &asking))),
            None => ServicePlan::Keep,
        };
    };
    if !is_ours(found, module, claims) {
        return if asking.is_empty() { ServicePlan::Keep } else { ServicePlan::Foreign };
    }
    let Some(ports) = asking.first().and_then(|first| first.ports.as_ref()) else {
        // An ownerless V1 Service is only ours to delete where a deployment that we know switched it off; one that was handed
        // over is somebody else's, whatever other deployments of the module want.
        return if claims.is_empty() || is_handed_over(found) { ServicePlan::Keep } else { ServicePlan::Delete };
    };
    match change(found, module, ports, &asking) {
        Some(patch) => ServicePlan::Patch(patch),
        None => ServicePlan::Keep,
    }
}

/// Whether the deployment with `uid` asks for other ports than the oldest one that asks: a clash.
pub fn clashes(claims: &[Claim], uid: &str) -> bool {
    let oldest = claims
        .iter()
        .filter(|claim| claim.ports.is_some())
        .min_by(|a, b| (a.created, &a.owner.uid).cmp(&(b.created, &b.owner.uid)));
    let own = claims.iter().find(|claim| claim.owner.uid == uid).and_then(|claim| claim.ports.as_ref());
    own.is_some_and(|own| oldest.is_some_and(|oldest| oldest.ports.as_ref() != Some(own)))
}

/// Ours: owned by a deployment of the module, or without controller and exactly V1's selector.
fn is_ours(service: &Service, module: &str, claims: &[Claim]) -> bool {
    let owners = service.owner_references();
    let owned = owners.iter().any(|owner| claims.iter().any(|claim| claim.owner.uid == owner.uid));
    let controlled = owners.iter().any(|owner| owner.controller == Some(true));
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    let v1_selector = selector.len() == 1 && keys::label::is_set(&selector, &names::traffic_label(module));
    owned || (!controlled && v1_selector)
}

fn is_handed_over(service: &Service) -> bool {
    keys::label::is_set(service.annotations(), keys::annotation::KEEP_BIZ)
}

fn owner_references(asking: &[&Claim]) -> Vec<OwnerReference> {
    let owning = asking.iter().filter(|claim| !claim.hands_over);
    let mut owners: Vec<OwnerReference> = owning.map(|claim| claim.owner.clone()).collect();
    owners.sort_by(|a, b| a.uid.cmp(&b.uid));
    owners
}

fn new_service(namespace: &str, module: &str, ports: &Ports, asking: &[&Claim]) -> Service {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": names::service(module), "namespace": namespace,
            "ownerReferences": owner_references(asking),
            "labels": { keys::label::MODULE_NAME: names::label_safe(module) },
        },
        "spec": {
            "type": "NodePort",
            "selector": { names::traffic_label(module): keys::label::TRUE },
            "ports": [{ "name": "http", "protocol": "TCP", "port": ports.port, "targetPort": ports.target }],
        },
    });
    serde_json::from_value(service).unwrap_or_default()
}

/// The patch that gives the Service our ports, selector and owners; other owners and allocated numbers stay.
fn change(found: &Service, module: &str, ports: &Ports, asking: &[&Claim]) -> Option<Value> {
    let mut patch = json!({});
    let mut owners: Vec<OwnerReference> =
        found.owner_references().iter().filter(|owner| owner.kind != "ModuleDeployment").cloned().collect();
    owners.extend(owner_references(asking));
    let had: Vec<&str> = found.owner_references().iter().map(|owner| owner.uid.as_str()).collect();
    if owners.len() != had.len() || owners.iter().any(|owner| !had.contains(&owner.uid.as_str())) {
        patch["metadata"]["ownerReferences"] = json!(owners);
    }
    // Who asks hands it over, all of them: it outlives them. The next one that asks takes it back.
    let handed_over = asking.iter().all(|claim| claim.hands_over);
    if handed_over != is_handed_over(found) {
        let word = handed_over.then_some(keys::label::TRUE);
        patch["metadata"]["annotations"] = json!({ keys::annotation::KEEP_BIZ: word });
    }
    let spec = json!(found.spec);
    let selector = json!({ names::traffic_label(module): keys::label::TRUE });
    if spec["selector"] != selector {
        // A merge patch keeps keys that it doesn't name.
        patch["spec"]["selector"] = super::merge::diff(&spec["selector"], &selector).unwrap_or(selector);
    }
    let port = &spec["ports"][0];
    let single = spec["ports"].as_array().is_some_and(|ports| ports.len() == 1);
    let same = single && port["port"] == json!(ports.port) && port["targetPort"] == json!(ports.target);
    if !same {
        let mut wanted = json!({ "name": "http", "protocol": "TCP", "port": ports.port, "targetPort": ports.target });
        if let Some(node_port) = port["nodePort"].as_i64() {
            wanted["nodePort"] = json!(node_port);
        }
        patch["spec"]["ports"] = json!([wanted]);
    }
    patch.as_object().is_some_and(|patch| !patch.is_empty()).then_some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(uid: &str, created: i64, port: Option<i32>) -> Claim {
        let owner = OwnerReference {
            api_version: "koupleless.io/v1alpha1".into(),
            kind: "ModuleDeployment".into(),
            name: uid.into(),
            uid: uid.into(),
            ..OwnerReference::default()
        };
        let ports = port.map(|port| Ports { port, target: IntOrString::Int(8080) });
        Claim { owner, created, ports, hands_over: false }
    }

    fn service(json: Value) -> Service {
        serde_json::from_value(json).expect("a Service")
    }

    fn v1_service() -> Service {
        service(json!({"metadata": {"name": "m-service"}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.9",
            "selector": {"module.koupleless.io/m": "true"},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 32000}]}}))
    }

    #[test]
    fn it_is_made_as_v1_made_it_and_then_left_alone() {
        let claims = [claim("a", 1, Some(80))];
        let ServicePlan::Create(made) = plan_service("n", "m", &claims, None) else { panic!("not created") };
        let spec = made.spec.as_ref().expect("a spec");
        assert_eq!(made.name_any(), "m-service");
        assert_eq!(spec.type_.as_deref(), Some("NodePort"));
        assert_eq!(
            spec.selector.as_ref().and_then(|s| s.get("module.koupleless.io/m")).map(String::as_str),
            Some("true")
        );
        assert_eq!(made.owner_references().len(), 1);
        assert_eq!(made.owner_references()[0].controller, None);
        assert_eq!(plan_service("n", "m", &claims, Some(&made)), ServicePlan::Keep);
        assert_eq!(plan_service("n", "m", &[claim("a", 1, None)], None), ServicePlan::Keep);
    }

    #[test]
    fn a_deployment_that_hands_over_owns_its_service_no_more_and_does_not_take_it_along() {
        let made = |hands_over: bool, ending: bool| -> ModuleDeployment {
            let annotations = if hands_over { json!({ "koupleless.io/keep-biz": "true" }) } else { json!({}) };
            let deleted = ending.then_some("2026-01-01T00:00:00Z");
            serde_json::from_value(json!({
                "metadata": { "name": "m", "uid": "a", "annotations": annotations, "deletionTimestamp": deleted },
                "spec": { "baseDeploymentName": "base", "operationStrategy": {
                    "serviceStrategy": { "enableModuleService": true, "port": 80, "targetPort": 8080 } } },
            }))
            .expect("a ModuleDeployment")
        };
        let plan = |hands_over, ending, found: &Service| {
            plan_service("n", "m", &[super::claim(&made(hands_over, ending))], Some(found))
        };
        let mut owned = v1_service();
        owned.metadata.owner_references = Some(vec![claim("a", 1, None).owner]);
        for ending in [false, true] {
            let ServicePlan::Patch(patch) = plan(true, ending, &owned) else { panic!("still owned; ending: {ending}") };
            let kept = json!({ "koupleless.io/keep-biz": "true" });
            assert_eq!(
                patch,
                json!({ "metadata": { "ownerReferences": [], "annotations": kept } }),
                "ending: {ending}"
            );
            assert_eq!(plan(true, ending, &handed_over()), ServicePlan::Keep, "ending: {ending}");
        }
        assert_eq!(plan(false, false, &owned), ServicePlan::Keep);
        assert_eq!(plan(false, true, &owned), ServicePlan::Delete);
    }

    fn handed_over() -> Service {
        let mut service = v1_service();
        service.metadata.annotations = Some([(keys::annotation::KEEP_BIZ.to_owned(), "true".to_owned())].into());
        service
    }

    #[test]
    fn a_service_that_was_handed_over_is_not_deleted_for_another_deployment_that_asks_for_none() {
        let others = [claim("b", 2, None)];
        assert_eq!(plan_service("n", "m", &others, Some(&handed_over())), ServicePlan::Keep);
        assert_eq!(plan_service("n", "m", &others, Some(&v1_service())), ServicePlan::Delete);

        let ServicePlan::Patch(patch) = plan_service("n", "m", &[claim("c", 3, Some(80))], Some(&handed_over())) else {
            panic!("not taken back")
        };
        assert_eq!(patch["metadata"]["annotations"], json!({ "koupleless.io/keep-biz": null }));
        assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], json!("c"));
    }

    #[test]
    fn a_v1_service_is_adopted_and_keeps_its_node_port() {
        let claims = [claim("a", 1, Some(80))];
        let ServicePlan::Patch(patch) = plan_service("n", "m", &claims, Some(&v1_service())) else {
            panic!("no patch")
        };
        assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], json!("a"));
        assert_eq!(patch.get("spec"), None);
        let ServicePlan::Patch(patch) = plan_service("n", "m", &[claim("a", 1, Some(81))], Some(&v1_service())) else {
            panic!("no patch")
        };
        assert_eq!(patch["spec"]["ports"][0]["nodePort"], json!(32000));
        assert_eq!(patch["spec"]["ports"][0]["port"], json!(81));
    }

    #[test]
    fn a_foreign_service_is_never_touched() {
        let foreign = service(json!({"metadata": {"name": "m-service"}, "spec": {"selector": {"app": "x"}}}));
        let controlled = service(json!({"metadata": {"name": "m-service", "ownerReferences": [
            {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]},
            "spec": {"selector": {"module.koupleless.io/m": "true"}}}));
        for found in [foreign, controlled] {
            assert_eq!(plan_service("n", "m", &[claim("a", 1, Some(80))], Some(&found)), ServicePlan::Foreign);
            assert_eq!(plan_service("n", "m", &[claim("a", 1, None)], Some(&found)), ServicePlan::Keep);
        }
    }

    #[test]
    fn it_is_shared_the_oldest_decides_and_the_last_one_takes_it_along() {
        let both = [claim("new", 2, Some(90)), claim("old", 1, Some(80))];
        let ServicePlan::Create(made) = plan_service("n", "m", &both, None) else { panic!("not created") };
        assert_eq!(made.owner_references().len(), 2);
        assert_eq!(made.spec.as_ref().and_then(|s| s.ports.clone()).expect("ports")[0].port, 80);
        assert!(clashes(&both, "new") && !clashes(&both, "old"));
        let one_left = [claim("new", 2, Some(90)), claim("old", 1, None)];
        let ServicePlan::Patch(patch) = plan_service("n", "m", &one_left, Some(&made)) else { panic!("no patch") };
        assert_eq!(patch["metadata"]["ownerReferences"].as_array().map(Vec::len), Some(1));
        assert_eq!(patch["spec"]["ports"][0]["port"], json!(90));
        let none_left = [claim("new", 2, None), claim("old", 1, None)];
        assert_eq!(plan_service("n", "m", &none_left, Some(&made)), ServicePlan::Delete);
    }
}
