//! What validation found, and how it is told.

use serde_json::{Value, json};

use crate::{
    cli::{
        manifest::Position,
        output::{Look, Tone},
    },
    domain::validation::Severity,
};

/// One thing that is wrong in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the object would be refused, or only read otherwise than meant.
    pub severity: Severity,
    /// Where it stands.
    pub at: Position,
    /// The object: kind and name.
    pub object: String,
    /// The path of the field; empty where it is the object as a whole.
    pub field: String,
    /// What is wrong; what to change.
    pub message: String,
}

/// The findings of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// Its name, as it was given.
    pub file: String,
    /// How many objects were checked.
    pub checked: usize,
    /// How many are of kinds that aren't this tool's business.
    pub skipped: usize,
    /// What is wrong, by place.
    pub findings: Vec<Finding>,
}

/// The word for a severity.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// How many findings have this severity.
pub fn count(reports: &[FileReport], severity: Severity) -> usize {
    reports.iter().flat_map(|report| &report.findings).filter(|finding| finding.severity == severity).count()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// One line a finding, as compilers write it, and a sum.
pub fn text(reports: &[FileReport], look: &Look) -> String {
    let mut out = String::new();
    for report in reports {
        for finding in &report.findings {
            let Finding { severity, at, object, field, message } = finding;
            let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
            let object = if object.is_empty() { String::new() } else { format!(" ({object})") };
            let tone = if *severity == Severity::Error { Tone::Bad } else { Tone::Busy };
            let (file, word) = (&report.file, look.paint(tone, word(*severity)));
            out.push_str(&format!("{file}:{}:{}: {word}: {field}{message}{object}\n", at.line, at.column));
        }
    }
    let sum = |of: fn(&FileReport) -> usize| reports.iter().map(of).sum::<usize>();
    let skipped = match sum(|report| report.skipped) {
        0 => String::new(),
        skipped => format!(", {} of other kinds skipped", counted(skipped, "object")),
    };
    out.push_str(&format!(
        "{} checked{skipped}: {}, {}\n",
        counted(sum(|report| report.checked), "object"),
        counted(count(reports, Severity::Error), "error"),
        counted(count(reports, Severity::Warning), "warning"),
    ));
    out
}

/// The same for programs.
pub fn as_json(reports: &[FileReport]) -> Value {
    let findings: Vec<Value> = reports
        .iter()
        .flat_map(|report| report.findings.iter().map(move |finding| (report, finding)))
        .map(|(report, finding)| {
            json!({
                "file": report.file,
                "line": finding.at.line,
                "column": finding.at.column,
                "severity": word(finding.severity),
                "object": finding.object,
                "field": finding.field,
                "message": finding.message,
            })
        })
        .collect();
    json!({
        "checked": reports.iter().map(|report| report.checked).sum::<usize>(),
        "skipped": reports.iter().map(|report| report.skipped).sum::<usize>(),
        "errors": count(reports, Severity::Error),
        "warnings": count(reports, Severity::Warning),
        "findings": findings,
    })
}
