//! A terminal window with a program in it: a pseudo terminal, and what its output looks like on the screen.
//!
//! The program is a session leader whose controlling terminal this is, so that keys are signals there as anywhere, and a window
//! that is resized tells it. What is drawn over and over is taken apart into frames: a frame is what the window shows when
//! the program goes back to draw the next one over it.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::{
    io::ioctl_fionread,
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};
use vt100::Parser;

use crate::cluster::{SOON, until};

/// What a shell has on the screen when the program begins. It must stay.
pub const BEFORE: &str = "$ the shell's line";

const FLAGS: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

/// Columns and rows.
pub type Size = (u16, u16);

/// What the window shows once the program has drawn one picture.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its rows, without space at their ends and without empty ones at the end.
    pub rows: Vec<String>,
    /// What the picture would look like alone in an empty window.
    alone: Vec<String>,
    /// Rows that are too long, so that they go on in the next one.
    pub wrapped: Vec<String>,
    /// How large the window was.
    pub size: Size,
    /// Whether the shell's line must be there still, if there is room.
    before: bool,
}

impl Frame {
    /// The rows as one text.
    pub fn text(&self) -> String {
        self.rows.join("\n")
    }

    /// Fails if there is more on the screen than this picture below what was there before, or if a row is too long, but for
    /// those with a command, which is to be copied.
    pub fn assert_clean(&self) {
        let above = self.rows.strip_suffix(self.alone.as_slice());
        let above =
            above.unwrap_or_else(|| panic!("torn; it drew\n{}\nand there is\n{}", self.alone.join("\n"), self.text()));
        let clean = above.is_empty() || self.before && above == [BEFORE];
        assert!(clean, "left over from before: {above:#?} above\n{}", self.alone.join("\n"));
        let wide: Vec<&String> = self.wrapped.iter().filter(|row| !row.contains("`kubectl ")).collect();
        assert!(wide.is_empty(), "wider than {} columns: {wide:#?}", self.size.0);
    }
}

/// What there is of the output.
struct State {
    screen: Parser,
    size: Size,
    /// What was written since the last frame was complete.
    drawing: Vec<u8>,
    /// How much of it the screen has.
    fed: usize,
    frames: Vec<Frame>,
    /// The window was resized, and the program hasn't drawn anew yet.
    outdated: bool,
    /// Whether the shell's line was never cleared.
    before: bool,
    /// Everything that was written.
    all: Vec<u8>,
    closed: bool,
}

/// A window with a program in it, which ends with it.
pub struct Terminal {
    state: Arc<Mutex<State>>,
    controller: OwnedFd,
    keyboard: File,
    child: Mutex<Child>,
    /// The modes that it had at first.
    modes: String,
}

/// How the program ended, and what is left in the window.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; for a signal 128 and its number, as shells have it.
    pub code: i32,
    /// Whether a signal ended it.
    pub killed: bool,
    /// The last picture.
    pub last: Frame,
    /// All complete pictures, in order, with the last one.
    pub frames: Vec<Frame>,
    /// Everything that was written, as it was.
    pub all: String,
    /// How many bytes were typed that the next program gets.
    pub unread: u64,
    /// What is out of order where the next program begins; nothing is right.
    pub disorder: Vec<String>,
}

