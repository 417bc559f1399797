//! Who may do what: each verb with exactly the rights that docs/kubectl-module.md lists for it, and with each of them missing;
//! and the roles in config/users, as people and pipelines have them.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use kube::{Api, api::PostParams};
use rig::cluster::{Kind, SOON, World, module, scenario};
use serde_json::json;

use super::{Ran, ctl, done};

/// A verb of the API server and a resource.
type Right = (String, String);

/// A line of the table: the verbs, what they need, and without what they show less.
struct Row {
    verbs: Vec<String>,
    needs: Vec<Right>,
    less: Vec<Right>,
}

/// What is between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// `get, patch `a`; list `b`, `c`` as each verb with each resource.
fn rights(text: &str) -> Vec<Right> {
    let clause = |clause: &str| {
        let verbs = clause.split('`').next().unwrap_or_default();
        let verbs: Vec<&str> = verbs.split(',').map(str::trim).filter(|verb| !verb.is_empty()).collect();
        let pairs = quoted(clause).into_iter().flat_map(move |resource| {
            let of = |verb: &&str| ((*verb).to_owned(), resource.clone());
            verbs.iter().map(of).collect::<Vec<_>>()
        });
        pairs.collect::<Vec<_>>()
    };
    text.split(';').flat_map(clause).collect()
}

fn table() -> Vec<Row> {
    let document = include_str!("../../../docs/kubectl-module.md");
    let lines = document.lines().skip_while(|line| !line.starts_with("| verb | needs |")).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        Row { verbs: quoted(cells[0]), needs: rights(cells[1]), less: rights(cells[2]) }
    });
    rows.collect()
}

/// How each verb is run where a release of `team` waits for a confirmation; nothing is changed.
fn command(verb: &str) -> Vec<&'static str> {
    const DRY: &str = "--dry-run=server";
    match verb {
        "get" => vec!["get", "team"],
        "status" => vec!["status", "team"],
        "history" => vec!["history", "team"],
        "diff" => vec!["diff", "team", "--revision", "1"],
        "logs-why" => vec!["logs-why", "team"],
        "bases" => vec!["bases", "team"],
        "pause" => vec!["pause", "team", DRY],
        "resume" => vec!["resume", "held", DRY],
        "restart" => vec!["restart", "team", DRY],
        "retry" => vec!["retry", "held", DRY],
        "set-version" => vec!["set-version", "team", "3.0.0", DRY],
        "undo" => vec!["undo", "team", DRY],
        "confirm" => vec!["confirm", "team", DRY],
        "abort" => vec!["abort", "team", DRY],
        "scale" => vec!["scale", "team", "--replicas", "1", DRY],
        other => panic!("the table has a verb that isn't run here: {other}"),
    }
}

fn group_of(resource: &str) -> &'static str {
    match resource.split('/').next().unwrap_or_default() {
        "pods" | "events" | "services" => "",
        "deployments" => "apps",
        _ => "koupleless.io",
    }
}

/// Gives a user some rights in the scenario's namespace, and waits until the API server knows of it.
async fn allow(world: &World, user: &str, rights: &[Right]) {
    let rule = |(verb, resource): &Right| PolicyRule {
        api_groups: Some(vec![group_of(resource).to_owned()]),
        resources: Some(vec![resource.clone()]),
        verbs: vec![verb.clone()],
        ..PolicyRule::default()
    };
    let mut role = Role { rules: Some(rights.iter().map(rule).collect()), ..Role::default() };
    role.metadata.name = Some(user.to_owned());
    let roles: Api<Role> = Api::namespaced(world.client(), world.namespace());
    roles.create(&PostParams::default(), &role).await.expect("the role is created");
    bind(world, user, ("Role", user), &self::user(user)).await;
    for (verb, resource) in rights.iter().take(1) {
        until_allowed(world, user, None, (verb, resource)).await;
    }
}

/// Binds a role to a user or a group.
pub async fn bind(world: &World, name: &str, (kind, role): (&str, &str), subject: &Subject) {
    let api_group = "rbac.authorization.k8s.io".to_owned();
    let mut binding = RoleBinding {
        role_ref: RoleRef { api_group, kind: kind.to_owned(), name: role.to_owned() },
        subjects: Some(vec![subject.clone()]),
        ..RoleBinding::default()
    };
    binding.metadata.name = Some(name.to_owned());
    let bindings: Api<RoleBinding> = Api::namespaced(world.client(), world.namespace());
    bindings.create(&PostParams::default(), &binding).await.expect("the binding is created");
}

