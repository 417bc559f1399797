use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, extract::State, http::Uri};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Config;
use serde_json::json;
use tokio::sync::Notify;

use super::*;

/// An API server that answers about Leases once it is told to, and about nothing else.
#[derive(Default)]
struct Server {
    asked: AtomicUsize,
    answers: Notify,
}

async fn answer(State(server): State<Arc<Server>>, uri: Uri) -> String {
    if !uri.path().contains("/leases") {
        std::future::pending::<()>().await;
    }
    server.asked.fetch_add(1, Ordering::SeqCst);
    server.answers.notified().await;
    json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "v" } }).to_string()
}

async fn start(concurrency: usize) -> (Ops, Arc<Server>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = Arc::new(Server::default());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client =
        Client::try_from(Config::new(format!("http://{address}").parse().expect("an address"))).expect("a client");
    (Ops::new(client, concurrency, Arc::new(Metrics::new()), "test".to_owned()), server)
}

fn lease() -> Lease {
    serde_json::from_value(json!({ "metadata": { "name": "v", "namespace": "n" } })).expect("a Lease")
}

#[tokio::test]
async fn a_lease_does_not_wait_behind_other_writes() {
    let (ops, server) = start(1).await;
    let behind = ops.clone();
    tokio::spawn(async move { behind.read::<ConfigMap>("n", "slow").await });
    while ops.permits.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    server.answers.notify_one();
    let claimed = tokio::time::timeout(Duration::from_secs(10), ops.claim(&lease(), || ())).await;
    assert!(claimed.is_ok_and(|claimed| claimed.is_ok()));
}

#[tokio::test]
async fn a_lease_counts_from_when_its_request_left() {
    let (ops, server) = start(1).await;
    let left = Arc::new(AtomicUsize::new(0));
    for _ in 0..=LEASES_AT_ONCE {
        let (ops, left) = (ops.clone(), Arc::clone(&left));
        tokio::spawn(async move { ops.claim(&lease(), || _ = left.fetch_add(1, Ordering::SeqCst)).await });
    }
    let asked = async |count| {
        while server.asked.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, asked(LEASES_AT_ONCE)).await.expect("all that fit");
    assert_eq!(left.load(Ordering::SeqCst), LEASES_AT_ONCE, "one has to wait for its turn");
    server.answers.notify_one();
    tokio::time::timeout(limit, asked(LEASES_AT_ONCE + 1)).await.expect("its turn came");
    assert_eq!(left.load(Ordering::SeqCst), LEASES_AT_ONCE + 1);
}

#[tokio::test]
async fn a_quarrel_about_one_object_is_held_back() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let undone = || async { json!({ "metadata": { "name": "v", "namespace": "n" } }).to_string() };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(undone)).await });
    let client =
        Client::try_from(Config::new(format!("http://{address}").parse().expect("an address"))).expect("a client");
    let ops = Ops::new(client, 1, Arc::new(Metrics::new()), "test".to_owned());
    let began = tokio::time::Instant::now();
    for _ in 0..64 {
        ops.patch::<ConfigMap>("n", "v", &json!({ "data": { "ours": "yes" } })).await.expect("an answer");
    }
    assert!(began.elapsed() >= Duration::from_millis(1_900), "four writes too many: {:?}", began.elapsed());
}
