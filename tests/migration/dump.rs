//! The cluster of `tests/fixtures/v1`, brought to life in a namespace: names, addresses and UIDs of pods are those of live
//! pods, all else stands as V1 left it, the statuses too, and each base runs what it ran.

use std::{collections::BTreeMap, fs, path::Path};

use rig::{
    arklet_sim::State,
    cluster::{BasePod, Kind, World, text},
};
use serde_json::{Value, json};

/// The addresses of the pods in the fixtures.
const ADDRESSES: [(&str, &str); 5] = [
    ("runtime-a", "10.8.0.12"),
    ("runtime-b", "10.8.0.13"),
    ("runtime-c", "10.8.0.14"),
    ("runtime-d", "10.8.0.15"),
    ("runtime-e", "10.8.0.16"),
];
/// The files, one a ModuleDeployment with what belongs to it.
pub const DEPLOYMENTS: [&str; 12] = [
    "broken",
    "doubled",
    "everywhere",
    "finished",
    "grown",
    "halfgrown",
    "misspelt",
    "moved",
    "plain",
    "resting",
    "stuck",
    "waiting",
];

/// The live cluster.
pub struct Dump {
    /// The pods, by their letter in the fixtures.
    pub pods: BTreeMap<char, BasePod>,
    /// The Service of `finished`, as it was before the take-over.
    pub service: Value,
}

impl Dump {
    /// Brings it to life.
    pub async fn load(world: &World) -> Self {
        let around = fixture("bases");
        let labels_of = |name: &str| {
            let pod = around.iter().find(|object| object["kind"] == "Pod" && object["metadata"]["name"] == name);
            pod.unwrap_or_else(|| panic!("no pod {name}"))["metadata"]["labels"].clone()
        };
        let mut manifest = around.iter().find(|object| object["kind"] == "Deployment").expect("the base").clone();
        manifest["spec"]["replicas"] = json!(ADDRESSES.len());
        let live = world.bases_of(manifest).await;
        let running = running();
        let mut places = Places { text: Vec::new() };
        let mut pods = BTreeMap::new();
        for ((name, address), pod) in ADDRESSES.iter().zip(&live) {
            for biz in &running[*name] {
                let (biz, version) = biz.split_once(':').expect("name:version");
                world.base(pod).put(biz, version, State::Activated);
            }
            world.patch(Kind::Pod, &pod.name, json!({ "metadata": { "labels": labels_of(name) } })).await;
            places.put(&format!("uid-of-pod-{name}"), &pod.uid);
            places.put(name, &pod.name);
            places.put(address, &pod.ip.to_string());
            pods.insert(name.chars().last().expect("a letter"), pod.clone());
        }
        places.put_uid("deployment", &world.get(Kind::Deployment, "runtime").await);
        let service = around.iter().find(|object| object["kind"] == "Service").expect("the Service").clone();
        let service = world.create(Kind::Service, service).await;
        for file in DEPLOYMENTS {
            for object in fixture(file) {
                store(world, object, &mut places).await;
            }
        }
        Self { pods, service }
    }

    /// All pods.
    pub fn all(&self) -> Vec<BasePod> {
        self.pods.values().cloned().collect()
    }

    /// What was asked of each base, `install biz` and `uninstall biz`, with how often; by the pod's letter.
    pub fn calls(&self, world: &World) -> BTreeMap<(char, String), usize> {
        let mut calls = BTreeMap::new();
        for (letter, pod) in &self.pods {
            for call in world.calls(pod) {
                let what = format!("{:?} {}:{}", call.command, call.name, call.version);
                *calls.entry((*letter, what)).or_insert(0) += 1;
            }
        }
        calls
    }
}

/// What stands for what in the fixtures.
struct Places {
    text: Vec<(String, String)>,
}

impl Places {
    fn put(&mut self, placeholder: &str, live: &str) {
        self.text.push((placeholder.to_owned(), live.to_owned()));
    }

    fn put_uid(&mut self, kind: &str, object: &Value) {
        let placeholder = format!("uid-of-{kind}-{}", text(object, "/metadata/name"));
        self.put(&placeholder, text(object, "/metadata/uid"));
    }

    /// `value` with the live ones; only whole texts are replaced.
    fn fill(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some((_, live)) = self.text.iter().find(|(placeholder, _)| placeholder == text) {
                    live.clone_into(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.fill(field)),
            _ => {}
        }
    }
}

/// Creates an object with its status, and asks for its end where V1 had been asked for that.
async fn store(world: &World, mut object: Value, places: &mut Places) {
    let kind = match text(&object, "/kind") {
        "ModuleDeployment" => Kind::ModuleDeployment,
        "ModuleReplicaSet" => Kind::ModuleReplicaSet,
        "Module" => Kind::Module,
        other => panic!("unknown kind {other}"),
    };
    places.fill(&mut object);
    let ending = object["metadata"].as_object_mut().expect("metadata").remove("deletionTimestamp").is_some();
    if let Some(resumes) = object.pointer_mut("/status/releaseStatus/nextReconcileTime") {
        // Whatever the clock of this machine says: it is over.
        *resumes = json!((jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1)).to_string());
    }
    let (status, name) = (object["status"].clone(), text(&object, "/metadata/name").to_owned());
    let made = world.create(kind, object).await;
    world.patch_status(kind, &name, status).await;
    places.put_uid(&format!("{kind:?}").to_lowercase(), &made);
    if ending {
        world.delete(kind, &name).await;
    }
}

fn fixture(name: &str) -> Vec<Value> {
    let path = format!("tests/fixtures/v1/{name}.yaml");
    documents(&read(&path))
}

fn running() -> BTreeMap<String, Vec<String>> {
    serde_yaml_ng::from_str(&read("tests/migration/running.yaml")).expect("what the bases ran")
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    let parsed = documents.map(|document| serde::Deserialize::deserialize(document).expect("YAML that is JSON"));
    parsed.filter(|document: &Value| !document.is_null()).collect()
}
