//! The manifests in `config/`: they render, and the API server takes them. What their roles allow is asked in `rights`.

use module_controller::{api::ModuleDeployment, domain::validation::validate};
use serde_json::{Value, json};

use crate::cluster::{Policy, documents, eventually, in_namespace, kubectl, kubectl_with};

/// What kustomize makes of a folder.
pub async fn rendered(path: &str) -> String {
    let said = kubectl(&["kustomize", path]).await;
    assert!(said.ok, "{path}: {}", said.err);
    said.out
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[tokio::test]
async fn the_default_install_is_taken_by_the_api_server() {
    is_taken("config/default").await;
}

#[tokio::test]
async fn the_install_with_two_replicas_is_taken_by_the_api_server() {
    is_taken("config/ha").await;
}

#[tokio::test]
async fn the_vnode_providers_install_is_taken_by_the_api_server() {
    is_taken("config/vnode").await;
}

/// The second replica is worth its memory only if the two don't go together.
#[tokio::test]
async fn two_replicas_stand_apart_and_leave_one_by_one() {
    let objects = documents(&rendered("config/ha").await);
    let manager = named(&objects, "Deployment", "module-deployment-controller-manager");
    assert_eq!(manager["spec"]["replicas"], 2);
    assert_eq!(manager["spec"]["strategy"]["rollingUpdate"], json!({ "maxSurge": 1, "maxUnavailable": 0 }));
    let pod = &manager["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["args"], json!(["--leader-elect"]), "without it both would lead");
    let labels = &manager["spec"]["selector"];
    let spread = pod["topologySpreadConstraints"].as_array().expect("constraints");
    let keys: Vec<&Value> = spread.iter().map(|constraint| &constraint["topologyKey"]).collect();
    assert_eq!(keys, [&json!("kubernetes.io/hostname"), &json!("topology.kubernetes.io/zone")]);
    assert!(spread.iter().all(|constraint| constraint["labelSelector"] == *labels));
    let class = named(&objects, "PriorityClass", "module-controller");
    assert_eq!(pod["priorityClassName"], class["metadata"]["name"]);
    let budget = named(&objects, "PodDisruptionBudget", "module-deployment-controller-manager");
    assert_eq!((&budget["spec"]["minAvailable"], &budget["spec"]["selector"]), (&json!(1), labels));
}

/// The namespace of the install enforces it.
#[tokio::test]
async fn the_pods_are_let_into_a_restricted_namespace() {
    in_namespace(Policy::On, |space| async move {
        space.restrict().await;
        let default = documents(&rendered("config/default").await);
        let namespace = named(&default, "Namespace", "module-deployment-system");
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        for path in ["config/default", "config/ha", "config/namespaced", "config/vnode"] {
            for deployment in of_kind(&documents(&rendered(path).await), "Deployment") {
                let mut pod = deployment["spec"]["template"].clone();
                pod["apiVersion"] = json!("v1");
                pod["kind"] = json!("Pod");
                pod["metadata"]["name"] = json!("probe");
                // A class of the cluster, which isn't here.
                pod["spec"].as_object_mut().expect("a spec").remove("priorityClassName");
                let create = ["create", "--dry-run=server", "-f", "-"];
                let said = space.kubectl_with(&create, &pod.to_string()).await;
                assert!(said.ok, "{path}: {}", said.err);
                pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
                let said = space.kubectl_with(&create, &pod.to_string()).await;
                assert!(said.err.contains("violates PodSecurity"), "{path}: nobody looked: {}", said.err);
            }
        }
    })
    .await;
}

/// Arklet's port is for the operator and the provider alone, and every other one as open as before.
#[tokio::test]
async fn the_network_policy_closes_one_port() {
    in_namespace(Policy::On, |space| async move {
        let text = rendered("config/network-policy").await;
        let objects = documents(&text);
        let policy = named(&objects, "NetworkPolicy", "koupleless-bases");
        let rules = policy["spec"]["ingress"].as_array().expect("rules");
        let tcp = |rule: &Value| -> Vec<(i64, i64)> {
            let ports = rule["ports"].as_array().expect("ports").iter().filter(|port| port["protocol"] == "TCP");
            let range = |port: &Value| {
                let first = port["port"].as_i64().expect("a port");
                (first, port["endPort"].as_i64().unwrap_or(first))
            };
            ports.map(range).collect()
        };
        let closed: Vec<&Value> = rules.iter().filter(|rule| !rule["from"].is_null()).collect();
        let open: Vec<&Value> = rules.iter().filter(|rule| rule["from"].is_null()).collect();
        assert_eq!((closed.len(), open.len()), (1, 1));
        assert_eq!(tcp(closed[0]), [(1238, 1238)]);
        assert_eq!(tcp(open[0]), [(1, 1237), (1239, 65_535)]);
        let peers = &closed[0]["from"][0]["podSelector"]["matchExpressions"][0];
        for path in ["config/default", "config/vnode"] {
            for deployment in of_kind(&documents(&rendered(path).await), "Deployment") {
                let label = &deployment["spec"]["template"]["metadata"]["labels"]["control-plane"];
                assert!(peers["values"].as_array().expect("values").contains(label), "{path}: {label}");
            }
        }
        let text = text.replace("namespace: default", &format!("namespace: {}", space.name));
        let said = kubectl_with(&["create", "--dry-run=server", "-f", "-"], &text).await;
        assert!(said.ok, "{}", said.err);
    })
    .await;
}

async fn is_taken(path: &'static str) {
    in_namespace(Policy::On, |space| async move {
        // A dry run makes no namespace that the rest could stand in.
        let text = rendered(path).await.replace("module-deployment-system", &space.name);
        let args = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
        let said = kubectl_with(&args, &text).await;
        assert!(said.ok, "{}", said.err);
        // A pod that the namespace's own rule doesn't let in would be a warning here.
        assert!(!said.err.contains("Warning"), "{}", said.err);
        for object in documents(&text) {
            let name = object["metadata"]["name"].as_str().expect("a name");
            let line = format!("/{name} serverside-applied (server dry run)");
            assert!(said.out.contains(&line), "{} {name}: {}", object["kind"], said.out);
        }
    })
    .await;
}

#[tokio::test]
async fn the_namespaced_install_has_no_right_outside_its_namespace() {
    in_namespace(Policy::On, |space| async move {
        let text = rendered("config/namespaced").await;
        let objects = documents(&text);
        for kind in ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ValidatingAdmissionPolicy"] {
            assert!(of_kind(&objects, kind).is_empty(), "{kind}");
        }
        let everywhere = documents(&rendered("config/default").await);
        let name = "module-deployment-manager-role";
        assert_eq!(named(&objects, "Role", name)["rules"], named(&everywhere, "ClusterRole", name)["rules"]);
        let manager = named(&objects, "Deployment", "module-deployment-controller-manager");
        let args = &manager["spec"]["template"]["spec"]["containers"][0]["args"];
        assert_eq!(*args, json!(["--leader-elect", "--namespace=$(POD_NAMESPACE)"]));

        let text = text.replace("module-deployment-system", &space.name);
        let said = kubectl_with(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &text).await;
        assert!(said.ok, "{}", said.err);
    })
    .await;
}

#[tokio::test]
async fn the_manager_keeps_v1s_names_and_needs_no_privilege() {
    let objects = documents(&rendered("config/default").await);
    let manager = named(&objects, "Deployment", "module-deployment-controller-manager");
    assert_eq!(manager["metadata"]["namespace"], "module-deployment-system");
    let pod = &manager["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "module-deployment-controller-manager");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0];
    assert_eq!(container["command"], json!(["/manager"]));
    assert_eq!(container["args"], json!(["--leader-elect"]));
    let ports: Vec<i64> =
        container["ports"].as_array().unwrap().iter().filter_map(|p| p["containerPort"].as_i64()).collect();
    assert_eq!(ports, [8080, 8082]);
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": "probes" }), "{probe}");
    }
    let namespace = container["env"].as_array().unwrap().iter().find(|e| e["name"] == "POD_NAMESPACE").unwrap();
    assert_eq!(namespace["valueFrom"]["fieldRef"]["fieldPath"], "metadata.namespace");
}

/// From the monitor by Services to ports of pods.
#[tokio::test]
async fn monitoring_reaches_the_operator_and_the_provider() {
    let monitoring = documents(&rendered("config/monitoring").await);
    let monitor = named(&monitoring, "ServiceMonitor", "module-deployment-controller-manager");
    let port = &monitor["spec"]["endpoints"][0]["port"];
    let labelled = |labels: &Value, wanted: &Value| {
        wanted.as_object().expect("labels").iter().all(|(name, value)| labels[name.as_str()] == *value)
    };
    let (operator, provider) = (rendered("config/default").await, rendered("config/vnode").await);
    let (operator, provider) = (documents(&operator), documents(&provider));
    for (services, service, pods, deployment) in [
        (
            &monitoring,
            "module-deployment-controller-manager-metrics",
            &operator,
            "module-deployment-controller-manager",
        ),
        (&provider, "module-vnode-provider-metrics", &provider, "module-vnode-provider"),
    ] {
        let service = named(services, "Service", service);
        assert_eq!(service["metadata"]["namespace"], monitor["metadata"]["namespace"]);
        assert!(labelled(&service["metadata"]["labels"], &monitor["spec"]["selector"]["matchLabels"]), "{service}");
        assert_eq!(service["spec"]["ports"][0]["name"], *port);
        let template = &named(pods, "Deployment", deployment)["spec"]["template"];
        assert!(labelled(&template["metadata"]["labels"], &service["spec"]["selector"]), "{service}");
        let ports = template["spec"]["containers"][0]["ports"].as_array().expect("ports");
        assert!(ports.iter().any(|port| port["name"] == service["spec"]["ports"][0]["targetPort"]), "{service}");
    }
}

#[tokio::test]
async fn the_samples_are_good() {
    in_namespace(Policy::On, |space| async move {
        for file in ["moduledeployment", "base-deployment", "hpa", "base-hpa", "vpods"] {
            let path = format!("config/samples/{file}.yaml");
            let said = space.kubectl(&["apply", "--server-side", "-f", &path]).await;
            assert!(said.ok && said.err.is_empty(), "{}", said.err);
        }
        let deployment = space.typed::<ModuleDeployment>().get("hello").await.expect("the sample");
        assert_eq!(validate(&deployment), []);
    })
    .await;
}

/// The API server says in the policy's status which expressions don't fit the schema.
#[tokio::test]
async fn the_policies_fit_the_schema() {
    in_namespace(Policy::On, |_| async {
        for policy in ["moduledeployments", "moduledeployments-hints", "modules", "module-sources", "children-hints"] {
            let name = format!("validatingadmissionpolicy/{policy}.koupleless.io");
            let status = eventually(&format!("{name} is checked"), || async {
                let said = kubectl(&["get", &name, "-o", "json"]).await;
                let object: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.err));
                let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
                current.then(|| object["status"].clone())
            })
            .await;
            assert_eq!(status["typeChecking"]["expressionWarnings"], Value::Null, "{name}: {status:#}");
        }
    })
    .await;
}
