//! Each line of the contract's tables on states, phases and conditions.

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn place() -> Place<'static> {
    Place { ip: "10.0.0.7", unreachable: false, gates: &[], wall: at(100) }
}

fn standing(name: &'static str, state: ModuleState) -> Standing<'static> {
    Standing { name, image: "https://store/shop.jar", state }
}

fn waiting(present: bool) -> ModuleState {
    ModuleState::Waiting { present, reason: Reason::Broken, message: "why".into() }
}

fn told(status: &VPodStatus, type_: &str) -> String {
    status.condition(type_).map(|condition| condition.status.clone()).unwrap_or_default()
}

#[test]
fn a_container_says_what_the_contract_says_of_each_state() {
    let known = |state| Some(Some(state));
    let failed = Verdict::Failed("no such jar".into());
    for (name, verdict, biz, expected) in [
        ("ACTIVATED", Verdict::Active, known(BizState::Active), json!({ "running": { "startedAt": at(100) } })),
        ("RESOLVED", Verdict::Installing, known(BizState::Starting), json!({ "waiting": "Resolved" })),
        ("BROKEN", failed.clone(), known(BizState::Broken), json!({ "waiting": "Broken" })),
        ("DEACTIVATED", Verdict::Superseded, known(BizState::Inactive), json!({ "waiting": "Deactivated" })),
        ("DEACTIVATED, the newest", Verdict::Inactive, known(BizState::Inactive), json!({ "waiting": "Inactive" })),
        ("STOPPED", Verdict::Released, Some(None), json!({ "terminated": 1 })),
        ("absent", Verdict::Installing, Some(None), Value::Null),
        ("absent, its turn will come", Verdict::Waiting, Some(None), Value::Null),
        ("absent, and why", failed, Some(None), json!({ "waiting": "InstallFailed" })),
        ("a stranger's", Verdict::Foreign("9".into()), Some(None), json!({ "waiting": "ForeignModule" })),
        ("contested", Verdict::Contested("n2".into()), Some(None), json!({ "waiting": "Conflict" })),
        ("unknown", Verdict::Unknown, None, Value::Null),
    ] {
        let status = wanted(&VPodStatus::default(), &[standing("shop", ModuleState::of(&verdict, biz))], &place());
        let found = status.container_statuses.first().map(|container| &container.state);
        let words = match found {
            None => Value::Null,
            Some(ContainerState { running: Some(running), .. }) => json!({ "running": running }),
            Some(ContainerState { waiting: Some(Waiting { reason, message }), .. }) => {
                assert!(message.as_ref().is_some_and(|message| !message.is_empty()), "{name}");
                json!({ "waiting": reason })
            }
            Some(ContainerState { terminated: Some(ended), .. }) => json!({ "terminated": ended.exit_code }),
            Some(other) => panic!("{name}: {other:?}"),
        };
        assert_eq!(words, expected, "{name}");
        assert_eq!(status.container_statuses.first().is_some_and(|one| one.ready), name == "ACTIVATED", "{name}");
    }
}

#[test]
fn an_active_container_is_written_as_the_go_v2_wrote_it() {
    let status = wanted(&VPodStatus::default(), &[standing("shop", ModuleState::Active)], &place());
    let value = serde_json::to_value(&status).unwrap();
    assert_eq!(
        value["containerStatuses"],
        json!([{
            "name": "shop", "image": "https://store/shop.jar", "imageID": "https://store/shop.jar",
            "containerID": "shop", "ready": true, "started": true, "restartCount": 0,
            "state": { "running": { "startedAt": at(100) } },
        }])
    );
    assert_eq!((&value["podIP"], &value["phase"]), (&json!("10.0.0.7"), &json!("Running")));
    let patch = patch("u", &VPodStatus::default(), &status).unwrap();
    assert_eq!(patch["metadata"]["uid"], "u");
    assert_eq!(patch["status"]["podIPs"][1]["ip"], "10.0.0.7");
    assert_eq!(patch["status"].get("hostIP"), None);
}

#[test]
fn the_phase_is_what_the_contract_says() {
    use ModuleState::{Absent, Active, Starting, Stopped};
    for (name, states, phase, ready) in [
        ("no jar", vec![], "Succeeded", "False"),
        ("all terminated", vec![Stopped, Stopped], "Succeeded", "False"),
        ("none initialised", vec![Absent, waiting(false)], "Pending", "False"),
        ("all ready", vec![Active, Active], "Running", "True"),
        ("some ready", vec![Active, Absent], "Running", "False"),
        ("starting", vec![Starting], "Running", "False"),
        ("broken", vec![waiting(true)], "Running", "False"),
        ("one ended", vec![Active, Stopped], "Running", "False"),
    ] {
        let names = ["a", "b"];
        let modules: Vec<Standing<'_>> =
            states.into_iter().zip(names).map(|(state, name)| standing(name, state)).collect();
        let status = wanted(&VPodStatus::default(), &modules, &place());
        let found = (status.phase.clone().unwrap(), told(&status, "Ready"), told(&status, "ContainersReady"));
        assert_eq!(found, (phase.to_owned(), ready.to_owned(), ready.to_owned()), "{name}");
    }
}

#[test]
fn what_nobody_knows_stays_as_it_was_said() {
    let active = wanted(&VPodStatus::default(), &[standing("shop", ModuleState::Active)], &place());
    let later = Place { wall: at(200), ..place() };
    assert_eq!(wanted(&active, &[standing("shop", ModuleState::Unknown)], &later), active);
    assert_eq!(patch("u", &active, &active), None);
}

#[test]
fn an_unreachable_base_has_nothing_ready_and_comes_back_as_it_was() {
    let active = wanted(&VPodStatus::default(), &[standing("shop", ModuleState::Active)], &place());
    let lost = Place { unreachable: true, wall: at(200), ..place() };
    let silent = wanted(&active, &[standing("shop", ModuleState::Unknown)], &lost);
    assert_eq!((told(&silent, "Ready"), silent.phase.as_deref()), ("False".to_owned(), Some("Running")));
    assert!(!silent.container_statuses[0].ready && silent.container_statuses[0].state.running.is_some());
    assert_eq!(silent.condition("Ready").unwrap().reason.as_deref(), Some("BaseUnreachable"));
    let back = wanted(&silent, &[standing("shop", ModuleState::Active)], &Place { wall: at(300), ..place() });
    assert_eq!(told(&back, "Ready"), "True");
    let since = back.condition("Ready").unwrap().last_transition_time.clone();
    assert_eq!(since, Some(at(300)));
    let started = back.container_statuses[0].state.running.clone().unwrap().started_at;
    assert_eq!(started, Some(at(100)), "the module ran on meanwhile");
}

#[test]
fn readiness_gates_and_the_conditions_of_others_count() {
    let gates = ["example.com/gate".to_owned()];
    let gated = Place { gates: &gates, ..place() };
    let closed = wanted(&VPodStatus::default(), &[standing("shop", ModuleState::Active)], &gated);
    assert_eq!((told(&closed, "ContainersReady").as_str(), told(&closed, "Ready").as_str()), ("True", "False"));
    let mut open = closed.clone();
    let gate = PodCondition { type_: gates[0].clone(), status: "True".into(), ..PodCondition::default() };
    open.conditions.push(gate);
    let status = wanted(&open, &[standing("shop", ModuleState::Active)], &gated);
    assert_eq!(told(&status, "Ready"), "True");
    let patch = patch("u", &open, &status).unwrap();
    let types: Vec<&str> =
        patch["status"]["conditions"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["Ready"], "only what changed, and nobody else's");
}

fn any_state() -> impl Strategy<Value = ModuleState> {
    prop_oneof![
        Just(ModuleState::Unknown),
        Just(ModuleState::Absent),
        Just(ModuleState::Starting),
        Just(ModuleState::Active),
        any::<bool>().prop_map(waiting),
        Just(ModuleState::Stopped),
    ]
}

proptest! {
    #![proptest_config(crate::sweep::config(500, 1000))]

    /// Whatever happens to a vPod: ready means that every module is active as far as is known, and a status that was written
    /// is not written again while nothing changes.
    #[test]
    fn ready_is_true_and_statuses_settle(history in proptest::collection::vec((any_state(), any_state(), any::<bool>()), 1..12)) {
        let mut status = VPodStatus::default();
        for (second, (a, b, unreachable)) in history.into_iter().enumerate() {
            let wall = at(i64::try_from(second).unwrap());
            let modules = [standing("a", a.clone()), standing("b", b.clone())];
            let place = Place { unreachable, wall, ..place() };
            let before = status.clone();
            status = wanted(&status, &modules, &place);
            let active = |state: &ModuleState, name: &str| match state {
                ModuleState::Active => true,
                ModuleState::Unknown => before.container(name).is_some_and(|known| known.ready),
                _ => false,
            };
            prop_assert_eq!(status.is_ready(), !unreachable && active(&a, "a") && active(&b, "b"));
            let later = Place { wall: at(1000), ..place };
            prop_assert_eq!(wanted(&status, &modules, &later), status.clone());
        }
    }
}
