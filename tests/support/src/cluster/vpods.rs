//! Manifests of vPods and of what makes them.

use serde_json::{Value, json};

use super::{Kind, World};

/// What a vPod, or a controller of vPods, is made from.
#[derive(Clone, Debug)]
pub struct VPodSpec {
    name: String,
    modules: Vec<(String, String)>,
    base: Option<(String, String)>,
    requests: Value,
    replicas: u32,
    labels: Value,
    pod_labels: Value,
    strategy: Value,
    apart: bool,
    older_keys: bool,
}

/// One vPod with version 1.0.0 of the module `name`, on bases named `base` of version 1.0.0.
pub fn vpod(name: &str) -> VPodSpec {
    VPodSpec {
        name: name.to_owned(),
        modules: vec![(name.to_owned(), "1.0.0".to_owned())],
        base: Some(("base".to_owned(), "1.0.0".to_owned())),
        requests: json!({}),
        replicas: 1,
        labels: json!({}),
        pod_labels: json!({}),
        strategy: Value::Null,
        apart: false,
        older_keys: false,
    }
}

impl VPodSpec {
    /// With these modules instead.
    pub fn modules(mut self, modules: &[(&str, &str)]) -> Self {
        self.modules = modules.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        self
    }

    /// With this version of its module.
    pub fn version(mut self, version: &str) -> Self {
        for module in &mut self.modules {
            version.clone_into(&mut module.1);
        }
        self
    }

    /// On bases of this name and version.
    pub fn on(mut self, name: &str, version: &str) -> Self {
        self.base = Some((name.to_owned(), version.to_owned()));
        self
    }

    /// With so many replicas.
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Asking for so much memory.
    pub fn memory(mut self, memory: &str) -> Self {
        self.requests = json!({ "memory": memory });
        self
    }

    /// With a label on the Deployment.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels[key] = json!(value);
        self
    }

    /// With a label on its pods.
    pub fn pod_label(mut self, key: &str, value: &str) -> Self {
        self.pod_labels[key] = json!(value);
        self
    }

    /// With a rolling update of this surge and so many unavailable.
    pub fn rolling(mut self, surge: u32, unavailable: u32) -> Self {
        let rolling = json!({ "maxSurge": surge, "maxUnavailable": unavailable });
        self.strategy = json!({ "type": "RollingUpdate", "rollingUpdate": rolling });
        self
    }

    /// Each revision's pods on VNodes of their own, as the documentation advises.
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// With the labels and affinity keys of the documentation.
    pub fn older_keys(mut self) -> Self {
        self.older_keys = true;
        self
    }

    fn component(&self) -> &'static str {
        if self.older_keys {
            "module-controller.koupleless.io/component"
        } else {
            "virtual-kubelet.koupleless.io/component"
        }
    }

    fn template(&self, world: &World) -> Value {
        let container = |(name, version): &(String, String)| {
            json!({
                "name": name, "image": world.url(name, version), "resources": { "requests": self.requests },
                "env": [{ "name": "BIZ_VERSION", "value": version }],
            })
        };
        let containers: Vec<Value> = self.modules.iter().map(container).collect();
        let mut spec = json!({
            "containers": containers,
            "terminationGracePeriodSeconds": 5,
            "tolerations": [
                { "key": "schedule.koupleless.io/virtual-node", "operator": "Equal", "value": "True", "effect": "NoExecute" },
                { "key": "schedule.koupleless.io/node-env", "operator": "Equal", "value": world.env(), "effect": "NoExecute" },
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2 },
            ],
        });
        if let Some((name, version)) = &self.base {
            let prefix = if self.older_keys { "vnode" } else { "base" };
            let of = |key: &str, value: &str| json!({ "key": format!("{prefix}.koupleless.io/{key}"), "operator": "In", "values": [value] });
            let terms = json!([{ "matchExpressions": [of("name", name), of("version", version)] }]);
            spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
                json!({ "nodeSelectorTerms": terms });
        }
        if self.apart {
            spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([{
                "topologyKey": "kubernetes.io/hostname", "matchLabelKeys": ["pod-template-hash"],
                "labelSelector": { "matchLabels": { "app": self.name } },
            }]);
        }
        let mut labels = self.pod_labels.clone();
        labels["app"] = json!(self.name);
        labels[self.component()] = json!("module");
        json!({ "metadata": { "labels": labels }, "spec": spec })
    }

    /// A bare pod.
    pub fn pod(&self, world: &World) -> Value {
        let mut pod = self.template(world);
        pod["metadata"]["name"] = json!(self.name);
        pod
    }

    /// A Deployment, a StatefulSet or a DaemonSet.
    pub fn controller(&self, world: &World) -> Value {
        let mut spec = json!({
            "replicas": self.replicas,
            "selector": { "matchLabels": { "app": self.name } },
            "template": self.template(world),
        });
        if !self.strategy.is_null() {
            spec["strategy"] = self.strategy.clone();
        }
        json!({ "metadata": { "name": self.name, "labels": self.labels }, "spec": spec })
    }

    /// A DaemonSet, which has no number of replicas.
    pub fn daemon_set(&self, world: &World) -> Value {
        let mut set = self.controller(world);
        if let Some(spec) = set["spec"].as_object_mut() {
            spec.remove("replicas");
        }
        set
    }
}

impl World {
    /// Gives a Deployment of vPods what `spec` says now, as `kubectl apply` would.
    pub async fn release_vpods(&self, spec: &VPodSpec) {
        self.release_vpods_of(Kind::Deployment, spec).await;
    }

    /// As [`World::release_vpods`], for another kind of controller.
    pub async fn release_vpods_of(&self, kind: Kind, spec: &VPodSpec) {
        let controller = spec.controller(self);
        let template = &controller["spec"]["template"]["spec"]["containers"];
        let patch = json!({ "spec": { "template": { "spec": { "containers": template } } } });
        self.patch(kind, &spec.name, patch).await;
    }
}
