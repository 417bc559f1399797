use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_000_000;

fn status(value: Value) -> VPodStatus {
    serde_json::from_value(value).expect("a status")
}

fn waiting(reason: &str, message: &str) -> VPodStatus {
    status(json!({ "phase": "Pending", "podIP": "10.0.0.1", "containerStatuses": [
        { "name": "shop", "state": { "waiting": { "reason": reason, "message": message } } }] }))
}

fn ready() -> VPodStatus {
    status(json!({ "phase": "Running", "podIP": "10.0.0.1",
        "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:10:00Z" }] }))
}

fn view<'a>(status: Option<&'a VPodStatus>, node: Option<VNode<'a>>) -> View<'a> {
    let pod = status.map(|status| Seen { created: NOW - 20_000, ending: false, status });
    View {
        pod,
        node,
        base: "base-1",
        biz: "shop",
        was_running: false,
        created: NOW - 30_000,
        watching_since: 7,
        blocked: false,
        superseded: false,
    }
}

fn with_node<T>(ready: bool, test: impl FnOnce(VNode<'_>) -> T) -> T {
    let labels = BTreeMap::from(
        [
            ("base.koupleless.io/name", "mall"),
            ("base.koupleless.io/version", "1.1.1"),
            ("virtual-kubelet.koupleless.io/env", "dev"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    test(VNode { name: "vnode.one.dev", labels: &labels, ready: (ready, NOW - 5_000) })
}

fn verdict_of(status: &VPodStatus) -> Verdict {
    with_node(true, |node| told(&view(Some(status), Some(node)), false, NOW).verdict)
}

#[test]
fn a_status_becomes_what_a_conversation_would_tell() {
    let unschedulable = status(json!({ "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available" }] }));
    let failed = |message: &str| Verdict::Failed(message.to_owned());
    for (name, status, verdict) in [
        ("ready", ready(), Verdict::Active),
        ("nothing said yet", status(json!({})), Verdict::Installing),
        ("no node takes it", unschedulable, Verdict::Held(Reason::Unschedulable, "0/3 nodes are available".to_owned())),
        ("resolved", waiting("RESOLVED", ""), Verdict::Installing),
        ("deactivated", waiting("Deactivated", "later"), Verdict::Inactive),
        ("broken, by the Go V2", waiting("BROKEN", "no bean"), failed("no bean")),
        ("not installed", waiting("InstallFailed", "no jar"), failed("no jar")),
        ("a word and nothing else", waiting("Conflict", ""), failed("the virtual pod says Conflict")),
        ("evicted", status(json!({ "phase": "Failed", "reason": "Evicted" })), Verdict::Waiting),
    ] {
        assert_eq!(verdict_of(&status), verdict, "{name}");
    }
    let told = with_node(true, |node| told(&view(Some(&ready()), Some(node)), false, NOW));
    assert_eq!(told.since, 600_000, "minReadySeconds counts from there");
}

#[test]
fn of_two_versions_the_older_one_is_superseded_by_a_newer_active_one() {
    let deactivated = waiting("DEACTIVATED", "");
    let told =
        with_node(true, |node| told(&View { superseded: true, ..view(Some(&deactivated), Some(node)) }, false, NOW));
    assert_eq!(told.verdict, Verdict::Superseded);
}

#[test]
fn a_node_that_is_not_ready_says_nothing_about_its_modules() {
    let told = with_node(false, |node| told(&view(Some(&ready()), Some(node)), false, NOW));
    assert_eq!((told.verdict, told.silent_since), (Verdict::Unknown, Some(NOW - 5_000)));
    assert_eq!(told.silence.as_deref(), Some("the virtual node vnode.one.dev is not ready"));
}

#[test]
fn without_a_vpod_it_is_missing_on_its_way_or_gone() {
    let verdict = |view: View<'_>, leaving| told(&view, leaving, NOW).verdict;
    let missing = "no virtual node stands for base pod base-1".to_owned();
    assert_eq!(verdict(view(None, None), false), Verdict::Held(Reason::VirtualNodeMissing, missing.clone()));
    assert_eq!(verdict(view(None, None), true), Verdict::Released);
    let ran = told(&View { was_running: true, ..view(None, None) }, false, NOW);
    assert_eq!((ran.verdict, ran.silent_since), (Verdict::Unknown, Some(7)), "it is left in its Service");
    assert_eq!(ran.silence, Some(missing));
    with_node(true, |node| {
        assert_eq!(verdict(view(None, Some(node)), false), Verdict::Waiting);
        assert_eq!(verdict(View { was_running: true, ..view(None, Some(node)) }, false), Verdict::Unknown);
    });
}

#[test]
fn what_ran_before_its_vpod_came_counts_as_running_for_a_while() {
    let fresh = VPodStatus::default();
    let verdict = |created| {
        with_node(true, |node| {
            let pod = Some(Seen { created, ending: false, status: &fresh });
            told(&View { pod, was_running: true, ..view(None, Some(node)) }, false, NOW).verdict
        })
    };
    assert_eq!(verdict(NOW - 14_000), Verdict::Unknown);
    assert_eq!(verdict(NOW - 15_000), Verdict::Installing);
}

#[test]
fn what_time_alone_changes_is_woken_for() {
    let (silent, says, serves) = (status(json!({})), waiting("RESOLVED", ""), ready());
    for (name, status, was_running, wakes) in [
        ("nothing was said yet", &silent, true, true),
        ("it never ran", &silent, false, false),
        ("it is being installed", &says, true, false),
        ("it serves", &serves, true, false),
    ] {
        let pod = Some(Seen { created: NOW - 5_000, ending: false, status });
        let view = View { pod, was_running, ..view(None, None) };
        let at = tells_more_at(&view, false, NOW);
        assert_eq!(at, wakes.then_some(NOW + 10_000), "{name}");
        let later = |after: i64| told(&view, false, NOW + after);
        assert_eq!((later(9_999) == later(0), later(10_000) == later(0)), (true, !wakes), "{name}");
        assert_eq!(tells_more_at(&view, false, NOW + 10_000), None, "{name}");
    }
}

#[test]
fn it_is_made_once_and_deleted_when_drained_or_ended() {
    let (run, leave) = (WishKind::Run, |drained| WishKind::Leave { drained });
    let (ready, ended) = (ready(), status(json!({ "phase": "Failed" })));
    with_node(true, |node| {
        let absent = view(None, Some(node));
        let ending = |status| {
            let pod = Some(Seen { created: NOW, ending: true, status });
            View { pod, ..absent }
        };
        for (name, view, wish, step) in [
            ("absent", absent, run, Step::Create),
            ("absent without a node", view(None, None), run, Step::Keep),
            ("the old one leaves first", View { blocked: true, ..absent }, run, Step::Keep),
            ("there", view(Some(&ready), Some(node)), run, Step::Keep),
            ("evicted", view(Some(&ended), Some(node)), run, Step::Delete),
            ("evicted and going", ending(&ended), run, Step::Keep),
            ("draining", view(Some(&ready), Some(node)), leave(false), Step::Keep),
            ("drained", view(Some(&ready), Some(node)), leave(true), Step::Delete),
            ("drained, node gone", view(Some(&ready), None), leave(true), Step::Delete),
            ("going", ending(&ready), leave(true), Step::Keep),
            ("gone", absent, leave(true), Step::Keep),
        ] {
            assert_eq!(plan_vpod(&view, wish), step, "{name}");
        }
    });
}

#[test]
fn it_has_the_shape_that_the_go_v2_consumes() {
    let module: Module = serde_json::from_value(json!({
        "apiVersion": "koupleless.io/v1alpha1", "kind": "Module",
        "metadata": { "name": "shop-replicas-1-shop-abc", "namespace": "n", "uid": "u", "labels": {
            "app": "base", "koupleless.io/module-name": "shop", "koupleless.io/module-deployment": "shop" } },
        "spec": { "module": { "name": "shop", "version": "1.0.0", "url": "https://store/shop.jar" } },
    }))
    .expect("a Module");
    let info = module.spec.module.clone().expect("its module");
    let pod = with_node(true, |node| json!(build(&module, &info, "https://store/shop-2.jar", &node)));
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "shop-replicas-1-shop-abc", "namespace": "n",
            "labels": {
                "koupleless.io/module-name": "shop", "koupleless.io/module-deployment": "shop",
                "virtual-kubelet.koupleless.io/component": "module",
                "module-controller.koupleless.io/component": "module",
            },
            "ownerReferences": [{ "apiVersion": "koupleless.io/v1alpha1", "kind": "Module",
                "name": "shop-replicas-1-shop-abc", "uid": "u", "controller": true }],
        },
        "spec": {
            "automountServiceAccountToken": false, "enableServiceLinks": false,
            "containers": [{ "name": "shop", "image": "https://store/shop-2.jar",
                "env": [{ "name": "BIZ_VERSION", "value": "1.0.0" }] }],
            "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{
                    "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["vnode.one.dev"] }],
                    "matchExpressions": [
                        { "key": "base.koupleless.io/name", "operator": "In", "values": ["mall"] },
                        { "key": "base.koupleless.io/version", "operator": "In", "values": ["1.1.1"] },
                    ],
                }],
            } } },
            "tolerations": [
                { "key": "schedule.koupleless.io/virtual-node", "operator": "Equal", "value": "True", "effect": "NoExecute" },
                { "key": "schedule.koupleless.io/node-env", "operator": "Equal", "value": "dev", "effect": "NoExecute" },
            ],
        },
    });
    assert_eq!(pod, expected);
}
