//! `history` and `diff`: what the revisions are.

use kube::ResourceExt;

use super::{Stdout, apply::sets, read, stdout::remark};
use crate::{
    api::ModuleReplicaSet,
    cli::{
        args::{Global, deployment_name},
        cluster::{self, Cluster},
        error::Error,
        output::{self, Format},
        view::{diff, history},
    },
};

/// Options of `history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl module history hello                 the revisions, oldest first
  kubectl module history hello --revision 3    what revision 3 is made of; `kubectl module undo hello --to-revision 3` goes back to it")]
pub struct Args {
    /// The ModuleDeployment's name
    #[arg(value_name = "NAME", value_parser = deployment_name)]
    name: String,
    /// Show this revision whole: its template, or with -o json|yaml the ModuleReplicaSet
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// How it is shown: table, wide (with nothing shortened), json, yaml or name
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    output: Format,
}

/// Lists the revisions, or shows one.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let out = Stdout::new();
    let deployment = cluster.deployment(&args.name).await?;
    if let Some(revision) = args.revision {
        let found = sets(&cluster, &deployment).await?;
        let found: Vec<&ModuleReplicaSet> = found.iter().collect();
        let set = history::find(&found, &args.name, revision).map_err(Error::Refused)?;
        return match args.output {
            Format::Json => out.print_json(set),
            Format::Yaml => out.print_yaml(set),
            Format::Name => out.print(&format!("{}\n", output::name("ModuleReplicaSet", &set.name_any()))),
            Format::Table | Format::Wide => out.print(&diff::of_set(set)),
        };
    }
    let namespace = cluster.namespace.clone();
    let observed = read::without_pods(&cluster, Some(&namespace), vec![deployment]).await?;
    let Some(history) = history::history(&observed) else { return Ok(()) };
    match args.output {
        Format::Json => out.print_json(&history),
        Format::Yaml => out.print_yaml(&history),
        Format::Name => {
            let names = history.items.iter().map(|entry| output::name("ModuleReplicaSet", &entry.name) + "\n");
            out.print(&names.collect::<String>())
        }
        format => out.print(&history::render(&history, format == Format::Wide, &out.look, cluster::now())),
    }
}

/// Options of `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl module diff hello --revision 3                    what undo --to-revision 3 would change, read backwards
  kubectl module diff hello --revision 3 --to-revision 5    what changed between the two")]
pub struct DiffArgs {
    /// The ModuleDeployment's name
    #[arg(value_name = "NAME", value_parser = deployment_name)]
    name: String,
    /// The revision to compare
    #[arg(long, value_name = "NUMBER")]
    revision: u64,
    /// The one to compare it with [default: the present spec]
    #[arg(long, value_name = "NUMBER")]
    to_revision: Option<u64>,
}

/// Compares.
pub async fn diff(global: &Global, args: &DiffArgs) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let out = Stdout::new();
    let deployment = cluster.deployment(&args.name).await?;
    let found = sets(&cluster, &deployment).await?;
    let found: Vec<&ModuleReplicaSet> = found.iter().collect();
    let of = |revision| diff::document(&found, &args.name, revision).map_err(Error::Refused);
    let named = |revision: u64| format!("{} revision {revision}", args.name);
    let old = of(args.revision)?;
    let (name, new) = match args.to_revision {
        Some(revision) => (named(revision), of(revision)?),
        None => (format!("{} now", args.name), diff::present(&deployment)),
    };
    let text = diff::unified((&named(args.revision), &old), (&name, &new), &out.look);
    if text.is_empty() {
        remark(&format!("{} and {name} are the same.", named(args.revision)));
    }
    out.print(&text)
}
