//! The admission policies that look at more than the object: where a namespace lets modules come from, and what a person is
//! told who touches what the operator made.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rig::cluster::until;
use serde_json::{Value, json};

use crate::cluster::{DEADLINE, Policy, Said, Space, eventually, hello, in_namespace, kubectl_with, put};

const SOURCES: &str = "https://jars.example/releases\nfile:///opt/modules/";

async fn name_sources(space: &Space) {
    let patch = json!({ "metadata": { "annotations": { "koupleless.io/module-sources": SOURCES } } });
    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    namespaces.patch(&space.name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("an annotation");
}

fn with_url(url: &str) -> Value {
    let mut object = hello();
    put(&mut object, "spec.template.spec.module.url", json!(url));
    object
}

#[tokio::test]
async fn modules_come_only_from_where_the_namespace_says() {
    in_namespace(Policy::On, |space| async move {
        // Stored before anybody thought of sources.
        let elsewhere = with_url("https://elsewhere.example/hello.jar");
        space.create("ModuleDeployment", &elsewhere, false).await.expect("nothing is said of sources");
        name_sources(&space).await;
        eventually("the annotation counts", || async {
            let mut other = elsewhere.clone();
            put(&mut other, "metadata.name", json!("other"));
            space.create("ModuleDeployment", &other, true).await.is_err().then_some(())
        })
        .await;
        for (url, allowed) in [
            ("https://jars.example/releases/hello.jar", true),
            ("file:///opt/modules/hello.jar", true),
            ("https://jars.example/releases.evil/hello.jar", false),
            ("https://jars.example.evil.test/releases/hello.jar", false),
            ("http://jars.example/releases/hello.jar", false),
            ("https://jars.example/releases/../private/hello.jar", false),
            ("https://jars.example/releases/%2e%2E/private/hello.jar", false),
            ("https://jars.example/releases/..;/private/hello.jar", false),
            ("https://jars.example/releases/..%5Cprivate/hello.jar", false),
            ("https://jars.example/releases/hello..jar", true),
            ("https://jars.example/releases/..hello.jar;v=1", true),
        ] {
            let mut object = with_url(url);
            put(&mut object, "metadata.name", json!("fresh"));
            let answer = space.create("ModuleDeployment", &object, true).await;
            match (allowed, answer) {
                (true, answer) => drop(answer.unwrap_or_else(|error| panic!("{url}: {error}"))),
                (false, answer) => {
                    let message = answer.expect_err(url).to_string();
                    let wanted = "spec.template.spec.module.url: this namespace takes modules only from \
                        https://jars.example/releases/, file:///opt/modules/";
                    assert!(message.contains(wanted), "{url}: {message}");
                }
            }
        }
        // What is stored stays writable, until it is to be fetched from somewhere else.
        let api = space.api("ModuleDeployment");
        let scaled = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
        api.patch("hello", &PatchParams::default(), &scaled).await.expect("its url is as it was");
        let moved =
            json!({ "spec": { "template": { "spec": { "module": { "url": "https://third.example/h.jar" } } } } });
        api.patch("hello", &PatchParams::default(), &Patch::Merge(moved)).await.expect_err("another url");
    })
    .await;
}

/// A way round by making the children oneself; the operator, who may write their status, still makes them.
#[tokio::test]
async fn nobody_but_the_operator_makes_children_from_elsewhere() {
    in_namespace(Policy::On, |space| async move {
        name_sources(&space).await;
        let own = |name: &str| format!("{name}-{}", space.name);
        for (name, resources) in
            [("tenant", json!(["modules"])), ("operator", json!(["modules", "modules/status"]))]
        {
            let role = json!({ "apiVersion": "v1", "kind": "List", "items": [
                { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name },
                  "rules": [{ "apiGroups": ["koupleless.io"], "resources": resources, "verbs": ["create", "update"] }] },
                { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": name },
                  "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
                  "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": own(name) }] },
            ] });
            let said = space.kubectl_with(&["create", "-f", "-"], &role.to_string()).await;
            assert!(said.ok, "{}", said.err);
        }
        let module = json!({
            "apiVersion": "koupleless.io/v1alpha1", "kind": "Module", "metadata": { "name": "sly" },
            "spec": { "module": { "name": "m", "version": "1", "url": "https://elsewhere.example/m.jar" } },
        });
        let as_user = |user: String| {
            let (namespace, module) = (space.name.clone(), module.to_string());
            async move {
                let args = ["-n", &namespace, "--as", &user, "create", "--dry-run=server", "-f", "-"];
                kubectl_with(&args, &module).await
            }
        };
        let (tenant, operator) = (own("tenant"), own("operator"));
        let said = eventually("the role and the annotation count", || async {
            let said = as_user(tenant.clone()).await;
            said.err.contains("takes modules only from").then_some(said)
        })
        .await;
        assert!(said.err.contains("spec.module.url: this namespace"), "{}", said.err);
        eventually("the operator may", || async { as_user(operator.clone()).await.ok.then_some(()) }).await;
    })
    .await;
}

