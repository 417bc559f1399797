//! The tab key behind `kubectl module`: kubectl itself asks the plugin's helper, which asks the cluster.

use std::{os::unix::fs::symlink, path::Path};

use rig::cluster::{SOON, module, scenario_without_operator};
use tokio::process::Command;

#[test]
fn kubectl_offers_the_names_that_the_cluster_has() {
    scenario_without_operator("completion", |world| async move {
        for name in ["hello", "help", "other"] {
            world.deploy(&module(name)).await;
        }
        // As the document says: both programs in a folder of PATH.
        let folder = world.file("programs");
        std::fs::create_dir(&folder).expect("a folder");
        let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/completion/kubectl_complete-module");
        symlink(env!("CARGO_BIN_EXE_kubectl-module"), folder.join("kubectl-module")).expect("a link");
        symlink(helper, folder.join("kubectl_complete-module")).expect("a link");
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a PATH"));
        let offered = async |words: &[&str]| {
            let mut kubectl = Command::new("kubectl");
            kubectl.args([&["__complete", "module"], words].concat()).env("PATH", &path).kill_on_drop(true);
            let output = tokio::time::timeout(SOON, kubectl.output()).await.expect("it ends").expect("kubectl runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let namespace = world.namespace();

        assert_eq!(offered(&["status", "-n", namespace, "hel"]).await, "hello\nhelp\n:4\n");
        assert_eq!(offered(&["pause", "hello", "-n", namespace, "hel"]).await, "help\n:4\n", "not what stands there");
        assert_eq!(offered(&["get", &format!("--namespace={namespace}")]).await, format!("{namespace}\n:4\n"));
        assert_eq!(offered(&["migrate", "pl"]).await, "plan\tShow what V1 left, and what becomes of it\n:4\n");
        assert_eq!(offered(&["validate", "-f", ""]).await, ":0\n", "files");
    });
}
