//! `status --watch` in a terminal: what a person sees there, whatever they do to the window, and how it is left.

use std::path::Path;

use rig::{
    arklet_sim::Behaviour,
    cluster::{BasePod, World, module, scenario},
    terminal::{BEFORE, Ended, Frame, Size, Terminal},
};
use rustix::process::Signal;
use serde_json::json;

use super::{done, watch::Relay};

/// A window in which nothing of these releases is cut.
const WIDE: Size = (120, 40);

/// Watches a release in a window.
fn watched(world: &World, name: &str, variables: &[(&str, &str)], size: Size) -> Terminal {
    let args = ["status", name, "--watch", "--timeout", "60s", "-n", world.namespace()];
    Terminal::run(Path::new(env!("CARGO_BIN_EXE_kubectl-module")), &args, variables, size)
}

/// Bases, and a release on two of them that waits after its first batch.
async fn waiting(world: &World, name: &str) -> Vec<BasePod> {
    let pods = world.bases(2).await;
    let spec = module(name).replicas(2).strategy("batchCount", json!(2)).strategy("needConfirm", json!(true));
    world.deploy(&spec).await;
    world.progress(name, "WaitingForConfirmation").await;
    pods
}

/// The row of a base.
fn base<'a>(frame: &'a Frame, pod: &BasePod) -> &'a str {
    let row = frame.rows.iter().find(|row| row.starts_with(&pod.name));
    row.unwrap_or_else(|| panic!("{} isn't in\n{}", pod.name, frame.text()))
}

/// Every picture was clean, and the terminal is as it was.
fn assert_in_order(ended: &Ended) {
    ended.frames.iter().for_each(Frame::assert_clean);
    assert!(ended.disorder.is_empty(), "{:#?}\n{}", ended.disorder, ended.last.text());
}

