//! `status --watch` while the ground moves under it: the API server goes away and comes back, the object is replaced and deleted.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use rig::cluster::{Kind, World, module, scenario, scenario_without_operator};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::watched;

/// A way to the API server that can be cut.
pub struct Relay {
    at: SocketAddr,
    to: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Opens it; gives a kubeconfig that goes this way.
    pub async fn open(world: &World) -> (Self, PathBuf) {
        let content = fs::read_to_string(std::env::var("KUBECONFIG").expect("a cluster")).expect("its kubeconfig");
        let server = content.lines().find_map(|line| line.trim().strip_prefix("server: https://")).expect("a server");
        let to: SocketAddr = server.trim().parse().expect("an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let at = listener.local_addr().expect("its address");
        let file = world.file("relay.kubeconfig");
        fs::write(&file, content.replace(server, &at.to_string())).expect("a kubeconfig");
        (Self { at, to, task: tokio::spawn(pass_on(listener, to)) }, file)
    }

    /// Ends what goes through it, and lets nothing new through.
    pub async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Lets everything through again.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.at).await.expect("the port is free again");
        self.task = tokio::spawn(pass_on(listener, self.to));
    }
}

async fn pass_on(listener: TcpListener, to: SocketAddr) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    while let Ok((mut inside, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut outside) = TcpStream::connect(to).await {
                let _ = copy_bidirectional(&mut inside, &mut outside).await;
            }
        });
    }
}

#[test]
fn an_api_server_that_comes_back_is_waited_for() {
    scenario("tool_relay", |world| async move {
        world.bases(2).await;
        let spec = module("far").replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        world.progress("far", "WaitingForConfirmation").await;
        let (mut relay, kubeconfig) = Relay::open(&world).await;
        let mut watch = watched(&world, "far", &["--kubeconfig", kubeconfig.to_str().expect("text")]);
        watch.until_line("WaitingForConfirmation batch 1 of 2").await;

        relay.cut().await;
        watch.until_said("no news for 1 look: cannot get the ModuleDeployment far").await;
        super::done(&world, &["confirm", "far"]).await;
        relay.mend().await;

        watch.until_line("far 1.0.0 is available everywhere").await;
        let end = watch.end().await;
        assert_eq!(end.code, Some(0), "{}", end.err);
    });
}

#[test]
fn an_object_that_is_replaced_is_watched_on_and_one_that_is_deleted_is_not() {
    scenario_without_operator("tool_replaced", |world| async move {
        let spec = module("twice");
        world.deploy(&spec).await;
        let (mut relay, kubeconfig) = Relay::open(&world).await;
        let mut watch = watched(&world, "twice", &["--kubeconfig", kubeconfig.to_str().expect("text")]);
        watch.until_line("twice: Unseen").await;

        // It sees nothing of the moment at which there is none.
        relay.cut().await;
        world.delete(Kind::ModuleDeployment, "twice").await;
        world.deploy(&spec).await;
        relay.mend().await;
        watch.until_line("twice: it was deleted and made anew").await;

        world.delete(Kind::ModuleDeployment, "twice").await;
        let said = watch.end().await.fails(1);
        let says = format!("twice in namespace {} was deleted while it was watched", world.namespace());
        assert!(said.contains(&says), "{said}");
    });
}
