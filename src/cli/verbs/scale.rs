//! `scale`: how many instances, through the scale subresource.

use kube::api::Patch;
use serde_json::json;

use super::apply::{Changing, DryRun, Writer, looked_at, typed};
use crate::{
    api::ModuleDeployment,
    cli::{
        args::{Global, deployment_name},
        change::plan_replicas,
        cluster::Cluster,
        error::Error,
    },
};

/// Options of `scale`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ModuleDeployment's name
    #[arg(value_name = "NAME", value_parser = deployment_name)]
    name: String,
    /// How many instances
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=i64::from(i32::MAX)))]
    replicas: u32,
    /// Only if it is scaled to this many now
    #[arg(long, value_name = "NUMBER")]
    current_replicas: Option<u32>,
    #[command(flatten)]
    changing: Changing,
}

/// Sets the scale.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let writer = Writer::new(&cluster, &args.changing);
    let mut live = writer.live::<ModuleDeployment>(&args.name).await?;
    let had = plan_replicas(&typed(&live)?, args.replicas, args.current_replicas).map_err(Error::Refused)?;
    if had == Some(args.replicas) {
        let done = format!("already scaled to {}", args.replicas);
        return writer.report::<ModuleDeployment>(&args.name, &live, &done, &[]);
    }
    if args.changing.dry_run != DryRun::Client {
        let mut patch = json!({ "spec": { "replicas": args.replicas } });
        if args.current_replicas.is_some() {
            // Expected of the object that was looked at, and of no later one.
            patch["metadata"] = looked_at(&live)["metadata"].clone();
        }
        let api = cluster.api::<ModuleDeployment>(Some(&cluster.namespace));
        let scaled = api.patch_scale(&args.name, &writer.params(), &Patch::Merge(&patch)).await;
        scaled.map_err(|error| Error::of(format!("scale the ModuleDeployment {}", args.name), error))?;
    }
    live["spec"]["scaleReplicas"] = json!(args.replicas);
    if args.changing.dry_run == DryRun::None && args.changing.output.is_some() {
        live = writer.live::<ModuleDeployment>(&args.name).await?;
    }
    let from = had.map(|had| format!(" from {had}")).unwrap_or_default();
    writer.report::<ModuleDeployment>(&args.name, &live, &format!("scaled{from} to {}", args.replicas), &[])
}
