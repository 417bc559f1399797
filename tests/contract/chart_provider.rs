//! The VNode provider in the Helm chart: Secrets of the user's are where its flags look for them, and it is given nothing that
//! it refuses.

use std::{ffi::OsString, path::Path};

use module_controller::runtime::flags::{Flags, Role};
use serde_json::{Value, json};

use crate::{
    chart::{CHART, Folder, NAMESPACE, agrees, by_name, template},
    cluster::{Policy, documents, in_namespace},
};

/// The provider's Deployment, made with these `--set`s.
async fn provider(sets: &[&str]) -> Value {
    let sets: Vec<&str> = std::iter::once("vnode.enabled=true").chain(sets.iter().copied()).collect();
    let made = template(CHART, &sets).await;
    assert!(made.ok, "{sets:?}: {}", made.err);
    by_name(documents(&made.out))[&format!("Deployment {NAMESPACE} module-vnode-provider")].clone()
}

fn pod(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]
}

fn args(deployment: &Value) -> Vec<&str> {
    let args = pod(deployment)["containers"][0]["args"].as_array().expect("args");
    args.iter().map(|arg| arg.as_str().expect("text")).collect()
}

/// Which key of which Secret the file of a flag is; `None` where the flag isn't there.
fn secret(deployment: &Value, flag: &str) -> Option<(String, String)> {
    let file = args(deployment).into_iter().find_map(|arg| arg.strip_prefix(flag)?.strip_prefix('='))?;
    let (folder, file) = file.rsplit_once('/').expect("a path");
    let pod = pod(deployment);
    let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts");
    let mount = mounts.iter().find(|mount| mount["mountPath"] == folder).expect("a mount");
    // A file alone would stay as it was when the Secret changes.
    assert_eq!((&mount["readOnly"], &mount["subPath"]), (&json!(true), &Value::Null));
    let volumes = pod["volumes"].as_array().expect("volumes");
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("a volume");
    // Nobody but the process, which isn't root, reads it.
    assert_eq!(volume["projected"]["defaultMode"], 0o440);
    assert_eq!(pod["securityContext"]["fsGroup"], pod["securityContext"]["runAsGroup"]);
    let sources = volume["projected"]["sources"].as_array().expect("sources");
    let mut found = sources.iter().flat_map(|source| {
        let items = source["secret"]["items"].as_array().expect("items");
        items.iter().filter(|item| item["path"] == file).map(|item| (&source["secret"]["name"], &item["key"]))
    });
    let (name, key) = found.next().unwrap_or_else(|| panic!("{file} isn't in {volume}"));
    assert!(found.next().is_none(), "{file} is there twice: {volume}");
    Some((name.as_str().expect("a name").to_owned(), key.as_str().expect("a key").to_owned()))
}

const FILES: [&str; 5] = [
    "--mqtt-ca-file",
    "--mqtt-client-cert-file",
    "--mqtt-client-key-file",
    "--mqtt-password-file",
    "--tunnel-token-file",
];

/// Values beside the broker's, and the Secret and key behind each of [`FILES`].
type Files = (&'static [&'static str], [Option<(&'static str, &'static str)>; 5]);

const SECRETS: &[Files] = &[
    (&[], [None; 5]),
    (&["mqtt.caSecret.name=ca"], [Some(("ca", "ca.crt")), None, None, None, None]),
    (&["mqtt.caSecret.name=ca", "mqtt.caSecret.key=root.pem"], [Some(("ca", "root.pem")), None, None, None, None]),
    (
        &["mqtt.clientCertificateSecret.name=own"],
        [None, Some(("own", "tls.crt")), Some(("own", "tls.key")), None, None],
    ),
    (
        &[
            "mqtt.clientCertificateSecret.name=own",
            "mqtt.clientCertificateSecret.certificateKey=c.pem",
            "mqtt.clientCertificateSecret.privateKeyKey=k.pem",
        ],
        [None, Some(("own", "c.pem")), Some(("own", "k.pem")), None, None],
    ),
    (&["mqtt.username=me", "mqtt.passwordSecret.name=login"], [None, None, None, Some(("login", "password")), None]),
    (&["http.enabled=true"], [None; 5]),
    (
        &["http.enabled=true", "http.tokenSecret.name=announce", "http.tokenSecret.key=t"],
        [None, None, None, None, Some(("announce", "t"))],
    ),
    // One Secret for several, and all at once.
    (
        &[
            "mqtt.caSecret.name=one",
            "mqtt.clientCertificateSecret.name=one",
            "mqtt.username=me",
            "mqtt.passwordSecret.name=one",
            "http.enabled=true",
            "http.tokenSecret.name=one",
        ],
        [
            Some(("one", "ca.crt")),
            Some(("one", "tls.crt")),
            Some(("one", "tls.key")),
            Some(("one", "password")),
            Some(("one", "token")),
        ],
    ),
];

