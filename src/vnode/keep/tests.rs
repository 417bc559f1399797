//! What becomes of writes that wait for their turn while the Lease goes on, with an API server that the test plays.

use std::{pin::pin, sync::Mutex};

use axum::{
    Router,
    extract::{Request, State as Served},
};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Client, Config};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    arklet::{
        agents::Agents,
        client::{Endpoint, Health, NoAnswer, UninstallOutcome},
        session::{BaseId, Command, Outcome},
    },
    domain::vnode::{keep::Times, lease::Periods, node::VBase},
    runtime::{cache::Cache, metrics::Metrics, ops::Ops},
    vnode::{
        bases::News,
        carry,
        provider::{Ground, Settings},
        state::Found,
        watches,
    },
};

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn what_may_be_done_is_decided_again_while_a_request_is_under_way() {
    let began = Instant::now();
    let seconds = |count| Duration::from_secs(count);
    let mut decided = Vec::new();
    let again = || {
        decided.push(began.elapsed().as_secs());
        seconds(40)
    };
    meanwhile(sleep(seconds(100)), seconds(24), again).await;
    assert_eq!((decided, began.elapsed().as_secs()), (vec![24, 64], 100));
}

/// An API server that lets the ConfigMap `slow` wait, and answers all else with what it was sent, or an empty object.
#[derive(Default)]
struct Server {
    asked: Mutex<Vec<String>>,
    came: Notify,
    goes_on: Notify,
    /// Lets Leases wait for ever.
    deaf: bool,
}

async fn answer(Served(server): Served<Arc<Server>>, request: Request) -> String {
    let what = format!("{} {}", request.method(), request.uri().path());
    let (slow, lease) = (what.ends_with("/slow"), what.contains("/leases"));
    server.asked.lock().expect("no panic").push(what.clone());
    server.came.notify_waiters();
    if slow {
        server.goes_on.notified().await;
    }
    if lease && server.deaf {
        std::future::pending::<()>().await;
    }
    if what.ends_with("/pods/p") {
        // No JSON: that says nothing about the pod.
        return String::new();
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    if body.is_empty() { r#"{"metadata":{}}"#.to_owned() } else { String::from_utf8_lossy(&body).into_owned() }
}

impl Server {
    fn was_asked(&self, part: &str) -> bool {
        self.asked.lock().expect("no panic").iter().any(|what| what.contains(part))
    }

    async fn until_asked(&self, part: &str) {
        let asked = async {
            loop {
                let came = self.came.notified();
                if self.was_asked(part) {
                    return;
                }
                came.await;
            }
        };
        let in_time = timeout(LIMIT, asked).await;
        assert!(in_time.is_ok(), "{part}: {:?}", self.asked.lock());
    }
}

struct Nobody;

impl Agents for Nobody {
    fn carry_out<'a>(&'a self, _: &'a BaseId, _: Endpoint, _: &'a Command) -> BoxFuture<'a, Outcome> {
        std::future::pending().boxed()
    }

    fn health<'a>(&'a self, _: &'a BaseId, _: Endpoint) -> BoxFuture<'a, Result<Health, NoAnswer>> {
        std::future::pending().boxed()
    }
}

/// A provider that makes one call at a time beside those about Leases, and the VNode of a base that has just answered.
async fn one_vnode(periods: Periods, deaf: bool) -> (Arc<Provider>, Arc<VNode>, Arc<Server>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Arc::new(Server { deaf, ..Server::default() });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = Config::new(format!("http://{address}").parse().expect("an address"));
    let metrics = Arc::new(Metrics::new());
    let ground = Ground {
        ops: Ops::new(Client::try_from(config).expect("a client"), 1, Arc::clone(&metrics), "test".to_owned()),
        agents: Arc::new(Nobody),
        metrics,
        readiness: Arc::default(),
    };
    let settings = Settings {
        env: "dev".to_owned(),
        client_id: "me".to_owned(),
        namespaces: vec![],
        discover: None,
        times: Times { lease: periods, ..Times::default() },
        health_interval: LIMIT,
        biz_interval: LIMIT,
        drain: Duration::ZERO,
        watch_seconds: 60,
    };
    let (nodes, _) = Cache::new(watches::strip_node);
    let stop = CancellationToken::new();
    let provider = Provider::new(&ground, settings, None, nodes, stop.clone());
    let now = provider.clock.now();
    let found = Found {
        facts: VBase { identity: "a".into(), env: "dev".into(), tunnel: vkeys::tunnel::DISCOVERY, ..VBase::default() },
        id: BaseId { namespace: "n".into(), pod: "p".into(), uid: "u".into() },
        at: Endpoint { ip: "10.0.0.1".parse().expect("an address"), port: 1238 },
        restarts: 0,
        device: None,
    };
    let News::New(vnode) = provider.bases.found(found, now, &stop) else { panic!("it is new") };
    vnode.answered(now, None, None);
    let lease = lease::build(&vnode.name, "dev", "me", &periods, Timestamp::now());
    note(&provider, &vnode, Some(lease), Some(now));
    decide(&provider, &vnode);
    assert!(vnode.state().acts);
    (provider, vnode, server)
}

