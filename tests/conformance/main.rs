//! The simulated base held against a real one: the same conversations, word for word the same answers.
//!
//! What the operator's tests prove, they prove about the simulator; this is what ties the simulator to reality. Each
//! conversation is a list of steps with the answer that a base gives: the agent's own words, and what the operator's client
//! makes of them. Both kinds of base must give it.
//!
//! The real bases are JVMs from `samples/java`. Their agents listen on all addresses, so that test runs itself again in a
//! network namespace of its own, unless it is in one that has the rig's route already.

mod conversations;
mod jvm;
mod namespace;
mod play;
mod tap;
mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures::future::join_all;
use module_controller::arklet::client::Endpoint;
use rig::arklet_sim::{BaseConfig, Behaviour, Sim};

use conversations::{CONVERSATIONS, Conversation, Kind};
use play::{Jars, Target};

/// The simulated base for each kind: instant where the real one takes some hundred milliseconds, else the same.
fn config(kind: Kind) -> BaseConfig {
    let plain = BaseConfig { hang_every_fourth_during_install: true, ..BaseConfig::default() };
    match kind {
        Kind::Plain => plain,
        Kind::ActivateNew => BaseConfig { activate_new: true, ..plain },
    }
}

/// What is in the jars of `samples/java`, and what the JVM says about those that it can't have.
fn describe_jars(sim: &Sim, jars: &Jars) {
    let hello = || Behaviour::ok().context("/hello");
    let no_price_list = "java.lang.IllegalStateException: this module cannot start: it has no price list to work from";
    let missing = jars.path("missing-1.0.0");
    for (jar, behaviour) in [
        ("hello-1.0.0", hello()),
        ("hello-2.0.0", hello()),
        ("quiet-1.0.0", Behaviour::ok()),
        ("quiet-2.0.0", Behaviour::ok()),
        ("misnamed-1.0.0", Behaviour::ok().manifest("stranger", "9.9.9")),
        ("slow-1.0.0", Behaviour::ok().context("/slow").slow(Duration::from_secs(8))),
        ("failing-1.0.0", Behaviour::fails(no_price_list)),
        (
            "missing-1.0.0",
            Behaviour::unfetchable(&format!("java.io.FileNotFoundException: {missing} (No such file or directory)")),
        ),
        ("corrupt-1.0.0", Behaviour::unfetchable("java.util.zip.ZipException: zip END header not found")),
        ("refused", Behaviour::unfetchable("java.net.ConnectException: Connection refused")),
        ("schemeless", Behaviour::unfetchable("java.net.MalformedURLException: no protocol: quiet-1.0.0-ark-biz.jar")),
        ("hanging", Behaviour::fetch_hangs()),
    ] {
        sim.jar(&jars.url(jar), behaviour);
    }
}

#[tokio::test]
async fn simulated_bases_give_the_answers() {
    let jars = Jars::prepare().await;
    let sim = Sim::start(0).await.expect("a simulator");
    describe_jars(&sim, &jars);
    let conversation = |(number, conversation): (usize, &'static Conversation)| {
        let ip = IpAddr::from(Ipv4Addr::new(127, 0, 77, u8::try_from(number).expect("few conversations")));
        let base = sim.base(ip);
        base.configure(|settings| *settings = config(conversation.base));
        let (sim, jars) = (&sim, &jars);
        let release = move || {
            sim.jar(
                &jars.url("hanging"),
                Behaviour::unfetchable("java.net.SocketException: Unexpected end of file from server"),
            );
        };
        let target =
            Target { name: "simulated", at: Endpoint { ip, port: sim.port() }, jars, release: Box::new(release) };
        async move { play::conversation(&target, conversation).await }
    };
    let differences: Vec<_> = join_all(CONVERSATIONS.iter().enumerate().map(conversation)).await;
    play::assert_none(&differences.concat());
}

#[test]
fn real_bases_give_the_answers() {
    if !namespace::is_own() {
        return namespace::run_inside("real_bases_give_the_answers");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let differences = runtime.block_on(async {
        let jars = Jars::prepare().await;
        jars.require_built();
        let kinds = [Kind::Plain, Kind::ActivateNew];
        let of_kind = |(number, kind): (u8, Kind)| {
            let jars = &jars;
            async move {
                let base =
                    jvm::Base::start(Ipv4Addr::new(10, 200, 5, 101 + number), 1301 + u16::from(number), kind).await;
                let target = Target { name: "real", at: base.at, jars, release: Box::new(|| jars.release_hanging()) };
                let mut differences = Vec::new();
                // One after the other: which event loop a connection falls on depends on those before it.
                for conversation in CONVERSATIONS.iter().filter(|conversation| conversation.base == kind) {
                    differences.extend(play::conversation(&target, conversation).await);
                }
                differences
            }
        };
        join_all((0..).zip(kinds).map(of_kind)).await.concat()
    });
    play::assert_none(&differences);
}
