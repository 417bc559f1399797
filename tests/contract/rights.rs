//! What the accounts of the manifests may do, asked of the API server, and what they must never be able to. That they need
//! each of their rights, `tests/rights` shows.

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::{
    cluster::{Policy, Space, documents, eventually, in_namespace, kubectl_with},
    install::{of_kind, rendered},
};

/// What the operator's account may and may not do with the installed roles and nothing else.
#[tokio::test]
async fn the_role_is_as_wide_as_it_must_be() {
    reviewed("config/rbac", "module-deployment", "-controller-manager", RIGHTS.to_owned()).await;
}

/// As much in its own namespace, and nothing outside.
#[tokio::test]
async fn the_namespaced_role_ends_with_its_namespace() {
    let (anywhere, nodes) = ("may  anywhere", " nodes ");
    let rights = RIGHTS.lines().filter(|line| line.starts_with(anywhere) && !line.contains(nodes));
    let rights = rights.flat_map(|line| [line.replace(anywhere, "may  own"), line.replace(anywhere, "not  anywhere")]);
    let rights: Vec<String> = rights.chain(["not  anywhere nodes get list watch".to_owned()]).collect();
    reviewed("config/namespaced", "module-deployment", "-controller-manager", rights.join("\n")).await;
}

/// The right to make pods comes apart, for those who want Modules to be pods.
#[tokio::test]
async fn pods_are_made_only_where_that_was_asked_for() {
    let objects = documents(&rendered("config/virtual-pods").await);
    let roles = of_kind(&objects, "ClusterRole");
    assert_eq!(roles.len(), 1);
    assert_eq!(roles[0]["rules"], json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["create"] }]));
    let bound = of_kind(&objects, "ClusterRoleBinding");
    assert_eq!(bound[0]["subjects"][0]["name"], "module-deployment-controller-manager");
    assert_eq!(bound[0]["roleRef"]["name"], roles[0]["metadata"]["name"]);
    let rights = "may  anywhere pods create\nnot  anywhere pods get list update patch delete".to_owned();
    reviewed("config/virtual-pods", "module-deployment", "-controller-manager", rights).await;
}

/// As much for the VNode provider's.
#[tokio::test]
async fn the_vnode_providers_role_is_as_wide_as_it_must_be() {
    reviewed("config/vnode", "module-vnode", "-provider", VNODE_RIGHTS.to_owned()).await;
}

/// Installs the roles of `path`, whose names begin with `prefix`, under names of their own, so that tests beside this one, and
/// a real install, aren't touched; reviews what its account may do.
async fn reviewed(path: &'static str, prefix: &'static str, account: &'static str, rights: String) {
    in_namespace(Policy::On, |space| async move {
        let own = format!("{}-", space.name);
        let text = rendered(path).await.replace("module-deployment-system", &space.name);
        let text = text.replace(&format!("{prefix}-"), &own);
        let roles = documents(&text).into_iter().filter(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            kind.ends_with("Role") || kind.ends_with("RoleBinding") || kind == "ServiceAccount"
        });
        let text = roles.map(|object| object.to_string()).collect::<Vec<_>>().join("\n---\n");
        let said = kubectl_with(&["apply", "--server-side", "-f", "-"], &text).await;
        assert!(said.ok, "{}", said.err);
        let user = format!("system:serviceaccount:{0}:{0}{account}", space.name);
        // In a task, so that the roles go away even if an assertion fails.
        let result = tokio::spawn(review(space.clone(), user, rights)).await;
        let said = kubectl_with(&["delete", "--wait=false", "-f", "-"], &text).await;
        assert!(said.ok, "{}", said.err);
        if let Err(error) = result {
            std::panic::resume_unwind(error.into_panic());
        }
    })
    .await;
}

/// May or may not; anywhere or in its own namespace; the resource, with its group and where needed its name; verbs.
const RIGHTS: &str = "
may  anywhere moduledeployments.koupleless.io             get list watch patch delete
may  anywhere modulereplicasets.koupleless.io             get list watch create patch delete
may  anywhere modules.koupleless.io                       get list watch create patch delete
may  anywhere moduledeployments/status.koupleless.io      patch
may  anywhere modulereplicasets/status.koupleless.io      patch
may  anywhere modules/status.koupleless.io                patch
may  anywhere moduledeployments/finalizers.koupleless.io  update
may  anywhere pods                                        get list watch patch delete
may  anywhere pods/status                                 patch
may  anywhere deployments.apps                            get list watch
may  anywhere nodes                                       list watch
may  anywhere services                                    get list watch create patch delete
may  anywhere events.events.k8s.io                        create patch
may  own      leases.coordination.k8s.io                  create
may  own      leases.coordination.k8s.io=2245841c.koupleless.io                        get update
not  anywhere leases.coordination.k8s.io=2245841c.koupleless.io                        get update patch create
not  own      leases.coordination.k8s.io                  get list update patch delete
not  anywhere moduledeployments.koupleless.io             create update deletecollection
not  anywhere modulereplicasets.koupleless.io             update deletecollection
not  anywhere modules.koupleless.io                       update deletecollection
not  anywhere moduledeployments/scale.koupleless.io       get update patch
not  anywhere moduletemplates.koupleless.io               create update patch delete
not  anywhere pods                                        create update deletecollection
not  anywhere nodes                                       get create update patch delete
not  anywhere nodes/status                                update patch
not  anywhere services                                    update deletecollection
not  anywhere events                                      get list create patch
";

