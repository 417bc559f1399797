use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Node {
    let mut documents = read(text).unwrap_or_else(|problem| panic!("{problem:?}: {text}"));
    assert_eq!(documents.len(), 1, "{text}");
    assert_eq!(documents[0].problems, []);
    documents.remove(0).root
}

fn at(line: usize, column: usize) -> Position {
    Position { line, column }
}

#[test]
fn every_field_knows_its_place() {
    let root = one("apiVersion: v1\nspec:\n  replicas: 2\n  list:\n  - a\n  - b: 1\n");
    assert_eq!(root.place("spec"), at(2, 1));
    assert_eq!(root.place("spec.replicas"), at(3, 3));
    assert_eq!(root.get(&["spec", "replicas"]).map(|node| node.at), Some(at(3, 13)));
    assert_eq!(root.place("spec.template.metadata"), at(2, 1), "the nearest that exists");
    assert_eq!(root.get(&["spec", "list"]).unwrap().items()[1].fields()[0].at, at(6, 5));
}

#[test]
fn json_is_read_with_its_places_too() {
    let root = one("{\n\t\"spec\": {\n\t\t\"replicas\": 2, \"x\": [true, null, \"a\\n\"]\n\t}\n}\n");
    assert_eq!(root.json(), json!({ "spec": { "replicas": 2, "x": [true, null, "a\n"] } }));
    assert_eq!(root.place("spec.replicas"), at(3, 3));
}

#[test]
fn documents_are_told_apart_and_empty_ones_are_none() {
    let documents = read("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n").unwrap();
    assert_eq!(documents.iter().map(|d| d.root.json()).collect::<Vec<_>>(), [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(documents[1].root.place("b"), at(6, 1));
    assert_eq!(read("").unwrap(), []);
    assert_eq!(read("\u{feff}# only a comment\n").unwrap(), []);
}

#[test]
fn anchors_and_merge_keys_are_carried_out() {
    let root = one("base: &base {a: 1, b: 2}\nnext: {<<: *base, b: 3}\nsame: *base\ntext: !!str 5\n");
    let expected = json!({ "base": {"a": 1, "b": 2}, "next": {"a": 1, "b": 3}, "same": {"a": 1, "b": 2}, "text": "5" });
    assert_eq!(root.json(), expected);
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    let problem = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
    assert!(problem.message.starts_with("no YAML: ") && problem.at.line >= 2, "{problem:?}");
    assert_eq!(read("? [a]\n: 1\n").unwrap_err().at, at(1, 3));
    let twice = read("a: 1\nb: 2\na: 3\n").unwrap().remove(0);
    assert_eq!(twice.problems[0].at, at(3, 1));
    assert!(twice.problems[0].message.contains("in line 1"), "{twice:?}");
}

#[test]
fn a_bomb_of_aliases_or_of_brackets_is_refused() {
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for level in 1..30 {
        bomb.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1));
    }
    assert!(read(&bomb).unwrap_err().message.contains("aliases"));
    assert!(read(&format!("{}{}", "[".repeat(150), "]".repeat(150))).unwrap_err().message.contains("nested deeper"));
    assert!(read(&"[".repeat(100_000)).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~äß\n]{0,12}".prop_map(Value::from),
        Just(Value::from("on")),
        Just(Value::from("1.0")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z/. ]{1,8}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_as_json_is_read_as_it_was(value in any_json()) {
        prop_assume!(!value.is_null());
        prop_assert_eq!(&one(&value.to_string()).json(), &value);
        prop_assert_eq!(&one(&serde_json::to_string_pretty(&value).unwrap()).json(), &value);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-a-z:#\\[\\]{}&*!|>'\"%@, \n\t]{0,60}") {
        let _ = read(&text);
    }
}
