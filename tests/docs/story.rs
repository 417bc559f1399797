//! A document, played.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rig::cluster::{Kind, World, labelled_base, scenario_without_operator};
use serde_json::{Value, json};

use crate::{
    output,
    page::{Block, Mark, Page, Step},
    repository,
};

/// How long what a document shows may take to come true.
const SOON: Duration = Duration::from_secs(60);
/// How long one command may take (seconds).
const LONGEST: &str = "90";
/// Between two looks.
const POLL: Duration = Duration::from_millis(300);
/// What may be asked again until it shows what the document shows: it changes nothing.
const LOOKS: [&str; 4] = ["kubectl get ", "kubectl describe ", "kubectl module get ", "kubectl wait "];
/// What a reader has in the folder where the commands are given.
const COPIED: [&str; 4] = ["config", "crds", "charts", "docs"];
/// A story with virtual nodes has them for itself: their names are the cluster's.
static VNODES: Mutex<()> = Mutex::new(());

/// What a document finds around it. Without a word it is the base Deployment `base` with two pods, and the operator.
#[derive(Debug, Default)]
pub struct Rig {
    /// `vnodes`: a VNode provider of the environment `dev` runs, and the operator may read nodes.
    vnodes: bool,
    /// `hello`: the ModuleDeployment of config/samples is there and complete.
    hello: bool,
    /// `empty`: no base.
    empty: bool,
}

impl Rig {
    fn of(page: &Page) -> Result<Self, String> {
        let mut rig = Self::default();
        for word in &page.rig {
            match word.as_str() {
                "vnodes" => rig.vnodes = true,
                "hello" => rig.hello = true,
                "empty" => rig.empty = true,
                other => return Err(format!("{}: the rig knows no {other}: vnodes, hello, empty", page.path)),
            }
        }
        Ok(rig)
    }
}

/// What all documents need once: where a whole installation would go to.
pub fn prepare() {
    let made = Command::new("kubectl")
        .args(["apply", "--server-side", "-k", "config/namespace"])
        .current_dir(repository())
        .output()
        .expect("kubectl is in PATH: run `make test`, or tests/control-plane/with-cluster -- cargo test --test docs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Plays a document; says what isn't as it says.
pub fn play(page: &Page) -> Result<(), Vec<String>> {
    let rig = Rig::of(page).map_err(|complaint| vec![complaint])?;
    let _alone = rig.vnodes.then(|| VNODES.lock().unwrap_or_else(PoisonError::into_inner));
    let name: String = page.path.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let complaints = Mutex::new(Vec::new());
    let played = catch_unwind(AssertUnwindSafe(|| {
        scenario_without_operator(&name, |world| {
            let complaints = &complaints;
            async move {
                if rig.vnodes {
                    world.use_env("dev");
                }
                set_up(&world, &rig).await;
                let story = Story::new(world.namespace(), page);
                // Commands wait for the operator, which runs on other threads than this one.
                tokio::task::block_in_place(|| story.run(&mut complaints.lock().expect("nobody else has it")));
            }
        });
    }));
    let mut complaints = complaints.into_inner().unwrap_or_else(PoisonError::into_inner);
    if played.is_err() {
        complaints.push(format!("{}: the story broke off; see above", page.path));
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints) }
}

async fn set_up(world: &World, rig: &Rig) {
    if rig.vnodes {
        world.start_operator_with_nodes().await;
        world.start_provider_with("docs", |settings| settings.discover = Some("base.koupleless.io/name".into())).await;
    } else {
        world.start_operator().await;
    }
    if !rig.empty {
        let mut base = labelled_base("base", 2, "1.0.0");
        // A document on virtual nodes begins by giving its bases their labels.
        if rig.vnodes {
            base["spec"]["template"]["metadata"]["labels"] = json!({ "app": "base" });
        }
        world.bases_of(base).await;
    }
    if rig.hello {
        let text = fs::read_to_string(repository().join("config/samples/moduledeployment.yaml")).expect("the sample");
        world.create(Kind::ModuleDeployment, serde_yaml_ng::from_str(&text).expect("YAML")).await;
        world.progress("hello", "Completed").await;
    }
}

/// A document with a place where its commands are given.
struct Story<'a> {
    page: &'a Page,
    namespace: &'a str,
    folder: PathBuf,
    path: String,
}

