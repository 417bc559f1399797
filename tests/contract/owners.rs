//! Rights that an API server with the admission plugin OwnerReferencesPermissionEnforcement, such as the one of the rig or
//! OpenShift's, looks for while owner references are written: which of them the operator needs.

use rig::cluster::holding_back;
use serde_json::{Value, json};

use crate::{
    cluster::{Policy, Said, Space, documents, eventually, hello, in_namespace},
    install::rendered,
};

/// The operator's rules, but for one right.
async fn rules_without(resource: &str, verb: &str) -> Value {
    let objects = documents(&rendered("config/namespaced").await);
    let is_role =
        |object: &&Value| object["kind"] == "Role" && object["metadata"]["name"] == "module-deployment-manager-role";
    let mut rules = objects.iter().find(is_role).expect("the role")["rules"].clone();
    for rule in rules.as_array_mut().expect("rules") {
        if rule["resources"].as_array().expect("resources").contains(&json!(resource)) {
            rule["verbs"].as_array_mut().expect("verbs").retain(|known| known != verb);
        }
    }
    // A rule without verbs is refused.
    rules.as_array_mut().expect("rules").retain(|rule| rule["verbs"] != json!([]));
    rules
}

/// Makes a user with these rules.
async fn user(space: &Space, name: &str, rules: Value) -> String {
    let user = format!("{}:{name}", space.name);
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name }, "rules": rules },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
        },
    ] });
    let said = space.kubectl_with(&["apply", "--server-side", "-f", "-"], &list.to_string()).await;
    assert!(said.ok, "{}", said.err);
    eventually("the role is in use", || async {
        let may = ["auth", "can-i", "create", "modulereplicasets", "--as", &user];
        space.kubectl(&may).await.out.starts_with("yes").then_some(())
    })
    .await;
    user
}

/// Gives the ModuleDeployment a base Deployment as owner, as the operator does; a dry run.
async fn own(space: &Space, user: &str) -> Said {
    let owner =
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "base", "uid": "1", "controller": true });
    let patch = json!({ "metadata": { "ownerReferences": [owner] } }).to_string();
    let patch = ["patch", "mddeploy", "hello", "--type=merge", "--dry-run=server", "--as", user, "-p", &patch];
    space.kubectl(&patch).await
}

/// Creates a ModuleReplicaSet that holds back the end of its owner; a dry run.
async fn hold(space: &Space, user: &str) -> Said {
    let set = holding_back("hello").to_string();
    space.kubectl_with(&["create", "--dry-run=server", "--as", user, "-f", "-"], &set).await
}

#[tokio::test]
async fn owners_are_set_with_the_operators_role_and_with_no_less() {
    in_namespace(Policy::On, |space| async move {
        space.create("ModuleDeployment", &hello(), false).await.expect("a ModuleDeployment");
        let whole = user(&space, "whole", rules_without("", "").await).await;
        assert!(own(&space, &whole).await.ok);
        // The plugin looks for new kinds every 30 s only.
        eventually("the plugin knows the kinds", || async { hold(&space, &whole).await.ok.then_some(()) }).await;

        let careful = user(&space, "no-delete", rules_without("moduledeployments", "delete").await).await;
        let said = own(&space, &careful).await;
        assert!(said.err.contains("cannot set an ownerRef on a resource you can't delete"), "{}", said.err);
        assert!(hold(&space, &careful).await.ok);

        let light = user(&space, "no-finalizers", rules_without("moduledeployments/finalizers", "update").await).await;
        assert!(own(&space, &light).await.ok);
        let said = hold(&space, &light).await;
        assert!(said.err.contains("a resource you can't set finalizers on"), "{}", said.err);
    })
    .await;
}
