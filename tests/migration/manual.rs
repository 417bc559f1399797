//! The commands of docs/migration.md, in their order, on a cluster that a V1 runs in: from its kinds to ours and back.

use std::{path::Path, process::Stdio, time::Duration};

use rig::{
    arklet_sim::Behaviour,
    cluster::{Kind, SOON, World},
};
use tokio::process::Command;

use crate::{
    cluster::settled,
    dump::{Dump, read},
    process::Process,
    running_v1::start_v1,
    v1::story_alone,
    v1_kinds,
    way_back::OurKinds,
};

/// What installs and what stops the operator: here that is the process itself.
const INSTALL: &str = "kubectl apply --server-side --force-conflicts -k config/default";
const STOP: &str =
    "kubectl -n module-deployment-system scale deployment module-deployment-controller-manager --replicas=0";
/// A command may take this long.
const LONGEST: Duration = Duration::from_secs(90);

/// The lines of all blocks of commands.
fn commands() -> Vec<String> {
    let text = read("docs/migration.md");
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            line if inside => commands.push(line.to_owned()),
            _ => {}
        }
    }
    commands
}

/// Runs a command of the document where the document's namespaces are this scenario's; gives what it printed.
async fn run(world: &World, command: &str, folder: &Path) -> String {
    let namespace = world.namespace();
    let here = ["-n shop", "-n default", "--namespace shop"].iter().fold(command.to_owned(), |command, text| {
        let flag = text.split(' ').next().unwrap_or_default();
        command.replace(text, &format!("{flag} {namespace}"))
    });
    let binary = Path::new(env!("CARGO_BIN_EXE_module-controller")).parent().expect("its folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let shell =
        Command::new("sh").args(["-c", &here]).current_dir(folder).env("PATH", path).stdin(Stdio::null()).output();
    let output = tokio::time::timeout(LONGEST, shell).await.unwrap_or_else(|_| panic!("never ends: {here}"));
    let output = output.expect("a shell");
    assert!(output.status.success(), "{here}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Puts V1's kinds in the place of ours.
async fn v1s_kinds(world: &World) {
    world.apply_anywhere(&v1_kinds::manifests()).await;
    until_scale_replicas(world, false).await;
}

/// Waits until the stored field that only our kinds have is there, or isn't.
async fn until_scale_replicas(world: &World, there: bool) {
    let look = || async {
        let all = world.list(Kind::ModuleDeployment).await;
        let shown = all.iter().any(|one| !one["spec"]["scaleReplicas"].is_null());
        if shown == there { Ok(()) } else { Err(format!("{shown}")) }
    };
    world.eventually(SOON, "the other kinds", look).await;
}

#[test]
fn the_manual_leads_from_v1_to_here_and_back() {
    story_alone("the_manual", |world| async move {
        world.sim().jar("file:///jars/broken-9.9.9.jar", Behaviour::fails("java.lang.Error: no such bean"));
        let folder = world.file("manual");
        std::fs::create_dir_all(&folder).expect("a folder");
        let kinds = OurKinds;
        v1s_kinds(&world).await;
        let dump = Dump::load(&world).await;
        start_v1(&world).await;

        let mut operator = None;
        let commands = commands();
        assert!(commands.iter().any(|one| one == INSTALL) && commands.iter().any(|one| one == STOP), "{commands:#?}");
        for command in &commands {
            match command.as_str() {
                INSTALL => {
                    world.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", "crds"]).await;
                    operator = Some(Process::start(&world, &[]).await);
                    settled(&world).await;
                    until_scale_replicas(&world, true).await;
                }
                STOP => drop(operator.take()),
                command => {
                    let said = run(&world, command, &folder).await;
                    if command.contains("--dry-run") && !command.contains("json") {
                        assert!(said.contains("uninstallBiz") && said.ends_with("Nothing was written.\n"), "{said}");
                    }
                    if command.contains("confirmBatchNum") {
                        world.until_serving(&dump.all(), "waiting", "1.0.0", 2).await;
                    }
                }
            }
        }

        until_scale_replicas(&world, false).await;
        world.running("module-deployment", 1).await;
        drop(kinds);
    });
}