#[tokio::test]
async fn secrets_are_mounted_where_the_flags_look() {
    for (values, wanted) in SECRETS {
        let mut sets = vec!["vnode.mqtt.broker=mqtts://broker:8883".to_owned()];
        sets.extend(values.iter().map(|value| format!("vnode.{value}")));
        let deployment = provider(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for (flag, wanted) in FILES.iter().zip(wanted) {
            let wanted = wanted.map(|(name, key)| (name.to_owned(), key.to_owned()));
            assert_eq!(secret(&deployment, flag), wanted, "{values:?}: {flag}");
        }
        // No volume that nobody reads.
        if wanted.iter().all(Option::is_none) {
            assert!(pod(&deployment)["volumes"].is_null(), "{values:?}");
        }
        // And the provider takes what it is given.
        let command = std::iter::once("manager").chain(args(&deployment)).map(OsString::from);
        let flags = Flags::parse_args(command).unwrap_or_else(|exit| panic!("{values:?}: {}", exit.message));
        assert_eq!(flags.role, Role::VNode);
        assert_eq!(flags.vnode.mqtt_broker.expect("a broker").host, "broker");
    }
}

#[tokio::test]
async fn values_reach_the_provider() {
    let sets = [
        "vnode.discoverBases=",
        "vnode.mqtt.broker=mqtts://broker",
        "vnode.mqtt.version=5",
        "vnode.mqtt.username=me",
        "flags.vnodeEnv=prod",
        "flags.logFormat=json",
        "flags.minFreeMetaspace=7",
        "vnode.extraArgs={--vnode-drain=5s}",
        "vnode.podLabels.team=shop",
        "vnode.podAnnotations.mesh=off",
        "vnode.nodeSelector.pool=infra",
        "vnode.tolerations[0].operator=Exists",
        "vnode.priorityClassName=high",
    ];
    let deployment = provider(&sets).await;
    let wanted = [
        "vnode",
        "--log-format=json",
        "--vnode-env=prod",
        "--mqtt-broker=mqtts://broker",
        "--mqtt-version=5",
        "--mqtt-username=me",
        "--vnode-drain=5s",
    ];
    assert_eq!(args(&deployment), wanted);
    let metadata = &deployment["spec"]["template"]["metadata"];
    assert_eq!(metadata["labels"], json!({ "control-plane": "vnode-provider", "team": "shop" }));
    assert_eq!(metadata["annotations"], json!({ "mesh": "off" }));
    let pod = pod(&deployment);
    assert_eq!(pod["nodeSelector"], json!({ "pool": "infra" }));
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(pod["priorityClassName"], "high");
}

/// An account of the user's gets the rights, and none is made; without roles there still is an account for the pods.
#[tokio::test]
async fn the_provider_has_an_account() {
    let own = ["vnode.enabled=true", "vnode.serviceAccount.create=false", "vnode.serviceAccount.name=own"];
    let made = template(CHART, &own).await;
    assert!(made.ok, "{}", made.err);
    let objects = by_name(documents(&made.out));
    assert!(!objects.contains_key(&format!("ServiceAccount {NAMESPACE} own")));
    for binding in [
        "ClusterRoleBinding - module-vnode-provider",
        "ClusterRoleBinding - module-vnode-provider-pods",
        "RoleBinding kube-node-lease module-vnode-provider",
    ] {
        let account = json!([{ "kind": "ServiceAccount", "name": "own", "namespace": NAMESPACE }]);
        assert_eq!(objects[binding]["subjects"], account, "{binding}");
    }
    let deployment = &objects[&format!("Deployment {NAMESPACE} module-vnode-provider")];
    assert_eq!(pod(deployment)["serviceAccountName"], "own");

    let made = template(CHART, &["vnode.enabled=true", "rbac.create=false"]).await;
    assert!(made.ok, "{}", made.err);
    let objects = by_name(documents(&made.out));
    assert!(objects.contains_key(&format!("ServiceAccount {NAMESPACE} module-vnode-provider")));
    assert!(!objects.keys().any(|name| name.contains("Role")), "{:?}", objects.keys());
}

/// Nodes belong to the cluster; pods and Deployments don't.
#[tokio::test]
async fn a_provider_for_some_namespaces_reads_no_pods_in_others() {
    let made = template(CHART, &["vnode.enabled=true", "namespaces={shop,stock}", "crds.install=false"]).await;
    assert!(made.ok, "{}", made.err);
    let objects = by_name(documents(&made.out));
    let deployment = &objects[&format!("Deployment {NAMESPACE} module-vnode-provider")];
    assert_eq!(
        args(deployment)[1..],
        ["--discover-bases=base.koupleless.io/name", "--namespace=shop", "--namespace=stock"]
    );
    let everywhere: Vec<&Value> = objects.values().filter(|object| object["kind"] == "ClusterRole").collect();
    for role in everywhere {
        for rule in role["rules"].as_array().expect("rules") {
            for resource in rule["resources"].as_array().expect("resources") {
                assert!(resource.as_str().expect("text").starts_with("nodes"), "{role}");
            }
        }
    }
    for namespace in ["shop", "stock"] {
        let role = &objects[&format!("Role {namespace} module-vnode-provider-pods")];
        assert_eq!(role["rules"][0]["resources"], json!(["pods"]));
        let binding = &objects[&format!("RoleBinding {namespace} module-vnode-provider-pods")];
        assert_eq!(binding["subjects"][0]["name"], "module-vnode-provider");
    }
}

/// Values that mean nothing together, and what the message says.
const WRONG: &[(&[&str], &str)] = &[
    (&["mqtt.caSecret.name=s"], "vnode.mqtt.caSecret has no effect without vnode.mqtt.broker: set it"),
    (&["mqtt.clientCertificateSecret.name=s"], "vnode.mqtt.clientCertificateSecret has no effect without"),
    (&["mqtt.passwordSecret.name=s", "mqtt.username=me"], "vnode.mqtt.passwordSecret has no effect without"),
    (&["mqtt.version=5"], "vnode.mqtt.version has no effect without vnode.mqtt.broker"),
    (
        &["mqtt.broker=mqtt://b", "mqtt.caSecret.name=s"],
        "vnode.mqtt.caSecret is for TLS: begin vnode.mqtt.broker with mqtts://",
    ),
    (&["mqtt.broker=mqtts://b", "mqtt.passwordSecret.name=s"], "vnode.mqtt.passwordSecret needs vnode.mqtt.username"),
    (&["http.tokenSecret.name=s"], "vnode.http.tokenSecret has no effect without vnode.http.enabled: set both"),
    (&["discoverBases="], "set vnode.discoverBases, vnode.http.enabled or vnode.mqtt.broker"),
    (&["extraArgs={--namespace=shop}"], "vnode.extraArgs: take --namespace out"),
    (&["mqtt.broker=broker:8883"], "/vnode/mqtt/broker"),
    (&["mqtt.broker=mqtts://me:word@broker"], "/vnode/mqtt/broker"),
    (&["mqtt.version=4"], "/vnode/mqtt/version"),
    (&["mqtt.caSecret=s"], "/vnode/mqtt/caSecret"),
    (&["mqtt.caSecret.name=My Secret"], "/vnode/mqtt/caSecret/name"),
    (&["mqtt.caSecret.key=a/b"], "/vnode/mqtt/caSecret/key"),
    (&["mqtt=null"], "missing property 'mqtt'"),
    (&["podLabels.control-plane=own"], "/vnode/podLabels/control-plane"),
    (&["replicas=0"], "/vnode/replicas"),
];

#[tokio::test]
async fn what_the_provider_would_refuse_is_refused_before() {
    for (values, words) in WRONG {
        let mut sets = vec!["vnode.enabled=true".to_owned()];
        sets.extend(values.iter().map(|value| format!("vnode.{value}")));
        let made = template(CHART, &sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(!made.ok, "{values:?} was taken");
        assert!(made.err.contains(words), "{values:?}: {}", made.err);
    }
}

/// The overlay that the head of a component in `config/` tells people to write, in a folder of its own.
fn documented_overlay(component: &str) -> Folder {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("config").join(component).join("kustomization.yaml")).expect("text");
    let head = text.lines().map_while(|line| line.strip_prefix('#'));
    let block = head.skip_while(|line| !line.starts_with("   resources:")).map_while(|line| line.strip_prefix("   "));
    let folder = Folder::new(component);
    // kustomize wants relative paths.
    let path = std::fs::canonicalize(&folder.path).expect("a folder");
    let up = "../".repeat(path.components().count() - 1);
    let config = format!(
        "[{up}{}/config/",
        root.canonicalize().expect("a folder").display().to_string().trim_start_matches('/')
    );
    let overlay: Vec<String> = block.map(|line| line.replace("[config/", &config)).collect();
    std::fs::write(path.join("kustomization.yaml"), overlay.join("\n")).expect("written");
    folder
}

#[tokio::test]
async fn the_components_make_what_the_values_make() {
    let overlay = documented_overlay("vnode-mqtt");
    let sets = [
        "vnode.enabled=true",
        "vnode.mqtt.broker=mqtts://broker.example.com:8883",
        "vnode.mqtt.username=module-controller",
        "vnode.mqtt.caSecret.name=module-vnode-provider-mqtt",
        "vnode.mqtt.passwordSecret.name=module-vnode-provider-mqtt",
    ];
    agrees(&sets, &["config/default", &overlay.path]).await;
    let overlay = documented_overlay("vnode-http");
    let sets =
        ["vnode.enabled=true", "vnode.http.enabled=true", "vnode.http.tokenSecret.name=module-vnode-provider-http"];
    agrees(&sets, &["config/default", &overlay.path]).await;
}

/// The namespace of the install enforces it.
#[tokio::test]
async fn the_provider_with_secrets_is_let_into_a_restricted_namespace() {
    in_namespace(Policy::On, |space| async move {
        space.restrict().await;
        let sets = ["vnode.mqtt.broker=mqtts://b", "vnode.mqtt.caSecret.name=ca", "vnode.http.enabled=true"];
        let mut pod = provider(&sets).await["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!("probe");
        let said = space.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &pod.to_string()).await;
        assert!(said.ok, "{}", said.err);
    })
    .await;
}