/// As [`RIGHTS`]; `leases`: where the Leases of nodes are.
const VNODE_RIGHTS: &str = "
may  anywhere pods                                        get list watch delete
may  anywhere pods/status                                 patch
may  anywhere nodes                                       list watch create patch delete
may  anywhere nodes/status                                patch
may  anywhere deployments.apps                            list watch
may  anywhere deployments/scale.apps                      patch
may  leases   leases.coordination.k8s.io                  get list create update delete
not  leases   leases.coordination.k8s.io                  patch deletecollection
not  anywhere leases.coordination.k8s.io                  get list create update delete
not  own      leases.coordination.k8s.io                  get list create update delete
not  anywhere pods                                        create update patch deletecollection
not  anywhere pods/binding                                create
not  anywhere nodes                                       get update deletecollection
not  anywhere nodes/proxy                                 get create
not  anywhere moduledeployments.koupleless.io             get list create
not  anywhere services                                    get list create
";

/// What neither account may do, wherever it is installed: read what isn't theirs, run or get into anything, make or change
/// workloads, change who may do what or what the API server lets in.
const NEVER: &str = "
not  anywhere secrets                                     get list watch create update patch delete
not  own      secrets                                     get list watch create update patch delete
not  anywhere configmaps                                  get list watch create update patch delete
not  own      configmaps                                  get list watch create update patch delete
not  anywhere pods/exec                                   create get
not  anywhere pods/attach                                 create get
not  anywhere pods/portforward                            create get
not  anywhere pods/proxy                                  create get
not  anywhere pods/log                                    get
not  anywhere pods/ephemeralcontainers                    update patch
not  anywhere pods/eviction                               create
not  anywhere deployments.apps                            create update patch delete
not  anywhere replicasets.apps                            create update patch delete
not  anywhere statefulsets.apps                           create update patch delete
not  anywhere daemonsets.apps                             create update patch delete
not  anywhere jobs.batch                                  create update patch delete
not  anywhere cronjobs.batch                              create update patch delete
not  anywhere namespaces                                  create update patch delete
not  anywhere persistentvolumeclaims                      get create delete
not  anywhere endpointslices.discovery.k8s.io             create update patch delete
not  anywhere networkpolicies.networking.k8s.io           create update patch delete
not  anywhere serviceaccounts                             create update patch delete impersonate
not  own      serviceaccounts/token                       create
not  anywhere users                                       impersonate
not  anywhere groups                                      impersonate
not  anywhere roles.rbac.authorization.k8s.io             get create update patch bind escalate
not  anywhere rolebindings.rbac.authorization.k8s.io      create update patch
not  anywhere clusterroles.rbac.authorization.k8s.io      get create update patch bind escalate
not  anywhere clusterrolebindings.rbac.authorization.k8s.io                            create update patch
not  anywhere customresourcedefinitions.apiextensions.k8s.io                           get list create update patch delete
not  anywhere validatingwebhookconfigurations.admissionregistration.k8s.io             create update patch delete
not  anywhere validatingadmissionpolicies.admissionregistration.k8s.io                 create update patch delete
not  anywhere certificatesigningrequests.certificates.k8s.io                           create update
not  anywhere *.*                                         *
";

async fn review(space: Space, user: String, rights: String) {
    let place = |word: &str| match word {
        "own" => space.name.clone(),
        "leases" => "kube-node-lease".to_owned(),
        _ => "default".to_owned(),
    };
    // A role is in use some time after it is stored.
    for line in rights.lines().filter(|line| line.starts_with("may") && !line.contains('=')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        eventually("the roles are in use", || async {
            may(&space, &user, &place(words[1]), words[2], words[3]).await.then_some(())
        })
        .await;
    }
    for line in rights.lines().chain(NEVER.lines()).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [allowed, where_, resource, verbs @ ..] = &words[..] else { panic!("no right: {line}") };
        let namespace = &place(where_);
        for verb in verbs {
            let answer = may(&space, &user, namespace, resource, verb).await;
            assert_eq!(answer, *allowed == "may", "{verb}: {line}");
        }
    }
}

/// Whether `user` may `verb` the `resource`, written `resource[/subresource][.group][=name]`.
async fn may(space: &Space, user: &str, namespace: &str, resource: &str, verb: &str) -> bool {
    let (resource, name) = resource.split_once('=').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "spec": {
            "user": user,
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "namespace": namespace, "group": group, "resource": resource, "subresource": subresource,
                "verb": verb, "name": name,
            },
        },
    }))
    .expect("a review");
    let reviews: Api<SubjectAccessReview> = Api::all(space.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await.expect("an answer");
    answer.status.is_some_and(|status| status.allowed)
}
