//! Writes the CustomResourceDefinitions to `crds/`, one file a kind, and the kustomization that lists them; or, with
//! `--reference`, the API reference.
//!
//! `crdgen` writes, `crdgen --check` compares and exits with 1 if a file differs; `--dir` names another folder.
//! What stands in the files is `api::crds`' and `api::reference`'s business; this only knows how to write and compare them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use module_controller::api::{crds, reference};

/// Writes the CustomResourceDefinitions made from the types in src/api.
#[derive(Parser)]
struct Args {
    /// Write nothing; say which file differs from the types and exit with 1.
    #[arg(long)]
    check: bool,
    /// The folder of the files.
    #[arg(long, default_value = "crds")]
    dir: PathBuf,
    /// Write or check the API reference in this file, and no definitions.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match (&args.reference, args.check) {
        (Some(file), true) => check_reference(file),
        (Some(file), false) => write_reference(file),
        (None, true) => check(&args.dir),
        (None, false) => write(&args.dir),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("crdgen: {message}");
            ExitCode::FAILURE
        }
    }
}

fn generated() -> Result<Vec<(String, String)>, String> {
    crds::files().map_err(|error| error.to_string())
}

fn write(dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for (name, content) in generated()? {
        let path = dir.join(name);
        fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn write_reference(file: &Path) -> Result<(), String> {
    let text = reference::text().map_err(|error| error.to_string())?;
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn check_reference(file: &Path) -> Result<(), String> {
    let text = reference::text().map_err(|error| error.to_string())?;
    match fs::read_to_string(file) {
        Ok(found) if found == text => Ok(()),
        Ok(_) => Err(format!("{} differs from the types in src/api; run `make generate`", file.display())),
        Err(error) => Err(format!("{}: {error}; run `make generate`", file.display())),
    }
}

fn check(dir: &Path) -> Result<(), String> {
    let drifted = drift(dir, &generated()?);
    if drifted.is_empty() {
        return Ok(());
    }
    Err(format!("{}; run `cargo run --bin crdgen`", drifted.join("; ")))
}

/// What is wrong in `dir`, one sentence a file: other content, missing, or nobody's.
fn drift(dir: &Path, expected: &[(String, String)]) -> Vec<String> {
    let mut drifted: Vec<String> = expected
        .iter()
        .filter_map(|(name, content)| {
            let path = dir.join(name);
            match fs::read_to_string(&path) {
                Ok(found) if found == *content => None,
                Ok(_) => Some(format!("{} differs from the types in src/api", path.display())),
                Err(error) => Some(format!("{}: {error}", path.display())),
            }
        })
        .collect();
    let found = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut foreign: Vec<String> = found
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !expected.iter().any(|(known, _)| known == name))
        .map(|name| format!("{} is none of the generated files", dir.join(name).display()))
        .collect();
    foreign.sort();
    drifted.append(&mut foreign);
    drifted
}
