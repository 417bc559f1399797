//! `abort`: gives the release under way up.

use super::apply::{BETWEEN_TRIES, TRIES, Targets, Writer, each, sets, settled, typed};
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet},
    cli::{
        args::Global,
        change::{Abort, plan_abort},
        cluster::{self, Cluster},
        error::Error,
        output,
    },
};

/// Options of `abort`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The last completed revision comes back at once, neither batched nor confirmed; the spec stays as it is, and any change of
spec.template tries again. `kubectl module undo NAME` changes the spec instead.")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Aborts.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let writer = Writer::new(&cluster, &args.targets.changing);
    let writer = &writer;
    each(&cluster, &args.targets, |name| async move { abort(writer, &name).await }).await
}

async fn abort(writer: &Writer<'_>, name: &str) -> Result<(), Error> {
    for _ in 0..TRIES {
        let deployment = settled(writer.cluster, name).await?;
        let found = sets(writer.cluster, &deployment).await?;
        let known: Vec<&ModuleReplicaSet> = found.iter().collect();
        let plan = plan_abort(&deployment, &known, cluster::now()).map_err(Error::Refused)?;
        let live = writer.live::<ModuleDeployment>(name).await?;
        match plan {
            Abort::Already(what) => return writer.report::<ModuleDeployment>(name, &live, &what, &[]),
            Abort::Mark { set, patch, done } => {
                let marked = writer.live::<ModuleReplicaSet>(&set).await?;
                let same = typed::<ModuleDeployment>(&live)?.metadata.generation == deployment.metadata.generation;
                if same && writer.patch::<ModuleReplicaSet>(&set, &marked, &patch).await?.is_some() {
                    return writer.report::<ModuleDeployment>(name, &live, &done, &[]);
                }
            }
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    Err(Error::Conflict(output::name("ModuleDeployment", name)))
}
