//! How a revision differs from the present spec, or from another revision, as a unified diff of YAML.
//!
//! Compared is what makes a revision: the template and the base Deployment. All other fields of a ModuleReplicaSet follow
//! the ModuleDeployment, whatever its age.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::history::find;
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet, ModuleTemplateSpec, keys::label},
    cli::output::{Look, Tone},
    domain::names,
};

/// Lines that stay the same around a change.
const CONTEXT: usize = 3;

/// What a revision is made of, as YAML.
pub fn document(sets: &[&ModuleReplicaSet], name: &str, revision: u64) -> Result<String, String> {
    Ok(of_set(find(sets, name, revision)?))
}

/// What a replica set is made of, as YAML.
pub fn of_set(set: &ModuleReplicaSet) -> String {
    let base = set.labels().get(label::BASE_DEPLOYMENT).cloned().unwrap_or_default();
    yaml(&base, set.spec.template.as_ref())
}

/// What the present spec asks for, in the same form.
pub fn present(deployment: &ModuleDeployment) -> String {
    yaml(&names::label_safe(&deployment.spec.base_deployment_name), deployment.spec.template.as_ref())
}

fn yaml(base: &str, template: Option<&ModuleTemplateSpec>) -> String {
    let mut template = json!(template);
    // Present in the one and absent in the other, whatever anybody wrote.
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("selector");
    }
    if let Some(fields) = template.as_object_mut()
        && fields.get("metadata").is_some_and(|metadata| *metadata == json!({}) || metadata.is_null())
    {
        fields.remove("metadata");
    }
    let document = json!({ "baseDeploymentName": base, "template": template });
    // Maps with text keys can always be written.
    serde_yaml_ng::to_string(&document).unwrap_or_default()
}

/// The differences from `old` to `new`, whose names are given; empty where there are none.
pub fn unified(old: (&str, &str), new: (&str, &str), look: &Look) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (old.1.lines().collect(), new.1.lines().collect());
    let steps = steps(&before, &after);
    let hunks = hunks(&steps);
    if hunks.is_empty() {
        return String::new();
    }
    let mut text = format!("--- {}\n+++ {}\n", old.0, new.0);
    for (from, to) in hunks {
        let hunk = &steps[from..to];
        let lines = |steps: &[Step<'_>]| {
            let old = steps.iter().filter(|step| step.is_old()).count();
            (old, steps.iter().filter(|step| step.is_new()).count())
        };
        let ((old_begun, new_begun), (old_lines, new_lines)) = (lines(&steps[..from]), lines(hunk));
        let first = |begun: usize, lines: usize| if lines == 0 { begun } else { begun + 1 };
        let (old_first, new_first) = (first(old_begun, old_lines), first(new_begun, new_lines));
        let head = format!("@@ -{old_first},{old_lines} +{new_first},{new_lines} @@");
        text.push_str(&look.paint(Tone::Faint, &head));
        text.push('\n');
        for step in hunk {
            let (sign, line, tone) = match step {
                Step::Same(line) => (' ', line, Tone::Plain),
                Step::Gone(line) => ('-', line, Tone::Bad),
                Step::New(line) => ('+', line, Tone::Good),
            };
            text.push_str(&look.paint(tone, &format!("{sign}{line}")));
            text.push('\n');
        }
    }
    text
}

/// One line of the way from the one text to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

impl Step<'_> {
    fn is_old(&self) -> bool {
        !matches!(self, Self::New(_))
    }

    fn is_new(&self) -> bool {
        !matches!(self, Self::Gone(_))
    }
}

/// The way with the longest common subsequence. Templates have a few dozen lines, so that a table of all pairs will do.
fn steps<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Step<'a>> {
    let mut common = vec![vec![0usize; after.len() + 1]; before.len() + 1];
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            common[i][j] = if old == new { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            steps.push(Step::Same(before[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || (i < before.len() && common[i + 1][j] >= common[i][j + 1]) {
            steps.push(Step::Gone(before[i]));
            i += 1;
        } else {
            steps.push(Step::New(after[j]));
            j += 1;
        }
    }
    steps
}

/// Where the hunks are: every change with its context, those that touch in one.
fn hunks(steps: &[Step<'_>]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (at, _) in steps.iter().enumerate().filter(|(_, step)| !matches!(step, Step::Same(_))) {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + 1 + CONTEXT).min(steps.len()));
        match hunks.last_mut() {
            Some(last) if from <= last.1 => last.1 = to,
            _ => hunks.push((from, to)),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_is_shown_with_three_lines_around_it() {
        let old = (1..=12).map(|n| format!("line {n}\n")).collect::<String>();
        let new = old.replace("line 6\n", "line six\n").replace("line 12\n", "");
        let text = unified(("revision 1", &old), ("revision 2", &new), &Look::default());
        let expected = "\
--- revision 1
+++ revision 2
@@ -3,10 +3,9 @@
 line 3
 line 4
 line 5
-line 6
+line six
 line 7
 line 8
 line 9
 line 10
 line 11
-line 12
";
        assert_eq!(text, expected);
        assert_eq!(unified(("a", &old), ("b", &old), &Look::default()), "");
    }

    #[test]
    fn changes_that_are_far_apart_are_two_hunks_and_colours_are_the_usual_ones() {
        let old = (1..=20).map(|n| format!("{n}\n")).collect::<String>();
        let new = old.replacen("1\n", "", 1).replace("20\n", "20\n21\n");
        let text = unified(("a", &old), ("b", &new), &Look { colour: true, width: None });
        assert_eq!(text.matches("@@ -").count(), 2, "{text}");
        assert!(text.contains("@@ -1,4 +1,3 @@") && text.contains("@@ -18,3 +17,4 @@"), "{text}");
        assert!(text.contains("\u{1b}[31m-1\u{1b}[0m") && text.contains("\u{1b}[32m+21\u{1b}[0m"), "{text}");
    }

    proptest! {
        #[test]
        fn the_steps_lead_from_the_one_to_the_other(
            before in prop::collection::vec("[a-c]", 0..9),
            after in prop::collection::vec("[a-c]", 0..9),
        ) {
            let before: Vec<&str> = before.iter().map(String::as_str).collect();
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            let steps = steps(&before, &after);
            let text = |step: &Step<'_>| match *step { Step::Same(l) | Step::Gone(l) | Step::New(l) => l.to_owned() };
            let old: Vec<String> = steps.iter().filter(|step| step.is_old()).map(text).collect();
            let new: Vec<String> = steps.iter().filter(|step| step.is_new()).map(text).collect();
            prop_assert_eq!(old, before);
            prop_assert_eq!(new, after);
        }
    }
}
