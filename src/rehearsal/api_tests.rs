use std::sync::{Arc, Mutex};

use axum::{Router, http::Method};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Config,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::watcher,
};

use super::*;

/// An API server with one pod that keeps a watch open and notes the methods it is asked with.
async fn server(asked: Arc<Mutex<Vec<Method>>>) -> Client {
    let pod = json!({ "kind": "Pod", "apiVersion": "v1", "metadata": {
        "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "5", "labels": { "app": "base" },
    } });
    let app = Router::new().fallback(move |request: Request<Body>| {
        asked.lock().expect("methods").push(request.method().clone());
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        let (one, list) = (
            pod.clone(),
            json!({ "kind": "PodList", "apiVersion": "v1",
            "metadata": { "resourceVersion": "6" }, "items": [pod.clone()] }),
        );
        async move {
            match (path.as_str(), query.contains("watch=true")) {
                ("/api/v1/namespaces/n/pods/a", _) => reply(200, &one),
                ("/api/v1/namespaces/n/pods", true) => {
                    Response::new(Body::from_stream(stream::pending::<kube::Result<Bytes>>()))
                }
                ("/api/v1/namespaces/n/pods", false) => reply(200, &list),
                _ => reply(404, &json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 })),
            }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    crate::runtime::client::build(Config::new(url.parse().expect("a URL"))).expect("a client")
}

#[tokio::test]
async fn nothing_but_questions_gets_through_and_watches_hear_of_what_was_written() {
    let asked = Arc::default();
    let real = server(Arc::clone(&asked)).await;
    let book = Book::new();
    let api: Api<Pod> = Api::namespaced(book.client(&real), "n");
    let mut watch = Box::pin(watcher(api.clone(), watcher::Config::default().labels("app=base")));
    for _ in 0..3 {
        watch.next().await.expect("an event").expect("the list");
    }

    let patch = Patch::Merge(json!({ "metadata": { "labels": { "x": "y" } } }));
    // The watch begins once its list is read to the end.
    let told = tokio::spawn(async move { watch.next().await });
    while book.state().watches.is_empty() {
        tokio::task::yield_now().await;
    }
    let patched = api.patch("a", &PatchParams::default(), &patch).await.expect("it is patched");
    assert_eq!(patched.metadata.labels.as_ref().and_then(|labels| labels.get("x")).map(String::as_str), Some("y"));
    let event = told.await.expect("the task").expect("an event").expect("no error");
    let watcher::Event::Apply(pod) = event else { panic!("{event:?}") };
    assert!(
        pod.metadata.resource_version.and_then(|version| version.parse::<u64>().ok()) > Some(5),
        "newer than all real ones"
    );

    assert_eq!(api.get("a").await.expect("it is there").metadata.labels, patched.metadata.labels);
    let new: Pod = serde_json::from_value(json!({ "metadata": { "name": "b" } })).expect("a pod");
    assert!(api.create(&PostParams::default(), &new).await.expect("it is created").metadata.uid.is_some());
    api.delete("a", &DeleteParams::default()).await.expect("it is deleted");
    assert!(api.get_opt("a").await.expect("an answer").is_none());

    let asked: Vec<Method> = asked.lock().expect("methods").clone();
    assert!(asked.iter().all(|method| *method == Method::GET), "{asked:?}");
    assert_eq!((book.read(|store, _| store.writes()), book.trouble()), (3, None));
}

#[test]
fn places_are_read_from_paths() {
    let place = Place::of("/apis/koupleless.io/v1alpha1/namespaces/n/modules/m/status", "").expect("a place");
    assert_eq!((place.plural.as_str(), place.name.as_str(), place.subresource.as_str()), ("modules", "m", "status"));
    assert_eq!(place.collection, "/apis/koupleless.io/v1alpha1/namespaces/n/modules");
    let all = Place::of("/api/v1/pods", "watch=true&labelSelector=app%3Dbase%2Ck").expect("a place");
    assert!(all.watch && all.namespace.is_empty() && all.name.is_empty());
    assert_eq!(all.selector, "app=base,k");
    assert!(Place::of("/version", "").is_none());
}

#[test]
fn selectors_of_equalities_are_understood() {
    let pod = json!({ "metadata": { "labels": { "app": "base", "k": "" } } });
    for (selector, picks) in [("", true), ("app=base,k", true), ("app==base", true), ("app=other", false), ("z", false)]
    {
        assert_eq!(selects(selector, &pod), picks, "{selector}");
    }
}
