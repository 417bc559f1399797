use kube::Config;
use serde_json::json;

use super::*;

fn bases() -> Bases {
    let client = Client::try_from(Config::new("http://127.0.0.1:1".parse().expect("an address"))).expect("a client");
    let bases = Bases::new(client, Clock::start(), 290, CancellationToken::new(), |_| ());
    bases.watched().insert(base(), Watched::default());
    bases
}

fn base() -> BaseKey {
    ("shop".to_owned(), "base".to_owned())
}

fn deployment() -> Arc<BaseDeployment> {
    let deployment = json!({
        "metadata": { "name": "base", "namespace": "shop" },
        "spec": { "selector": {}, "template": { "metadata": {}, "spec": {} } },
    });
    Arc::new(serde_json::from_value(deployment).expect("a Deployment"))
}

/// Who was put off because nothing was known has to hear of it once, whichever list is complete last.
#[tokio::test]
async fn a_base_is_found_out_when_its_last_list_is_complete() {
    type Step = fn(&mut Watched);
    let named: Step = |entry| (entry.deployment, entry.deployment_synced) = (Some(deployment()), true);
    let missing: Step = |entry| (entry.deployment, entry.deployment_synced) = (None, true);
    let listed: Step = |entry| entry.pods_synced = true;
    let other_selector: Step = |entry| entry.pods_synced = false;
    for (what, steps) in [
        ("it is there", &[(named, false), (listed, true), (listed, false), (named, false)][..]),
        ("it isn't", &[(missing, true), (missing, false)]),
        ("it comes and goes", &[(missing, true), (named, false), (listed, true), (missing, false)]),
        ("it selects others", &[(named, false), (listed, true), (other_selector, false), (listed, true)]),
    ] {
        let bases = bases();
        for (number, (step, found_out)) in steps.iter().enumerate() {
            assert_eq!(bases.learn(&base(), step), *found_out, "{what}, step {number}");
        }
    }
}

#[tokio::test]
async fn nothing_is_learnt_of_a_base_that_nobody_names_any_more() {
    let bases = bases();
    bases.retain(&BTreeSet::new());
    assert!(!bases.learn(&base(), |entry| entry.deployment_synced = true));
    assert_eq!(bases.state(&base()), BaseState::Unknown);
}

fn pod(uid: &str, version: u64) -> BasePod {
    let metadata = json!({ "name": "base-0", "namespace": "shop", "uid": uid, "resourceVersion": version.to_string() });
    serde_json::from_value(json!({ "metadata": metadata, "spec": {}, "status": {} })).expect("a pod")
}

#[tokio::test]
async fn an_answer_about_a_pod_that_is_gone_says_nothing() {
    let known = |bases: &Bases| bases.pod("shop", "base-0").map(|pod| pod.uid().to_owned());
    let bases = bases();
    hold(&bases, &base(), pod("first", 1));
    bases.answered(pod("first", 2));
    assert_eq!(bases.pod("shop", "base-0").and_then(|pod| pod.resource_version()).as_deref(), Some("2"));

    relisted(&bases, &base(), BTreeSet::new());
    bases.answered(pod("first", 3));
    assert_eq!(known(&bases), None, "its end was seen");

    hold(&bases, &base(), pod("second", 5));
    bases.answered(pod("first", 4));
    assert_eq!(known(&bases).as_deref(), Some("second"), "its name is another's");
}
