//! How releases stand, for a person who watches (a screen) and for a log (lines).

use unicode_width::UnicodeWidthStr;

use super::{
    Observed, batches,
    events::{self, Told},
    standing::{Because, Verdict},
    tree::{Role, Tree, trees},
    tree_text::phase,
};
use crate::{
    api::ModuleDeployment,
    cli::output::{Cell, Look, Table, Tone, ago, indented, middle},
};

/// How many Events a screen shows.
const EVENTS: usize = 6;
/// No name is shortened below this.
const LEAST: usize = 6;

/// Of all together: one that failed is what matters, then one under way.
pub fn verdict(trees: &[Tree]) -> Verdict {
    let any = |verdict| trees.iter().any(|tree| tree.standing.verdict == verdict);
    match () {
        () if any(Verdict::Failed) => Verdict::Failed,
        () if any(Verdict::Underway) => Verdict::Underway,
        () => Verdict::Done,
    }
}

/// Why it failed, and what to do.
pub fn failure(trees: &[Tree]) -> String {
    let names = names(trees);
    let failed = trees.iter().zip(&names).filter(|(tree, _)| tree.standing.verdict == Verdict::Failed);
    let sentences: Vec<String> = failed
        .map(|(tree, name)| {
            let why = tree.standing.because.first().map(|because| format!(": {}", because.message)).unwrap_or_default();
            let next = tree.standing.next.as_ref().map(|next| format!("; {next}")).unwrap_or_default();
            format!("{name} is {}{why}{next}", tree.standing.word)
        })
        .collect();
    sentences.join("\n")
}

/// What to say to who waits for the revision `wanted`, where another one is asked for.
pub fn other_revision(tree: &Tree, wanted: u64) -> Option<String> {
    let current = tree.revisions.iter().find(|revision| revision.role == Role::Current)?.number;
    (current != wanted).then(|| format!("{} asks for revision {current} by now, not for revision {wanted}", tree.name))
}

/// What each is called: its name, with its namespace where they are in several.
pub fn names(trees: &[Tree]) -> Vec<String> {
    let several = trees.iter().any(|tree| tree.namespace != trees[0].namespace);
    let name = |tree: &Tree| if several { format!("{}/{}", tree.namespace, tree.name) } else { tree.name.clone() };
    trees.iter().map(name).collect()
}

/// All deployments that were read, one block each.
pub fn screen(observed: &Observed, told: &[Told], look: &Look, now: i64) -> String {
    let trees = trees(observed).items;
    let blocks: Vec<String> = observed
        .deployments
        .iter()
        .zip(trees.iter().zip(names(&trees)))
        .map(|(one, (tree, name))| block(observed, one, (tree, &name), told, look, now))
        .collect();
    blocks.join("\n")
}

fn block(
    observed: &Observed,
    deployment: &ModuleDeployment,
    (tree, name): (&Tree, &str),
    told: &[Told],
    look: &Look,
    now: i64,
) -> String {
    let mut text = head(tree, name, look);
    let batches = batches::batches(observed, deployment);
    if batches.len() > 1 || tree.standing.word != "Completed" && !batches.is_empty() {
        text.push('\n');
        text.push_str(&batches::render(&batches, look));
    }
    let bases = bases(tree, now);
    if !bases.is_empty() {
        text.push('\n');
        text.push_str(&bases.render(look));
    }
    let mut events = Table::new(&["EVENT", "TIMES", "REASON", "MESSAGE"]);
    let about = events::around(told, observed, deployment);
    for told in about.iter().skip(about.len().saturating_sub(EVENTS)) {
        let tone = if told.warning { Tone::Bad } else { Tone::Plain };
        events.row(vec![
            format!("{} ago", ago(told.at.as_ref(), now)).into(),
            told.count.to_string().into(),
            Cell::new(told.reason.as_str(), tone),
            told.note.as_str().into(),
        ]);
    }
    if !events.is_empty() {
        text.push('\n');
        text.push_str(&events.render(look));
    }
    text
}

