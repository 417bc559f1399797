//! The alerts of `config/monitoring`, evaluated by Prometheus' own `promtool`: what must fire each, what must fire none.
//!
//! `cases.yaml` has the series; what may stand in them is held against the table in `docs/metrics.md`, which another test holds
//! against a scrape. `tests/promtool` finds or fetches the tool.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::{Value, json};

/// What a scrape adds: who was scraped, and a metric's own label that has the name of one of these.
const OF_THE_SCRAPE: [&str; 3] = ["pod", "namespace", "exported_namespace"];

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> Value {
    let text = fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    Value::deserialize(serde_yaml_ng::Deserializer::from_str(&text)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The rules as Prometheus reads them, which is what stands in `spec`.
fn rules() -> Value {
    read("config/monitoring/alerts.yaml")["spec"].clone()
}

fn alerts() -> Vec<Value> {
    let groups = rules()["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn cases() -> Vec<Value> {
    read("tests/alerts/cases.yaml")["tests"].as_array().expect("tests").clone()
}

/// Writes a file for promtool, which reads YAML, and so JSON.
fn written(name: &str, value: &Value) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    file
}

/// What promtool says; fails if it complains.
fn promtool(args: &[&str], file: &Path) -> String {
    let output = Command::new(path("tests/promtool")).args(args).arg(file).output().expect("tests/promtool runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "promtool {}: {said}", args.join(" "));
    said
}

#[test]
fn the_rules_are_good() {
    let file = written("alerts-checked.yaml", &rules());
    let said = promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &file);
    assert!(said.contains(&format!("{} rules found", alerts().len())), "{said}");
}

#[test]
fn they_fire_when_they_must_and_at_no_other_time() {
    let rules = written("alerts.yaml", &rules());
    let mut cases = read("tests/alerts/cases.yaml");
    cases["rule_files"] = json!([rules]);
    promtool(&["test", "rules"], &written("alerts-cases.yaml", &cases));
}

/// A case in which an alert fires, and in the same one a moment at which its condition holds not long enough.
#[test]
fn each_alert_has_its_cases() {
    let mut seen: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for case in cases() {
        for test in case["alert_rule_test"].as_array().into_iter().flatten() {
            let fires = !test["exp_alerts"].as_array().expect("exp_alerts").is_empty();
            seen.entry(test["alertname"].as_str().expect("a name").to_owned()).or_default().insert(fires);
        }
    }
    let names: BTreeSet<String> = alerts().iter().map(|rule| rule["alert"].as_str().expect("a name").into()).collect();
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), names);
    for (name, fires) in seen {
        assert_eq!(fires.len(), 2, "{name}: cases.yaml needs a moment at which it fires, and one at which not yet");
    }
}

/// The labels of each metric, as `docs/metrics.md` has them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(path("docs/metrics.md")).expect("docs/metrics.md");
    let quoted = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = text.lines().filter(|line| line.starts_with("| `module_controller_"));
    let one = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        (quoted(cells[1])[0].clone(), quoted(cells[3]).into_iter().collect())
    };
    rows.map(one).collect()
}

#[test]
fn the_cases_have_series_as_the_operator_tells_them() {
    let documented = documented();
    for case in cases() {
        for series in case["input_series"].as_array().expect("input_series") {
            let series = series["series"].as_str().expect("a series");
            let (metric, rest) = series.split_once('{').expect("labels");
            let labels = rest.trim_end_matches('}').split("\",").map(|pair| pair.split_once('=').expect("a label").0);
            let known = documented.get(metric).unwrap_or_else(|| panic!("{series}: there is no such metric"));
            for label in labels.filter(|label| !OF_THE_SCRAPE.contains(label)) {
                assert!(known.contains(label), "{series}: {metric} has no label {label}");
            }
        }
    }
}
