//! A rollout of the operator itself, as `config/ha` has it done: the program with the manifests' flags and rights, a replica
//! that stands by, a new one before an old one goes; and never two that lead.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::{
    cluster::{Policy, Space, documents, eventually, hello, in_namespace, kubectl, kubectl_with},
    install::rendered,
};

/// How long a probe or a scrape may take.
const ANSWER: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_rollout_of_the_operator_never_has_two_leaders() {
    in_namespace(Policy::On, |space| async move {
        grant(&space).await;
        let kubeconfig = Kubeconfig::of_operator(&space).await;
        let mut first = Replica::start(&space, &kubeconfig).await;
        leader_of(&[&first]).await;
        let mut second = Replica::start(&space, &kubeconfig).await;
        assert!(!second.leads().await, "the first one has the Lease");

        // The rollout: one more, then the leader goes, then the other old one.
        let third = Replica::start(&space, &kubeconfig).await;
        first.ends().await;
        let leader = leader_of(&[&second, &third]).await;
        second.ends().await;
        assert!(leader == 1 || leader_of(&[&third]).await == 0);

        // And the one that is left works, with these rights.
        space.create("ModuleDeployment", &hello(), false).await.expect("a ModuleDeployment");
        eventually("the leader says what is missing", || async {
            let conditions = space.get("ModuleDeployment", "hello").await["status"]["conditions"].clone();
            conditions.to_string().contains("BaseDeploymentNotFound").then_some(())
        })
        .await;
    })
    .await;
}

/// The roles of `config/namespaced`, for this namespace.
async fn grant(space: &Space) {
    let text = rendered("config/namespaced").await.replace("module-deployment-system", &space.name);
    let rights = documents(&text).into_iter().filter(|object| {
        let kind = object["kind"].as_str().unwrap_or_default();
        matches!(kind, "Role" | "RoleBinding" | "ServiceAccount")
    });
    let text = rights.map(|object| object.to_string()).collect::<Vec<_>>().join("\n---\n");
    let said = kubectl_with(&["apply", "--server-side", "-f", "-"], &text).await;
    assert!(said.ok, "{}", said.err);
    let user = user(space);
    eventually("the roles are in use", || async {
        let may = ["auth", "can-i", "create", "leases", "--as", &user];
        space.kubectl(&may).await.out.starts_with("yes").then_some(())
    })
    .await;
}

fn user(space: &Space) -> String {
    format!("system:serviceaccount:{}:module-deployment-controller-manager", space.name)
}

/// A file by which a process is the operator's account; it goes with this.
struct Kubeconfig(PathBuf);

impl Kubeconfig {
    async fn of_operator(space: &Space) -> Self {
        let rigs = std::env::var("RIG_OPERATOR_KUBECONFIG").or(std::env::var("KUBECONFIG")).expect("a kubeconfig");
        let said = kubectl(&["config", "view", "--kubeconfig", &rigs, "--raw", "--minify", "-o", "json"]).await;
        let mut config: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}", said.err));
        config["users"][0]["user"]["as"] = user(space).into();
        let path = std::env::temp_dir().join(format!("{}.kubeconfig", space.name));
        std::fs::write(&path, config.to_string()).expect("written");
        Self(path)
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// One pod of the operator's Deployment.
struct Replica {
    process: Child,
    metrics: u16,
    web: reqwest::Client,
}

impl Replica {
    /// Starts it with the flags of the manifest, and waits until it is ready.
    async fn start(space: &Space, kubeconfig: &Kubeconfig) -> Self {
        let (metrics, probes) = (free_port(), free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_module-controller"))
            .args(["--leader-elect", &format!("--namespace={}", space.name)])
            .arg(format!("--metrics-bind-address=127.0.0.1:{metrics}"))
            .arg(format!("--health-probe-bind-address=127.0.0.1:{probes}"))
            .env("KUBECONFIG", &kubeconfig.0)
            .env("POD_NAMESPACE", &space.name)
            .env("POD_NAME", format!("replica-{metrics}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("the operator starts");
        let web = reqwest::Client::builder().timeout(ANSWER).no_proxy().build().expect("a client");
        let replica = Self { process, metrics, web };
        eventually("the replica is ready", || async { replica.get(probes, "readyz").await.map(drop) }).await;
        replica
    }

    async fn get(&self, port: u16, path: &str) -> Option<String> {
        let answer = self.web.get(format!("http://127.0.0.1:{port}/{path}")).send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    /// What its metrics say. One that doesn't answer leads nothing.
    async fn leads(&self) -> bool {
        let metrics = self.get(self.metrics, "metrics").await.unwrap_or_default();
        metrics.lines().any(|line| line == "module_controller_leader 1")
    }

    /// As a kubelet ends a pod.
    async fn ends(&mut self) {
        let id = self.process.id().expect("it runs").to_string();
        let said = crate::cluster::said("kill", &["-TERM", &id], "").await;
        assert!(said.ok, "{}", said.err);
        let ended = tokio::time::timeout(Duration::from_secs(30), self.process.wait()).await;
        let status = ended.expect("within its grace period").expect("a status");
        assert!(status.success(), "{status}");
    }
}

/// Waits until one of them leads, and fails if two do.
async fn leader_of(replicas: &[&Replica]) -> usize {
    eventually("one of the replicas leads", || async {
        let mut leader = None;
        for (position, replica) in replicas.iter().enumerate() {
            if !replica.leads().await {
                continue;
            }
            if let Some(other) = leader.replace(position) {
                // It may have given the Lease back between the two looks.
                assert!(!replicas[other].leads().await, "replicas {other} and {position} lead");
            }
        }
        leader
    })
    .await
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
