//! The client against hand-written agents: every way in which a reply can be framed, cut, wrong or absent.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::wire::{BizState, Metaspace, is_web_context_clash};
use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";
const CLASH: &str = "com.example.ArkletRuntimeException: java.lang.reflect.InvocationTargetException\n\tat a.B.c(B.java:77)\nCaused by: java.lang.IllegalArgumentException: Child name [/hello] is not unique\n\t... 25 more\n";

/// Short times, so that a test of a hang is short.
fn quick() -> Bounds {
    Bounds {
        connect: Duration::from_millis(300),
        query: Duration::from_millis(300),
        install: Duration::from_millis(300),
        uninstall: Duration::from_millis(300),
        switch: Duration::from_millis(300),
        ..Bounds::default()
    }
}

fn client() -> Client {
    Client::new(Bounds::default()).expect("a client")
}

/// An agent whose every connection is handled by `serve`, after the request was read.
async fn agent<F, R>(serve: F) -> Endpoint
where
    F: Fn(TcpStream, String) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
    let at = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            tokio::spawn(serve(stream, request));
        }
    });
    Endpoint { ip: at.ip(), port: at.port() }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"}") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8(request).expect("UTF-8")
}

/// An agent that answers everything with these bytes and closes.
async fn saying(answer: impl Into<String>) -> Endpoint {
    let answer: Arc<str> = Arc::from(answer.into());
    agent(move |mut stream, _| {
        let answer = Arc::clone(&answer);
        async move {
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

/// An agent that answers with this JSON, framed as real ones do.
async fn replying(json: &str) -> Endpoint {
    saying(format!("{OK}{json}")).await
}

fn unknown<T: std::fmt::Debug>(result: Result<T, NoAnswer>, part: &str) {
    match result {
        Err(NoAnswer::Unknown(why)) => assert!(why.contains(part), "{why:?} lacks {part:?}"),
        other => panic!("{other:?} where unknown ({part}) was expected"),
    }
}

#[tokio::test]
async fn a_reply_without_length_ends_with_the_connection() {
    let list =
        r#"{"code":"SUCCESS","data":[{"bizName":"a","bizVersion":"1","bizState":"activated","bizStateRecords":[{}]}]}"#;
    let expected =
        vec![Biz { name: "a".into(), version: "1".into(), state: BizState::Activated, web_context_path: None }];
    for head in [
        OK.to_owned(),
        "HTTP/1.0 200 OK\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", list.len()),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        let at = saying(format!("{head}{list}")).await;
        assert_eq!(client().query_all(at).await, Ok(expected.clone()), "{head}");
    }
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{list}\r\n0\r\n\r\n", list.len());
    assert_eq!(client().query_all(saying(chunked).await).await, Ok(expected));
}

#[tokio::test]
async fn a_reply_in_many_pieces_is_one_reply() {
    let at = agent(|mut stream, _| async move {
        for byte in format!("{OK}{}", r#"{"code":"SUCCESS","data":[]}"#).bytes() {
            let _ = stream.write_all(&[byte]).await;
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(client().query_all(at).await, Ok(vec![]));
}

#[tokio::test]
async fn what_is_sent_is_json_over_a_fresh_connection() {
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let at = agent(move |mut stream, request| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(request);
            // A length would allow the client to go on with the connection.
            let answer = r#"{"code":"SUCCESS","data":{"code":"SUCCESS"}}"#;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "the connection was used again");
        }
    })
    .await;
    let client = client();
    client.install(at, "a\"b", "1", "http://x/a.jar?x={\n}").await;
    client.uninstall(at, "a", "1").await;
    client.switch(at, "a", "1").await;
    let mut next = async || {
        let request = requests.recv().await.expect("a request");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
        (head.lines().next().map(str::to_owned), serde_json::from_str::<serde_json::Value>(body).expect("JSON"))
    };
    let body = serde_json::json!({"bizName": "a\"b", "bizVersion": "1", "bizUrl": "http://x/a.jar?x={\n}"});
    assert_eq!(next().await, (Some("POST /installBiz HTTP/1.1".into()), body));
    let body = serde_json::json!({"bizName": "a", "bizVersion": "1"});
    assert_eq!(next().await, (Some("POST /uninstallBiz HTTP/1.1".into()), body.clone()));
    assert_eq!(next().await, (Some("POST /switchBiz HTTP/1.1".into()), body));
}

#[tokio::test]
async fn cut_or_garbled_answers_are_unknown() {
    for (answer, part) in [
        (format!(r#"{OK}{{"code":"SUCCESS","data":[{{"bizName":"a","bizV"#), "cannot be read"),
        (format!(r#"{OK}{{"code":"SUCCESS","data":[]"#), "cannot be read"),
        (format!("{OK}\u{1}\u{2}garbage"), "cannot be read"),
        (format!(r#"{OK}{{"code":"SUCCESS","data":[]}}{{"#), "cannot be read"),
        (format!(r#"{OK}{{"code":"SUCCESS","data":[{{"bizState":"ACTIVATED"}}]}}"#), "the list cannot be read"),
        (format!(r#"{OK}{{"code":"FAILED","message":"no"}}"#), "could not tell: no"),
        (format!(r#"{OK}{{"code":"MAYBE"}}"#), "could not tell"),
        (OK.to_owned(), "empty"),
        (String::new(), "broke off"),
        ("this is not HTTP\r\n\r\n".to_owned(), "broke off"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"code\":\"SUCCESS\",\"data\":[]}".to_owned(), "broke off"),
    ] {
        unknown(client().query_all(saying(answer).await).await, part);
    }
}

#[tokio::test]
async fn other_statuses_are_unknown_and_redirects_are_not_followed() {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    let elsewhere = agent(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    })
    .await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let at = saying(format!("HTTP/1.1 {status}\r\nLocation: http://{elsewhere}/installBiz\r\n\r\n")).await;
        let part = &status[..3];
        match client().install(at, "a", "1", "http://x/a.jar").await {
            InstallOutcome::NoAnswer(NoAnswer::Unknown(why)) => {
                assert!(why.contains(part), "{why}")
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    let at = saying(
        "HTTP/1.1 500 Internal Server Error\r\nContent_Length: 42\r\n\r\nPOST http request only supported by arklet",
    )
    .await;
    unknown(client().query_all(at).await, "HTTP 500");
    let at = saying("HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n").await;
    unknown(client().health(at).await, "HTTP 413");
}

#[tokio::test]
async fn an_endless_answer_is_given_up_at_the_bound() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let at = agent(move |mut stream, _| {
        let sent = Arc::clone(&counted);
        async move {
            let spaces = [b' '; 16 << 10];
            let _ = stream.write_all(OK.as_bytes()).await;
            while sent.load(Ordering::SeqCst) < 1 << 30 && stream.write_all(&spaces).await.is_ok() {
                sent.fetch_add(spaces.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let start = Instant::now();
    unknown(client().query_all(at).await, "larger than 1048576 bytes");
    match client().install(at, "a", "1", "u").await {
        InstallOutcome::NoAnswer(NoAnswer::Unknown(why)) => {
            assert!(why.contains("larger than 65536"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // What the sockets' own buffers take comes on top of the bounds.
    assert!(sent.load(Ordering::SeqCst) < 64 << 20, "{}", sent.load(Ordering::SeqCst));

    let announced = saying("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{").await;
    unknown(client().query_all(announced).await, "larger than");
}

#[tokio::test]
async fn hangs_end_at_their_time_and_are_unknown() {
    let client = Client::new(quick()).expect("a client");
    let silent = agent(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let stops_in_the_body = agent(|mut stream, _| async move {
        let _ = stream.write_all(format!("{OK}{{\"code\"").as_bytes()).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let start = Instant::now();
    for at in [silent, stops_in_the_body] {
        unknown(client.query_all(at).await, "within 300ms");
        unknown(client.health(at).await, "within 300ms");
        let late = || NoAnswer::Unknown("no answer from the agent within 300ms".to_owned());
        assert_eq!(client.install(at, "a", "1", "u").await, InstallOutcome::NoAnswer(late()));
        assert_eq!(client.uninstall(at, "a", "1").await, UninstallOutcome::NoAnswer(late()));
        assert_eq!(client.switch(at, "a", "1").await, SwitchOutcome::NoAnswer(late()));
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn only_a_connection_that_never_was_is_not_sent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
    let at = listener.local_addr().expect("its address");
    drop(listener);
    let at = Endpoint { ip: at.ip(), port: at.port() };
    match client().install(at, "a", "1", "u").await {
        InstallOutcome::NoAnswer(NoAnswer::NotSent(why)) => {
            assert!(why.contains("refused"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    let resets = agent(|stream, _| async move { stream.set_zero_linger().expect("an option") }).await;
    unknown(client().query_all(resets).await, "broke off");
}

#[tokio::test]
async fn connecting_has_a_time_of_its_own() {
    // One that never accepts and whose queue is full: further connections stay half-open.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("an address");
    let listener = socket.listen(0).expect("a listener");
    let at = listener.local_addr().expect("its address");
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await {
        waiting.push(stream);
    }
    let bounds = Bounds { connect: Duration::from_millis(200), ..Bounds::default() };
    let client = Client::new(bounds).expect("a client");
    let outcome = client.uninstall(Endpoint { ip: at.ip(), port: at.port() }, "a", "1").await;
    let why = "no connection to the agent in time".to_owned();
    assert_eq!(outcome, UninstallOutcome::NoAnswer(NoAnswer::NotSent(why)));
}

#[tokio::test]
async fn the_outcomes_of_an_install() {
    use InstallOutcome::*;
    let biz = |name: &str, version: &str, state: &str| {
        format!(
            r#"{{"code":"SUCCESS","baseIdentity":"x","data":{{"bizInfos":[{{"attributes":{{}},"bizName":"{name}","bizState":"{state}","bizStateRecords":[{{}},{{}}],"bizVersion":"{version}","bizClassLoader":{{"parent":[{{}}]}}}}],"code":"SUCCESS","elapsedSpace":541336,"message":"fine"}}}}"#
        )
    };
    let trace = serde_json::to_string("a.B: x\nCaused by: java.io.FileNotFoundException: /gone.jar").expect("JSON");
    let clash = serde_json::to_string(CLASH).expect("JSON");
    for (reply, outcome) in [
        (biz("a", "1", "ACTIVATED"), Installed(BizState::Activated)),
        (biz("a", "1", "deactivated"), Installed(BizState::Deactivated)),
        (biz("a", "1", "dozing"), Installed(BizState::Other("dozing".into()))),
        (biz("stranger", "9.9.9", "ACTIVATED"), WrongIdentity { found: vec![("stranger".into(), "9.9.9".into())] }),
        (biz("a", "2", "ACTIVATED"), WrongIdentity { found: vec![("a".into(), "2".into())] }),
        (
            r#"{"code":"FAILED","data":{"code":"REPEAT_BIZ","elapsedSpace":0,"message":"Biz: a:1 has been installed or registered."},"message":"install biz not success!"}"#.into(),
            AlreadyThere,
        ),
        (r#"{"code":"FAILED","data":{"code":"REPEAT_BIZ"}}"#.into(), AlreadyThere),
        (
            r#"{"code":"FAILED","data":{"code":"REPEAT_BIZ","message":"Biz: stranger:9.9.9 has been installed or registered."}}"#.into(),
            Rejected("the jar's manifest says stranger:9.9.9, which is on this base already".into()),
        ),
        (
            r#"{"code":"FAILED","message":"FAILED:a:1 installBiz conflict, exist unfinished command(installBiz) for this biz"}"#.into(),
            Conflict,
        ),
        (
            r#"{"code":"FAILED","data":{"code":"ILLEGAL_STATE_BIZ","message":"state must not be BROKEN"}}"#.into(),
            Rejected("state must not be BROKEN".into()),
        ),
        (
            format!(r#"{{"code":"CMD_PROCESS_INTERNAL_ERROR","errorStackTrace":{trace},"message":"Internal Error: x"}}"#),
            Rejected("java.io.FileNotFoundException: /gone.jar".into()),
        ),
        (
            format!(r#"{{"code":"CMD_PROCESS_INTERNAL_ERROR","errorStackTrace":{clash}}}"#),
            Rejected("java.lang.IllegalArgumentException: Child name [/hello] is not unique".into()),
        ),
        (
            r#"{"code":"CMD_NOT_FOUND","message":"please follow the doc"}"#.into(),
            Rejected("the agent doesn't know this command".into()),
        ),
        (
            r#"{"code":"SUCCESS","data":{"code":"SUCCESS"}}"#.into(),
            NoAnswer(super::NoAnswer::Unknown("the agent reports a success but not what it installed".into())),
        ),
        (
            r#"{"code":"LATER"}"#.into(),
            NoAnswer(super::NoAnswer::Unknown("the agent answered with the unknown code LATER".into())),
        ),
    ] {
        let got = client().install(replying(&reply).await, "a", "1", "http://x/a.jar").await;
        if let Rejected(cause) = &got {
            assert_eq!(is_web_context_clash(cause), reply.contains("Child name"), "{reply}");
        }
        assert_eq!(got, outcome, "{reply}");
    }
}

#[tokio::test]
async fn the_outcomes_of_an_uninstall() {
    use UninstallOutcome::*;
    for (reply, outcome) in [
        (r#"{"code":"SUCCESS","data":{"code":"SUCCESS","message":"Uninstall biz: a:1 success."}}"#, Gone),
        (r#"{"code":"FAILED","data":{"code":"NOT_FOUND_BIZ","message":"Uninstall biz: a:1 not found."}}"#, Gone),
        (
            r#"{"code":"FAILED","message":"FAILED:a:1 uninstallBiz conflict, exist unfinished command(installBiz) for this biz"}"#,
            Conflict,
        ),
        (
            r#"{"code":"CMD_PROCESS_INTERNAL_ERROR","errorStackTrace":"a.B: x\nCaused by: c.D: no Spring"}"#,
            Failed("c.D: no Spring".into()),
        ),
        (r#"{"code":"SUCCESS","data":{"code":"ILLEGAL_STATE_BIZ","message":"resolved"}}"#, Failed("resolved".into())),
    ] {
        assert_eq!(client().uninstall(replying(reply).await, "a", "1").await, outcome, "{reply}");
    }
}

#[tokio::test]
async fn the_outcomes_of_a_switch() {
    use SwitchOutcome::*;
    for (reply, outcome) in [
        (r#"{"code":"SUCCESS","data":{"code":"SUCCESS","message":"Switch biz: a:1 is activated."}}"#, Switched),
        (r#"{"code":"FAILED","data":{"code":"NOT_FOUND_BIZ"},"message":"switch biz not success!"}"#, NotFound),
        (r#"{"code":"FAILED","message":"x conflict, exist unfinished command(switchBiz) for this biz"}"#, Conflict),
        (r#"{"code":"FAILED","data":{"code":"ILLEGAL_STATE_BIZ","message":"broken"}}"#, Failed("broken".into())),
    ] {
        assert_eq!(client().switch(replying(reply).await, "a", "1").await, outcome, "{reply}");
    }
}

#[tokio::test]
async fn health_with_and_without_metaspace() {
    let without = replying(
        r#"{"code":"SUCCESS","data":{"healthData":{"jvm":{"max heap memory(M)":247.5,"java version":"17"}}}}"#,
    )
    .await;
    assert_eq!(client().health(without).await, Ok(Health { metaspace: None, base: None }));
    let with = replying(r#"{"code":"SUCCESS","data":{"healthData":{"jvm":{"java max metaspace":-1,"java committed metaspace":2,"java used metaspace":1}}}}"#).await;
    let metaspace = Metaspace { max: None, committed: 2, used: 1 };
    assert_eq!(client().health(with).await, Ok(Health { metaspace: Some(metaspace), base: None }));
}

#[test]
fn an_endpoint_is_written_as_in_a_url() {
    let at = Endpoint { ip: "fd00::1".parse().expect("an address"), port: 1238 };
    assert_eq!(at.to_string(), "[fd00::1]:1238");
}
