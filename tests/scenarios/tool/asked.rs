//! What the tool asks a person in a terminal, and every way to answer.

use std::path::Path;

use rig::{
    cluster::{Kind, scenario_without_operator},
    terminal::{BEFORE, Terminal},
};
use serde_json::json;

const QUESTION: &str = "Do all of this? [y/N]";

#[test]
fn a_migration_is_done_after_a_yes_and_after_nothing_else() {
    scenario_without_operator("asked_migrate", |world| async move {
        let applied = json!({ "spec": { "replicas": -1 } }).to_string();
        let last = "kubectl.kubernetes.io/last-applied-configuration";
        let module = json!({ "name": "m", "version": "1.0.0", "url": "file:///m.jar" });
        let spec = json!({ "baseDeploymentName": "base", "replicas": 2, "template": { "spec": { "module": module } } });
        let metadata = json!({ "name": "peer", "annotations": { last: applied } });
        world.create(Kind::ModuleDeployment, json!({ "metadata": metadata, "spec": spec })).await;
        let args = ["migrate", "apply", "--mend", "peer", "-n", world.namespace()];
        let ask = || Terminal::run(Path::new(env!("CARGO_BIN_EXE_kubectl-module")), &args, &[], (100, 24));

        for (keys, code, answered) in
            [("n\r", 1, "n"), ("\r", 1, ""), ("yess\r", 1, "yess"), ("\u{4}", 1, ""), ("\u{3}", 130, "^C")]
        {
            let mut window = ask();
            window.until_shown(QUESTION).await;
            window.type_in(keys);
            let ended = window.end().await;
            let shown = ended.last.text();
            assert_eq!(ended.code, code, "{keys:?}: {shown}");
            assert!(shown.starts_with(BEFORE) && shown.contains("ModuleDeployment peer"), "what is asked for: {shown}");
            let asked = format!("{QUESTION} {answered}");
            let row =
                ended.last.rows.iter().position(|row| row == asked.trim_end()).unwrap_or_else(|| panic!("{shown}"));
            if code == 1 {
                assert_eq!(ended.last.rows[row + 1..], ["error: nothing was done"], "{keys:?}: {shown}");
                assert!(ended.disorder.is_empty(), "{keys:?}: {:?}: {shown}", ended.disorder);
            }
            assert_eq!(world.deployment("peer").await["spec"]["replicas"], 2, "{keys:?}");
        }

        for keys in ["y\r", "Yes\r"] {
            world.change("peer", json!({ "replicas": 2 })).await;
            let mut window = ask();
            window.until_shown(QUESTION).await;
            window.type_in(keys);
            let ended = window.end().await;
            assert_eq!(ended.code, 0, "{keys:?}: {}", ended.last.text());
            assert!(ended.disorder.is_empty(), "{:?}", ended.disorder);
            assert_eq!(world.deployment("peer").await["spec"]["replicas"], -1, "{keys:?}");
        }
    });
}
