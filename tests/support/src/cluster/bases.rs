//! Base Deployments and their pods, each with a simulated agent behind its address.

use std::{net::IpAddr, time::Duration};

use serde_json::{Value, json};

use super::{Kind, SOON, Sighting, World, is_vpod, text};
use crate::arklet_sim::{Base, Behaviour, Call, Command, Sim};

/// A base pod with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasePod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its address.
    pub ip: IpAddr,
}

/// The manifest of a base Deployment.
pub fn base_deployment(name: &str, replicas: u32) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "base", "image": "base" }] },
            },
        },
    })
}

impl World {
    /// Makes a base Deployment named `base` and waits for its pods.
    pub async fn bases(&self, replicas: u32) -> Vec<BasePod> {
        self.bases_of(base_deployment("base", replicas)).await
    }

    /// Makes a base Deployment and waits for its pods.
    pub async fn bases_of(&self, manifest: Value) -> Vec<BasePod> {
        let name = text(&manifest, "/metadata/name").to_owned();
        let replicas = manifest["spec"]["replicas"].as_u64().unwrap_or(1);
        self.create(Kind::Deployment, manifest).await;
        self.running(&name, usize::try_from(replicas).unwrap_or_default()).await
    }

    /// Waits until another pod of the Deployment `base` runs in the place of `lost`, which had `count` pods.
    pub async fn replaced(&self, lost: &BasePod, count: usize) -> Vec<BasePod> {
        let look = || async {
            let now = self.pods("base").await;
            if now.len() == count && now.iter().all(|pod| pod.uid != lost.uid) {
                Ok(now)
            } else {
                Err(format!("{now:?}"))
            }
        };
        self.eventually(SOON, "another pod", look).await
    }

    /// Scales a base Deployment and waits for its pods.
    pub async fn scale_bases(&self, name: &str, replicas: u32) -> Vec<BasePod> {
        self.patch(Kind::Deployment, name, json!({ "spec": { "replicas": replicas } })).await;
        self.running(name, usize::try_from(replicas).unwrap_or_default()).await
    }

    /// Waits until a base Deployment has exactly so many running pods, known to the rig.
    pub async fn running(&self, name: &str, count: usize) -> Vec<BasePod> {
        let look = || async {
            let pods = self.pods(name).await;
            let known = |pod: &BasePod| self.inner.shared.knows(pod.ip, &pod.uid);
            if pods.len() == count && pods.iter().all(known) {
                return Ok(pods);
            }
            Err(format!("{} running: {pods:?}", pods.len()))
        };
        self.eventually(SOON, &format!("{count} running pods of {name}"), look).await
    }

    /// The running pods of a base Deployment that aren't ending, by name.
    pub async fn pods(&self, name: &str) -> Vec<BasePod> {
        let mut pods: Vec<BasePod> = Vec::new();
        for pod in self.list(Kind::Pod).await {
            let running = text(&pod, "/status/phase") == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
            let is_base = text(&pod, "/metadata/labels/app") == name && !is_vpod(&pod);
            if let (true, true, Ok(ip)) = (running, is_base, text(&pod, "/status/podIP").parse()) {
                pods.push(BasePod {
                    name: text(&pod, "/metadata/name").to_owned(),
                    uid: text(&pod, "/metadata/uid").to_owned(),
                    ip,
                });
            }
        }
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        self.addresses().extend(pods.iter().map(|pod| pod.ip));
        pods
    }

    /// The simulator of all bases.
    pub fn sim(&self) -> &'static Sim {
        &self.inner.shared.sim
    }

    /// The simulated base behind a pod.
    pub fn base(&self, pod: &BasePod) -> Base {
        self.sim().base(pod.ip)
    }

    /// Everything seen of a pod, oldest first.
    pub fn sightings(&self, pod: &BasePod) -> Vec<Sighting> {
        let mut sightings = self.inner.shared.sightings(self.namespace());
        sightings.retain(|sighting| sighting.uid == pod.uid);
        sightings
    }

    /// The operations that this pod was asked for, oldest first.
    pub fn calls(&self, pod: &BasePod) -> Vec<Call> {
        let born = self.sightings(pod).first().map_or(Duration::ZERO, |first| first.at);
        let mut calls = self.base(pod).calls();
        calls.retain(|call| call.at >= born);
        calls
    }

    fn count(&self, pod: &BasePod, command: Command, name: &str) -> usize {
        let calls = self.calls(pod);
        calls.iter().filter(|call| call.command == command && call.name == name).count()
    }

    /// How often this pod was asked to install a module, in any version.
    pub fn installs(&self, pod: &BasePod, name: &str) -> usize {
        self.count(pod, Command::Install, name)
    }

    /// How often this pod was asked to uninstall a module, in any version.
    pub fn uninstalls(&self, pod: &BasePod, name: &str) -> usize {
        self.count(pod, Command::Uninstall, name)
    }

    /// The pods on which a version of a module serves.
    pub fn serving<'a>(&self, pods: &'a [BasePod], name: &str, version: &str) -> Vec<&'a BasePod> {
        let serves = |pod: &&BasePod| self.base(pod).serving(name).as_deref() == Some(version);
        pods.iter().filter(serves).collect()
    }

    /// Waits until exactly so many of the pods serve a version of a module.
    pub async fn until_serving(&self, pods: &[BasePod], name: &str, version: &str, count: usize) {
        let look = || async {
            let serving = self.serving(pods, name, version).len();
            if serving == count { Ok(()) } else { Err(format!("{serving}")) }
        };
        self.eventually(SOON, &format!("{name} {version} serves on {count} bases"), look).await;
    }

    /// Whether the pod gets traffic for a module, as the rig last saw it.
    pub fn has_traffic(&self, pod: &BasePod, name: &str) -> bool {
        let sightings = self.sightings(pod);
        let last = sightings.last();
        last.is_some_and(|last| !last.gone && last.traffic.iter().any(|module| module == name))
    }

    /// Waits until all of these pods get traffic for a module.
    pub async fn until_traffic(&self, pods: &[&BasePod], name: &str) {
        let look = || async {
            let without: Vec<&str> =
                pods.iter().filter(|pod| !self.has_traffic(pod, name)).map(|pod| pod.name.as_str()).collect();
            if without.is_empty() { Ok(()) } else { Err(format!("none for {without:?}")) }
        };
        self.eventually(SOON, &format!("traffic for {name}"), look).await;
    }

    /// What the jar of a module's version does, for this scenario.
    pub fn jar(&self, name: &str, version: &str, behaviour: Behaviour) {
        self.sim().jar(&self.url(name, version), behaviour);
    }

    /// Where the jar of a module's version lies, for this scenario.
    pub fn url(&self, name: &str, version: &str) -> String {
        format!("file:///{}/{name}-{version}.jar", self.namespace())
    }

    /// The addresses that the Service of a module sends traffic to.
    pub async fn endpoints(&self, module: &str) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for slice in self.list(Kind::EndpointSlice).await {
            if text(&slice, "/metadata/labels/kubernetes.io~1service-name") != format!("{module}-service") {
                continue;
            }
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                if endpoint["conditions"]["ready"] == true {
                    let listed = endpoint["addresses"].as_array().into_iter().flatten();
                    addresses.extend(listed.filter_map(|ip| ip.as_str()?.parse::<IpAddr>().ok()));
                }
            }
        }
        addresses.sort_unstable();
        addresses
    }
}
