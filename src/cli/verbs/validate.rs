//! `validate`: manifests, checked without a cluster.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::Stdout;
use crate::{
    cli::{
        error::Error,
        validate::{
            check,
            finding::{self, FileReport},
        },
    },
    domain::validation::Severity,
};

/// Options of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Checks what the API server, the admission policy and the operator would refuse, with line and column. No cluster is asked.

Examples:
  kubectl module validate -f hello.yaml            one file; exit code 1 if anything would be refused
  kubectl module validate -f manifests -R          a folder with all folders in it
  helm template chart | kubectl module validate -f -
  kubectl module validate -f hello.yaml -o json | jq '.findings[] | select(.severity == \"error\")'")]
pub struct Args {
    /// Files, folders, or - for standard input
    #[arg(short, long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Also what lies in folders of these folders
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// How findings are shown: text (file:line:column) or json
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    output: Shown,
}

/// How findings are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Shown {
    /// A line for each: file:line:column
    #[default]
    Text,
    /// JSON; fields are added, never renamed or removed
    Json,
}

/// Reads, checks and prints.
pub fn run(args: &Args) -> Result<(), Error> {
    let mut reports = Vec::new();
    for path in &args.filename {
        reports.extend(of_path(path, args.recursive)?);
    }
    let out = Stdout::new();
    match args.output {
        Shown::Text => out.print(&finding::text(&reports, &out.look))?,
        Shown::Json => out.print_json(&finding::as_json(&reports))?,
    }
    let count = |severity| finding::count(&reports, severity);
    if count(Severity::Error) > 0 {
        return Err(Error::Refused("a cluster would refuse this; correct the errors above".to_owned()));
    }
    if args.strict && count(Severity::Warning) > 0 {
        return Err(Error::Refused("there are warnings, and --strict lets none pass; correct them".to_owned()));
    }
    if reports.iter().all(|report| report.checked == 0) {
        return Err(Error::Refused("there is nothing to check; name files with objects of koupleless.io".to_owned()));
    }
    Ok(())
}

fn of_path(path: &Path, recursive: bool) -> Result<Vec<FileReport>, Error> {
    let unreadable = |path: &Path, error| Error::Usage(format!("cannot read {}: {error}", path.display()));
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
        return Ok(vec![check::file("<stdin>", &String::from_utf8_lossy(&bytes))]);
    }
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, recursive, &mut files).map_err(|error| unreadable(path, error))?;
    } else {
        files.push(path.to_owned());
    }
    let report = |file: PathBuf| {
        let bytes = fs::read(&file).map_err(|error| unreadable(&file, error))?;
        Ok(check::file(&file.display().to_string(), &String::from_utf8_lossy(&bytes)))
    };
    files.into_iter().map(report).collect()
}

/// The manifests in a folder, by name, as `kubectl` finds them. A link to a folder isn't followed: it might lead back.
fn collect(folder: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if recursive {
                collect(&path, recursive, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}
