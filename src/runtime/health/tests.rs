//! The servers on a real socket.

use super::*;

async fn local() -> (TcpListener, String) {
    let address = BindAddress::At { host: "127.0.0.1".to_owned(), port: 0 };
    let listener = bind(&address, "--flag").await.unwrap().unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

async fn fetch(url: String) -> (u16, String) {
    super::super::client::install_crypto();
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn probes_follow_their_checks() {
    let (listener, url) = local().await;
    let (alive, readiness, stop) =
        (Freshness::new("main loop", Duration::from_secs(60)), Arc::new(Readiness::new()), CancellationToken::new());
    let server = tokio::spawn(serve_probes(listener, alive.clone(), readiness.clone(), stop.clone()));

    assert_eq!(fetch(format!("{url}/healthz")).await, (503, "main loop: not there yet\n".to_owned()));
    alive.touch();
    assert_eq!(fetch(format!("{url}/healthz")).await, (200, "ok".to_owned()));
    assert_eq!(fetch(format!("{url}/readyz")).await, (200, "ok".to_owned()));

    let cache = readiness.freshness("modules", Duration::from_secs(60));
    readiness.check("crd", |_| Err("Module is not established".to_owned()));
    let want = "crd: Module is not established\nmodules: not there yet\n";
    assert_eq!(fetch(format!("{url}/readyz")).await, (503, want.to_owned()));
    cache.touch();
    readiness.remove("crd");
    assert_eq!(fetch(format!("{url}/readyz")).await, (200, "ok".to_owned()));
    assert_eq!(fetch(format!("{url}/other")).await.0, 404);

    stop.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_are_served_as_open_metrics() {
    let (listener, url) = local().await;
    let (metrics, stop) = (Arc::new(Metrics::new()), CancellationToken::new());
    metrics.set_leader(true);
    let server = tokio::spawn(serve_metrics(listener, metrics, stop.clone()));

    super::super::client::install_crypto();
    let answer = reqwest::get(format!("{url}/metrics")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], OPEN_METRICS);
    let text = answer.text().await.unwrap();
    assert!(text.contains("module_controller_leader 1\n") && text.ends_with("# EOF\n"), "{text}");

    stop.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_open_connection_does_not_hold_up_the_end() {
    let (listener, url) = local().await;
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve_metrics(listener, Arc::new(Metrics::new()), stop.clone()));
    // Half a request: the server has to give up on it.
    let open = tokio::net::TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    open.writable().await.unwrap();
    open.try_write(b"GET /metrics HTTP/1.1\r\n").unwrap();
    stop.cancel();
    tokio::time::timeout(CLOSE_GRACE * 5, server).await.expect("ends in time").unwrap().unwrap();
    drop(open);
}

#[tokio::test]
async fn binding_says_what_to_change() {
    assert!(bind(&BindAddress::Off, "--metrics-bind-address").await.unwrap().is_none());
    let (taken, _) = local().await;
    let port = taken.local_addr().unwrap().port();
    let again = BindAddress::At { host: "127.0.0.1".to_owned(), port };
    let error = bind(&again, "--metrics-bind-address").await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on 127.0.0.1:{port} (")), "{error}");
    assert!(error.ends_with("choose another address with --metrics-bind-address, or 0 to switch it off"), "{error}");

    let everywhere = bind(&BindAddress::At { host: String::new(), port: 0 }, "--flag").await.unwrap().unwrap();
    let port = everywhere.local_addr().unwrap().port();
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok());
}
