//! `get`: the tree of ModuleDeployments.

use kube::ResourceExt;

use super::{Stdout, read, stdout::remark};
use crate::cli::{
    args::{Global, Selection},
    cluster::{self, Cluster},
    error::Error,
    output::{self, Format},
    view::{tree::trees, tree_text},
};

/// Options of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl module get                  the ModuleDeployments of the namespace, each with its revisions and bases
  kubectl module get hello -o wide    one, with the names of all objects and whole messages
  kubectl module get -A -l team=a     some of all namespaces
  kubectl module get -o json | jq -r '.items[] | select(.standing.verdict != \"Done\") | .name'")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// How it is shown: table, wide (with nothing shortened), json, yaml or name
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    output: Format,
}

/// Reads and prints.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let out = Stdout::new();
    let deployments = cluster.deployments(&args.selection).await?;
    if args.output == Format::Name {
        let names =
            deployments.iter().map(|deployment| output::name("ModuleDeployment", &deployment.name_any()) + "\n");
        return out.print(&names.collect::<String>());
    }
    let observed = read::around(&cluster, cluster.scope(&args.selection), deployments).await?;
    let trees = trees(&observed);
    match args.output {
        Format::Json => out.print_json(&trees),
        Format::Yaml => out.print_yaml(&trees),
        _ if trees.items.is_empty() => {
            remark(&match cluster.scope(&args.selection) {
                Some(namespace) => format!("No ModuleDeployments found in namespace {namespace}."),
                None => "No ModuleDeployments found.".to_owned(),
            });
            Ok(())
        }
        format => {
            let detail = tree_text::Detail { wide: format == Format::Wide, namespaces: args.selection.all_namespaces };
            out.print(&tree_text::render(&trees.items, detail, &out.look, cluster::now()))
        }
    }
}
