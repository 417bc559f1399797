//! `status`: how releases stand, once or until they end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;
use tokio::time::Instant;

use super::{Stdout, apply::nothing_matches, read, stdout::remark};
use crate::cli::{
    args::{self, Global, Selection},
    cluster::{self, Cluster},
    error::Error,
    output::{clear, erase, fit},
    view::{
        Observed,
        events::{self, Told},
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
    let mut show = Show::new(Stdout::new(), args.watch);
    let give_up = (!args.timeout.is_zero()).then(|| Instant::now() + args.timeout);
    let mut failures = 0;
    let mut seen = false;
    loop {
        match look(&cluster, &args.selection).await {
            Ok((observed, told)) => {
                let trees = trees(&observed).items;
                if args.watch && trees.is_empty() {
                    return Err(nothing(&cluster, args, seen));
                }
                failures = 0;
                seen = true;
                show.show(&observed, &trees, &told)?;
                if let Some(end) = other_revision(&trees, args.revision).or_else(|| end(&trees, args.watch)) {
                    show.finish(&observed, &told)?;
                    return end;
                }
            }
            Err(Error::NotFound { name, namespace, .. }) if seen => {
                return Err(Error::Refused(format!(
                    "{name} in namespace {namespace} was deleted while it was watched"
                )));
            }
            // The first look tells of wrong names and rights; later ones may meet a restart of the API server.
            Err(error) if !seen || !args.watch || failures >= PATIENCE || !is_passing(&error) => return Err(error),
            Err(error) => {
                failures += 1;
                show.interrupted(failures, &error)?;
            }
        }
        if give_up.is_some_and(|at| Instant::now() + POLL > at) {
            return Err(Error::Timeout(format!(
                "not complete within {} s; the release goes on, `{}` shows how",
                args.timeout.as_secs(),
                once_more(&args.selection)
            )));
        }
        tokio::time::sleep(POLL).await;
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

async fn look(cluster: &Cluster, selection: &Selection) -> Result<(Observed, Vec<Told>), Error> {
    let deployments = cluster.deployments(selection).await?;
    let observed = read::around(cluster, cluster.scope(selection), deployments).await?;
    let events = read::events(cluster, cluster.scope(selection)).await?;
    Ok((observed, events::told(&events)))
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

/// Shows one look after the other.
struct Show {
    out: Stdout,
    /// Drawn over and over.
    live: bool,
    /// As a log.
    log: bool,
    /// Rows of the last drawing, and the terminal's size at that time.
    drawn: usize,
    size: (usize, usize),
    /// The last line of each deployment, and which object that was about.
    lines: BTreeMap<(String, String), String>,
    uids: BTreeMap<(String, String), Option<String>>,
    /// The Events that were printed, and those from before the command began.
    told: Option<BTreeSet<String>>,
}

impl Show {
    fn new(out: Stdout, watch: bool) -> Self {
        let live = watch && out.terminal;
        Self {
            live,
            log: watch && !live,
            out,
            drawn: 0,
            size: terminal(),
            lines: BTreeMap::new(),
            uids: BTreeMap::new(),
            told: None,
        }
    }

    fn show(&mut self, observed: &Observed, trees: &[Tree], told: &[Told]) -> Result<(), Error> {
        if observed.deployments.is_empty() {
            remark("No ModuleDeployments found.");
        }
        match () {
            () if self.live => {
                let (width, height) = self.resized();
                let screen = status::screen(observed, told, &self.out.look, cluster::now());
                let (screen, rows) = fit(&screen, width, height);
                let text = erase(std::mem::replace(&mut self.drawn, rows)) + &screen;
                self.out.print(&text)
            }
            () if self.log => self.print_news(observed, trees, told),
            () => self.out.print(&status::screen(observed, told, &self.out.look, cluster::now())),
        }
    }

    /// The terminal's size. Where it is another, lines that were drawn may have wrapped, so that all of it is cleared.
    fn resized(&mut self) -> (usize, usize) {
        let size = terminal();
        if std::mem::replace(&mut self.size, size) != size {
            self.out.look.width = Some(size.0);
            let _ = self.out.print(clear());
            self.drawn = 0;
        }
        size
    }

    /// Says that the API server doesn't answer, so that a screen that stands still isn't taken for news.
    fn interrupted(&mut self, failures: u32, error: &Error) -> Result<(), Error> {
        let looks = if failures == 1 { "look" } else { "looks" };
        let sentence = format!("no news for {failures} {looks}: {error}");
        if self.live {
            let (width, _) = self.resized();
            // Without the command that it suggests, it is one row.
            let (line, _) = fit(&sentence.replace('`', ""), width, 2);
            let before = if failures > 1 { erase(1) } else { String::new() };
            self.drawn += usize::from(failures == 1);
            return self.out.print(&(before + &line));
        }
        if failures == 1 {
            remark(&sentence);
        }
        Ok(())
    }

    fn print_news(&mut self, observed: &Observed, trees: &[Tree], told: &[Told]) -> Result<(), Error> {
        let about: Vec<&Told> =
            observed.deployments.iter().flat_map(|one| events::around(told, observed, one)).collect();
        let key = |told: &Told| format!("{} {} {} {}", told.uid, told.reason, told.note, told.count);
        let keys: BTreeSet<String> = about.iter().map(|told| key(told)).collect();
        // What was told before the command began is no news.
        let known = self.told.replace(keys.clone()).unwrap_or(keys);
        for told in about.iter().filter(|told| !known.contains(&key(told))) {
            self.out.print(&format!("{}\n", status::event_line(told)))?;
        }
        for ((deployment, tree), name) in observed.deployments.iter().zip(trees).zip(status::names(trees)) {
            let (key, line) = ((tree.namespace.clone(), tree.name.clone()), status::line(tree, &name));
            let uid = deployment.uid();
            if self.uids.insert(key.clone(), uid.clone()).is_some_and(|before| before != uid) {
                self.out.print(&format!("{name}: it was deleted and made anew\n"))?;
            }
            let before = self.lines.insert(key, line.clone());
            if before.as_ref() != Some(&line) {
                self.out.print(&format!("{line}\n"))?;
            }
        }
        Ok(())
    }

    /// The last look of a live view, whole.
    fn finish(&mut self, observed: &Observed, told: &[Told]) -> Result<(), Error> {
        if self.live {
            let text = erase(self.drawn) + &status::screen(observed, told, &self.out.look, cluster::now());
            self.out.print(&text)?;
        }
        if self.log {
            for tree in trees(observed).items {
                if tree.standing.verdict == Verdict::Done {
                    self.out.print(&format!("{} {} is available everywhere\n", tree.module, tree.version))?;
                }
            }
        }
        Ok(())
    }
}

fn terminal() -> (usize, usize) {
    terminal_size::terminal_size().map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()))
}
