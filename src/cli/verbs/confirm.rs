//! `confirm`: lets a release go on that waits after a batch.

use std::time::Duration;

use tokio::time::Instant;

use super::apply::{DryRun, Targets, Writer, each, settled, typed};
use crate::{
    api::{ModuleDeployment, ModuleReplicaSet},
    cli::{
        args::Global,
        change::{Confirm, plan_confirm},
        cluster::Cluster,
        error::Error,
        output,
        view::standing::release,
    },
};

/// How long the operator may take to see that the number from before the release is gone.
const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks.
const POLL: Duration = Duration::from_millis(200);

/// Options of `confirm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Refuses where nothing waits, and says what the release does instead.

Examples:
  kubectl module confirm hello          the batch that waits; the release stops again after the next one
  kubectl module confirm hello --all    this one and all that follow
  kubectl module confirm -l team=a      of several releases")]
pub struct Args {
    /// This batch and all that follow
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    targets: Targets,
}

/// Confirms.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let writer = Writer::new(&cluster, &args.targets.changing);
    let writer = &writer;
    each(&cluster, &args.targets, |name| async move { confirm(writer, &name, args.all).await }).await
}

async fn confirm(writer: &Writer<'_>, name: &str, all: bool) -> Result<(), Error> {
    settled(writer.cluster, name).await?;
    let give_up = Instant::now() + SEEN_WITHIN;
    let mut cleared = false;
    while Instant::now() < give_up {
        let live = writer.live::<ModuleDeployment>(name).await?;
        let deployment: ModuleDeployment = typed(&live)?;
        let set = set_of(writer.cluster, &deployment).await?;
        let plan = match plan_confirm(&deployment, set.as_ref(), all) {
            // The operator is at the number that was taken away.
            Err(_) if cleared => None,
            plan => Some(plan.map_err(Error::Refused)?),
        };
        match plan {
            Some(Confirm::Already(what)) => return writer.report::<ModuleDeployment>(name, &live, &what, &[]),
            // Nothing becomes of a rehearsal, so that there is nothing to wait for.
            Some(Confirm::Clear) if writer.changing.dry_run != DryRun::None => {
                let done = "confirmed, after the number from before this release is cleared";
                return writer.report::<ModuleDeployment>(name, &live, done, &[]);
            }
            Some(ref plan @ (Confirm::Clear | Confirm::Set { .. })) => {
                if let Some(patch) = plan.patch()
                    && let Some(changed) = writer.patch::<ModuleDeployment>(name, &live, &patch).await?
                {
                    match plan {
                        Confirm::Set { done, .. } => {
                            return writer.report::<ModuleDeployment>(name, &changed, done, &[]);
                        }
                        _ => cleared = true,
                    }
                }
            }
            None => {}
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Error::Timeout(format!(
        "{} was not confirmed within {} s: the operator does not look at it, or others keep changing it; see whether it runs",
        output::name("ModuleDeployment", name),
        SEEN_WITHIN.as_secs()
    )))
}

/// The replica set of the revision under way.
async fn set_of(cluster: &Cluster, deployment: &ModuleDeployment) -> Result<Option<ModuleReplicaSet>, Error> {
    let Some(name) = release(deployment).and_then(|release| release.update_revision.clone()) else { return Ok(None) };
    let found = cluster.api::<ModuleReplicaSet>(Some(&cluster.namespace)).get_opt(&name).await;
    found.map_err(|error| Error::of(format!("get the ModuleReplicaSet {name}"), error))
}
