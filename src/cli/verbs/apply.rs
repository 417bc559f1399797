//! How every changing verb writes: look, decide, patch what was looked at, and look again where somebody was faster.

use std::time::Duration;

use clap::ValueEnum;
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, ValidationDirective},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Stdout, stdout::remark};
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet, keys::label},
    cli::{
        args::deployment_name,
        change::{Change, Decision},
        cluster::Cluster,
        error::Error,
        output,
        view::{observed::is_of, standing::is_observed},
    },
    domain::{merge, names},
};

/// The field manager, by which `kubectl get --show-managed-fields` tells who wrote what.
const MANAGER: &str = "kubectl-module";
/// How often a patch is tried that others forestall: in the middle of a release the operator writes about once a second.
pub const TRIES: u32 = 10;
/// Before another try.
pub const BETWEEN_TRIES: Duration = Duration::from_millis(100);
/// How long a verb waits for the operator to have seen the last change.
const SETTLING: Duration = Duration::from_secs(10);

/// Options of all changing verbs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Changing {
    /// Only show what would be done: client sends nothing, server has the API server check it and store nothing
    #[arg(long, value_enum, value_name = "WHERE", default_value_t, hide_possible_values = true)]
    pub dry_run: DryRun,
    /// Print the object as it is then instead of a sentence: json, yaml, or its name
    #[arg(short, long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub output: Option<ObjectFormat>,
}

/// What verbs take that change several in the same way.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Targets {
    /// Names of ModuleDeployments; `mddeploy/NAME` will do
    #[arg(value_name = "NAME", required_unless_present = "selector", value_parser = deployment_name)]
    names: Vec<String>,
    /// Those with these labels, such as team=a,tier!=web, instead of names
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    selector: Option<String>,
    /// How it is done.
    #[command(flatten)]
    pub changing: Changing,
}

impl Targets {
    /// The names that are meant, of which there is at least one.
    async fn names(&self, cluster: &Cluster) -> Result<Vec<String>, Error> {
        let Some(selector) = self.selector.as_deref() else { return Ok(self.names.clone()) };
        let found: Vec<ModuleDeployment> = cluster.list(Some(&cluster.namespace), Some(selector)).await?;
        if found.is_empty() {
            return Err(nothing_matches(cluster, selector));
        }
        Ok(found.iter().map(ResourceExt::name_any).collect())
    }
}

/// A selector that was mistyped isn't a success.
pub fn nothing_matches(cluster: &Cluster, selector: &str) -> Error {
    Error::Refused(format!(
        "no ModuleDeployment in namespace {} has the labels {selector}; \
         `kubectl get moduledeployments --show-labels` shows theirs",
        cluster.namespace
    ))
}

/// `--dry-run`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// It is done
    #[default]
    None,
    /// Nothing is sent
    Client,
    /// The API server checks it and stores nothing
    Server,
}

impl DryRun {
    /// Behind the sentence, as kubectl has it.
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// `-o` of changing verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    /// The object as JSON
    Json,
    /// The object as YAML
    Yaml,
    /// Its name
    Name,
}

/// Writes, and says what was written.
pub struct Writer<'a> {
    /// Where.
    pub cluster: &'a Cluster,
    /// Options.
    pub changing: &'a Changing,
    /// Where to say it.
    pub out: Stdout,
}

impl<'a> Writer<'a> {
    /// A writer to standard output.
    pub fn new(cluster: &'a Cluster, changing: &'a Changing) -> Self {
        Self { cluster, changing, out: Stdout::new() }
    }