/// The authorizer learns of roles by a watch.
pub async fn until_allowed(world: &World, user: &str, group: Option<&str>, (verb, resource): (&str, &str)) {
    let (name, subresource) = resource.split_once('/').map_or((resource, None), |(name, sub)| (name, Some(sub)));
    let attributes = ResourceAttributes {
        namespace: Some(world.namespace().to_owned()),
        group: Some(group_of(resource).to_owned()),
        resource: Some(name.to_owned()),
        subresource: subresource.map(str::to_owned),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            groups: group.map(|group| vec![group.to_owned()]),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(world.client());
    let look = || async {
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        if allowed { Ok(()) } else { Err(format!("{user} may not {verb} {resource}")) }
    };
    world.eventually(SOON, "the roles hold", look).await;
}

/// A release of `team` that waits for a confirmation with a revision to go back to, and `held`, which is paused after its release
/// was given up.
async fn releases(world: &World) {
    world.bases(2).await;
    let strategy = json!({ "operationStrategy": { "batchCount": 2, "needConfirm": true } });
    for name in ["team", "held"] {
        world.deployed(&module(name).replicas(2)).await;
        world.change(name, strategy.clone()).await;
        world.release(name, "2.0.0").await;
        world.progress(name, "WaitingForConfirmation").await;
    }
    done(world, &["abort", "held"]).await;
    world.progress("held", "Aborted").await;
    done(world, &["pause", "held"]).await;
}

/// What a run of a verb must give.
enum Gives {
    All,
    Refusal(Right),
    Less(Right),
}

async fn runs_as(world: &World, user: &str, verb: &str, gives: Gives) {
    let ran: Ran = ctl(world, &[&command(verb)[..], &["--as", user]].concat()).await;
    let said = format!("{}{}", ran.out, ran.err);
    match gives {
        Gives::All => {
            assert_eq!(ran.code, Some(0), "{verb} with what the table lists: {said}");
            assert!(
                !said.contains("may not") && !said.contains("forbidden"),
                "{verb} with what the table lists: {said}"
            );
        }
        Gives::Refusal((need, resource)) => {
            assert_eq!(ran.code, Some(1), "{verb} without {need} {resource}: {said}");
            let refusal = format!(
                "{user} may not {need} {resource}.koupleless.io in namespace {}; ask for a RoleBinding",
                world.namespace()
            );
            assert!(ran.err.contains(&refusal), "{verb} without {need} {resource}: {said}");
        }
        Gives::Less((need, resource)) => {
            assert_eq!(ran.code, Some(0), "{verb} without {need} {resource}: {said}");
            assert!(
                said.contains("may not"),
                "{verb} without {need} {resource} doesn't say that it shows less: {said}"
            );
        }
    }
}

#[test]
fn each_verb_needs_what_the_document_lists_and_nothing_more() {
    scenario("tool_rights", |world| async move {
        releases(&world).await;
        let world = &world;
        let mut cases: Vec<(String, Vec<Right>, String, Gives)> = Vec::new();
        for row in table() {
            for verb in &row.verbs {
                let all: Vec<Right> = row.needs.iter().chain(&row.less).cloned().collect();
                let without = |right: &Right| all.iter().filter(|one| *one != right).cloned().collect::<Vec<_>>();
                for (at, right) in row.needs.iter().enumerate() {
                    cases.push((format!("{verb}-{at}"), without(right), verb.clone(), Gives::Refusal(right.clone())));
                }
                for (at, right) in row.less.iter().enumerate() {
                    cases.push((format!("{verb}-less-{at}"), without(right), verb.clone(), Gives::Less(right.clone())));
                }
                cases.push((format!("{verb}-all"), all, verb.clone(), Gives::All));
            }
        }
        let verbs: BTreeSet<&str> = cases.iter().map(|(_, _, verb, _)| verb.as_str()).collect();
        assert_eq!(verbs.len(), 15, "{verbs:?}");
        let run = |(user, rights, verb, gives): (String, Vec<Right>, String, Gives)| async move {
            allow(world, &user, &rights).await;
            runs_as(world, &user, &verb, gives).await;
        };
        stream::iter(cases).for_each_concurrent(8, run).await;

        // Without a name they are listed first.
        allow(world, "lists", &rights("list `moduledeployments`, `modulereplicasets`, `modules`, `pods`")).await;
        assert!(ctl(world, &["get", "--as", "lists"]).await.out.contains("team"));
    });
}

/// The roles of config/users in the cluster.
async fn apply_roles(world: &World) {
    for role in [
        include_str!("../../../config/users/viewer.yaml"),
        include_str!("../../../config/users/editor.yaml"),
        include_str!("../../../config/users/admin.yaml"),
        include_str!("../../../config/users/migrator.yaml"),
    ] {
        world.apply_anywhere(role).await;
    }
}

/// A user by name.
pub fn user(name: &str) -> Subject {
    Subject { kind: "User".to_owned(), name: name.to_owned(), ..Subject::default() }
}

#[test]
fn a_viewer_sees_all_of_it_and_changes_nothing() {
    scenario("tool_viewer", |world| async move {
        apply_roles(&world).await;
        releases(&world).await;
        bind(&world, "viewers", ("ClusterRole", "module-viewer"), &user("vera")).await;
        until_allowed(&world, "vera", None, ("list", "moduledeployments")).await;
        for verb in ["get", "status", "history", "diff", "logs-why"] {
            runs_as(&world, "vera", verb, Gives::All).await;
        }
        let one = done(&world, &["get", "team", "--as", "vera"]).await;
        assert!(one.contains("team") && !one.contains("held"), "only what was named: {one}");
        let asked = ctl(&world, &["bases", "--via", "none", "--as", "vera"]).await;
        assert!(asked.code == Some(0) && asked.err.is_empty(), "{}", asked.err);

        for verb in ["pause", "restart", "set-version", "undo", "confirm", "abort", "scale"] {
            let (need, resource) = match verb {
                "abort" => ("patch", "modulereplicasets"),
                "scale" => ("patch", "moduledeployments/scale"),
                _ => ("patch", "moduledeployments"),
            };
            let refused = ctl(&world, &[&command(verb)[..], &["--as", "vera"]].concat()).await.fails(1);
            let namespace = world.namespace();
            let says = format!(
                "vera may not {need} {resource}.koupleless.io in namespace {namespace}; ask for a RoleBinding to the \
                     ClusterRole module-editor there"
            );
            assert!(refused.contains(&says), "{verb}: {refused}");
        }
        let everywhere = ["get", "-A", "--as", "vera"];
        let output = super::program(&everywhere).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("in all namespaces; name one namespace with -n"), "{said}");
    });
}