/// Whether anything was written in a colour.
fn has_colours(ended: &Ended) -> bool {
    let sequences = ended.all.split("\u{1b}[").skip(1);
    sequences.into_iter().any(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

#[test]
fn a_release_is_followed_to_its_end() {
    scenario("live_end", |world| async move {
        let pods = world.bases(3).await;
        let spec = module("care").replicas(3).strategy("batchCount", json!(3)).strategy("needConfirm", json!(true));
        world.deploy(&spec).await;
        let mut window = watched(&world, "care", &[], WIDE);
        let full = "█".repeat(40);
        let (first, waits) = (format!("batch 1  {full}  1/1  complete"), "complete, waits for a confirmation");
        window.until_frame(0, &[&first, waits, "batch 3  ░", "0/1  to come", "1 of 3 available"]).await;

        // Somebody leans on the keyboard.
        window.type_in("\r\r\rls\r");
        let known = window.drawn();
        done(&world, &["confirm", "care"]).await;
        window.until_frame(known, &[&first, &format!("batch 2  {full}  1/1  {waits}"), "2 of 3 available"]).await;
        done(&world, &["confirm", "care"]).await;

        let ended = window.end().await;
        assert_eq!(ended.code, 0, "{}", ended.last.text());
        assert_in_order(&ended);
        let last = &ended.last;
        assert_eq!(last.rows[0], BEFORE, "what was there before is there still");
        for part in ["care  care 1.0.0  3 of 3 available", "Completed", &format!("batch 3  {full}  1/1  complete")] {
            assert!(last.text().contains(part), "{part:?} isn't in\n{}", last.text());
        }
        for pod in &pods {
            assert!(base(last, pod).contains("1.0.0     Available"), "{}", base(last, pod));
        }
        assert!(last.rows.iter().any(|row| row.contains("BatchStarted")), "{}", last.text());
        assert!(ended.all.contains("\u{1b}[32mAvailable\u{1b}[0m"), "with colours");
    });
}

#[test]
fn a_window_that_is_resized_is_drawn_anew_and_never_torn() {
    scenario("live_resize", |world| async move {
        let pods = waiting(&world, "size").await;
        let window = watched(&world, "size", &[], WIDE);
        window.until_frame(0, &["BASE", "EVENT"]).await;

        for size in [(40, 40), (40, 10), (200, 10), (20, 4), WIDE] {
            window.resize(size);
            let known = window.drawn();
            let frame = window.until_frame(known, &["size"]).await;
            assert_eq!(frame.size, size);
            frame.assert_clean();
            if size == (40, 40) {
                assert!(frame.text().contains("Available"), "a name loses its middle first:\n{}", frame.text());
            }
            let rows = usize::from(size.1);
            assert!(frame.rows.len() < rows, "the cursor has a row: {frame:#?}");
            let cut = frame.text().contains("more lines");
            assert_eq!(cut, rows <= 10, "what isn't shown is counted, at {size:?}:\n{}", frame.text());
        }
        let known = window.drawn();
        window.until_frame(known, &["BASE", "EVENT"]).await.assert_clean();

        done(&world, &["confirm", "size"]).await;
        let ended = window.end().await;
        assert_eq!(ended.code, 0, "{}", ended.last.text());
        assert_in_order(&ended);
        assert!(base(&ended.last, &pods[1]).contains("Available"), "{}", ended.last.text());
    });
}

#[test]
fn ctrl_c_ends_it_at_once_and_leaves_the_terminal_as_it_was() {
    scenario("live_ctrl_c", |world| async move {
        waiting(&world, "halt").await;
        for (keys, signal, code) in
            [("ls\r\u{3}", None, 130), ("", Some(Signal::TERM), 143), ("", Some(Signal::HUP), 129)]
        {
            let mut window = watched(&world, "halt", &[], WIDE);
            window.until_frame(0, &["BASE", "waits for a confirmation"]).await;
            window.type_in(keys);
            signal.into_iter().for_each(|signal| window.signal(signal));
            let ended = window.end().await;
            // As a program that knows nothing of it: a loop in a shell ends too.
            assert_eq!((ended.code, ended.killed), (code, true), "{}", ended.last.text());
            assert_in_order(&ended);
            assert_eq!(ended.unread, 0, "Ctrl-C takes back what was typed before");
            assert!(ended.all.ends_with('\n') && ended.last.text().contains("BASE"), "{}", ended.last.text());
        }
        assert_eq!(world.deployment("halt").await["status"]["releaseStatus"]["progress"], "WaitingForConfirmation");
    });
}

#[test]
fn a_view_that_was_stopped_goes_on_below_what_the_shell_wrote() {
    scenario("live_stopped", |world| async move {
        waiting(&world, "rest").await;
        let window = watched(&world, "rest", &[], WIDE);
        window.until_frame(0, &["BASE", "waits for a confirmation"]).await;
        window.signal(Signal::STOP);
        let known = window.drawn();
        window.signal(Signal::CONT);
        let frame = window.until_frame(known + 1, &["BASE"]).await;
        assert_eq!(frame.text().matches("BASE").count(), 2, "the former one stays above:\n{}", frame.text());
    });
}

#[test]
fn an_api_server_that_is_away_is_told_below_what_was_last_seen() {
    scenario("live_relay", |world| async move {
        waiting(&world, "away").await;
        let (mut relay, kubeconfig) = Relay::open(&world).await;
        let window = watched(&world, "away", &[("KUBECONFIG", kubeconfig.to_str().expect("text"))], WIDE);
        window.until_frame(0, &["BASE", "EVENT"]).await;

        relay.cut().await;
        let away = window.until_frame(0, &["BASE", "EVENT", "no news for 2 looks: cannot get"]).await;
        assert!(away.rows.last().is_some_and(|row| row.starts_with("no news for 2")), "{}", away.text());
        window.resize((60, 10));
        let away = window.until_frame(window.drawn(), &["away  away 1.0.0", "more lines", "no news for"]).await;
        assert_eq!(away.rows.len(), 9, "{}", away.text());
        relay.mend().await;
        done(&world, &["confirm", "away"]).await;

        let ended = window.end().await;
        assert_eq!(ended.code, 0, "{}", ended.last.text());
        assert_in_order(&ended);
        assert!(!ended.last.text().contains("no news"), "{}", ended.last.text());
    });
}

#[test]
fn a_release_that_fails_says_why_and_ends_with_one() {
    scenario("live_fails", |world| async move {
        world.bases(2).await;
        world.jar("fail", "1.0.0", Behaviour::fails("java.lang.Error: no licence"));
        world.deploy(&module("fail").replicas(2).field("progressDeadlineSeconds", json!(2))).await;

        let ended = watched(&world, "fail", &[], (80, 30)).end().await;

        assert_eq!(ended.code, 1, "{}", ended.last.text());
        // The error is a sentence of its own below, however long.
        ended.frames.split_last().into_iter().flat_map(|(_, before)| before).for_each(Frame::assert_clean);
        assert!(ended.disorder.is_empty(), "{:#?}", ended.disorder);
        let error = ended.last.rows.iter().position(|row| row.starts_with("error: fail is ProgressDeadlineExceeded"));
        let error = error.unwrap_or_else(|| panic!("{}", ended.last.text()));
        let said = ended.last.rows[error..].concat();
        assert!(said.contains("no licence") && said.contains("kubectl module"), "{said}");
        assert!(ended.last.rows[..error].iter().any(|row| row.contains("InstallFailed")), "{}", ended.last.text());
    });
}

#[test]
fn without_colours_and_on_a_terminal_that_cannot_draw_it_is_plain() {
    scenario("live_plain", |world| async move {
        waiting(&world, "plain").await;
        let plain = watched(&world, "plain", &[("NO_COLOR", "1")], WIDE);
        let dumb = watched(&world, "plain", &[("TERM", "dumb")], WIDE);
        let nameless = watched(&world, "plain", &[("TERM", "")], WIDE);
        plain.until_frame(0, &["BASE"]).await.assert_clean();
        dumb.until_shown("plain: WaitingForConfirmation batch 1 of 2").await;
        nameless.until_shown("plain: WaitingForConfirmation batch 1 of 2").await;
        done(&world, &["confirm", "plain"]).await;
        let (plain, dumb, nameless) = tokio::join!(plain.end(), dumb.end(), nameless.end());
        assert_in_order(&plain);
        assert!(!has_colours(&plain) && plain.last.text().contains("Completed"), "{:?}", plain.all);
        for ended in [&dumb, &nameless] {
            assert!(!ended.all.contains('\u{1b}'), "nothing but text: {:?}", ended.all);
            assert!(ended.last.text().contains("plain 1.0.0 is available everywhere"), "{}", ended.last.text());
        }
        assert_eq!((plain.code, dumb.code, nameless.code), (0, 0, 0));

        for (variable, colours) in [(("NO_COLOR", "1"), false), (("TERM", "dumb"), false), (("NO_COLOR", ""), true)] {
            let ended = watched(&world, "nobody", &[variable], WIDE).end().await;
            assert!(ended.last.text().contains("error: there is no ModuleDeployment"), "{}", ended.last.text());
            assert_eq!((ended.code, has_colours(&ended)), (1, colours), "{variable:?}: {:?}", ended.all);
        }
    });
}

/// A shell in a window, whose prompts are counted: a new one is no old one that still stands there.
struct Shell {
    window: Terminal,
    prompts: u32,
}

impl Shell {
    async fn open() -> Self {
        let variables = [("PS1", "ready \\#> "), ("HISTFILE", "/dev/null")];
        let window = Terminal::run(Path::new("bash"), &["--norc", "-i"], &variables, (120, 60));
        let mut shell = Self { window, prompts: 0 };
        shell.prompt().await;
        shell
    }

    /// Waits for the next prompt.
    async fn prompt(&mut self) {
        self.prompts += 1;
        self.window.until_last(&format!("ready {}>", self.prompts)).await;
    }

    /// Enters a command.
    fn enter(&mut self, line: &str) {
        self.window.type_in(&format!("{line}\r"));
    }

    /// Empties the window.
    async fn clear(&mut self) {
        self.enter("printf '\\033[2J\\033[H'");
        self.prompt().await;
    }
}

#[test]
fn in_a_shell_it_is_a_command_like_any_other() {
    scenario("live_shell", |world| async move {
        waiting(&world, "shell").await;
        let watch = format!("{} status shell --watch -n {}", env!("CARGO_BIN_EXE_kubectl-module"), world.namespace());
        let mut shell = Shell::open().await;

        // Ctrl-C ends the loop too, which a command that ends with a code of its own wouldn't.
        shell.enter(&format!("for n in 1 2; do {watch}; done"));
        shell.window.until_shown("EVENT").await;
        shell.window.type_in("\u{3}");
        shell.prompt().await;
        assert_eq!(shell.window.now().matches("EVENT").count(), 1, "{}", shell.window.now());
        shell.enter("echo after-$?");
        shell.prompt().await;
        assert!(shell.window.now().contains("after-130"), "{}", shell.window.now());

        // In the background it isn't stopped, as who touches the terminal there is, and draws over nobody's words.
        shell.clear().await;
        shell.enter(&format!("{watch} --timeout 3s &"));
        shell.prompt().await;
        let shown = shell.window.until_shown("error: not complete within 3 s").await;
        assert!(!shown.contains("EVENT") && !shown.contains("Stopped"), "{shown}");
        shell.enter(&format!("{watch} &"));
        shell.prompt().await;
        for _ in 0..2 {
            shell.clear().await;
            shell.enter("fg");
            shell.window.until_shown("EVENT").await;
            shell.window.type_in("\u{1a}");
            shell.prompt().await;
            assert!(shell.window.now().contains("Stopped"), "{}", shell.window.now());
            shell.enter("echo typed");
            shell.prompt().await;
            assert!(shell.window.now().contains("> echo typed\ntyped\n"), "{}", shell.window.now());
        }
        shell.enter("kill %?status; wait");
        shell.prompt().await;
        shell.enter("exit");
        let ended = shell.window.end().await;
        assert!(ended.disorder.is_empty(), "{:#?}\n{}", ended.disorder, ended.last.text());
    });
}