/// Takes the only turn, until the server goes on.
async fn occupy(provider: &Arc<Provider>, server: &Server) {
    let busy = Arc::clone(provider);
    tokio::spawn(async move { busy.ops.read::<ConfigMap>("n", "slow").await });
    server.until_asked("/slow").await;
}

/// Gives the turn back, and has one after all that waited.
async fn go_on(provider: &Provider, server: &Server) {
    server.goes_on.notify_one();
    let read = timeout(LIMIT, provider.ops.read::<ConfigMap>("n", "after")).await;
    assert!(read.is_ok_and(|read| read.is_ok()), "{:?}", server.asked.lock());
}

#[tokio::test]
async fn a_status_that_waits_is_written_only_by_whoever_holds_the_vnode() {
    for holds in [true, false] {
        let (provider, vnode, server) = one_vnode(Periods::default(), false).await;
        let pod = json!({
            "metadata": { "name": "shop", "namespace": "n", "uid": "s", "resourceVersion": "1" },
            "spec": { "nodeName": vnode.name },
        });
        provider.pods.apply(Some(0), serde_json::from_value(pod).expect("a pod"));
        for watch in 0..2 {
            provider.pods.relisted(watch, &[("n".to_owned(), "shop".to_owned())].into());
        }
        occupy(&provider, &server).await;
        let mut carrying = pin!(carry::attend(Arc::clone(&provider), Arc::clone(&vnode)));
        assert!(carrying.as_mut().now_or_never().is_none(), "its write waits for the turn");
        if !holds {
            vnode.state().sight = Sight::Unknown;
            decide(&provider, &vnode);
        }
        tokio::select! {
            // First: what it still asks for is asked for before the last read.
            biased;
            () = carrying => panic!("it goes on"),
            () = go_on(&provider, &server) => {}
        }
        assert_eq!(server.was_asked("PATCH /api/v1/namespaces/n/pods/shop/status"), holds);
    }
}

#[tokio::test]
async fn a_lease_is_renewed_while_a_write_of_its_node_waits() {
    let (provider, vnode, server) = one_vnode(Periods { renew: 50, ..Periods::default() }, false).await;
    occupy(&provider, &server).await;
    tokio::select! {
        () = attend(Arc::clone(&provider), Arc::clone(&vnode)) => panic!("it goes on"),
        () = async {
            server.until_asked("/leases").await;
            assert!(!server.was_asked("/nodes"), "that waits for its turn");
            go_on(&provider, &server).await;
            server.until_asked("POST /api/v1/nodes").await;
        } => {}
    }
}

#[tokio::test]
async fn a_node_that_waits_is_not_written_once_the_lease_ran_out() {
    let periods = Periods { renew: 50, deadline: 100, ..Periods::default() };
    let (provider, vnode, server) = one_vnode(periods, true).await;
    occupy(&provider, &server).await;
    tokio::select! {
        () = attend(Arc::clone(&provider), Arc::clone(&vnode)) => panic!("it goes on"),
        () = async {
            timeout(LIMIT, vnode.deposed.notified()).await.expect("its time is over");
            go_on(&provider, &server).await;
        } => {}
    }
    assert!(!server.was_asked("/nodes"), "{:?}", server.asked.lock());
}

#[tokio::test]
async fn a_command_that_waits_leaves_only_for_a_base_that_is_still_ours() {
    let (provider, vnode, server) = one_vnode(Periods::default(), false).await;
    let found = vnode.state().found.clone().expect("a base");
    // Its pod isn't watched, so it is looked for first.
    if let Some(found) = &mut vnode.state().found {
        found.facts.tunnel = vkeys::tunnel::HTTP;
    }
    occupy(&provider, &server).await;
    let command = Command::Uninstall { name: "shop".into(), version: "1".into() };
    let mut calling = provider.agents.carry_out(&found.id, found.at, &command);
    assert!((&mut calling).now_or_never().is_none(), "the look at its pod waits for the turn");
    vnode.state().sight = Sight::Unknown;
    decide(&provider, &vnode);
    let (outcome, ()) = tokio::join!(timeout(LIMIT, calling), go_on(&provider, &server));
    let Ok(Outcome::Uninstalled(UninstallOutcome::NoAnswer(NoAnswer::NotSent(why)))) = outcome else {
        panic!("it left: {outcome:?}")
    };
    assert!(why.contains("another provider"), "{why}");
    assert!(server.was_asked("/pods/p"));
}