#[tokio::test]
async fn a_person_is_told_who_decides() {
    in_namespace(Policy::On, |space| async move {
        // Owners that exist, or the garbage collector takes what they own.
        let shop = space.create("ModuleDeployment", &hello(), false).await.expect("a ModuleDeployment");
        let mut set = hello();
        put(&mut set, "spec.baseDeploymentName", Value::Null);
        put(&mut set, "spec.replicas", json!(1));
        put(&mut set, "metadata.ownerReferences", owned(&shop));
        space.create("ModuleReplicaSet", &set, false).await.expect("a ModuleReplicaSet");
        let told = |said: Said, words: &str| {
            assert!(said.ok && said.err.contains(words), "{words}: {}{}", said.out, said.err);
        };
        let patch = |object: &'static str, patch: &'static str| {
            let space = space.clone();
            async move { space.kubectl(&["patch", object, "hello", "--type=merge", "--dry-run=server", "-p", patch]).await }
        };
        until(DEADLINE, "the policy is in use", || async {
            let said = patch("modulereplicaset", r#"{"spec": {"replicas": 3}}"#).await;
            said.err.contains("Warning").then_some(()).ok_or_else(|| format!("{said:?}"))
        })
        .await;
        let said = patch("modulereplicaset", r#"{"spec": {"replicas": 3}}"#).await;
        told(said, r#"spec: belongs to ModuleDeployment "hello", which may write it anew; change the ModuleDeployment"#);
        let said = patch("modulereplicaset", r#"{"metadata": {"labels": {"team": "shop"}}}"#).await;
        assert!(said.ok && said.err.is_empty(), "a label is nobody's business: {}", said.err);
        let mut module = hello();
        module["spec"] = json!({ "module": { "name": "m", "version": "1", "url": "https://jars.example/m.jar" } });
        // As the operator makes it: what owns it is the pod of its base, and not as a controller.
        module["metadata"]["labels"] = json!({ "koupleless.io/module-replicaset": "hello" });
        space.create("Module", &module, false).await.expect("a Module");
        let said = space.kubectl(&["delete", "module", "hello", "--dry-run=server"]).await;
        told(said, r#"it belongs to ModuleReplicaSet "hello", which makes another one while it wants one"#);
        let by_hand = json!({ "metadata": { "labels": null } }).to_string();
        let said = space.kubectl(&["patch", "module", "hello", "--type=merge", "-p", &by_hand]).await;
        assert!(said.ok && said.err.is_empty(), "{}", said.err);
        let said = space.kubectl(&["delete", "module", "hello", "--dry-run=server"]).await;
        assert!(said.ok && said.err.is_empty(), "one made by hand is nobody else's: {}", said.err);
    })
    .await;
}

fn owned(by: &Value) -> Value {
    json!([{
        "apiVersion": by["apiVersion"], "kind": by["kind"], "name": by["metadata"]["name"],
        "uid": by["metadata"]["uid"], "controller": true,
    }])
}
