//! The simulator as a client sees it, over sockets: every quirk of the real agent that it copies.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 5, 2);
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

async fn sim() -> Sim {
    Sim::start(0).await.expect("a simulator")
}

/// Sends bytes and reads to the end of the connection.
async fn raw(sim: &Sim, ip: Ipv4Addr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((ip, sim.port())).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn ask_raw(sim: &Sim, ip: Ipv4Addr, command: &str, body: &str) -> std::io::Result<Vec<u8>> {
    let request = format!("POST /{command} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    raw(sim, ip, request.as_bytes()).await
}

async fn ask(sim: &Sim, ip: Ipv4Addr, command: &str, body: Value) -> Value {
    let answer = ask_raw(sim, ip, command, &body.to_string()).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert_eq!(head, "HTTP/1.1 200 OK");
    serde_json::from_str(body).expect("JSON")
}

fn biz(name: &str, version: &str) -> Value {
    json!({"bizName": name, "bizVersion": version, "bizUrl": format!("http://jars/{name}-{version}.jar")})
}

async fn install(sim: &Sim, ip: Ipv4Addr, name: &str, version: &str) -> Value {
    ask(sim, ip, "installBiz", biz(name, version)).await
}

/// The list as the agent tells it.
async fn list(sim: &Sim, ip: Ipv4Addr) -> Vec<String> {
    let reply = ask(sim, ip, "queryAllBiz", json!({})).await;
    let text = |biz: &Value, key: &str| biz[key].as_str().expect("a string").to_owned();
    let mut list: Vec<_> = reply["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|biz| format!("{}:{}={}", text(biz, "bizName"), text(biz, "bizVersion"), text(biz, "bizState")))
        .collect();
    list.sort();
    list
}

/// An operation that is under way while the test goes on.
fn begin(sim: &Sim, ip: Ipv4Addr, command: &'static str, body: Value) -> JoinHandle<std::io::Result<Vec<u8>>> {
    let port = sim.port();
    tokio::spawn(async move {
        let body = body.to_string();
        let mut stream = TcpStream::connect((ip, port)).await?;
        let head = format!("POST /{command} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    })
}

#[tokio::test]
async fn an_address_is_a_base() {
    let sim = sim().await;
    assert_eq!(install(&sim, ONE, "a", "1").await["data"]["code"], "SUCCESS");
    assert_eq!(list(&sim, ONE).await, ["a:1=ACTIVATED"]);
    assert_eq!(list(&sim, TWO).await, Vec::<String>::new());
    assert_eq!(sim.addresses(), [IpAddr::from(ONE), IpAddr::from(TWO)]);
    assert_eq!(sim.base(ONE).serving("a").as_deref(), Some("1"));
    let totals = sim.totals();
    assert_eq!((totals.installs, totals.installed, totals.queries, totals.connections), (1, 1, 2, 3));
    sim.assert_no_violations();
}

#[tokio::test]
async fn the_second_version_waits_for_the_switch() {
    let sim = sim().await;
    install(&sim, ONE, "a", "1").await;
    let second = install(&sim, ONE, "a", "2").await;
    assert_eq!(second["data"]["bizInfos"][0]["bizState"], "DEACTIVATED");
    assert_eq!(list(&sim, ONE).await, ["a:1=ACTIVATED", "a:2=DEACTIVATED"]);
    let switched = ask(&sim, ONE, "switchBiz", biz("a", "2")).await;
    assert_eq!(switched["data"]["message"], "Switch biz: a:2 is activated.");
    assert_eq!(list(&sim, ONE).await, ["a:1=DEACTIVATED", "a:2=ACTIVATED"]);
    ask(&sim, ONE, "uninstallBiz", biz("a", "2")).await;
    assert_eq!(list(&sim, ONE).await, ["a:1=DEACTIVATED"], "the inactive one doesn't take over");
    install(&sim, ONE, "a", "2").await;
    assert_eq!(list(&sim, ONE).await, ["a:1=DEACTIVATED", "a:2=ACTIVATED"]);
    let absent = ask(&sim, ONE, "switchBiz", biz("a", "3")).await;
    assert_eq!((&absent["code"], &absent["data"]["code"]), (&json!("FAILED"), &json!("NOT_FOUND_BIZ")));
}

#[tokio::test]
async fn the_settings_of_the_other_runtime() {
    let config = BaseConfig { activate_new: true, install_delay: Duration::ZERO, ..BaseConfig::runtime_2_1_6() };
    let sim = Sim::start_with(0, config).await.expect("a simulator");
    install(&sim, ONE, "a", "1").await;
    install(&sim, ONE, "a", "2").await;
    assert_eq!(list(&sim, ONE).await, ["a:1=deactivated", "a:2=activated"]);
    let jvm = &ask(&sim, ONE, "health", json!({})).await["data"]["healthData"]["jvm"];
    assert_eq!(jvm["java max metaspace"], -1);
    let mut request = biz("a", "3");
    request["installStrategy"] = "uninstallThenInstall".into();
    ask(&sim, ONE, "installBiz", request).await;
    assert_eq!(list(&sim, ONE).await, ["a:3=activated"]);
}

#[tokio::test]
async fn what_the_agent_refuses() {
    let sim = sim().await;
    install(&sim, ONE, "a", "1").await;
    let again = install(&sim, ONE, "a", "1").await;
    assert_eq!((&again["code"], &again["data"]["code"]), (&json!("FAILED"), &json!("REPEAT_BIZ")));
    let absent = ask(&sim, ONE, "uninstallBiz", biz("b", "1")).await;
    assert_eq!((&absent["code"], &absent["data"]["code"]), (&json!("FAILED"), &json!("NOT_FOUND_BIZ")));
    assert_eq!(ask(&sim, ONE, "batchInstallBiz", json!({})).await["code"], "CMD_NOT_FOUND");
    let blank = ask(&sim, ONE, "installBiz", json!({})).await;
    assert_eq!(blank["message"], "Internal Error: bizUrl should not be blank");
    let get = raw(&sim, ONE, b"GET /queryAllBiz HTTP/1.1\r\n\r\n").await.expect("an answer");
    assert!(String::from_utf8_lossy(&get).contains("Content_Length: 42"));
    let mut stream = TcpStream::connect((ONE, sim.port())).await.expect("a connection");
    stream.write_all(b"POST /health HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n").await.expect("a request");
    let mut large = [0; 13];
    stream.read_exact(&mut large).await.expect("an answer, although the connection stays open");
    assert_eq!(&large, b"HTTP/1.1 413 ");
    for body in ["{", "[1]", "7"] {
        assert!(timeout(SHORT, ask_raw(&sim, ONE, "queryAllBiz", body)).await.is_err(), "{body} was answered");
    }
}

#[tokio::test]
async fn one_context_path_is_held_by_one_biz() {
    let sim = sim().await;
    for version in ["1", "2"] {
        sim.behave("hello", version, Behaviour::ok().context("/hello"));
    }
    install(&sim, ONE, "hello", "1").await;
    let clash = install(&sim, ONE, "hello", "2").await;
    assert_eq!(clash["code"], "CMD_PROCESS_INTERNAL_ERROR");
    let trace = clash["errorStackTrace"].as_str().expect("a trace");
    assert!((4_000..10_000).contains(&trace.len()), "{}", trace.len());
    let cause = trace.lines().rfind(|line| line.starts_with("Caused by:")).expect("a cause");
    assert!(cause.ends_with("Child name [/hello] is not unique"), "{cause}");
    assert_eq!(list(&sim, ONE).await, ["hello:1=ACTIVATED"]);
    ask(&sim, ONE, "uninstallBiz", biz("hello", "1")).await;
    install(&sim, ONE, "hello", "2").await;
    assert_eq!(list(&sim, ONE).await, ["hello:2=ACTIVATED"]);
}

#[tokio::test]
async fn failing_starts() {
    let sim = sim().await;
    sim.behave("a", "1", Behaviour::fails("x.Y: no price list"));
    sim.jar("http://jars/gone-1.jar", Behaviour::unfetchable("java.io.FileNotFoundException: gone-1.jar"));
    let failed = install(&sim, ONE, "a", "1").await;
    assert!(failed["errorStackTrace"].as_str().expect("a trace").contains("Caused by: x.Y: no price list\n"));
    assert_eq!(failed["message"], "Internal Error: java.lang.reflect.InvocationTargetException");
    let gone = install(&sim, ONE, "gone", "1").await;
    assert_eq!(gone["message"], "Internal Error: java.io.FileNotFoundException: gone-1.jar");
    assert_eq!(list(&sim, ONE).await, Vec::<String>::new());

    sim.base(TWO).configure(|config| config.auto_uninstall_failed = false);
    install(&sim, TWO, "a", "1").await;
    assert_eq!(list(&sim, TWO).await, ["a:1=BROKEN"]);
    assert_eq!(install(&sim, TWO, "a", "1").await["data"]["code"], "REPEAT_BIZ");
    let switch = ask(&sim, TWO, "switchBiz", biz("a", "1")).await;
    assert_eq!(switch["data"]["code"], "ILLEGAL_STATE_BIZ");
    assert_eq!(ask(&sim, TWO, "uninstallBiz", biz("a", "1")).await["code"], "SUCCESS");
    assert_eq!(list(&sim, TWO).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_manifest_wins() {
    let sim = sim().await;
    sim.jar("http://jars/misnamed-1.jar", Behaviour::ok().manifest("stranger", "9"));
    let reply = install(&sim, ONE, "misnamed", "1").await;
    assert_eq!((&reply["code"], &reply["data"]["bizInfos"][0]["bizName"]), (&json!("SUCCESS"), &json!("stranger")));
    let again = install(&sim, ONE, "misnamed", "1").await;
    assert_eq!(again["data"]["message"], "Biz: stranger:9 has been installed or registered.");
    assert_eq!(list(&sim, ONE).await, ["stranger:9=ACTIVATED"]);
}

#[tokio::test]
async fn without_spring_an_uninstall_fails_and_works() {
    let sim = sim().await;
    sim.behave("a", "1", Behaviour::ok().without_spring());
    install(&sim, ONE, "a", "1").await;
    assert_eq!(ask(&sim, ONE, "uninstallBiz", biz("a", "1")).await["code"], "CMD_PROCESS_INTERNAL_ERROR");
    assert_eq!(list(&sim, ONE).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_operation_holds_its_biz_and_outlives_its_client() {
    let sim = sim().await;
    sim.behave("a", "1", Behaviour::ok().slow(Duration::from_millis(200)));
    let running = begin(&sim, ONE, "installBiz", biz("a", "1"));
    assert!(sim.base(ONE).until(LONG, |list| list.len() == 1).await);
    assert_eq!(list(&sim, ONE).await, ["a:1=RESOLVED"]);
    running.abort();
    for command in ["installBiz", "uninstallBiz", "switchBiz"] {
        let conflict = ask(&sim, ONE, command, biz("a", "1")).await;
        let message = format!("FAILED:a:1 {command} conflict, exist unfinished command(installBiz) for this biz");
        assert_eq!((&conflict["code"], &conflict["message"]), (&json!("FAILED"), &json!(message)));
    }
    assert!(sim.base(ONE).until(LONG, |list| list[0].state == State::Activated).await);
    assert_eq!(sim.base(ONE).counts().conflicts, 3);
    sim.assert_no_violations();
}

#[tokio::test]
async fn an_uninstall_takes_its_time_and_does_not_serve_meanwhile() {
    let sim = sim().await;
    sim.base(ONE).configure(|config| config.uninstall_delay = Duration::from_millis(200));
    install(&sim, ONE, "a", "1").await;
    let running = begin(&sim, ONE, "uninstallBiz", biz("a", "1"));
    assert!(sim.base(ONE).until(LONG, |list| list[0].state == State::Deactivated).await);
    running.await.expect("no panic").expect("an answer");
    assert_eq!(sim.base(ONE).list(), []);
    let states: Vec<_> = sim.changes().into_iter().map(|change| change.state).collect();
    assert_eq!(states, [Some(State::Resolved), Some(State::Activated), Some(State::Deactivated), None]);
}

#[tokio::test]
async fn what_no_operator_may_do_is_kept() {
    let sim = sim().await;
    sim.behave("a", "1", Behaviour::ok().slow(SHORT));
    let running = begin(&sim, ONE, "installBiz", biz("a", "1"));
    assert!(sim.base(ONE).until(LONG, |list| list.len() == 1).await);
    install(&sim, ONE, "a", "2").await;
    running.await.expect("no panic").expect("an answer");
    install(&sim, ONE, "a", "3").await;
    let mut request = biz("b", "1");
    request["async"] = true.into();
    ask(&sim, ONE, "installBiz", request).await;
    let violations = sim.violations();
    assert_eq!(violations.len(), 3, "{violations:?}");
    assert!(violations[0].ends_with("installBiz of a:2 while installBiz of a:1 runs"));
    assert!(violations[1].ends_with("3 versions of a at once: 1, 2, 3"));
    assert!(violations[2].ends_with("an asynchronous installBiz"));
}

#[tokio::test]
async fn hanging_installs_end_when_they_are_released() {
    let sim = sim().await;
    let base = sim.base(ONE);
    base.behave("a", "1", Behaviour::fetch_hangs());
    base.behave("b", "1", Behaviour::start_hangs());
    let fetching = begin(&sim, ONE, "installBiz", biz("a", "1"));
    let starting = begin(&sim, ONE, "installBiz", biz("b", "1"));
    assert!(base.until(LONG, |list| list.len() == 1).await);
    tokio::time::sleep(SHORT).await;
    assert_eq!(list(&sim, ONE).await, ["b:1=RESOLVED"]);
    base.behave("a", "1", Behaviour::unfetchable("java.net.SocketException: closed"));
    base.behave("b", "1", Behaviour::ok());
    let text = |answer: std::io::Result<Vec<u8>>| String::from_utf8(answer.expect("an answer")).expect("UTF-8");
    assert!(text(fetching.await.expect("no panic")).contains("java.net.SocketException: closed"));
    assert!(text(starting.await.expect("no panic")).contains("\"code\":\"SUCCESS\""));
}

#[tokio::test]
async fn one_connection_in_four_waits_for_a_running_install() {
    let sim = sim().await;
    let base = sim.base(ONE);
    base.configure(|config| config.hang_every_fourth_during_install = true);
    base.behave("a", "1", Behaviour::start_hangs());
    let running = begin(&sim, ONE, "installBiz", biz("a", "1"));
    assert!(base.until(LONG, |list| list.len() == 1).await);
    let mut hung = 0;
    for _ in 0..8 {
        hung += u32::from(timeout(SHORT, ask_raw(&sim, ONE, "health", "{}")).await.is_err());
    }
    assert_eq!(hung, 2);
    // An install that its client gave up while it waited is carried out all the same.
    let mut left = Vec::new();
    for version in ["1", "2", "3", "4"] {
        left.push(begin(&sim, ONE, "installBiz", biz(&format!("b{version}"), version)));
    }
    assert!(base.until(LONG, |list| list.len() == 4).await);
    tokio::time::sleep(SHORT).await;
    left.iter().for_each(JoinHandle::abort);
    base.behave("a", "1", Behaviour::ok());
    running.await.expect("no panic").expect("an answer");
    assert!(base.until(LONG, |list| list.len() == 5).await);
}

#[tokio::test]
async fn ghosts_serve_unlisted() {
    let sim = sim().await;
    let base = sim.base(ONE);
    base.configure(|config| config.install_strategy = true);
    base.behave("a", "1", Behaviour::start_hangs());
    let running = begin(&sim, ONE, "installBiz", biz("a", "1"));
    assert!(base.until(LONG, |list| list.len() == 1).await);
    let mut request = biz("a", "2");
    request["installStrategy"] = "uninstallThenInstall".into();
    ask(&sim, ONE, "installBiz", request).await;
    base.behave("a", "1", Behaviour::ok());
    running.await.expect("no panic").expect("an answer");
    assert_eq!(list(&sim, ONE).await, ["a:2=ACTIVATED"]);
    base.behave("b", "1", Behaviour::ok().ghost());
    install(&sim, ONE, "b", "1").await;
    assert_eq!(base.ghosts(), [("a".into(), "1".into()), ("b".into(), "1".into())]);
}

#[tokio::test]
async fn restarts_and_new_pods_are_empty() {
    let sim = sim().await;
    let base = sim.base(ONE);
    base.put("old", "1", State::Activated);
    base.behave("a", "1", Behaviour::start_hangs());
    let running = begin(&sim, ONE, "installBiz", biz("a", "1"));
    assert!(base.until(LONG, |list| list.len() == 2).await);
    base.empty();
    assert_eq!(running.await.expect("no panic").expect("an end"), b"", "the JVM's end has no last words");
    assert_eq!(base.list(), []);
    assert_eq!(base.calls().last().expect("a call").incarnation, 0);

    base.configure(|config| config.style = Style::Lower);
    base.fault(Fault::Hang);
    sim.reset(ONE);
    install(&sim, ONE, "a", "1").await;
    assert_eq!(list(&sim, ONE).await, ["a:1=ACTIVATED"]);
    assert_eq!(base.calls().last().expect("a call").incarnation, 1);
    sim.assert_no_violations();
}

#[tokio::test]
async fn faults_instead_of_answers() {
    let sim = sim().await;
    let base = sim.base(ONE);
    for (fault, start) in [
        (Fault::Status500, "HTTP/1.1 500 "),
        (Fault::Garbage, "HTTP/1.1 200 OK\r\n\r\n<html>"),
        (Fault::Throws("no".into()), "HTTP/1.1 200 OK\r\n\r\n{\"code\":\"CMD_PROCESS_INTERNAL_ERROR\""),
        (Fault::Redirect("http://x/".into()), "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://x/\r\n"),
    ] {
        base.fault(fault);
        let answer = ask_raw(&sim, ONE, "installBiz", &biz("a", "1").to_string()).await.expect("an answer");
        assert!(answer.starts_with(start.as_bytes()), "{start}");
    }
    base.fault(Fault::Reset);
    let reset = ask_raw(&sim, ONE, "queryAllBiz", "{}").await;
    assert_eq!(reset.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    base.fault(Fault::Huge);
    let mut stream = TcpStream::connect((ONE, sim.port())).await.expect("a connection");
    stream.write_all(b"POST /health HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").await.expect("a request");
    let mut taken = vec![0; 4 << 20];
    stream.read_exact(&mut taken).await.expect("more than anybody wants");
    assert_eq!(base.list(), [], "nothing was carried out");
    assert_eq!(sim.addresses(), [IpAddr::from(ONE)]);
}

#[tokio::test]
async fn faults_after_the_deed() {
    let sim = sim().await;
    let base = sim.base(ONE);
    base.fault_once(Command::Install, Fault::CloseAfter);
    assert_eq!(ask_raw(&sim, ONE, "installBiz", &biz("a", "1").to_string()).await.expect("an end"), b"");
    assert_eq!(list(&sim, ONE).await, ["a:1=ACTIVATED"]);
    base.fault_once(Command::Install, Fault::Truncated);
    let cut = ask_raw(&sim, ONE, "installBiz", &biz("b", "1").to_string()).await.expect("half an answer");
    let body = cut.strip_prefix(b"HTTP/1.1 200 OK\r\n\r\n").expect("a head");
    assert!(!body.is_empty() && serde_json::from_slice::<Value>(body).is_err());
    base.fault_once(Command::Uninstall, Fault::HangAfter);
    let left = timeout(SHORT, ask_raw(&sim, ONE, "uninstallBiz", &biz("b", "1").to_string())).await;
    assert!(left.is_err());
    assert_eq!(list(&sim, ONE).await, ["a:1=ACTIVATED"]);
    base.fault_for(Command::Query, Fault::Delay(SHORT));
    let begun = std::time::Instant::now();
    list(&sim, ONE).await;
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_hang_ends_with_the_fault() {
    let sim = sim().await;
    sim.base(ONE).fault(Fault::Hang);
    let hanging = begin(&sim, ONE, "installBiz", biz("a", "1"));
    tokio::time::sleep(SHORT).await;
    assert!(!hanging.is_finished());
    assert!(list(&sim, TWO).await.is_empty(), "the other bases answer");
    sim.base(ONE).heal();
    assert_eq!(hanging.await.expect("no panic").expect("an end"), b"");
    assert_eq!(list(&sim, ONE).await, Vec::<String>::new());
}

#[tokio::test]
async fn calls_are_logged_in_order_and_bounded() {
    let sim = sim().await;
    sim.base(ONE).configure(|config| config.log_questions = false);
    install(&sim, ONE, "a", "1").await;
    list(&sim, ONE).await;
    ask(&sim, ONE, "uninstallBiz", biz("a", "1")).await;
    let commands: Vec<_> = sim.base(ONE).calls().into_iter().map(|call| (call.command, call.name)).collect();
    assert_eq!(commands, [(Command::Install, "a".into()), (Command::Uninstall, "a".into())]);
    for _ in 0..record::MAX_CALLS {
        ask(&sim, TWO, "queryAllBiz", json!({})).await;
    }
    install(&sim, TWO, "a", "1").await;
    let calls = sim.base(TWO).calls();
    assert_eq!(calls.len(), record::MAX_CALLS);
    assert_eq!(calls.last().expect("a call").command, Command::Install);
}

#[tokio::test]
async fn dropping_the_simulator_frees_its_port() {
    let sim = sim().await;
    let port = sim.port();
    sim.base(ONE).fault(Fault::Hang);
    let hanging = begin(&sim, ONE, "health", json!({}));
    tokio::time::sleep(SHORT).await;
    drop(sim);
    assert!(timeout(LONG, hanging).await.is_ok(), "a connection outlived the simulator");
    let mut again = Sim::start(port).await;
    while again.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = Sim::start(port).await;
    }
}