    /// Changes a deployment as `decide` wants it, which is asked again where somebody else changed it meanwhile.
    pub async fn change(&self, name: &str, decide: impl Fn(&ModuleDeployment) -> Decision) -> Result<(), Error> {
        for _ in 0..TRIES {
            let live = self.live::<ModuleDeployment>(name).await?;
            let deployment: ModuleDeployment = typed(&live)?;
            match decide(&deployment).map_err(Error::Refused)? {
                Change::Nothing(why) => return self.report::<ModuleDeployment>(name, &live, &why, &[]),
                Change::Patch { patch, done, notes } => {
                    if let Some(changed) = self.patch::<ModuleDeployment>(name, &live, &patch).await? {
                        return self.report::<ModuleDeployment>(name, &changed, &done, &notes);
                    }
                }
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Err(Error::Conflict(output::name("ModuleDeployment", name)))
    }

    /// Patches the object that was looked at; `None`: it is another by now.
    pub async fn patch<K: Kind>(&self, name: &str, live: &Value, patch: &Value) -> Result<Option<Value>, Error> {
        if self.changing.dry_run == DryRun::Client {
            return Ok(Some(merge::apply(live, patch)));
        }
        let mut patch = patch.clone();
        patch["metadata"]["uid"] = live["metadata"]["uid"].clone();
        patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        match self.api::<K>().patch(name, &self.params(), &Patch::Merge(&patch)).await {
            Ok(changed) => Ok(Some(value(&changed)?)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(Error::of(format!("patch the {} {name}", K::kind(&())), error)),
        }
    }

    /// How patches are sent.
    pub fn params(&self) -> PatchParams {
        let dry_run = self.changing.dry_run == DryRun::Server;
        // A field that an older CRD doesn't have would be dropped, and the change with it.
        let field_validation = Some(ValidationDirective::Strict);
        PatchParams { dry_run, field_manager: Some(MANAGER.to_owned()), field_validation, ..PatchParams::default() }
    }

    /// The object as it is, with every field.
    pub async fn live<K: Kind>(&self, name: &str) -> Result<Value, Error> {
        match self.api::<K>().get(name).await {
            Ok(live) => value(&live),
            // The same words as everywhere.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.cluster.deployment(name).await?;
                Err(Error::of(format!("get {name}"), kube::Error::Api(status)))
            }
            Err(error) => Err(Error::of(format!("get the {} {name}", K::kind(&())), error)),
        }
    }

    /// Says what was done, in the way that was asked for.
    pub fn report<K: Kind>(&self, name: &str, object: &Value, done: &str, notes: &[String]) -> Result<(), Error> {
        for note in notes {
            remark(&self.cluster.chosen.repeat(&format!("note: {note}"), None));
        }
        let who = output::name(&K::kind(&()), name);
        match self.changing.output {
            Some(ObjectFormat::Json) => self.out.print_json(object),
            Some(ObjectFormat::Yaml) => self.out.print_yaml(object),
            Some(ObjectFormat::Name) => self.out.print(&format!("{who}\n")),
            None => self.out.print(&format!("{who} {done}{}\n", self.changing.dry_run.suffix())),
        }
    }

    fn api<K: Kind>(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<K>(&());
        Api::namespaced_with(self.cluster.client.clone(), &self.cluster.namespace, &resource)
    }
}

/// The kinds that are written.
pub trait Kind: Resource<DynamicType = ()> {}
impl Kind for ModuleDeployment {}
impl Kind for ModuleReplicaSet {}

/// Calls `act` for each target; goes on after a failure, which is the command's in the end.
pub async fn each<F>(cluster: &Cluster, targets: &Targets, act: impl Fn(String) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let mut failed = None;
    for name in targets.names(cluster).await? {
        if let Err(error) = act(name).await {
            // The last one is said at the end, like any error.
            if let Some(former) = failed.replace(error) {
                remark(&cluster.chosen.repeat(&format!("error: {former}"), None));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The replica sets of a deployment.
pub async fn sets(cluster: &Cluster, deployment: &ModuleDeployment) -> Result<Vec<ModuleReplicaSet>, Error> {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let selector = format!("{}={}", label::MODULE_DEPLOYMENT, names::label_safe(name));
    let mut sets: Vec<ModuleReplicaSet> = cluster.list(Some(&cluster.namespace), Some(&selector)).await?;
    sets.retain(|set| is_of(set, deployment));
    Ok(sets)
}

/// The deployment once the operator has looked at its last change, or as it is after a while.
pub async fn settled(cluster: &Cluster, name: &str) -> Result<ModuleDeployment, Error> {
    let give_up = tokio::time::Instant::now() + SETTLING;
    loop {
        let deployment = cluster.deployment(name).await?;
        if is_observed(&deployment) || tokio::time::Instant::now() >= give_up {
            return Ok(deployment);
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

/// An object with every field that there is, but for the bookkeeping of its managers.
fn value(object: &DynamicObject) -> Result<Value, Error> {
    let mut value = serde_json::to_value(object).map_err(std::io::Error::other)?;
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    Ok(value)
}

/// The object as its type.
pub fn typed<K: DeserializeOwned>(value: &Value) -> Result<K, Error> {
    serde_json::from_value(value.clone()).map_err(|error| {
        Error::Refused(format!("the object can't be read: {error}; its CRD is of another release than this tool"))
    })
}

/// A merge patch of nothing but what identifies the object that was looked at, for subresources.
pub fn looked_at(live: &Value) -> Value {
    json!({ "metadata": { "uid": live["metadata"]["uid"], "resourceVersion": live["metadata"]["resourceVersion"] } })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, body::Bytes, http::StatusCode, routing::get};

    use super::*;
    use crate::{
        cli::{change::plan_pause, hint::Chosen},
        runtime::client,
    };

    /// What the API server of a test was sent.
    type Sent = Arc<Mutex<Vec<Value>>>;

    fn hello(version: usize) -> Value {
        json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "ModuleDeployment",
            "metadata": { "name": "hello", "namespace": "shop", "uid": "u", "resourceVersion": version.to_string() },
            "spec": { "baseDeploymentName": "base" },
        })
    }

    /// An API server where somebody else changes the object each time before it is patched, `conflicts` times.
    async fn cluster(conflicts: usize) -> (Cluster, Sent) {
        let sent = Sent::default();
        let (looked, patched) = (Arc::clone(&sent), Arc::clone(&sent));
        let count = |sent: &Sent| sent.lock().expect("no test panics").len();
        let look = move || async move { hello(count(&looked)).to_string() };
        let patch = move |body: Bytes| async move {
            let patch: Value = serde_json::from_slice(&body).expect("a patch");
            patched.lock().expect("no test panics").push(patch);
            let failed = count(&patched) <= conflicts;
            let status =
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409, "reason": "Conflict" });
            if failed { (StatusCode::CONFLICT, status.to_string()) } else { (StatusCode::OK, hello(9).to_string()) }
        };
        let path = "/apis/koupleless.io/v1alpha1/namespaces/shop/moduledeployments/hello";
        let router = Router::new().route(path, get(look).patch(patch));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = kube::Config::new(format!("http://{address}").parse().expect("an address"));
        let client = client::build(config).expect("a client");
        (Cluster { client, namespace: "shop".to_owned(), chosen: Chosen::default() }, sent)
    }

    async fn paused(conflicts: usize) -> (Result<(), Error>, Vec<Value>) {
        let (cluster, sent) = cluster(conflicts).await;
        let changing = Changing::default();
        let done = Writer::new(&cluster, &changing).change("hello", plan_pause).await;
        let sent = sent.lock().expect("no test panics").clone();
        (done, sent)
    }

    #[tokio::test]
    async fn what_somebody_else_changed_meanwhile_is_looked_at_again() {
        let (done, sent) = paused(2).await;
        assert!(done.is_ok(), "{done:?}");
        let versions: Vec<&str> =
            sent.iter().filter_map(|patch| patch["metadata"]["resourceVersion"].as_str()).collect();
        assert_eq!(versions, ["0", "1", "2"], "each is on condition that the object is the one looked at last");
        assert!(sent.iter().all(|patch| patch["spec"]["paused"] == true && patch["metadata"]["uid"] == "u"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_change_again_and_again_is_given_up_and_said() {
        let (done, sent) = paused(usize::MAX).await;
        assert_eq!(sent.len(), usize::try_from(TRIES).expect("small"));
        assert!(done.expect_err("it was never written").to_string().contains("changed by others"));
    }
}