fn head(tree: &Tree, name: &str, look: &Look) -> String {
    let wanted = if tree.peer { "one on every base, ".to_owned() } else { String::new() };
    let standing = &tree.standing;
    let batch = match tree.batches {
        batches if batches > 1 => format!(", batch {} of {batches}", tree.batch),
        _ => String::new(),
    };
    let counts = format!("{wanted}{} of {} available", tree.available, tree.desired);
    let title = title([name, &tree.module, &tree.version], &counts, look);
    let mut text = format!("{title}\n{}{batch}\n", look.paint(standing.tone(), &standing.word));
    for because in &standing.because {
        text.push_str(&indented(&sentence(because), "  ", look));
    }
    if let Some(next) = &standing.next {
        text.push_str(&indented(&format!("next: {next}"), "  ", look));
    }
    text
}

/// What is released, and how many are available, which matters more than a long name's middle.
fn title(names: [&str; 3], counts: &str, look: &Look) -> String {
    let line = |[name, module, version]: [&str; 3]| format!("{name}  {module} {version}  {counts}");
    let whole = line(names);
    let Some(width) = look.width.filter(|width| whole.width() > *width) else { return whole };
    let room = width.saturating_sub(line([""; 3]).width());
    let fits = |longest: &usize| names.iter().map(|name| name.width().min(*longest)).sum::<usize>() <= room;
    let longest = (LEAST..=room).take_while(fits).last().unwrap_or(LEAST);
    let [name, module, version] = names.map(|name| middle(name, longest));
    line([&name, &module, &version])
}

fn sentence(because: &Because) -> String {
    match because.message.as_str() {
        "" => because.reason.clone(),
        message => format!("{}: {}", because.reason, message.replace('\n', " ")),
    }
}

/// Every Module, by base.
fn bases(tree: &Tree, now: i64) -> Table {
    let mut table = Table::new(&["BASE", "VERSION", "PHASE", "SINCE", "WHY"]);
    let mut modules: Vec<_> = tree
        .revisions
        .iter()
        .flat_map(|revision| revision.modules.iter().map(move |module| (revision, module)))
        .collect();
    modules.sort_by(|one, other| (&one.1.base.name, one.0.number).cmp(&(&other.1.base.name, other.0.number)));
    for (revision, module) in modules {
        let why = module.because.as_ref().map(sentence).unwrap_or_default();
        let base = if module.base.name.is_empty() { "<no base>" } else { module.base.name.as_str() };
        table.row(vec![
            base.into(),
            revision.version.as_str().into(),
            phase(module),
            ago(module.since.as_ref(), now).into(),
            why.into(),
        ]);
    }
    table
}

/// How a deployment stands, in one line for a log; printed where it differs from the last one.
pub fn line(tree: &Tree, name: &str) -> String {
    let standing = &tree.standing;
    let batch = match tree.batches {
        batches if batches > 1 => format!(" batch {} of {batches}", tree.batch),
        _ => String::new(),
    };
    let why = standing.because.first().map(|because| format!("; {}", sentence(because))).unwrap_or_default();
    format!(
        "{name}: {}{batch}, {} of {} updated, {} available{why}",
        standing.word, tree.updated, tree.desired, tree.available
    )
}

/// An Event as a line for a log.
pub fn event_line(told: &Told) -> String {
    let kind = if told.warning { "Warning" } else { "Normal" };
    let (_, name) = &told.about;
    format!("{name}: {kind} {}: {}", told.reason, told.note.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_window_shortens_names_and_keeps_how_many_are_available() {
        let names = ["orders-of-the-shop", "orders-of-the-shop", "1.0.0-rc.12+build"];
        let at = |width| title(names, "1 of 3 available", &Look { colour: false, width });
        let whole = "orders-of-the-shop  orders-of-the-shop 1.0.0-rc.12+build  1 of 3 available";
        assert_eq!(at(None), whole);
        assert_eq!(at(Some(whole.len())), whole);
        assert_eq!(at(Some(60)), "orders…e-shop  orders…e-shop 1.0.0-…+build  1 of 3 available");
        assert_eq!(at(Some(40)), "ord…op  ord…op 1.0…ld  1 of 3 available");
        let short = ["hello", "hello", "2026.11.25+build.7"];
        let short = title(short, "1 of 3 available", &Look { colour: false, width: Some(40) });
        assert_eq!(short, "hello  hello 2026…ld.7  1 of 3 available", "what is short stays whole");
        assert_eq!(at(Some(10)), at(Some(40)), "what is left of it is cut like any line");
    }
}
