//! What the Go V1 left behind (`tests/fixtures/v1`): read by our types, written back, equal to the last byte.

use std::{collections::HashMap, fs, path::Path};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, PostParams},
};
use module_controller::{
    api::{Module, ModuleDeployment, ModuleReplicaSet},
    domain::validation::{self, Severity},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::cluster::{Policy, Space, documents, in_namespace};

/// The documents of one file.
fn fixture(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name);
    documents(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Every custom resource of the fixtures, owners before what they own.
fn custom_resources() -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name != "bases.yaml")
        .collect();
    names.sort();
    assert_eq!(names.len(), 12);
    names.iter().flat_map(|name| fixture(name)).collect()
}

fn through<K: Serialize + DeserializeOwned>(object: &Value) -> Value {
    let typed: K = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}"));
    serde_json::to_value(typed).expect("JSON")
}

/// `object`, decoded by the type of its kind and encoded again.
fn through_its_type(object: &Value) -> Value {
    match object["kind"].as_str() {
        Some("ModuleDeployment") => through::<ModuleDeployment>(object),
        Some("ModuleReplicaSet") => through::<ModuleReplicaSet>(object),
        Some("Module") => through::<Module>(object),
        kind => panic!("unknown kind {kind:?}"),
    }
}

#[test]
fn every_object_goes_through_its_type_without_loss() {
    let objects = custom_resources();
    let count = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    assert_eq!((count("ModuleDeployment"), count("ModuleReplicaSet"), count("Module")), (12, 14, 20));
    for object in objects {
        assert_eq!(through_its_type(&object), object);
    }
}

#[test]
fn no_stored_deployment_is_refused_and_the_odd_one_is_hinted_at() {
    for object in custom_resources().into_iter().filter(|object| object["kind"] == "ModuleDeployment") {
        let deployment: ModuleDeployment = serde_json::from_value(object).expect("a ModuleDeployment");
        let found = validation::validate(&deployment);
        let odd = deployment.metadata.name.as_deref() == Some("misspelt");
        assert_eq!(found.len(), usize::from(odd), "{found:?}");
        assert!(found.iter().all(|v| v.severity == Severity::Warning), "{found:?}");
    }
}

#[tokio::test]
async fn every_object_goes_through_the_api_server_without_loss() {
    in_namespace(Policy::On, |space| async move {
        let mut uids = surroundings(&space).await;
        let objects = custom_resources();
        for object in &objects {
            store(&space, object, &mut uids).await;
        }
        for object in &objects {
            same_after_reading(&space, object, &uids).await;
        }
        let deployments: Api<ModuleDeployment> = space.typed();
        let modules: Api<Module> = space.typed();
        assert_eq!(deployments.list(&ListParams::default()).await.expect("a typed list").items.len(), 12);
        assert_eq!(modules.list(&ListParams::default()).await.expect("a typed list").items.len(), 20);
    })
    .await;
}

/// What owns the fixtures: `uid-of-<kind>-<name>` -> the live UID.
async fn surroundings(space: &Space) -> HashMap<String, String> {
    async fn create<K>(space: &Space, object: Value) -> String
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        let stored = space.typed::<K>().create(&PostParams::default(), &object).await.expect("it is created");
        stored.meta().uid.clone().expect("a UID")
    }
    let mut uids = HashMap::new();
    for object in fixture("bases.yaml") {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let uid = match kind.as_str() {
            "Deployment" => create::<Deployment>(space, object).await,
            "Pod" => create::<Pod>(space, object).await,
            _ => create::<Service>(space, object).await,
        };
        uids.insert(placeholder(&kind, &name), uid);
    }
    uids
}

fn placeholder(kind: &str, name: &str) -> String {
    format!("uid-of-{}-{name}", kind.to_lowercase())
}

/// `object` with live UIDs for the placeholders.
fn with_uids(object: &Value, uids: &HashMap<String, String>) -> Value {
    let mut object = object.clone();
    for owner in object["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        let uid = owner["uid"].as_str().and_then(|uid| uids.get(uid));
        owner["uid"] = json!(uid.unwrap_or_else(|| panic!("no such owner: {owner}")));
    }
    object
}

/// Brings `object` into the state in which V1 left it.
async fn store(space: &Space, object: &Value, uids: &mut HashMap<String, String>) {
    let kind = object["kind"].as_str().expect("a kind");
    let name = object["metadata"]["name"].as_str().expect("a name");
    let mut new = with_uids(object, uids);
    let deleted = new["metadata"].as_object_mut().expect("metadata").remove("deletionTimestamp").is_some();
    let mut stored = space.create(kind, &new, false).await.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    uids.insert(placeholder(kind, name), stored["metadata"]["uid"].as_str().expect("a UID").to_owned());
    stored["status"] = object["status"].clone();
    space.replace(kind, "status", &stored, false).await.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    if deleted {
        space.api(kind).delete(name, &DeleteParams::background()).await.expect("it is deleted");
    }
}

/// The stored object is the fixture, our type reads all of it, and writing that back changes nothing: the API
/// server gives a new resource version to whatever differs.
async fn same_after_reading(space: &Space, fixture: &Value, uids: &HashMap<String, String>) {
    let kind = fixture["kind"].as_str().expect("a kind");
    let name = fixture["metadata"]["name"].as_str().expect("a name");
    let stored = space.get(kind, name).await;
    let expected = with_uids(fixture, uids);
    assert_eq!(stored["spec"], expected["spec"], "{kind} {name}");
    assert_eq!(stored["status"], expected["status"], "{kind} {name}");
    for field in ["labels", "annotations", "finalizers", "ownerReferences", "generateName"] {
        assert_eq!(stored["metadata"][field], expected["metadata"][field], "{kind} {name} {field}");
    }
    let deleted = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
    assert_eq!(deleted(&stored), deleted(fixture), "{kind} {name}");

    let read = through_its_type(&stored);
    assert_eq!(read, stored, "{kind} {name}");
    for subresource in ["", "status"] {
        let written = space.replace(kind, subresource, &read, false).await;
        let written = written.unwrap_or_else(|error| panic!("{kind} {name} {subresource}: {error}"));
        assert_eq!(
            written["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"],
            "writing back changed {kind} {name} {subresource}: {stored:#} became {written:#}"
        );
    }
}
