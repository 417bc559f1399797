//! Documents that list what is in the code, held against it: the runbook's reasons, the table of metrics, the alerts, the rights.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use module_controller::{
    api::{Reason, reasons::types},
    runtime::metrics::{
        AgentCommand, AgentOutcome, ApiResource, ApiResult, ApiVerb, BaseState, Controller, Metrics, Phase, VNodeState,
        VPodState, fleet::BaseLoad,
    },
};

fn read(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a readable file")
}

/// The entries of the runbook: heading, and what stands under it.
fn entries(text: &str) -> BTreeMap<&str, &str> {
    let parts = text.split("\n### ").skip(1);
    let parts = parts.map(|part| part.split("\n## ").next().unwrap_or(part));
    parts.filter_map(|part| part.split_once('\n')).collect()
}

#[test]
fn the_runbook_has_every_reason_and_no_other() {
    let text = read("docs/runbook.md");
    let entries = entries(&text);
    for reason in Reason::ALL {
        let word = reason.as_str();
        let entry =
            entries.get(word).unwrap_or_else(|| panic!("docs/runbook.md has no entry for {word}: add ### {word}"));
        let places: Vec<String> = reason.places().iter().map(ToString::to_string).collect();
        let first = format!("{} *({})*", reason.meaning(), places.join(", "));
        assert_eq!(entry.trim().lines().next(), Some(first.as_str()), "docs/runbook.md, {word}: its first line");
        assert!(entry.lines().any(|line| line.starts_with("- Do: ")), "docs/runbook.md, {word}: what is to be done?");
    }
    let known: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let foreign: Vec<&&str> = entries.keys().filter(|word| !known.contains(*word)).collect();
    assert!(foreign.is_empty(), "docs/runbook.md explains what nobody says: {foreign:?}");
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for type_ in types::ALL {
        let told = headings.iter().any(|heading| heading.split(", ").any(|word| word == type_));
        assert!(told, "docs/runbook.md has no section for the condition {type_}");
    }
}

/// One value of every series, so that a scrape shows all labels.
fn scrape() -> String {
    let metrics = Metrics::new();
    metrics.reconcile(Controller::Module);
    metrics.api_write(ApiResource::Module, ApiVerb::Status, ApiResult::Ok);
    metrics.agent_call(AgentCommand::Install, AgentOutcome::Ok, Duration::from_secs(1));
    metrics.set_modules(Phase::Available, 1);
    metrics.set_bases(BaseState::Eligible, 1);
    metrics.set_vnodes(VNodeState::Ready, 1);
    metrics.set_vpods(VPodState::Ready, 1);
    metrics.set_fleet(&[BaseLoad { namespace: "n".into(), deployment: "b".into(), ..BaseLoad::default() }]);
    metrics.encode().expect("a scrape")
}

/// Name, type and labels of each metric, as a query writes them.
fn told(scrape: &str) -> BTreeSet<(String, String, Vec<String>)> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let one = |(family, kind): (&str, &str)| {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let name = format!("{family}{suffix}");
        let sample = scrape.lines().find(|line| {
            let rest = line.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.starts_with(['{', ' ', '_']) && !line.starts_with('#'))
        });
        let inside = sample.and_then(|line| line.split_once('{')?.1.split_once('}')).map_or("", |(inside, _)| inside);
        let labels = inside.split(',').filter_map(|pair| pair.split_once('=')).map(|(label, _)| label.to_owned());
        (name.clone(), kind.to_owned(), labels.filter(|label| label != "le").collect())
    };
    types.map(one).collect()
}

#[test]
fn the_table_of_metrics_is_what_a_scrape_shows() {
    let text = read("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `module_controller_") || line.starts_with("| `process_"));
    let written: BTreeSet<(String, String, Vec<String>)> = rows
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let labels = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned(), labels)
        })
        .collect();
    let shown = told(&scrape());
    let missing: Vec<_> = shown.difference(&written).collect();
    let extra: Vec<_> = written.difference(&shown).collect();
    assert!(missing.is_empty() && extra.is_empty(), "docs/metrics.md lacks {missing:#?}, and has {extra:#?}");
}

#[test]
fn alerts_ask_for_metrics_that_exist_and_are_in_the_document() {
    let document = read("docs/metrics.md");
    let known: BTreeSet<String> = told(&scrape()).into_iter().map(|(name, _, _)| name).collect();
    let alerts = yaml("config/monitoring/alerts.yaml").remove(0);
    let rules = alerts["spec"]["groups"][0]["rules"].as_array().expect("rules");
    assert!(!rules.is_empty());
    for rule in rules {
        let (name, expression) =
            (rule["alert"].as_str().expect("a name"), rule["expr"].as_str().expect("an expression"));
        let words = expression.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        let asked: Vec<&str> = words.filter(|word| word.starts_with("module_controller_")).collect();
        assert!(!asked.is_empty(), "{name} asks for nothing of ours");
        for metric in asked {
            assert!(known.contains(metric), "{name} asks for {metric}, which there isn't");
        }
        assert!(document.contains(&format!("| `{name}` |")), "docs/metrics.md doesn't explain the alert {name}");
    }
}

/// The documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    documents.map(|document| Value::deserialize(document).expect("YAML that is JSON")).collect()
}

#[test]
fn the_table_of_rights_is_what_the_roles_give() {
    let words = |cell: &str| -> Vec<String> { cell.split(',').map(|word| word.trim().to_owned()).collect() };
    let mut written = BTreeSet::new();
    for row in read("docs/security.md").lines().filter(|line| line.starts_with("| `config/")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let file = cells[1].trim_matches('`');
        for resource in words(cells[2]) {
            written.extend(words(cells[3]).into_iter().map(|verb| format!("{file}: {verb} {resource}")));
        }
    }
    let mut given = BTreeSet::new();
    let files = [
        "rbac/role",
        "rbac/leader_election",
        "rbac/cluster_reader",
        "virtual-pods/role",
        "vnode/role",
        "vnode/pods_role",
    ];
    for file in files.map(|file| format!("config/{file}.yaml")) {
        for rule in yaml(&file).iter().flat_map(|role| role["rules"].as_array().into_iter().flatten()) {
            let list = |key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).expect("words") };
            for resource in list("resources") {
                given.extend(list("verbs").into_iter().map(|verb| format!("{file}: {verb} {resource}")));
            }
        }
    }
    let (missing, extra): (Vec<_>, Vec<_>) =
        (given.difference(&written).collect(), written.difference(&given).collect());
    assert!(missing.is_empty() && extra.is_empty(), "docs/security.md lacks {missing:#?}, and has {extra:#?}");
}