#[test]
fn an_editor_takes_a_release_through_all_that_can_happen_to_it() {
    scenario("tool_editor", |world| async move {
        apply_roles(&world).await;
        let pods = world.bases(2).await;
        let spec = module("mine").replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
        // By the group that a login service says the user is in.
        let group = Subject { kind: "Group".to_owned(), name: "releasers".to_owned(), ..Subject::default() };
        bind(&world, "editors", ("ClusterRole", "module-editor"), &group).await;
        until_allowed(&world, "eddie", Some("releasers"), ("patch", "moduledeployments/scale")).await;
        let eddie = |args: &[&'static str]| {
            let args = [args, &["--as", "eddie", "--as-group", "releasers"]].concat();
            let world = &world;
            async move { done(world, &args).await }
        };
        world.deploy(&spec).await;
        world.progress("mine", "WaitingForConfirmation").await;
        eddie(&["confirm", "mine", "--all"]).await;
        eddie(&["status", "mine", "--watch", "--timeout", "60s"]).await;
        eddie(&["set-version", "mine", "2.0.0"]).await;
        world.progress("mine", "WaitingForConfirmation").await;
        eddie(&["pause", "mine"]).await;
        eddie(&["resume", "mine"]).await;
        world.progress("mine", "WaitingForConfirmation").await;
        eddie(&["abort", "mine"]).await;
        world.progress("mine", "Aborted").await;
        eddie(&["retry", "mine"]).await;
        world.progress("mine", "WaitingForConfirmation").await;
        eddie(&["confirm", "mine", "--all"]).await;
        world.completed("mine").await;
        eddie(&["undo", "mine"]).await;
        world.progress("mine", "WaitingForConfirmation").await;
        eddie(&["confirm", "mine", "--all"]).await;
        world.completed("mine").await;
        eddie(&["scale", "mine", "--replicas", "1"]).await;
        world.completed("mine").await;
        eddie(&["restart", "mine"]).await;
        eddie(&["status", "mine", "--watch", "--timeout", "60s"]).await;
        world.until_serving(&pods, "mine", "1.0.0", 1).await;
        assert!(eddie(&["bases", "mine"]).await.contains("ACTIVATED"), "asked through pods/proxy");

        let alone = ctl(&world, &["pause", "mine", "--as", "eddie"]).await.fails(1);
        assert!(alone.contains("eddie may not get moduledeployments.koupleless.io"), "without the group: {alone}");
    });
}

/// `view`, `edit` and `admin` are Kubernetes' own: who has them in a namespace needs nothing else.
#[test]
fn kubernetes_own_roles_have_ours_in_them() {
    scenario("tool_aggregated", |world| async move {
        apply_roles(&world).await;
        world.bases(1).await;
        world.deployed(&module("own")).await;
        for role in ["view", "edit", "admin"] {
            bind(&world, role, ("ClusterRole", role), &user(role)).await;
        }
        until_allowed(&world, "view", None, ("list", "moduledeployments")).await;
        until_allowed(&world, "edit", None, ("patch", "moduledeployments/scale")).await;
        until_allowed(&world, "admin", None, ("delete", "modulereplicasets")).await;
        assert!(ctl(&world, &["status", "own", "--as", "view"]).await.fails_never().contains("Completed"));
        assert!(ctl(&world, &["pause", "own", "--as", "view"]).await.fails(1).contains("view may not patch"));
        assert!(ctl(&world, &["pause", "own", "--as", "edit"]).await.fails_never().contains("paused"));
        assert_eq!(world.deployment("own").await["spec"]["paused"], true);
        assert!(ctl(&world, &["resume", "own", "--as", "admin"]).await.fails_never().contains("resumed"));
        assert!(world.find(Kind::ModuleDeployment, "own").await.is_some());
    });
}
