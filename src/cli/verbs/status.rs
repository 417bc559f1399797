//! `status`: how releases stand, once or until they end.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Stdout,
    apply::nothing_matches,
    read,
    shown::{Seen, Show},
    window,
};
use crate::cli::{
    args::{self, Global, Selection},
    cluster::Cluster,
    error::Error,
    view::{
        events,
        standing::Verdict,
        status,
        tree::{Tree, trees},
    },
};

/// Between two looks.
const POLL: Duration = Duration::from_secs(1);
/// How many looks in a row may fail before a watching command gives up: an API server that is restarted is back by then.
const PATIENCE: u32 = 30;

/// Options of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code, as of `kubectl rollout status`: 0 if the release is complete or, without --watch, still under way; 1 if it failed
(deadline exceeded, rolled back, invalid spec, being deleted), --timeout passed, or --watch has nothing to watch.

Examples:
  kubectl module status hello --watch --timeout 10m    in a pipeline: wait for the end of the release
  kubectl module status -A                             where do releases stand?")]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Go on until all releases have ended; on a terminal a live view, else a line for each change
    #[arg(short, long)]
    watch: bool,
    /// Give up watching after this time; 0: never
    #[arg(long, value_name = "DURATION", value_parser = args::duration, default_value = "0")]
    timeout: Duration,
    /// Fail where another revision than this one is asked for by now; of one ModuleDeployment
    #[arg(long, value_name = "NUMBER", requires = "names", value_parser = clap::value_parser!(u64).range(1..))]
    revision: Option<u64>,
}

/// Looks and shows.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    if args.revision.is_some() && args.selection.names.len() > 1 {
        return Err(Error::Usage("--revision is of one ModuleDeployment; name only one".to_owned()));
    }
    let cluster = Cluster::connect(global).await?;
    let show = Show::new(Stdout::new(), args.watch)?;
    match show.is_live() {
        true => window::hold(follow(&cluster, args, show)).await?,
        false => follow(&cluster, args, show).await,
    }
}

/// Looks and shows until it ends.
async fn follow(cluster: &Cluster, args: &Args, mut show: Show) -> Result<(), Error> {
    let give_up = (!args.timeout.is_zero()).then(|| Instant::now() + args.timeout);
    let mut failures = 0;
    let mut last = None;
    loop {
        match look(cluster, &args.selection).await {
            Ok(look) => {
                let trees = trees(&look.observed).items;
                if args.watch && trees.is_empty() {
                    return Err(nothing(cluster, args, last.is_some()));
                }
                failures = 0;
                show.show(&look, &trees)?;
                if let Some(end) = other_revision(&trees, args.revision).or_else(|| end(&trees, args.watch)) {
                    show.finish(&look)?;
                    return end;
                }
                last = Some(look);
            }
            Err(Error::NotFound { name, namespace, .. }) if last.is_some() => {
                return Err(Error::Refused(format!(
                    "{name} in namespace {namespace} was deleted while it was watched"
                )));
            }
            // The first look tells of wrong names and rights; later ones may meet a restart of the API server.
            Err(error) if last.is_none() || !args.watch || failures >= PATIENCE || !is_passing(&error) => {
                return Err(error);
            }
            Err(error) => {
                failures += 1;
                show.interrupted(failures, &error, last.as_ref())?;
            }
        }
        if give_up.is_some_and(|at| Instant::now() + POLL > at) {
            return Err(Error::Timeout(format!(
                "not complete within {} s; the release goes on, `{}` shows how",
                args.timeout.as_secs(),
                once_more(&args.selection)
            )));
        }
        show.rest(POLL, last.as_ref()).await?;
    }
}

/// There is nothing to wait for: a name that was mistyped in a pipeline isn't a success.
fn nothing(cluster: &Cluster, args: &Args, seen: bool) -> Error {
    match (&args.selection.selector, cluster.scope(&args.selection)) {
        _ if seen => Error::Refused("all of them were deleted while they were watched".to_owned()),
        (Some(selector), Some(_)) => nothing_matches(cluster, selector),
        _ => Error::Refused("there is no ModuleDeployment to watch".to_owned()),
    }
}

/// The command that shows the same once.
fn once_more(selection: &Selection) -> String {
    let mut words = vec!["kubectl module status".to_owned()];
    words.extend(selection.names.iter().cloned());
    words.extend(selection.selector.iter().map(|selector| format!("-l {selector}")));
    words.extend(selection.all_namespaces.then(|| "-A".to_owned()));
    words.join(" ")
}

/// How it ends where another revision is asked for by now than the one to wait for.
fn other_revision(trees: &[Tree], wanted: Option<u64>) -> Option<Result<(), Error>> {
    let (tree, wanted) = (trees.first()?, wanted?);
    status::other_revision(tree, wanted).map(|sentence| Err(Error::Refused(sentence)))
}

async fn look(cluster: &Cluster, selection: &Selection) -> Result<Seen, Error> {
    let deployments = cluster.deployments(selection).await?;
    let observed = read::around(cluster, cluster.scope(selection), deployments).await?;
    let events = read::events(cluster, cluster.scope(selection)).await?;
    Ok(Seen { observed, told: events::told(&events) })
}

/// Whether it may be better at the next look.
fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. }) || error.code().is_some_and(|code| code == 429 || code >= 500)
}

/// How the command ends, if it does.
fn end(trees: &[Tree], watch: bool) -> Option<Result<(), Error>> {
    match status::verdict(trees) {
        Verdict::Done => Some(Ok(())),
        Verdict::Failed => Some(Err(Error::Refused(status::failure(trees)))),
        Verdict::Underway => (!watch).then_some(Ok(())),
    }
}
