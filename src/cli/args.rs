//! The command line: verbs, and the options that all of them have.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use super::verbs;
use crate::runtime::flags::parse_duration;

/// What was asked for.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-module",
    bin_name = "kubectl module",
    version,
    about = "See and steer Koupleless modules in a cluster",
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage.",
    max_term_width = 100
)]
pub struct Cli {
    /// Options of all verbs.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of all verbs, named as kubectl's.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Global {
    /// The namespace [default: that of the context]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The user to act as
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// A group to act as, beside the user; may be given several times
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "impersonate")]
    pub impersonate_group: Vec<String>,
    /// The kubeconfig [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How long one request may take, such as 30s or 2m
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub request_timeout: Duration,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show ModuleDeployments with their revisions, modules and bases
    Get(verbs::get::Args),
    /// Show how releases stand; with --watch until they end
    Status(verbs::status::Args),
    /// Show the revisions of a ModuleDeployment
    History(verbs::history::Args),
    /// Compare a revision with the present spec, or with another
    Diff(verbs::history::DiffArgs),
    /// Show what runs in each base, and how much room it has
    Bases(verbs::bases::Args),
    /// Say why a module isn't available, and what to do
    LogsWhy(verbs::logs_why::Args),
    /// Let a release go on that waits for a confirmation
    Confirm(verbs::confirm::Args),
    /// Hold releases and restarts back
    #[command(after_help = "\
What runs goes on running, and what is being installed is finished; nothing new begins. `kubectl module resume NAME` ends it.

Examples:
  kubectl module pause hello
  kubectl module pause -l team=a")]
    Pause(verbs::apply::Targets),
    /// Let releases and restarts go on that pause held back
    Resume(verbs::apply::Targets),
    /// Give the release under way up: the last completed revision comes back, the spec stays
    Abort(verbs::abort::Args),
    /// Go back to an earlier revision: the spec becomes what it was
    Undo(verbs::undo::Args),
    /// Install another version
    SetVersion(verbs::set_version::Args),
    /// Set the number of instances
    Scale(verbs::scale::Args),
    /// Install the same version anew, base by base
    #[command(after_help = "\
The jar is fetched again. As many stay available as the upgrade policy and maxUnavailable keep; `kubectl module status NAME --watch`
waits for the end. A single base: `kubectl delete module MODULE`, by its name in `kubectl module get -o wide`.")]
    Restart(verbs::apply::Targets),
    /// Begin a release anew that was aborted or rolled back
    #[command(after_help = "\
The version stays: for when what made it fail is mended, in the repository, a database or the bases. All batches and confirmations
come again. Another version goes in with `kubectl module set-version NAME VERSION`.")]
    Retry(verbs::apply::Targets),
    /// Check manifests without a cluster
    Validate(verbs::validate::Args),
    /// Write a manifest to begin with
    Create(verbs::create::Args),
    /// Show and convert what the Go ModuleController V1 left
    Migrate(verbs::migrate::Args),
    /// Pack what somebody needs to help into one file
    SupportBundle(verbs::support_bundle::Args),
    /// Print a completion script
    Completion(verbs::completion::Args),
    /// What kubectl asks for when the tab key is pressed
    #[command(name = "__complete", hide = true)]
    Complete(verbs::completion::Words),
}

/// Which objects: one by name, those of a namespace, or all.
#[derive(Clone, Debug, Default, Args)]
pub struct Selection {
    /// Names of ModuleDeployments; `mddeploy/NAME` will do
    #[arg(value_name = "NAME", value_parser = deployment_name, conflicts_with_all = ["selector", "all_namespaces"])]
    pub names: Vec<String>,
    /// Only those with these labels, such as team=a,tier!=web
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
}

/// A name, with or without its kind before it.
pub fn deployment_name(text: &str) -> Result<String, String> {
    let Some((kind, name)) = text.split_once('/') else { return named(text) };
    let kind = kind.strip_suffix(".koupleless.io").unwrap_or(kind).to_ascii_lowercase();
    match kind.as_str() {
        "moduledeployment" | "moduledeployments" | "mddeploy" => named(name),
        _ => Err(format!("{kind} is no ModuleDeployment; give its name alone, or mddeploy/NAME")),
    }
}

fn named(name: &str) -> Result<String, String> {
    if name.is_empty() { Err("the name is empty".to_owned()) } else { Ok(name.to_owned()) }
}

/// A duration as kubectl takes it: `30s`, `1m30s`, `2h`; a number without a unit is in seconds, and 0 is for ever.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()));
    seconds.or_else(|| parse_duration(text)).ok_or_else(|| format!("{text:?} is no duration; write 30s, 5m or 1h30m"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_kubectl_reads_them() {
        for (text, milliseconds) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("250ms", Some(250)),
            ("15", Some(15_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("5m3", None),
            ("5 m", None),
            ("-5s", None),
            ("99999999999999999999s", None),
            ("99999999999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_deployment_is_named_with_or_without_its_kind() {
        for name in ["hello", "mddeploy/hello", "moduledeployment/hello", "ModuleDeployments.koupleless.io/hello"] {
            assert_eq!(deployment_name(name).as_deref(), Ok("hello"), "{name}");
        }
        assert!(deployment_name("deploy/hello").unwrap_err().contains("mddeploy/NAME"));
        assert!(deployment_name("mddeploy/").is_err());
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        for line in ["x -n a get", "x get -n a"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.global.namespace.as_deref(), Some("a"));
        }
        assert!(Cli::try_parse_from(["x", "get", "-A", "-n", "a"]).is_err(), "one or all");
        assert_eq!(Cli::try_parse_from(["x", "get", "--what"]).unwrap_err().exit_code(), 2);
    }
}
