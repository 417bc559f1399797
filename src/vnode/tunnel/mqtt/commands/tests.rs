//! Ways, turns and losses, with the link played by the test.

use super::*;

fn biz(version: &str, state: BizState) -> Biz {
    Biz { name: "shop".into(), version: version.into(), state, web_context_path: None }
}

#[test]
fn an_idle_version_waits_for_the_one_that_serves() {
    use BizState::{Activated, Broken, Deactivated, Resolved};
    for (list, want) in [
        (vec![], Idle::Absent),
        (vec![biz("1", Activated)], Idle::Absent),
        (vec![biz("2", Activated)], Idle::Active),
        // Somebody installs it: the base itself, from its baseline.
        (vec![biz("2", Resolved)], Idle::Starting),
        (vec![biz("1", Activated), biz("2", Resolved)], Idle::Starting),
        (vec![biz("2", Deactivated)], Idle::Alone),
        (vec![biz("1", Deactivated), biz("2", Deactivated)], Idle::Alone),
        (vec![biz("1", Broken), biz("2", Deactivated)], Idle::Alone),
        (vec![biz("1", Activated), biz("2", Deactivated)], Idle::Behind),
        (vec![biz("1", Resolved), biz("2", Deactivated)], Idle::Behind),
        (vec![biz("1", BizState::Other("odd".into())), biz("2", Deactivated)], Idle::Behind),
    ] {
        assert_eq!(idle(&list, "shop", "2"), want, "{list:?}");
    }
    assert_eq!(idle(&[biz("2", Deactivated)], "cart", "2"), Idle::Absent);
}

#[test]
fn silence_counts_from_when_a_base_could_be_heard_again() {
    for (since, heard, want) in [
        // The broker is away.
        (None, None, Some(1_000)),
        (None, Some(990), Some(1_000)),
        // It is back, the base isn't yet.
        (Some(900), Some(890), Some(1_000)),
        (Some(900), None, Some(1_000)),
        // Nor is it after all the time that it gets.
        (Some(500), Some(490), Some(800)),
        // It was heard since.
        (Some(500), Some(500), None),
        (Some(500), Some(999), None),
    ] {
        assert_eq!(excused(since, heard, 300, 1_000), want, "{since:?} {heard:?}");
    }
}

fn commands() -> Arc<Commands> {
    let bounds = Bounds { query: Duration::from_millis(200), install: Duration::from_secs(5), ..Bounds::default() };
    Arc::new(Commands::new(Topics::new("dev"), bounds, RETURN_MS))
}

async fn next(parcels: &mut mpsc::Receiver<Parcel>) -> String {
    let parcel = parcels.recv().await.expect("a parcel");
    let _ = parcel.written.send(Ok(()));
    parcel.topic
}

fn install(name: &str) -> Command {
    Command::Install { name: name.into(), version: "1".into(), url: "file:///a.jar".into() }
}

#[tokio::test]
async fn without_a_broker_nothing_is_sent() {
    let commands = commands();
    let outcome = commands.carry_out("a", &install("shop")).await;
    let Outcome::Installed(InstallOutcome::NoAnswer(NoAnswer::NotSent(why))) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "the broker wasn't reached yet");
}

#[tokio::test]
async fn a_question_without_an_answer_is_unknown_and_the_next_may_be_asked() {
    let commands = commands();
    let (sender, mut parcels) = mpsc::channel(8);
    commands.opened(sender);
    for _ in 0..2 {
        let (asked, answer) = tokio::join!(next(&mut parcels), commands.health("a"));
        assert_eq!(asked, "koupleless_dev/a/health");
        assert!(matches!(answer, Err(NoAnswer::Unknown(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_lost_connection_ends_the_wait_for_an_answer() {
    let commands = commands();
    let (sender, mut parcels) = mpsc::channel(8);
    commands.opened(sender);
    let (command, began) = (install("shop"), Instant::now());
    let losing = async {
        next(&mut parcels).await;
        commands.lost("it broke".to_owned());
    };
    let ((), outcome) = tokio::join!(losing, commands.carry_out("a", &command));
    assert!(matches!(outcome, Outcome::Installed(InstallOutcome::NoAnswer(NoAnswer::Unknown(_)))), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_command_whose_connection_ends_before_it_is_written_was_not_sent() {
    let commands = commands();
    let (sender, parcels) = mpsc::channel(8);
    commands.opened(sender);
    let ending = async move {
        tokio::task::yield_now().await;
        drop(parcels);
    };
    let command = install("shop");
    let ((), outcome) = tokio::join!(ending, commands.carry_out("a", &command));
    assert!(matches!(outcome, Outcome::Installed(InstallOutcome::NoAnswer(NoAnswer::NotSent(_)))), "{outcome:?}");
}

#[tokio::test]
async fn an_install_whose_answer_is_lost_ends_when_the_base_lists_it() {
    let commands = commands();
    let (sender, mut parcels) = mpsc::channel(8);
    commands.opened(sender);
    let list = About { order: Order::QueryAllBiz, biz: None };
    let looks = std::sync::atomic::AtomicU32::new(0);
    let base = async {
        loop {
            if next(&mut parcels).await.ends_with("/queryAllBiz") {
                let count = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let state = if count == 0 { BizState::Resolved } else { BizState::Activated };
                commands.answered("a", &list, i64::MAX, Answer::List(vec![biz("1", state)]));
            }
        }
    };
    let command = install("shop");
    let outcome = tokio::select! {
        () = base => None,
        outcome = commands.carry_out("a", &command) => Some(outcome),
    };
    assert_eq!(outcome, Some(Outcome::Installed(InstallOutcome::Installed(BizState::Activated))));
    assert_eq!(looks.into_inner(), 3, "once starting, twice started");
}

#[test]
fn nobody_is_given_up_before_all_could_be_heard() {
    let commands = Commands::new(Topics::new("dev"), Bounds::default(), 1_000);
    let now = commands.clock.now();
    assert!(!commands.has_listened(now + 5_000), "the broker wasn't reached");
    commands.opened(mpsc::channel(1).0);
    assert!(!commands.has_listened(now + 900));
    assert!(commands.has_listened(now + 5_000));
    commands.lost("it broke".to_owned());
    assert!(!commands.has_listened(now + 5_000));
}

#[tokio::test]
async fn a_second_install_waits_for_the_first() {
    let commands = commands();
    let (sender, mut parcels) = mpsc::channel(8);
    commands.opened(sender);
    let (first, second) = (install("shop"), install("cart"));
    let about = |name: &str| About { order: Order::InstallBiz, biz: Some((name.to_owned(), "1".to_owned())) };
    let failed = || Answer::Reply(br#"{"code":"FAILED","message":"no"}"#.to_vec());
    let base = async {
        for name in ["shop", "cart"] {
            next(&mut parcels).await;
            tokio::task::yield_now().await;
            assert!(parcels.try_recv().is_err(), "one at a time");
            commands.answered("a", &about(name), i64::MAX, failed());
            // A duplicate has no effect.
            commands.answered("a", &about(name), i64::MAX, failed());
        }
    };
    let ((), one, two) = tokio::join!(base, commands.carry_out("a", &first), commands.carry_out("a", &second));
    let rejected = Outcome::Installed(InstallOutcome::Rejected("no".to_owned()));
    assert_eq!((one, two), (rejected.clone(), rejected));
}
