//! The tree as lines.

use super::{
    standing::Because,
    tree::{BaseState, Instance, Revision, Role, Tree},
};
use crate::{
    api::reasons::Reason,
    cli::output::{Cell, Look, Table, Tone, ago},
    domain::module::Phase,
};

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// More columns, nothing cut, revisions without Modules too.
    pub wide: bool,
    /// The namespace as the first column.
    pub namespaces: bool,
}

/// The trees at `now` (milliseconds), as a table whose first column is drawn as a tree.
pub fn render(trees: &[Tree], detail: Detail, look: &Look, now: i64) -> String {
    let mut headers = vec!["NAME", "STATUS", "AVAILABLE", "VERSION", "AGE"];
    if detail.namespaces {
        headers.insert(0, "NAMESPACE");
    }
    if detail.wide {
        headers.extend(["OBJECT", "IP", "NODE"]);
    }
    headers.push("WHY");
    let mut table = Table::new(&headers);
    for tree in trees {
        for line in lines(tree, detail, now) {
            let mut cells = vec![line.name, line.status, line.available, line.version, line.age];
            if detail.namespaces {
                cells.insert(0, tree.namespace.as_str().into());
            }
            if detail.wide {
                cells.extend(line.more.map(Cell::from));
            }
            cells.push(line.why);
            table.row(cells);
        }
    }
    let look = if detail.wide { Look { width: None, ..*look } } else { *look };
    table.render(&look)
}

struct Line {
    name: Cell,
    status: Cell,
    available: Cell,
    version: Cell,
    age: Cell,
    /// Object, address, node.
    more: [String; 3],
    why: Cell,
}

fn lines(tree: &Tree, detail: Detail, now: i64) -> Vec<Line> {
    let mut lines = vec![root(tree, now)];
    let shown = |revision: &&Revision| {
        detail.wide || !revision.modules.is_empty() || revision.desired > 0 || revision.role != Role::Old
    };
    let revisions: Vec<&Revision> = tree.revisions.iter().filter(shown).collect();
    for (at, revision) in revisions.iter().enumerate() {
        let last = at + 1 == revisions.len();
        lines.push(branch(revision, last, now));
        for (at, module) in revision.modules.iter().enumerate() {
            let stem = if last { "   " } else { "│  " };
            let twig = if at + 1 == revision.modules.len() { "└─ " } else { "├─ " };
            lines.push(leaf(module, &format!("{stem}{twig}"), now));
        }
    }
    lines
}

fn root(tree: &Tree, now: i64) -> Line {
    let standing = &tree.standing;
    let batch = match (tree.batch, tree.batches) {
        (batch, batches) if batches > 1 && standing.word != "Completed" => format!(" {batch}/{batches}"),
        _ => String::new(),
    };
    let desired = if tree.peer { format!("{} (peer)", tree.desired) } else { tree.desired.to_string() };
    Line {
        name: tree.name.as_str().into(),
        status: Cell::new(format!("{}{batch}", standing.word), standing.tone()),
        available: format!("{}/{desired}", tree.available).into(),
        version: tree.version.as_str().into(),
        age: ago(tree.created.as_ref(), now).into(),
        more: [String::new(), String::new(), String::new()],
        why: why(standing.because.first()),
    }
}

fn branch(revision: &Revision, last: bool, now: i64) -> Line {
    let twig = if last { "└─ " } else { "├─ " };
    let (status, tone) = match revision.role {
        Role::Current => ("current", Tone::Plain),
        Role::Old => ("old", Tone::Faint),
        Role::RolledBack => ("rolled back", Tone::Bad),
    };
    Line {
        name: format!("{twig}revision {}", revision.number).into(),
        status: Cell::new(status, tone),
        available: format!("{}/{}", revision.available, revision.desired).into(),
        version: revision.version.as_str().into(),
        age: ago(revision.created.as_ref(), now).into(),
        more: [revision.name.clone(), String::new(), String::new()],
        why: Cell::default(),
    }
}

fn leaf(module: &Instance, stem: &str, now: i64) -> Line {
    let base = &module.base;
    let (state, sick) = match base.state {
        BaseState::Ready | BaseState::Unknown => ("", false),
        BaseState::NotReady => (" (not ready)", true),
        BaseState::Ending => (" (ending)", true),
        BaseState::Gone => (" (gone)", true),
    };
    let name = if base.name.is_empty() { "<no base>" } else { base.name.as_str() };
    let named = Cell::new(format!("{stem}{name}{state}"), if sick { Tone::Busy } else { Tone::Plain });
    Line {
        name: named,
        status: phase(module),
        available: Cell::default(),
        version: Cell::default(),
        age: ago(module.created.as_ref(), now).into(),
        more: [module.name.clone(), base.ip.clone().unwrap_or_default(), base.node.clone().unwrap_or_default()],
        why: why(module.because.as_ref()),
    }
}

/// A Module's phase in its colour.
pub fn phase(module: &Instance) -> Cell {
    let failed = module.because.as_ref().is_some_and(|because| !Reason::Superseded.is(Some(&because.reason)));
    let tone = match Phase::parse(&module.phase) {
        _ if failed => Tone::Bad,
        Some(Phase::Available) => Tone::Good,
        Some(Phase::Terminating) => Tone::Faint,
        _ => Tone::Busy,
    };
    Cell::new(if module.phase.is_empty() { "<new>" } else { module.phase.as_str() }, tone)
}

fn why(because: Option<&Because>) -> Cell {
    let Some(because) = because else { return Cell::default() };
    match because.message.as_str() {
        "" => because.reason.as_str().into(),
        message => format!("{}: {message}", because.reason).into(),
    }
}
