//! ModuleDeployments: a builder, and what scenarios ask of them again and again.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use super::{Kind, SOON, World, base_deployment, text};

/// The name of a scenario's quota.
const QUOTA: &str = "quota";

/// A ModuleDeployment to be made. Its module has its own name unless told otherwise.
#[derive(Clone, Debug)]
pub struct ModuleSpec {
    name: String,
    module: String,
    version: String,
    labels: Value,
    spec: Value,
}

/// One instance of version 1.0.0 of the module `name` on the pods of the Deployment `base`.
pub fn module(name: &str) -> ModuleSpec {
    ModuleSpec {
        name: name.to_owned(),
        module: name.to_owned(),
        version: "1.0.0".to_owned(),
        labels: json!({}),
        spec: json!({ "baseDeploymentName": "base", "replicas": 1 }),
    }
}

impl ModuleSpec {
    /// With another module name than its own.
    pub fn of(mut self, module: &str) -> Self {
        module.clone_into(&mut self.module);
        self
    }

    /// With this version.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// With so many instances; -1 for one on every base.
    pub fn replicas(self, replicas: i32) -> Self {
        self.field("replicas", json!(replicas))
    }

    /// On other bases.
    pub fn on(self, base: &str) -> Self {
        self.field("baseDeploymentName", json!(base))
    }

    /// With a field of the spec.
    pub fn field(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    /// With a field of the operation strategy.
    pub fn strategy(mut self, field: &str, value: Value) -> Self {
        self.spec["operationStrategy"][field] = value;
        self
    }

    /// With an upgrade policy.
    pub fn policy(self, policy: &str) -> Self {
        self.strategy("upgradePolicy", json!(policy))
    }

    /// With a Service, without time for draining.
    pub fn service(self, port: u16) -> Self {
        let service = json!({ "enableModuleService": true, "port": port, "targetPort": 8080, "drainSeconds": 0 });
        self.strategy("serviceStrategy", service)
    }

    fn object(&self, world: &World) -> Value {
        let mut spec = self.spec.clone();
        spec["template"]["spec"]["module"] = world.module_info(&self.module, &self.version);
        json!({ "metadata": { "name": self.name, "labels": self.labels }, "spec": spec })
    }
}

/// A condition of a status, by its type.
pub fn condition(object: &Value, type_: &str) -> Option<Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == type_).cloned()
}

impl World {
    fn module_info(&self, name: &str, version: &str) -> Value {
        json!({ "name": name, "version": version, "url": self.url(name, version) })
    }

    /// Creates a ModuleDeployment.
    pub async fn deploy(&self, module: &ModuleSpec) -> Value {
        self.create(Kind::ModuleDeployment, module.object(self)).await
    }

    /// Creates a ModuleDeployment and waits until it is complete.
    pub async fn deployed(&self, module: &ModuleSpec) -> Value {
        self.deploy(module).await;
        self.completed(&module.name).await
    }

    /// The ModuleDeployment as it stands.
    pub async fn deployment(&self, name: &str) -> Value {
        self.get(Kind::ModuleDeployment, name).await
    }

    /// Changes the spec of a ModuleDeployment by a JSON merge patch.
    pub async fn change(&self, name: &str, spec: Value) -> Value {
        self.patch(Kind::ModuleDeployment, name, json!({ "spec": spec })).await
    }

    /// Gives a ModuleDeployment another version.
    pub async fn release(&self, name: &str, version: &str) -> Value {
        let now = self.deployment(name).await;
        let info = self.module_info(text(&now, "/spec/template/spec/module/name"), version);
        self.change(name, json!({ "template": { "spec": { "module": info } } })).await
    }

    /// Waits until the status of a ModuleDeployment is about its present spec and `accept` is content.
    pub async fn until(&self, name: &str, what: &str, accept: impl Fn(&Value) -> bool) -> Value {
        let look = || async {
            let now = self.deployment(name).await;
            if now["status"]["observedGeneration"] == now["metadata"]["generation"] && accept(&now) {
                return Ok(now);
            }
            Err(format!("generation {}, {:#}", now["metadata"]["generation"], now["status"]))
        };
        self.eventually(SOON, &format!("{name}: {what}"), look).await
    }

    /// Waits until the release of a ModuleDeployment shows this progress.
    pub async fn progress(&self, name: &str, progress: &str) -> Value {
        let shows = |now: &Value| now["status"]["releaseStatus"]["progress"] == progress;
        self.until(name, progress, shows).await
    }

    /// Waits until a ModuleDeployment is complete, with as many available instances as are wanted.
    pub async fn completed(&self, name: &str) -> Value {
        let complete = |now: &Value| {
            let wanted = now["spec"]["scaleReplicas"].as_i64();
            now["status"]["releaseStatus"]["progress"] == "Completed"
                && now["status"]["availableReplicas"].as_i64() == wanted
                && now["status"]["replicas"].as_i64() == wanted
        };
        self.until(name, "complete and available", complete).await
    }

    /// Waits until a ModuleDeployment has a condition with this status and reason.
    pub async fn until_condition(&self, name: &str, type_: &str, status: &str, reason: &str) -> Value {
        let has = |now: &Value| {
            condition(now, type_).is_some_and(|found| found["status"] == status && found["reason"] == reason)
        };
        let now = self.until(name, &format!("condition {type_}={status}, {reason}"), has).await;
        condition(&now, type_).unwrap_or_default()
    }

