//! `scale`: how many instances, through the scale subresource.

use kube::api::Patch;
use serde_json::json;

use super::apply::{BETWEEN_TRIES, Changing, DryRun, TRIES, Writer, looked_at, settled, typed};
use crate::{
    api::ModuleDeployment,
    cli::{
        args::{Global, deployment_name},
        change::plan_replicas,
        cluster::Cluster,
        error::Error,
        output,
    },
};

/// Options of `scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sets what `kubectl scale` and autoscalers set (spec.scaleReplicas); spec.replicas stays as it was applied. One on every base is
written in the manifest: spec.replicas -1.

Examples:
  kubectl module scale hello --replicas 5
  kubectl module scale hello --replicas 5 --current-replicas 3    only if nobody scaled it meanwhile")]
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
    settled(&cluster, &args.name).await?;
    for _ in 0..TRIES {
        if scaled(&writer, args).await? {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    Err(Error::Conflict(output::name("ModuleDeployment", &args.name)))
}

/// Looks, decides and writes; `false` where somebody changed the object meanwhile.
async fn scaled(writer: &Writer<'_>, args: &Args) -> Result<bool, Error> {
    let mut live = writer.live::<ModuleDeployment>(&args.name).await?;
    let had = plan_replicas(&typed(&live)?, args.replicas, args.current_replicas).map_err(Error::Refused)?;
    if had == Some(args.replicas) {
        let done = format!("already scaled to {}", args.replicas);
        writer.report::<ModuleDeployment>(&args.name, &live, &done, &[])?;
        return Ok(true);
    }
    if args.changing.dry_run != DryRun::Client {
        let mut patch = looked_at(&live);
        patch["spec"] = json!({ "replicas": args.replicas });
        let api = writer.cluster.api::<ModuleDeployment>(Some(&writer.cluster.namespace));
        match api.patch_scale(&args.name, &writer.params(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(false),
            Err(error) => return Err(Error::of(format!("scale the ModuleDeployment {}", args.name), error)),
        }
    }
    live["spec"]["scaleReplicas"] = json!(args.replicas);
    if args.changing.dry_run == DryRun::None && args.changing.output.is_some() {
        live = writer.live::<ModuleDeployment>(&args.name).await?;
    }
    let from = had.map(|had| format!(" from {had}")).unwrap_or_default();
    writer.report::<ModuleDeployment>(&args.name, &live, &format!("scaled{from} to {}", args.replicas), &[])?;
    Ok(true)
}
