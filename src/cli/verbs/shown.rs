//! What `status` shows from one look to the next: a view that is drawn over and over, a log, or one table.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::ResourceExt;

use super::{
    Stdout,
    stdout::remark,
    window::{self, Changes},
};
use crate::cli::{
    cluster,
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

/// What was seen at once.
pub struct Seen {
    /// The objects.
    pub observed: Observed,
    /// The Events about them.
    pub told: Vec<Told>,
}

/// Shows one look after the other.
pub struct Show {
    out: Stdout,
    /// Drawn over and over.
    live: Option<Changes>,
    /// As a log.
    log: bool,
    /// What is said below it.
    note: Option<String>,
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
    /// In the way that suits standard output.
    pub fn new(out: Stdout, watch: bool) -> Result<Self, Error> {
        let live = (watch && out.terminal).then(Changes::new).transpose()?;
        Ok(Self {
            log: watch && live.is_none(),
            live,
            out,
            note: None,
            drawn: 0,
            size: terminal(),
            lines: BTreeMap::new(),
            uids: BTreeMap::new(),
            told: None,
        })
    }

    /// Whether it draws on the terminal over and over.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Waits until it is time for the next look. Where the window changes meanwhile the last one is drawn anew.
    pub async fn rest(&mut self, time: Duration, last: Option<&Seen>) -> Result<(), Error> {
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        while let Some(changes) = &mut self.live {
            tokio::select! {
                () = &mut over => return Ok(()),
                () = changes.next() => {}
            }
            if let Some(last) = last {
                self.draw(last)?;
            }
        }
        over.await;
        Ok(())
    }

    /// Shows a look.
    pub fn show(&mut self, look: &Seen, trees: &[Tree]) -> Result<(), Error> {
        let Seen { observed, told } = look;
        self.note = None;
        if observed.deployments.is_empty() {
            remark("No ModuleDeployments found.");
        }
        match () {
            () if self.is_live() => self.draw(look),
            () if self.log => self.print_news(observed, trees, told),
            () => self.out.print(&status::screen(observed, told, &self.out.look, cluster::now())),
        }
    }

    fn draw(&mut self, Seen { observed, told }: &Seen) -> Result<(), Error> {
        if window::is_anothers() {
            // What is there is the shell's.
            self.drawn = 0;
            return Ok(());
        }
        let (width, height) = self.resized();
        let screen = status::screen(observed, told, &self.out.look, cluster::now());
        let (note, below) = self.note.as_ref().map_or_else(Default::default, |note| fit(note, width, 2));
        let (screen, rows) = fit(&screen, width, height.saturating_sub(below));
        let text = erase(std::mem::replace(&mut self.drawn, rows + below)) + &screen + &note;
        self.out.print(&text)
    }

    /// The terminal's size. Where it is another, lines that were drawn may have wrapped, so that all of it is cleared.
    fn resized(&mut self) -> (usize, usize) {
        if self.live.as_mut().is_some_and(Changes::has_moved) {
            self.drawn = 0;
        }
        let size = terminal();
        if std::mem::replace(&mut self.size, size) != size {
            self.out.look.width = Some(size.0);
            let _ = self.out.print(clear());
            self.drawn = 0;
        }
        size
    }

    /// Says that the API server doesn't answer, so that a screen that stands still isn't taken for news.
    pub fn interrupted(&mut self, failures: u32, error: &Error, last: Option<&Seen>) -> Result<(), Error> {
        let looks = if failures == 1 { "look" } else { "looks" };
        let sentence = format!("no news for {failures} {looks}: {error}");
        if !self.is_live() {
            if failures == 1 {
                remark(&sentence);
            }
            return Ok(());
        }
        // Without the command that it suggests, it is one row.
        self.note = Some(sentence.replace('`', ""));
        last.map_or(Ok(()), |last| self.draw(last))
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
    pub fn finish(&mut self, Seen { observed, told }: &Seen) -> Result<(), Error> {
        if self.is_live() {
            self.resized();
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
