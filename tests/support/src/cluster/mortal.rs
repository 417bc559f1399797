//! An operator that dies in the middle of what it does: exactly before one of its writes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Method, Request};
use kube::{Client, client::Body};
use module_controller::api::Delivery;
use tokio::sync::Notify;

use super::{World, rights::Install};

/// Counts the writes of a client, and never sends the one that is its last.
struct Fate {
    last: usize,
    written: AtomicUsize,
    reached: Notify,
}

impl World {
    /// Starts the operator and kills it as it is about to make its `write`-th write (Events don't count); whatever else it is
    /// doing at that moment, calls to agents included, ends there too. Fails if it never gets that far.
    pub async fn run_operator_until_write(&self, write: usize) {
        let fate = Arc::new(Fate { last: write, written: AtomicUsize::new(0), reached: Notify::new() });
        let client = doomed(self.client_of(Install::Namespaced).await, Arc::clone(&fate));
        self.begin_operator(client, false, Delivery::Arklet).await;
        let reached = tokio::time::timeout(super::SOON, fate.reached.notified()).await;
        let written = fate.written.load(Ordering::SeqCst);
        self.kill_operator().await;
        assert!(reached.is_ok(), "the operator made {written} writes and no more; {write} were to be made");
    }
}

fn doomed(inner: Client, fate: Arc<Fate>) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, fate) = (inner.clone(), Arc::clone(&fate));
        async move {
            let counts = request.method() != Method::GET && !request.uri().path().contains("/events");
            if counts && fate.written.fetch_add(1, Ordering::SeqCst) + 1 >= fate.last {
                fate.reached.notify_one();
                std::future::pending::<()>().await;
            }
            inner.send(request).await
        }
    });
    Client::new(service, namespace)
}
