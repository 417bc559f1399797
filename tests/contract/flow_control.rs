//! Which priority level the API server gives the requests of the operator and of the VNode provider, by what its answers say.

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    client::Body,
    core::{GroupVersionKind, Request},
};

use crate::{
    cluster::{Policy, Space, documents, eventually, in_namespace, kubectl, kubectl_with},
    install::{of_kind, rendered},
};

/// Answers carry the UIDs of what a request was classified as.
const SCHEMA: &str = "x-kubernetes-pf-flowschema-uid";
const LEVEL: &str = "x-kubernetes-pf-prioritylevel-uid";

/// The FlowSchema of an install, under a name of its own and for the account in this namespace; taken away by name.
async fn installed(space: &Space, folder: &str) -> String {
    let mut schemas = documents(&rendered(folder).await);
    schemas.retain(|object| object["kind"] == "FlowSchema");
    assert_eq!(of_kind(&schemas, "FlowSchema").len(), 1, "{folder}");
    let text = schemas[0].to_string().replace("module-deployment-system", &space.name);
    let mut schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let name = format!("{}-{}", space.name, schema["metadata"]["name"].as_str().expect("a name"));
    schema["metadata"]["name"] = name.clone().into();
    let said = kubectl_with(&["apply", "--server-side", "-f", "-"], &schema.to_string()).await;
    assert!(said.ok, "{}", said.err);
    name
}

async fn uid(client: &Client, kind: &str, name: &str) -> String {
    let kind = GroupVersionKind::gvk("flowcontrol.apiserver.k8s.io", "v1", kind);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let found = api.get(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    found.uid().expect("a UID")
}

/// What a request of an account is classified as: FlowSchema and level. It may be refused all the same.
async fn classified(space: &Space, account: &str, path: &str) -> (String, String) {
    let mut request = Request::new(path).list(&ListParams::default()).expect("a request").map(Body::from);
    let user = format!("system:serviceaccount:{}:{account}", space.name).parse().expect("a header");
    request.headers_mut().insert("impersonate-user", user);
    let answer = space.client.send(request).await.expect("an answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    (header(SCHEMA), header(LEVEL))
}

/// Those paths of an account that the FlowSchema of `folder` takes, and those that it doesn't.
async fn takes(
    folder: &'static str,
    account: &'static str,
    level: &'static str,
    ours: &'static [&str],
    others: &'static [&str],
) {
    in_namespace(Policy::On, |space| async move {
        let name = installed(&space, folder).await;
        // In a task, so that it goes away even if an assertion fails.
        let (looked, schema) = (space.clone(), name.clone());
        let looking = tokio::spawn(async move {
            let space = looked;
            let expected = (
                uid(&space.client, "FlowSchema", &schema).await,
                uid(&space.client, "PriorityLevelConfiguration", level).await,
            );
            let path = |path: &str| path.replace("OWN", &space.name);
            for one in ours.iter().map(|one| path(one)) {
                eventually(&format!("{one} is of {level}"), || async {
                    (classified(&space, account, &one).await == expected).then_some(())
                })
                .await;
            }
            for one in others.iter().map(|one| path(one)) {
                assert_ne!(classified(&space, account, &one).await.0, expected.0, "{one}");
            }
            // Nobody else has it.
            assert_ne!(classified(&space, "default", &path(ours[0])).await.0, expected.0);
        });
        let result = looking.await;
        let said = kubectl(&["delete", "flowschema", &name, "--wait=false"]).await;
        assert!(said.ok, "{}", said.err);
        if let Err(error) = result {
            std::panic::resume_unwind(error.into_panic());
        }
    })
    .await;
}

#[tokio::test]
async fn heartbeats_of_vnodes_have_the_level_of_kubelets() {
    let ours = &[
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/vnode.1.dev",
        "/api/v1/nodes/vnode.1.dev",
        "/api/v1/nodes/vnode.1.dev/status",
    ];
    let others = &["/api/v1/namespaces/default/pods", "/apis/coordination.k8s.io/v1/namespaces/OWN/leases"];
    takes("config/vnode", "module-vnode-provider", "node-high", ours, others).await;
}

#[tokio::test]
async fn the_leaders_lease_has_the_level_of_elections() {
    let ours = &["/apis/coordination.k8s.io/v1/namespaces/OWN/leases/2245841c.koupleless.io"];
    let others = &["/api/v1/nodes", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"];
    takes("config/default", "module-deployment-controller-manager", "leader-election", ours, others).await;
}
