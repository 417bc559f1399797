//! `kubectl module` where it needs no cluster: what a user types, what is printed, and the exit code.

mod shells;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn tool(args: &[&str], input: &str) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-module"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // Whatever asks a cluster fails.
        .env("KUBECONFIG", "/nowhere")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built with this test");
    // One that doesn't read has ended.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A cluster that nobody answers for: port 9 of this machine.
const NOBODY: &str = "\
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}]
users: [{name: a, user: {}}]
";

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("inner")).unwrap();
    folder
}

const CREATE: [&str; 8] =
    ["create", "hello", "--base", "base", "--version", "1.0.0", "--url", "https://host/hello.jar"];

#[test]
fn what_create_writes_passes_validate() {
    let all = [
        "--replicas",
        "-1",
        "--policy",
        "uninstallThenInstall",
        "--batches",
        "2",
        "--beta",
        "--service",
        "80:web",
        "--max-unavailable",
        "25%",
        "--gray-time",
        "5",
        "--min-ready",
        "3",
        "--virtual-pods",
        "--module",
        "other",
        "-n",
        "shop",
    ];
    for extra in [&all[..], &[]] {
        let made = tool(&[&CREATE[..], extra].concat(), "");
        assert_eq!((made.code, made.err.as_str()), (Some(0), ""));
        let checked = tool(&["validate", "--strict", "-f", "-"], &made.out);
        assert_eq!(
            (checked.code, checked.out.as_str()),
            (Some(0), "1 object checked: 0 errors, 0 warnings\n"),
            "{}",
            made.out
        );
    }
}

#[test]
fn create_refuses_what_a_cluster_would_refuse_and_overwrites_nothing() {
    let wrong = tool(&[&CREATE[..], &["--replicas", "-1", "--policy", "scaleup_then_scaledown"]].concat(), "");
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""));
    assert!(wrong.err.contains("use another policy"), "{}", wrong.err);
    let path = folder("create").join("hello.yaml");
    let to_file = [&CREATE[..], &["-f", path.to_str().unwrap()]].concat();
    assert_eq!(tool(&to_file, "").code, Some(0));
    let before = fs::read_to_string(&path).unwrap();
    let again = tool(&to_file, "");
    assert!(again.code == Some(2) && again.err.contains("name another file"), "{}", again.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn validate_names_file_line_and_column_and_fails() {
    let folder = folder("validate");
    let good = tool(&CREATE, "").out;
    fs::write(folder.join("good.yaml"), &good).unwrap();
    fs::write(folder.join("note.txt"), "no: [manifest").unwrap();
    fs::write(folder.join("inner/bad.yml"), good.replace("replicas: 1", "replicas: one")).unwrap();
    let path = folder.to_str().unwrap();

    let flat = tool(&["validate", "-f", path], "");
    assert_eq!((flat.code, flat.out.as_str()), (Some(0), "1 object checked: 0 errors, 0 warnings\n"));
    let deep = tool(&["validate", "-R", "-f", path], "");
    assert_eq!(deep.code, Some(1));
    let line = format!("{path}/inner/bad.yml:7:13: error: spec.replicas: is the text \"one\"; write a whole number");
    assert!(deep.out.starts_with(&line), "{}", deep.out);
    let json: Value = serde_json::from_str(&tool(&["validate", "-R", "-o", "json", "-f", path], "").out).unwrap();
    assert_eq!((&json["errors"], &json["checked"]), (&1.into(), &2.into()));
    assert_eq!((&json["findings"][0]["line"], &json["findings"][0]["column"]), (&7.into(), &13.into()));
    let nothing = tool(&["validate", "-f", "/nowhere.yaml"], "");
    assert!(nothing.code == Some(2) && nothing.err.contains("cannot read /nowhere.yaml"), "{}", nothing.err);
}

#[test]
fn warnings_fail_only_where_that_is_asked_for() {
    let odd = tool(&CREATE, "").out.replace("install_then_uninstall", "installThenUninstall");
    assert_eq!(tool(&["validate", "-f", "-"], &odd).code, Some(0));
    let strict = tool(&["validate", "--strict", "-f", "-"], &odd);
    assert_eq!(strict.code, Some(1));
    assert!(strict.out.contains("warning: spec.operationStrategy.upgradePolicy"), "{}", strict.out);
}

/// One that isn't there, and one that nobody answers for: port 9 of this machine.
#[test]
fn a_bundle_of_no_cluster_is_none_and_is_not_in_the_way_of_the_next() {
    let folder = folder("bundle");
    let (silent, bundle) = (folder.join("kubeconfig"), folder.join("bundle.tar.gz"));
    fs::write(&silent, NOBODY).unwrap();
    for (kubeconfig, part) in
        [("/nowhere", "there is no kubeconfig /nowhere"), (silent.to_str().unwrap(), "cannot read the API")]
    {
        let args = ["support-bundle", "-o", bundle.to_str().unwrap(), "--kubeconfig", kubeconfig];
        let said = tool(&args, "");
        assert!(said.code != Some(0) && said.err.contains(part) && said.out.is_empty(), "{}{}", said.out, said.err);
        assert!(!bundle.exists(), "{kubeconfig}");
    }
}

#[test]
fn a_cluster_that_cannot_be_asked_is_told_in_one_sentence_with_what_to_do() {
    let folder = folder("errors");
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    let (good, empty, broken) = (write("good", NOBODY), write("empty", "apiVersion: v1\n"), write("broken", "a: ["));
    let login =
        "user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /nowhere/login, interactiveMode: Never}}";
    let login = write("login", &NOBODY.replace("user: {}", login));
    for (code, args, parts) in [
        (2, &["--kubeconfig", "/nowhere"][..], &["there is no kubeconfig /nowhere; name one"][..]),
        (2, &[], &["there is no kubeconfig /nowhere; name one"]),
        (
            2,
            &["--kubeconfig", &good, "--context", "no"],
            &["there is no context \"no\" in the kubeconfig", "which has a;"],
        ),
        (2, &["--kubeconfig", &good, "--user", "no"], &["there is no user \"no\"", "choose one of them with --user"]),
        (2, &["--kubeconfig", &empty], &["has no current context; choose one with --context"]),
        (2, &["--kubeconfig", &broken], &["is no YAML of a kubeconfig", "correct it"]),
        (1, &["--kubeconfig", &login], &["the command that logs you in", "run it by hand"]),
        (
            1,
            &["--kubeconfig", &good],
            &["http://127.0.0.1:9 doesn't answer", "Connection refused", "another --context"],
        ),
    ] {
        let said = tool(&[&["get"], args].concat(), "");
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{args:?}: {}", said.err);
        assert!(said.err.starts_with("error: ") && said.err.lines().count() == 1, "{args:?}: {}", said.err);
        assert_eq!(said.err.matches("/nowhere").count().max(1), 1, "{args:?}: said twice: {}", said.err);
        for part in parts {
            assert!(said.err.contains(part), "{args:?}: {part:?} isn't in {}", said.err);
        }
    }
}

#[test]
fn a_command_that_is_suggested_names_the_cluster_as_it_was_told() {
    let kubeconfig = folder("hints").join("of eve");
    fs::write(&kubeconfig, NOBODY).unwrap();
    let said = tool(&["get", "--kubeconfig", kubeconfig.to_str().unwrap(), "--context", "a", "-n", "shop"], "");
    let hint = format!("`kubectl get --raw /readyz --kubeconfig '{}' --context a`", kubeconfig.display());
    assert!(said.err.contains(&hint), "{}", said.err);
}
