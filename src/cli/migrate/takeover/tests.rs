use super::*;

/// The objects of `tests/fixtures/v1`, which the Go V1 left, each file in a namespace of its name.
fn fixture(name: &str) -> Seen {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(path).unwrap();
    let new = crate::cli::manifest::read(&text).unwrap().iter().map(|document| document.root.json()).collect();
    Seen { new, ..Seen::default() }
}

fn told(seen: &Seen, mend: &[Mend]) -> Vec<String> {
    rows(seen, mend).iter().map(|row| format!("{}: {} -> {}", row.object, row.found, row.does)).collect()
}

fn assert_told(name: &str, fragments: &[&str]) {
    let told = told(&fixture(name), &[]);
    assert_eq!(told.len(), fragments.len(), "{name}: {told:#?}");
    for fragment in fragments {
        assert!(told.iter().any(|line| line.contains(fragment)), "{name}: {fragment:?} isn't in {told:#?}");
    }
}

#[test]
fn what_is_odd_in_what_v1_left_is_told_and_what_is_well_is_not() {
    for well in ["grown", "moved", "plain"] {
        assert_told(well, &[]);
    }
    assert_told("broken", &["completed, with 0 of 1 Modules -> the operator installs"]);
    assert_told("finished", &["completed, with 1 of 2 Modules"]);
    assert_told("doubled", &["2 Modules of older revisions still run -> the operator uninstalls them once"]);
    assert_told("everywhere", &["replicas 5, where -1 was applied", "completed, with 4 of 5"]);
    assert_told(
        "misspelt",
        &["installThenUninstall, which nothing reads -> the operator takes it for install_then_uninstall"],
    );
    for paused in ["halfgrown", "resting", "waiting"] {
        assert_told(paused, &["paused in batch 1 -> the operator waits for `kubectl module confirm "]);
    }
    assert_told("stuck", &["its deletion never ended; it has 1 Module"]);
}

#[test]
fn only_what_was_asked_for_is_mended_and_once() {
    let steps = |seen: &Seen, mend: &[Mend]| -> Vec<Value> {
        let all = rows(seen, mend).into_iter().flat_map(|row| row.steps);
        all.map(|step| if let Step::Patch(_, patch) = step { patch } else { panic!("{step:?}") }).collect()
    };
    let (everywhere, misspelt) = (fixture("everywhere"), fixture("misspelt"));
    assert_eq!(steps(&everywhere, &[Mend::Policy]), [json!({})][..0]);
    assert_eq!(steps(&everywhere, &[Mend::Peer]), [json!({ "spec": { "replicas": -1 } })]);
    let policy = json!({ "spec": { "operationStrategy": { "upgradePolicy": "install_then_uninstall" } } });
    assert_eq!(steps(&misspelt, &[Mend::Policy, Mend::Peer]), [policy]);

    let mut mended = everywhere;
    mended.new[0]["spec"]["replicas"] = json!(-1);
    assert_eq!(steps(&mended, &[Mend::Peer]), [json!({})][..0]);
}

#[test]
fn a_limit_under_the_wrong_name_is_told_for_each_base_pod() {
    let pod = |labels: Value| json!({ "metadata": { "name": "p", "namespace": "ns", "uid": "u", "labels": labels } });
    let seen = Seen {
        pods: vec![
            pod(json!({ "maxModuleCount": "3" })),
            pod(json!({ "maxModuleCount": "3", "koupleless.io/max-module-count": "4" })),
            pod(json!({ "app": "base" })),
        ],
        ..Seen::default()
    };
    let rows = rows(&seen, &[Mend::MaxModuleCount]);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let Step::Patch(_, patch) = &rows[0].steps[0] else { panic!("{rows:#?}") };
    assert_eq!(patch, &json!({ "metadata": { "labels": { "koupleless.io/max-module-count": "3" } } }));
}

#[test]
fn what_the_operator_has_worked_on_is_its_own_business() {
    let mut seen = fixture("doubled");
    seen.new[0]["metadata"]["annotations"]["koupleless.io/scale-baseline"] = json!("2");
    assert_eq!(told(&seen, &[]), Vec::<String>::new());
}
