//! Tables of phases: a row for each key, a column for each phase.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::audit::Tally;
use super::meter::Phase;

/// Appends a table of counts, unless there are none.
pub fn counts(
    out: &mut String,
    title: &str,
    phases: &[Phase],
    of: impl Fn(&Phase) -> &Tally,
    show: impl Fn(u64) -> String,
) {
    let keys: BTreeSet<&String> = phases.iter().flat_map(|phase| of(phase).keys()).collect();
    if keys.is_empty() {
        return;
    }
    heading(out, title, phases);
    for key in keys {
        let _ = write!(out, "  {key:<38}");
        for phase in phases {
            let cell = of(phase).get(key).map_or("-".to_owned(), |count| show(*count));
            let _ = write!(out, "{cell:>10}");
        }
        let _ = writeln!(out);
    }
}

/// Appends the table of CPU seconds.
pub fn cpu(out: &mut String, phases: &[Phase]) {
    heading(out, "CPU seconds", phases);
    let names: BTreeSet<&str> = phases.iter().flat_map(|phase| phase.cpu.keys().copied()).collect();
    for name in names {
        let _ = write!(out, "  {name:<38}");
        for phase in phases {
            let _ = write!(out, "{:>10.2}", phase.cpu.get(name).copied().unwrap_or(0.0));
        }
        let _ = writeln!(out);
    }
}

fn heading(out: &mut String, title: &str, phases: &[Phase]) {
    let _ = write!(out, "\n{title:<40}");
    for phase in phases {
        let _ = write!(out, "{:>10}", phase.name);
    }
    let _ = writeln!(out);
}
