//! `bases`: what runs in each base.

use super::{
    Stdout,
    ask::{self, Via},
    read,
    stdout::remark,
};
use crate::cli::{
    args::{Global, Selection},
    cluster::{self, Cluster},
    error::Error,
    output::{self, Format},
    view::bases::{bases, render},
};

/// Options of `bases`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bases are the pods of the base Deployments that the ModuleDeployments name. LATENCY is from the question to the answer
and has the way in it: through the API server, unless --via says otherwise. Without the agent's own word the table shows what
the operator wrote into the Modules, and says so.

Examples:
  kubectl module bases                     of all ModuleDeployments of the namespace
  kubectl module bases hello --via none    of one, without asking the bases")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// How the agents in the bases are reached: by proxy (through the API server, with the right to create pods/proxy), direct (at
    /// the pods' addresses, from here), or none (not asked; what Modules say is shown)
    #[arg(long, value_enum, value_name = "WAY", default_value_t, hide_possible_values = true)]
    via: Via,
    /// How it is shown: table, wide (with nothing shortened), json, yaml or name
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    output: Format,
}

/// Reads, asks and prints.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let out = Stdout::new();
    let scope = cluster.scope(&args.selection);
    let deployments = cluster.deployments(&args.selection).await?;
    let observed = read::bases(&cluster, scope, deployments).await?;
    let pods = observed.pods.as_deref().unwrap_or_default();
    let answers = ask::all(&cluster, pods, args.via).await?;
    let bases = bases(&observed, &answers);
    match args.output {
        Format::Json => out.print_json(&bases),
        Format::Yaml => out.print_yaml(&bases),
        Format::Name => {
            let names = bases.items.iter().map(|base| format!("pod/{}\n", base.name));
            out.print(&names.collect::<String>())
        }
        Format::Table | Format::Wide if bases.items.is_empty() => {
            remark("No bases found: no pod belongs to a base Deployment that a ModuleDeployment names.");
            Ok(())
        }
        format => {
            let look = output::Look { width: out.look.width.filter(|_| format == Format::Table), ..out.look };
            out.print(&render(&bases, args.selection.all_namespaces, &look, cluster::now()))
        }
    }
}