    /// The Modules of a ModuleDeployment, oldest first.
    pub async fn modules(&self, deployment: &str) -> Vec<Value> {
        let mut modules = self.list(Kind::Module).await;
        modules.retain(|module| text(module, "/metadata/labels/koupleless.io~1module-deployment") == deployment);
        modules
    }

    /// Waits until the Modules of a ModuleDeployment are as `accept` wants them.
    pub async fn until_modules(&self, deployment: &str, what: &str, accept: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let look = || async {
            let modules = self.modules(deployment).await;
            if accept(&modules) {
                return Ok(modules);
            }
            let short = |module: &Value| format!("{} {}", text(module, "/metadata/name"), module["status"]);
            Err(modules.iter().map(short).collect::<Vec<_>>().join("; "))
        };
        self.eventually(SOON, &format!("Modules of {deployment}: {what}"), look).await
    }

    /// Asks for the end of a ModuleDeployment and waits for it.
    pub async fn undeploy(&self, name: &str) {
        self.delete(Kind::ModuleDeployment, name).await;
        self.gone(Kind::ModuleDeployment, name).await;
    }

    /// Waits for the end of an object.
    pub async fn gone(&self, kind: Kind, name: &str) {
        let look = || async {
            match self.find(kind, name).await {
                None => Ok(()),
                Some(left) => Err(format!("{left:#}")),
            }
        };
        self.eventually(SOON, &format!("{kind:?} {name} is gone"), look).await;
    }

    /// Waits until the cluster's garbage collector follows our kinds: it looks for new ones every 30 s only, and until then
    /// neither deletes nor orphans what a deleted object owns.
    pub async fn garbage_is_collected(&self) {
        const WITHIN: Duration = Duration::from_secs(90);
        let owner = self.create(Kind::Deployment, base_deployment("owner", 0)).await;
        let reference = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "owner", "uid": owner["metadata"]["uid"],
        });
        let probe =
            json!({ "metadata": { "name": "probe", "ownerReferences": [reference] }, "spec": { "replicas": 0 } });
        self.create(Kind::ModuleReplicaSet, probe).await;
        self.delete(Kind::Deployment, "owner").await;
        let look = || async {
            let left = self.find(Kind::ModuleReplicaSet, "probe").await;
            left.map_or(Ok(()), |_| Err("it is still there".to_owned()))
        };
        self.eventually(WITHIN, "the garbage collector takes a probe away", look).await;
    }

    /// Lets there be at most `most` objects of one of our kinds, by its plural; waits until the API server counts them.
    ///
    /// The quota controller, too, looks for new kinds every 30 s only. A quota that it met before it knew the kind it leaves
    /// uncounted for minutes, so such a one is made anew.
    pub async fn quota(&self, plural: &str, most: u32) {
        const WITHIN: Duration = Duration::from_secs(90);
        const ANEW: Duration = Duration::from_secs(1);
        let counted = format!("count/{plural}.koupleless.io");
        let quota = json!({ "metadata": { "name": QUOTA }, "spec": { "hard": { &counted: most.to_string() } } });
        let made = Cell::new(Instant::now());
        self.create(Kind::ResourceQuota, quota.clone()).await;
        let look = || async {
            let status = self.get(Kind::ResourceQuota, QUOTA).await["status"].clone();
            if status["used"][&counted].is_string() {
                return Ok(());
            }
            if made.get().elapsed() > ANEW {
                self.delete(Kind::ResourceQuota, QUOTA).await;
                self.create(Kind::ResourceQuota, quota.clone()).await;
                made.set(Instant::now());
            }
            Err(format!("{status}"))
        };
        self.eventually(WITHIN, &format!("{counted} is counted"), look).await;
        self.quota_is_in_force().await;
    }

    /// What the API server admits goes by a watch of quotas, which may lag: where it knows of a later one, it knows of all before.
    async fn quota_is_in_force(&self) {
        const LATER: &str = "later";
        let none = json!({ "metadata": { "name": LATER }, "spec": { "hard": { "configmaps": "0" } } });
        self.create(Kind::ResourceQuota, none).await;
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), self.namespace());
        let probe: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "probe" } })).expect("a ConfigMap");
        let only_asked = PostParams { dry_run: true, ..PostParams::default() };
        let look = || async {
            match maps.create(&only_asked, &probe).await {
                Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        };
        self.eventually(SOON, "quotas are in force", look).await;
        self.delete(Kind::ResourceQuota, LATER).await;
    }

    /// Lifts the quota.
    pub async fn lift_quota(&self) {
        self.delete(Kind::ResourceQuota, QUOTA).await;
        self.gone(Kind::ResourceQuota, QUOTA).await;
    }

    /// The Events about an object, as reason and note.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let mut events = self.list(Kind::Event).await;
        events.retain(|event| text(event, "/regarding/name") == name);
        let words = |event: &Value| (text(event, "/reason").to_owned(), text(event, "/note").to_owned());
        events.iter().map(words).collect()
    }

    /// Waits for an Event about an object and gives its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        let look = || async {
            let events = self.events(name).await;
            let found = events.iter().find(|(known, _)| known == reason);
            found.map(|(_, note)| note.clone()).ok_or(format!("{events:?}"))
        };
        self.eventually(SOON, &format!("Event {reason} about {name}"), look).await
    }
}
