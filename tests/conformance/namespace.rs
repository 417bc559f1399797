//! A network namespace for a test: agents of real bases listen on every address and have no password.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

/// The route that makes every address of the rig this machine.
const SETUP: &str = "ip link set lo up && ip route add local 10.200.0.0/16 dev lo && exec \"$0\" \"$@\"";

/// Whether this process is in a namespace with that route.
pub fn is_own() -> bool {
    TcpListener::bind((Ipv4Addr::new(10, 200, 5, 101), 0)).is_ok()
}

/// Runs one test of this binary again, inside a fresh namespace, and fails as it fails.
pub fn run_inside(test: &str) {
    let program = std::env::current_exe().expect("this program");
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net", "setpriv", "--pdeathsig", "KILL", "sh", "-c", SETUP])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        // Where ip lies for users without it on their path.
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .status()
        .expect("unshare, from the package util-linux");
    assert!(
        status.success(),
        "the test failed inside its namespace, see above; if it didn't get that far, it needs the packages util-linux and \
         iproute2 and a system that allows user namespaces"
    );
}
