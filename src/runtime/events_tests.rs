use proptest::prelude::*;

use super::*;

fn said(object: &str, note: &str) -> Said {
    let object = Subject { kind: None, namespace: None, name: Some(object.to_owned()), uid: None };
    Said {
        object,
        warning: false,
        reason: Reason::ReleaseStarted,
        action: "Reconcile".to_owned(),
        note: note.to_owned(),
    }
}

/// Says it, as the shell does, and tells what was written.
fn say(ledger: &mut Ledger, said: &Said, now: i64) -> Step {
    let step = ledger.next(said, now);
    if step == Step::Create {
        ledger.created(said.clone(), format!("{}-{now}", said.note), now);
    }
    step
}

#[test]
fn another_sentence_is_another_event() {
    let mut ledger = Ledger::default();
    assert_eq!(say(&mut ledger, &said("a", "2.0.0 began"), 0), Step::Create);
    assert_eq!(say(&mut ledger, &said("a", "3.0.0 began"), 1), Step::Create);
    assert_eq!(say(&mut ledger, &said("b", "3.0.0 began"), 2), Step::Create);
}

#[test]
fn what_is_said_again_is_counted_at_a_pace_and_a_series_ends() {
    let (mut ledger, broken) = (Ledger::default(), said("a", "it broke"));
    assert_eq!(say(&mut ledger, &broken, 0), Step::Create);
    let count = |count| Step::Count { name: "it broke-0".to_owned(), count };
    assert_eq!(say(&mut ledger, &broken, 10), count(2));
    assert_eq!(say(&mut ledger, &broken, 20), Step::Counted);
    assert_eq!(say(&mut ledger, &broken, 30), Step::Counted);
    assert_eq!(say(&mut ledger, &broken, 10 + COUNT_PACE), count(5));
    assert_eq!(say(&mut ledger, &broken, SERIES_ENDS), count(6), "it goes on for as long as it is said");
    assert_eq!(say(&mut ledger, &broken, 2 * SERIES_ENDS), Step::Create);
}

#[test]
fn an_event_that_is_gone_is_made_anew() {
    let (mut ledger, broken) = (Ledger::default(), said("a", "it broke"));
    say(&mut ledger, &broken, 0);
    ledger.lost(&broken);
    assert_eq!(say(&mut ledger, &broken, 1), Step::Create);
}

#[test]
fn one_object_cannot_flood_and_takes_nothing_from_another() {
    let mut ledger = Ledger::default();
    let steps = (0..100).map(|n| say(&mut ledger, &said("a", &n.to_string()), n)).collect::<Vec<_>>();
    assert_eq!(steps.iter().filter(|step| **step == Step::Create).count(), MOST_OF_ONE);
    assert_eq!(steps[99], Step::TooMany);
    assert_eq!(say(&mut ledger, &said("b", "x"), 100), Step::Create);
    assert_eq!(say(&mut ledger, &said("a", "100"), SERIES_ENDS), Step::Create, "the first have ended");
}

proptest! {
    /// Whatever is said, and when: writes are bounded, no count is ever told too high, and memory ends with the series.
    #[test]
    fn writes_and_memory_are_bounded(talk in prop::collection::vec((0..3_u8, 0..40_u8, 0..30_000_i64), 0..300)) {
        let (mut ledger, mut now, mut times) = (Ledger::default(), 0, HashMap::<Said, i32>::new());
        let mut writes = HashMap::<Said, i64>::new();
        for (object, note, pause) in talk {
            now += pause;
            let said = said(&object.to_string(), &note.to_string());
            *times.entry(said.clone()).or_default() += 1;
            match say(&mut ledger, &said, now) {
                Step::Create => _ = writes.insert(said, now),
                Step::Count { count, .. } => {
                    prop_assert!(count <= times[&said]);
                    let before = writes.insert(said, now).unwrap();
                    prop_assert!(count == 2 || now - before >= COUNT_PACE);
                }
                Step::Counted | Step::TooMany => {}
            }
            prop_assert!(ledger.0.len() <= 3 * MOST_OF_ONE);
        }
        ledger.next(&said("last", ""), now + SERIES_ENDS);
        prop_assert!(ledger.0.is_empty());
    }

    /// The API server takes notes of up to 1,024 bytes, names of 253 and instances of 128.
    #[test]
    fn what_is_sent_is_never_too_long(text in "\\PC{0,1500}") {
        prop_assert!(bounded(text.clone()).len() <= 1024);
        let recorder = Recorder::new(text.clone());
        let object = ObjectReference { name: Some(text), ..ObjectReference::default() };
        let event = recorder.event(&said("a", "x"), &object, Timestamp::MAX);
        prop_assert!(event.metadata.name.unwrap().len() <= LONGEST_NAME);
        prop_assert!(event.reporting_instance.unwrap().len() <= LONGEST_INSTANCE);
    }
}
