//! The terminal that a live view draws on, and how it is left.
//!
//! A view goes back over what it drew, so nothing else may move the cursor meanwhile: what is typed isn't shown, and after it was
//! stopped and goes on, or the window has another size, it begins anew. However the command ends, the terminal is as it was.

use std::{future::poll_fn, io, task::Poll};

use futures::FutureExt;
use rustix::{
    process::{Signal as Number, getpgrp},
    termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ends a command that does nothing about it.
const ENDS: [Number; 4] = [Number::INT, Number::TERM, Number::HUP, Number::QUIT];

fn signals(number: Number) -> io::Result<Signal> {
    signal(SignalKind::from_raw(number.as_raw()))
}

/// Whether the terminal of standard output is another command's now, as for one that a shell runs in the background.
pub fn is_anothers() -> bool {
    tcgetpgrp(io::stdout()).is_ok_and(|group| group != getpgrp())
}

/// Keeps a view on the terminal until it ends. A signal that ends the process does it once the terminal is as it was, so that a
/// shell is told of it like of any command.
pub async fn hold<T>(view: impl Future<Output = T>) -> io::Result<T> {
    let mut ends = ENDS.into_iter().map(|number| Ok((number, signals(number)?))).collect::<io::Result<Vec<_>>>()?;
    let mut resumed = signals(Number::CONT)?;
    let mut quiet = Quiet::default();
    quiet.begin();
    let mut view = std::pin::pin!(view);
    let number = loop {
        let asked = poll_fn(|context| {
            let asked =
                ends.iter_mut().find_map(|(number, signal)| signal.poll_recv(context).is_ready().then_some(*number));
            asked.map_or(Poll::Pending, Poll::Ready)
        });
        tokio::select! {
            biased;
            number = asked => break number,
            // The shell has its own modes back.
            _ = resumed.recv() => quiet.begin(),
            done = &mut view => return Ok(done),
        }
    };
    if matches!(number, Number::INT | Number::QUIT) && !is_anothers() {
        // The key would have done it, had it not been held off with the output.
        let _ = tcflush(io::stdout(), QueueSelector::IFlush);
    }
    drop(quiet);
    signal_hook::low_level::emulate_default_handler(number.as_raw())?;
    Err(io::ErrorKind::Interrupted.into())
}

/// The modes that the terminal had before.
#[derive(Default)]
struct Quiet(Option<Termios>);

impl Quiet {
    /// What is typed isn't shown, and Ctrl-C throws no output away, in the middle of a colour maybe. A terminal that is another
    /// command's is let alone: to touch it would stop this one.
    fn begin(&mut self) {
        if is_anothers() {
            return;
        }
        let Ok(mut modes) = tcgetattr(io::stdout()) else { return };
        self.0.get_or_insert_with(|| modes.clone());
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        modes.local_modes.insert(LocalModes::NOFLSH);
        // Without it the view is the same, as long as nobody types.
        let _ = tcsetattr(io::stdout(), OptionalActions::Now, &modes);
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(former) = self.0.take().filter(|_| !is_anothers()) {
            let _ = tcsetattr(io::stdout(), OptionalActions::Now, &former);
        }
    }
}

/// Tells when the window isn't any more what it was when it was drawn on.
pub struct Changes {
    resized: Signal,
    resumed: Signal,
    moved: bool,
}

impl Changes {
    /// From now on.
    pub fn new() -> io::Result<Self> {
        Ok(Self { resized: signals(Number::WINCH)?, resumed: signals(Number::CONT)?, moved: false })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.resized.recv() => {}
            _ = self.resumed.recv() => self.moved = true,
        }
    }

    /// Whether others wrote meanwhile, so that the cursor is no more where it was left.
    pub fn has_moved(&mut self) -> bool {
        let resumed = self.resumed.recv().now_or_never().is_some();
        std::mem::take(&mut self.moved) || resumed
    }
}