impl Terminal {
    /// Opens a window and runs the program in it, with the environment of this process and these variables besides; an empty
    /// value takes one away.
    pub fn run(program: &Path, args: &[&str], variables: &[(&str, &str)], size: Size) -> Self {
        let controller = openpt(FLAGS).expect("a terminal");
        unlockpt(&controller).expect("its other side");
        tcsetwinsize(&controller, winsize(size)).expect("its size");
        let modes = modes(&controller);
        let side = || Stdio::from(other_side(&controller));
        // It makes the terminal the program's own, which would take unsafe code here.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).args(args).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        for (name, value) in variables {
            match value.is_empty() {
                true => command.env_remove(name),
                false => command.env(name, value),
            };
        }
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("setsid, of util-linux, runs");
        drop(command);
        let mut output = File::from(controller.try_clone().expect("a handle"));
        let keyboard = File::from(controller.try_clone().expect("a handle"));
        let state = Arc::new(Mutex::new(State::new(size)));
        let shared = Arc::clone(&state);
        // Ends when nobody has the other side any more.
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Some(length) = output.read(&mut chunk).ok().filter(|length| *length > 0) {
                lock(&shared).take(&chunk[..length]);
            }
            lock(&shared).closed = true;
        });
        Self { state, controller, keyboard, child: Mutex::new(child), modes }
    }

    /// Types; `\r` is the enter key, `\u{3}` Ctrl-C.
    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes it");
    }

    /// Gives the window another size.
    pub fn resize(&self, size: Size) {
        let mut state = lock(&self.state);
        tcsetwinsize(&self.controller, winsize(size)).expect("a size");
        let (columns, rows) = nonzero(size);
        state.screen.set_size(rows, columns);
        (state.size, state.outdated) = (size, true);
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(lock(&self.child).id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }

    /// Which modes the terminal has.
    pub fn modes(&self) -> String {
        modes(&self.controller)
    }

    /// How many pictures are complete.
    pub fn drawn(&self) -> usize {
        lock(&self.state).frames.len()
    }

    /// What the window shows now, be it half drawn.
    pub fn now(&self) -> String {
        lock(&self.state).frame().text()
    }

    /// Waits until the window shows something.
    pub async fn until_shown(&self, part: &str) -> String {
        let look = || async { Some(self.now()).filter(|text| text.contains(part)).ok_or_else(|| self.now()) };
        until(SOON, &format!("the window shows {part:?}"), look).await
    }

    /// Waits until this is the last row, as a shell's prompt.
    pub async fn until_last(&self, row: &str) {
        let look = || async {
            let rows = lock(&self.state).frame().rows;
            if rows.last().is_some_and(|last| last == row) { Ok(()) } else { Err(rows.join("\n")) }
        };
        until(SOON, &format!("the last row is {row:?}"), look).await;
    }

    /// Waits for a complete picture, of those after the first `known`, that has all of this.
    pub async fn until_frame(&self, known: usize, parts: &[&str]) -> Frame {
        let look = || async {
            let state = lock(&self.state);
            let has = |frame: &&Frame| parts.iter().all(|part| frame.text().contains(part));
            let found = state.frames.iter().skip(known).find(has).cloned();
            found.ok_or_else(|| format!("{} pictures; there is\n{}", state.frames.len(), state.frame().text()))
        };
        until(SOON, &format!("a picture with {parts:?}"), look).await
    }

    /// Waits for the program's end.
    pub async fn end(self) -> Ended {
        let look = || async {
            let ended = lock(&self.child).try_wait().expect("its end");
            let state = lock(&self.state);
            ended.filter(|_| state.closed).ok_or_else(|| format!("it goes on:\n{}", state.frame().text()))
        };
        let status = until(SOON, "the program ends", look).await;
        let modes = self.modes();
        let state = lock(&self.state);
        let last = state.frame();
        let mut disorder = state.disorder();
        if modes != self.modes {
            disorder.push(format!("the modes were {}, and are {modes}", self.modes));
        }
        Ended {
            code: status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or_default(),
            killed: status.code().is_none(),
            frames: [&state.frames[..], std::slice::from_ref(&last)].concat(),
            last,
            all: String::from_utf8_lossy(&state.all).into_owned(),
            unread: ioctl_fionread(other_side(&self.controller)).expect("how much waits"),
            disorder,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already where the story went well.
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl State {
    fn new(size: Size) -> Self {
        let (columns, rows) = nonzero(size);
        let mut screen = Parser::new(rows, columns, 0);
        screen.process(format!("{BEFORE}\r\n").as_bytes());
        let (drawing, frames, all) = (Vec::new(), Vec::new(), Vec::new());
        Self { screen, size, drawing, fed: 0, frames, outdated: false, before: true, all, closed: false }
    }

    /// Takes output; where the program goes back, a picture is complete.
    fn take(&mut self, output: &[u8]) {
        self.all.extend_from_slice(output);
        self.drawing.extend_from_slice(output);
        while let Some((at, clears)) = restart(&self.drawing) {
            // A part of what goes back may have been taken before: it shows nothing yet.
            self.feed(at);
            if !self.outdated {
                self.frames.push(self.picture(at));
            }
            self.drawing.drain(..at);
            self.fed -= at;
            if clears {
                (self.outdated, self.before) = (false, false);
            }
        }
        self.feed(self.drawing.len());
    }

    fn feed(&mut self, end: usize) {
        if end > self.fed {
            self.screen.process(&self.drawing[self.fed..end]);
            self.fed = end;
        }
    }

    /// What is shown now, be it half drawn.
    fn frame(&self) -> Frame {
        self.picture(self.drawing.len())
    }

    /// The picture whose drawing ends there, which is what the screen has.
    fn picture(&self, end: usize) -> Frame {
        let (columns, rows) = nonzero(self.size);
        let mut alone = Parser::new(rows, columns, 0);
        alone.process(&self.drawing[..end]);
        let (shown, screen) = (rows_of(&self.screen), self.screen.screen());
        let wraps = |(row, _): &(usize, &String)| u16::try_from(*row).is_ok_and(|row| screen.row_wrapped(row));
        let wrapped = shown.iter().enumerate().filter(wraps).map(|(_, text)| text.clone()).collect();
        Frame { wrapped, rows: shown, alone: rows_of(&alone), size: self.size, before: self.before }
    }

    /// What is wrong on the screen.
    fn disorder(&self) -> Vec<String> {
        let screen = self.screen.screen();
        let plain = screen.fgcolor() == vt100::Color::Default && !screen.bold() && !screen.dim();
        let wrong = [
            (screen.cursor_position().1 != 0, "the cursor isn't at the beginning of a line"),
            (screen.hide_cursor(), "the cursor is hidden"),
            (screen.alternate_screen(), "another screen is shown"),
            (!plain, "a colour goes on"),
        ];
        wrong.iter().filter(|(is, _)| *is).map(|(_, what)| (*what).to_owned()).collect()
    }
}

/// Where the program goes back, behind the first byte, to draw anew; and whether it clears the window for that.
fn restart(output: &[u8]) -> Option<(usize, bool)> {
    (1..output.len()).find_map(|at| {
        let rest = output[at..].strip_prefix(b"\x1b[")?;
        let clears = rest.starts_with(b"2J");
        let lines = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (clears || lines > 0 && rest.get(lines) == Some(&b'A')).then_some((at, clears))
    })
}

/// The rows without space at their ends, and without empty ones at the end.
fn rows_of(screen: &Parser) -> Vec<String> {
    let (_, columns) = screen.screen().size();
    let mut rows: Vec<String> = screen.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
    rows.truncate(rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1));
    rows
}

fn nonzero((columns, rows): Size) -> (NonZeroU16, NonZeroU16) {
    let least = |length| NonZeroU16::new(length).expect("a window has room");
    (least(columns), least(rows))
}

fn winsize((columns, rows): Size) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// What programs in the window have for input and output.
fn other_side(controller: &OwnedFd) -> OwnedFd {
    ioctl_tiocgptpeer(controller, FLAGS).expect("its other side")
}

fn modes(controller: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(controller).expect("its modes"))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = (20, 5);

    fn frames(chunks: &[&str]) -> Vec<Frame> {
        let mut state = State::new(SIZE);
        chunks.iter().for_each(|chunk| state.take(chunk.as_bytes()));
        state.frames.push(state.frame());
        state.frames
    }

    #[test]
    fn a_picture_is_complete_where_the_next_one_begins_however_the_output_comes() {
        let output = "one\r\n\x1b[1A\r\x1b[Jtwo\r\nthree\r\n\x1b[2A\r\x1b[Jend\r\n";
        let bytes: Vec<String> = output.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        for chunks in [&[output][..], &bytes] {
            let found = frames(chunks);
            let rows: Vec<&[String]> = found.iter().map(|frame| &frame.rows[1..]).collect();
            assert_eq!(rows, [&["one"][..], &["two", "three"], &["end"]]);
            found.iter().for_each(Frame::assert_clean);
            assert_eq!(found[2].rows[0], BEFORE);
        }
    }

    #[test]
    fn what_is_left_from_before_is_seen() {
        for output in
            ["one\r\ntwo\r\n\x1b[1A\r\x1b[Jend\r\n", "one\r\n\r\n\x1b[1A\r\x1b[Jend\r\n", "one\r\n\x1b[1A\rx\r\n"]
        {
            let found = frames(&[output]);
            let last = found.last().cloned().expect("a picture");
            assert!(std::panic::catch_unwind(|| last.assert_clean()).is_err(), "{output:?}: {:?}", last.rows);
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_seen_and_a_command_may_be() {
        let found = |output: &str| frames(&[output]).pop().expect("a picture");
        let long = found("a row of more than twenty columns\r\n");
        assert_eq!(long.wrapped, ["a row of more than t"]);
        assert!(std::panic::catch_unwind(|| long.assert_clean()).is_err());
        found("`kubectl get pods -A`, say\r\n").assert_clean();
    }

    #[test]
    fn after_a_resize_pictures_count_once_the_window_is_cleared() {
        let mut state = State::new(SIZE);
        state.take(b"one\r\n");
        state.outdated = true;
        state.take(b"\x1b[1A\r\x1b[Jtwo\r\n\x1b[2J\x1b[Hthree\r\n\x1b[1A\r\x1b[Jfour\r\n");
        let rows: Vec<&[String]> = state.frames.iter().map(|frame| &frame.rows[..]).collect();
        assert_eq!(rows, [["three"]]);
    }
}
