//! `undo`: the template of an earlier revision.

use k8s_openapi::api::apps::v1::Deployment;

use super::apply::{Changing, Writer, sets};
use crate::{
    api::ModuleReplicaSet,
    cli::{
        args::{Global, deployment_name},
        change::plan_undo,
        cluster::Cluster,
        error::Error,
    },
};

/// Options of `undo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl module undo hello                    back to the revision before
  kubectl module undo hello --to-revision 3    back to that one; `kubectl module history hello` lists them")]
pub struct Args {
    /// The ModuleDeployment's name
    #[arg(value_name = "NAME", value_parser = deployment_name)]
    name: String,
    /// Which revision [default: the one before]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    to_revision: Option<u64>,
    #[command(flatten)]
    changing: Changing,
}

/// Reads the revisions and changes the template.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let deployment = cluster.deployment(&args.name).await?;
    let found = sets(&cluster, &deployment).await?;
    let sets: Vec<&ModuleReplicaSet> = found.iter().collect();
    let back = plan_undo(&deployment, &sets, args.to_revision).map_err(Error::Refused)?;
    if let Some(base) = &back.base {
        must_exist(&cluster, base).await?;
    }
    let decide = |deployment: &_| plan_undo(deployment, &sets, args.to_revision).map(|back| back.change);
    Writer::new(&cluster, &args.changing).change(&args.name, decide).await
}

/// The revision ran on another base Deployment, of which its label tells.
async fn must_exist(cluster: &Cluster, base: &str) -> Result<(), Error> {
    let found = cluster.api::<Deployment>(Some(&cluster.namespace)).get_opt(base).await;
    match found.map_err(|error| Error::of(format!("get the Deployment {base}"), error))? {
        Some(_) => Ok(()),
        None => Err(Error::Refused(format!(
            "that revision ran on the base Deployment {base}, which does not exist; create it, or choose another revision"
        ))),
    }
}
