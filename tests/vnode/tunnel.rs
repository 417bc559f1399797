//! Bases that announce themselves over HTTP.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rig::cluster::{BasePod, Kind, SOON, World, is_ready, labelled_base, scenario_without_operator, text, vpod};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

/// Sends a body from an address and gives status and body of the answer.
async fn post(from: IpAddr, to: SocketAddr, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(from, 0)).expect("an address of this machine");
    let mut stream = socket.connect(to).await.expect("the tunnel listens");
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: c\r\nConnection: close\r\n{token}Content-Length: {}\r\n\r\n",
        body.len()
    );
    // One that is refused before it was read to its end is cut off.
    let _ = stream.write_all((head + body).as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn beat(identity: &str, ip: IpAddr) -> Value {
    json!({
        "baseMetadata": { "identity": identity, "name": "base", "version": "1.0.0", "clusterName": "default" },
        "localIP": ip, "localHostName": "base-0", "port": 1238, "state": "ACTIVATED",
    })
}

/// Announces a base every half second until it is dropped.
pub struct Announcer(tokio::task::JoinHandle<()>);

impl Announcer {
    /// As another identity each time.
    fn start(base: &BasePod, to: SocketAddr, token: Option<&'static str>) -> Self {
        Self::start_as(|count| format!("identity-{count}"), base, to, token)
    }

    /// As whom `identity` says, by the number of the heartbeat.
    pub fn start_as(
        identity: impl Fn(u32) -> String + Send + 'static,
        base: &BasePod,
        to: SocketAddr,
        token: Option<&'static str>,
    ) -> Self {
        let ip = base.ip;
        Self(tokio::spawn(async move {
            for count in 0.. {
                post(ip, to, "/heartbeat", token, &beat(&identity(count), ip).to_string()).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }))
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn bases(world: &World) -> Vec<BasePod> {
    world.bases_of(labelled_base("base", 1, "1.0.0")).await
}

#[test]
fn a_base_that_announces_itself_gets_a_vnode_and_its_baseline() {
    scenario_without_operator("a_base_that_announces", |world| async move {
        let tunnel = world.start_provider_with_tunnel("p", None).await;
        let pods = bases(&world).await;
        world.create(Kind::Deployment, vpod("shop").controller(&world)).await;

        let announcer = Announcer::start(&pods[0], tunnel, None);
        let nodes = world.until_vnodes(1).await;
        world.until_ready_vpods(1).await;

        let labels = &nodes[0]["metadata"]["labels"];
        assert_eq!(labels["vnode.koupleless.io/tunnel"], "http_tunnel_provider");
        assert_eq!(labels["base.koupleless.io/cluster-name"], "default");
        let (status, body) = post(pods[0].ip, tunnel, "/queryBaseline", None, r#"{"identity":"whatever"}"#).await;
        let baseline: Value = serde_json::from_str(&body).expect("JSON");
        let expected = json!([{ "bizName": "shop", "bizVersion": "1.0.0", "bizUrl": world.url("shop", "1.0.0") }]);
        assert_eq!((status, baseline), (200, expected));

        // Another provider, and another identity with each announcement: the VNode stays.
        world.stop_provider("p").await;
        drop(announcer);
        let tunnel = world.start_provider_with_tunnel("p", None).await;
        let announcer = Announcer::start(&pods[0], tunnel, None);
        let holds = || async {
            let lease = world.lease_of(text(&nodes[0], "/metadata/name")).await.unwrap_or_default();
            if text(&lease, "/spec/holderIdentity") == "p" { Ok(()) } else { Err(format!("{}", lease["spec"])) }
        };
        world.eventually(SOON, "it is looked after again", holds).await;
        world.until_ready_vpods(1).await;
        assert_eq!(world.vnodes().await.len(), 1);
        assert_eq!((world.installs(&pods[0], "shop"), world.uninstalls(&pods[0], "shop")), (1, 0));

        // Whatever answers at its address: when its pod is gone, so is the base.
        drop(announcer);
        world.delete(Kind::Deployment, "base").await;
        world.until_vpods("none is Ready", |pods| pods.iter().all(|pod| !is_ready(pod))).await;
    });
}

#[test]
fn strangers_are_not_believed() {
    scenario_without_operator("strangers", |world| async move {
        let tunnel = world.start_provider_with_tunnel("p", None).await;
        let pods = bases(&world).await;
        let (pod, nobody): (IpAddr, IpAddr) = (pods[0].ip, "10.200.253.1".parse().expect("an address"));

        for (what, from, body, status) in [
            ("an address that no pod has", nobody, beat("a", nobody).to_string(), 403),
            ("another's address", nobody, beat("a", pod).to_string(), 403),
            ("no address", pod, r#"{"baseMetadata":{"identity":"a"}}"#.to_owned(), 400),
            ("no identity", pod, beat("", pod).to_string(), 400),
            ("no JSON", pod, "hello".to_owned(), 400),
            ("too much", pod, format!(r#"{{"x":"{}"}}"#, "y".repeat(100_000)), 413),
        ] {
            assert_eq!(post(from, tunnel, "/heartbeat", None, &body).await.0, status, "{what}");
        }
        assert!(world.vnodes().await.is_empty());
        assert_eq!(post(nobody, tunnel, "/queryBaseline", None, r#"{"identity":"a"}"#).await, (200, "[]".to_owned()));
        let (status, body) = post(pod, tunnel, "/heartbeat", None, &beat("a", pod).to_string()).await;
        assert_eq!((status, body.as_str()), (200, "SUCCESS"));
        world.until_vnodes(1).await;
    });
}

#[test]
fn a_token_can_be_asked_for() {
    scenario_without_operator("a_token", |world| async move {
        let file = world.file("token");
        std::fs::write(&file, "secret\n").expect("a file");
        let tunnel = world.start_provider_with_tunnel("p", Some(file.clone())).await;
        let pods = bases(&world).await;
        let body = beat("a", pods[0].ip).to_string();
        world
            .eventually(SOON, "the provider knows its VNodes", || async {
                let (status, said) = post(pods[0].ip, tunnel, "/heartbeat", Some("secret"), &body).await;
                if status == 503 { Err(said) } else { Ok(()) }
            })
            .await;
        for (token, status) in [(None, 401), (Some("wrong"), 401), (Some("secret"), 200)] {
            let (found, said) = post(pods[0].ip, tunnel, "/heartbeat", token, &body).await;
            assert_eq!(found, status, "{token:?}: {said}");
        }
        std::fs::remove_file(&file).expect("the file");
        assert_eq!(post(pods[0].ip, tunnel, "/heartbeat", Some("secret"), &body).await.0, 503);
    });
}

#[test]
fn a_base_that_falls_silent_for_good_is_forgotten() {
    scenario_without_operator("a_base_that_falls_silent", |world| async move {
        let tunnel = world.start_provider_with_tunnel("p", None).await;
        let pods = bases(&world).await;
        let announcer = Announcer::start(&pods[0], tunnel, None);
        world.until_vnodes(1).await;
        drop(announcer);
        world.base(&pods[0]).fault(rig::arklet_sim::Fault::Reset);

        let gone = || async {
            let left: Vec<String> =
                world.vnodes().await.iter().map(|node| text(node, "/metadata/name").to_owned()).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        };
        world.eventually(SOON, "its VNode goes", gone).await;
        world.base(&pods[0]).heal();
        let _announcer = Announcer::start(&pods[0], tunnel, None);
        world.until_vnodes(1).await;
    });
}