impl<'a> Story<'a> {
    fn new(namespace: &'a str, page: &'a Page) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(namespace);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join(".bin")).expect("a folder");
        let programs = Path::new(env!("CARGO_BIN_EXE_module-controller")).parent().expect("a folder").to_owned();
        let given = std::env::var("PATH").unwrap_or_default();
        let story = Self {
            page,
            namespace,
            path: format!("{}:{}:{given}", folder.join(".bin").display(), programs.display()),
            folder,
        };
        story.furnish(&given);
        story
    }

    /// Copies of what a reader has (a command may change them), a kubectl, and its configuration.
    fn furnish(&self, path: &str) {
        let copy = format!(
            "for each in {}; do [ ! -e {repository}/$each ] || cp -r {repository}/$each .; done; mkdir samples; \
             cp {repository}/samples/*.yaml samples/; cp {repository}/*.md .; \
             kubectl config view --raw --flatten >.kubeconfig; \
             KUBECONFIG=.kubeconfig kubectl config set-context --current --namespace={namespace}",
            COPIED.join(" "),
            repository = repository().display(),
            namespace = self.namespace,
        );
        let done = Command::new("bash").args(["-euc", &copy]).current_dir(&self.folder).output().expect("bash");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let real = path.split(':').map(|folder| Path::new(folder).join("kubectl")).find(|file| file.exists());
        let real = real.expect("kubectl is in PATH");
        // What is installed for the whole cluster would change the stories of the other documents.
        let script = format!(
            "#!/usr/bin/env bash\nset -eu\nwhole=\nfor word; do case $word in -k*|--kustomize*) whole=1 ;; esac; done\n\
             case ${{whole:+${{1:-}}}} in apply|delete|create) exec {0} \"$@\" --dry-run=server ;; esac\nexec {0} \"$@\"\n",
            real.display()
        );
        let shim = self.folder.join(".bin/kubectl");
        fs::write(&shim, script).expect("a file");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&shim, executable).expect("a file of ours");
    }

    fn run(&self, complaints: &mut Vec<String>) {
        for block in self.page.blocks.iter().filter(|block| block.is_run()) {
            if let Err(complaint) = self.try_block(block) {
                complaints.push(complaint);
                // What follows builds on it.
                return;
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn try_block(&self, block: &Block) -> Result<(), String> {
        if let Some(Mark::File(name)) = &block.mark {
            fs::write(self.folder.join(name), &block.text).map_err(|error| format!("{name}: {error}"))?;
        }
        if block.is_shell() {
            return block.steps().iter().try_for_each(|step| self.try_step(step));
        }
        self.try_manifests(block).map_err(|why| format!("{}:{}: {why}", self.page.path, block.line))
    }

    fn try_step(&self, step: &Step) -> Result<(), String> {
        let began = Instant::now();
        let looks = LOOKS.iter().any(|look| step.command.starts_with(look));
        loop {
            let output = self.bash(&step.command);
            // As a terminal shows it.
            let printed = text(&output.stdout) + &text(&output.stderr);
            let complaint = if output.status.success() {
                let shown = step.shown.as_ref();
                shown
                    .and_then(|shown| output::differs(shown, &printed, self.namespace))
                    .map(|missing| format!("it shows {missing:?}, which was not printed:\n{printed}"))
            } else {
                Some(format!("it failed: {printed}"))
            };
            let Some(complaint) = complaint else { return Ok(()) };
            if !looks || began.elapsed() > SOON {
                return Err(format!("{}:{}: `{}`: {complaint}", self.page.path, step.line, step.command.trim_end()));
            }
            std::thread::sleep(POLL);
        }
    }

    fn bash(&self, script: &str) -> Output {
        Command::new("timeout")
            .args([LONGEST, "bash", "-euo", "pipefail", "-c", script])
            .current_dir(&self.folder)
            .env("KUBECONFIG", self.folder.join(".kubeconfig"))
            .env("PATH", &self.path)
            .output()
            .expect("timeout and bash")
    }

    /// Complete objects are tried as they are; a fragment must fit into a ModuleDeployment, a base Deployment or a Pod.
    fn try_manifests(&self, block: &Block) -> Result<(), String> {
        for document in serde_yaml_ng::Deserializer::from_str(&block.text) {
            let value: Value =
                serde::Deserialize::deserialize(document).map_err(|error| format!("this is no YAML: {error}"))?;
            if value["kind"].is_string() && value["apiVersion"].is_string() {
                self.dry_run(&value)?;
                continue;
            }
            let mut complaints = Vec::new();
            let fits = wholes().into_iter().any(|mut whole| {
                merge(&mut whole, &value);
                self.dry_run(&whole).map_err(|complaint| complaints.push(complaint)).is_ok()
            });
            if !fits {
                return Err(format!("this fragment fits into no object: {}", complaints.join(" | ")));
            }
        }
        Ok(())
    }

    /// With strict validation: what the schema doesn't know is refused.
    fn dry_run(&self, object: &Value) -> Result<(), String> {
        let mut object = object.clone();
        if object["metadata"]["namespace"].is_string() {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        fs::write(self.folder.join(".try.json"), object.to_string()).map_err(|error| error.to_string())?;
        let output = self.bash("kubectl apply --dry-run=server --validate=strict -f .try.json");
        if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a fragment may be a part of. Each has another name than anything in a story.
fn wholes() -> [Value; 3] {
    let module = json!({ "name": "fragment", "version": "1.0.0", "url": "file:///fragment.jar" });
    let containers = json!([{ "name": "fragment", "image": "fragment" }]);
    let labels = json!({ "app": "fragment" });
    [
        json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment", "metadata": { "name": "fragment" },
            "spec": { "baseDeploymentName": "base", "replicas": 1, "template": { "spec": { "module": module } } },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "fragment" },
            "spec": { "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": { "containers": containers } } },
        }),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "fragment" }, "spec": { "containers": containers },
        }),
    ]
}

/// Puts a fragment into a whole: maps are merged, everything else is replaced.
fn merge(whole: &mut Value, fragment: &Value) {
    match (whole, fragment) {
        (Value::Object(whole), Value::Object(fragment)) => {
            for (key, value) in fragment {
                merge(whole.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (whole, fragment) => *whole = fragment.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_merged_into_the_whole() {
        let mut whole = json!({ "a": { "b": 1, "c": [1, 2] }, "d": 1 });
        merge(&mut whole, &json!({ "a": { "c": [3], "e": { "f": null } } }));
        assert_eq!(whole, json!({ "a": { "b": 1, "c": [3], "e": { "f": null } }, "d": 1 }));
    }
}
