//! Which answer belongs to which question.
//!
//! MQTT has no answers: a base publishes what it has to say, and only the topic, the biz and the time tell what it is about.
//! So a base has at most one question of a kind open, and what it published before it could know of the question is no
//! answer to it. Its own clock tells that: how far it is ahead of ours is learnt from everything that it publishes, and the
//! message that travelled fastest tells best. An answer that nobody waits for has no effect. Must not: read a clock.

use std::collections::{BTreeMap, HashMap};

use super::{message::About, topics::Order};

/// Timestamps are cut to milliseconds, and clocks drift within [`LEARN_MS`]: what seems to have been published less than
/// this before its question counts (milliseconds).
const SLACK_MS: i64 = 100;
/// A base's clock is learnt afresh so often (milliseconds): it may have been set back.
const LEARN_MS: i64 = 30_000;
/// A base that was asked nothing for so long is forgotten (milliseconds).
const FORGET_MS: i64 = 600_000;
/// The bases are gone through for that no more often than this (milliseconds).
const SWEEP_MS: i64 = 60_000;

/// How far a base's clock is ahead of ours, at least (milliseconds): a message that was long on its way says too little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ahead {
    since: i64,
    fresh: Option<i64>,
    before: Option<i64>,
}

impl Ahead {
    fn learn(&mut self, published: i64, now: i64) {
        let gap = now.saturating_sub(self.since);
        if gap >= LEARN_MS {
            self.before = self.fresh.take().filter(|_| gap < 2 * LEARN_MS);
            self.since = now;
        }
        self.fresh = self.fresh.max(Some(published.saturating_sub(now)));
    }

    /// Whether what was published then was published before `asked`.
    fn precedes(&self, published: i64, asked: i64) -> bool {
        let ahead = self.fresh.max(self.before);
        ahead.is_some_and(|ahead| published.saturating_sub(ahead).saturating_add(SLACK_MS) < asked)
    }
}

struct Open<R> {
    ticket: u64,
    biz: Option<(String, String)>,
    asked: i64,
    reply: R,
}

struct Base<R> {
    ahead: Ahead,
    open: BTreeMap<Order, Open<R>>,
    touched: i64,
}

/// The open questions; `R` is the way back to whoever asked.
pub struct Desk<R> {
    bases: HashMap<String, Base<R>>,
    tickets: u64,
    swept: i64,
}

impl<R> Default for Desk<R> {
    fn default() -> Self {
        Self { bases: HashMap::new(), tickets: 0, swept: 0 }
    }
}

impl<R> Desk<R> {
    /// Opens a question, which the ticket closes; gives `reply` back where one of this kind is open.
    pub fn open(&mut self, device: &str, about: &About, reply: R, now: i64) -> Result<u64, R> {
        self.sweep(now);
        let base = self.bases.entry(device.to_owned()).or_insert_with(|| Base {
            ahead: Ahead::default(),
            open: BTreeMap::new(),
            touched: now,
        });
        base.touched = now;
        if base.open.contains_key(&about.order) {
            return Err(reply);
        }
        self.tickets += 1;
        let open = Open { ticket: self.tickets, biz: about.biz.clone(), asked: now, reply };
        base.open.insert(about.order, open);
        Ok(self.tickets)
    }

    /// The question leaves now: what was published before is no answer to it.
    pub fn asked(&mut self, device: &str, order: Order, ticket: u64, now: i64) {
        let open = self.bases.get_mut(device).and_then(|base| base.open.get_mut(&order));
        if let Some(open) = open.filter(|open| open.ticket == ticket) {
            open.asked = now;
        }
    }

    /// Nobody waits for the answer any more.
    pub fn close(&mut self, device: &str, order: Order, ticket: u64) {
        if let Some(base) = self.bases.get_mut(device)
            && base.open.get(&order).is_some_and(|open| open.ticket == ticket)
        {
            base.open.remove(&order);
        }
    }

    /// A base published something.
    pub fn heard(&mut self, device: &str, published: i64, now: i64) {
        if let Some(base) = self.bases.get_mut(device) {
            base.ahead.learn(published, now);
        }
    }

    /// Who waits for this answer, if anybody does. That question is closed.
    pub fn answered(&mut self, device: &str, about: &About, published: i64) -> Option<R> {
        let base = self.bases.get_mut(device)?;
        let open = base.open.get(&about.order)?;
        if open.biz != about.biz || base.ahead.precedes(published, open.asked) {
            return None;
        }
        base.open.remove(&about.order).map(|open| open.reply)
    }

    /// The connection is gone, and with it every answer. Gives those who wait.
    pub fn lost(&mut self) -> Vec<R> {
        let bases = self.bases.values_mut();
        bases.flat_map(|base| std::mem::take(&mut base.open).into_values().map(|open| open.reply)).collect()
    }

    fn sweep(&mut self, now: i64) {
        if now.saturating_sub(self.swept) >= SWEEP_MS {
            self.swept = now;
            self.bases.retain(|_, base| !base.open.is_empty() || now.saturating_sub(base.touched) < FORGET_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(order: Order) -> About {
        About { order, biz: None }
    }

    fn install(name: &str, version: &str) -> About {
        About { order: Order::InstallBiz, biz: Some((name.to_owned(), version.to_owned())) }
    }

    fn open(desk: &mut Desk<u32>, about: &About, reply: u32, now: i64) -> u64 {
        desk.open("a", about, reply, now).expect("none is open")
    }

    #[test]
    fn an_answer_finds_its_question_once() {
        let mut desk = Desk::default();
        let list = question(Order::QueryAllBiz);
        open(&mut desk, &list, 1, 0);
        assert_eq!(desk.answered("b", &list, 1), None, "another base");
        assert_eq!(desk.answered("a", &question(Order::Health), 1), None, "another question");
        assert_eq!(desk.answered("a", &list, 1), Some(1));
        assert_eq!(desk.answered("a", &list, 1), None, "a duplicate");
    }

    #[test]
    fn an_operation_is_answered_by_its_biz_and_version() {
        let mut desk = Desk::default();
        open(&mut desk, &install("shop", "2"), 1, 0);
        for other in [install("shop", "1"), install("cart", "2"), question(Order::InstallBiz)] {
            assert_eq!(desk.answered("a", &other, 1), None, "{other:?}");
        }
        assert_eq!(desk.answered("a", &install("shop", "2"), 1), Some(1));
    }

    #[test]
    fn one_question_of_a_kind_is_open_at_a_time() {
        let mut desk = Desk::default();
        let first = open(&mut desk, &install("shop", "1"), 1, 0);
        assert_eq!(desk.open("a", &install("cart", "1"), 2, 0), Err(2));
        assert!(desk.open("a", &question(Order::QueryAllBiz), 3, 0).is_ok(), "another kind");
        assert!(desk.open("b", &install("cart", "1"), 4, 0).is_ok(), "another base");
        desk.close("a", Order::InstallBiz, first + 100);
        assert_eq!(desk.open("a", &install("cart", "1"), 2, 0), Err(2), "that ticket was another's");
        desk.close("a", Order::InstallBiz, first);
        let second = open(&mut desk, &install("cart", "1"), 2, 0);
        desk.close("a", Order::InstallBiz, first);
        assert_eq!(desk.answered("a", &install("cart", "1"), 1), Some(2), "closing late closes nothing");
        assert_ne!(first, second);
    }

    #[test]
    fn a_late_answer_to_an_earlier_question_is_none() {
        let mut desk = Desk::default();
        let list = question(Order::QueryAllBiz);
        // The base's clock is a minute ahead.
        let ticket = open(&mut desk, &list, 1, 1_000);
        desk.heard("a", 61_010, 1_010);
        desk.close("a", Order::QueryAllBiz, ticket);
        open(&mut desk, &list, 2, 5_000);
        desk.heard("a", 61_500, 5_100);
        assert_eq!(desk.answered("a", &list, 61_500), None, "it was long on its way");
        desk.heard("a", 65_200, 5_200);
        assert_eq!(desk.answered("a", &list, 65_200), Some(2));
    }

    #[test]
    fn a_clock_that_was_set_back_is_learnt_again() {
        let mut desk = Desk::default();
        let list = question(Order::QueryAllBiz);
        open(&mut desk, &list, 1, 0);
        desk.heard("a", 5_000, 0);
        for now in [10_000, 35_000, 70_000] {
            desk.heard("a", now, now);
        }
        desk.asked("a", Order::QueryAllBiz, 1, 70_000);
        assert_eq!(desk.answered("a", &list, 70_010), Some(1));
    }

    #[test]
    fn with_the_connection_all_answers_are_lost() {
        let mut desk = Desk::default();
        open(&mut desk, &question(Order::Health), 1, 0);
        open(&mut desk, &install("shop", "1"), 2, 0);
        assert_eq!(desk.lost(), [1, 2]);
        assert_eq!(desk.lost(), [0; 0]);
        assert_eq!(desk.answered("a", &install("shop", "1"), 1), None);
    }

    #[test]
    fn bases_that_nobody_asks_are_forgotten() {
        let mut desk: Desk<u32> = Desk::default();
        for base in 0..1000 {
            let device = base.to_string();
            let ticket = desk.open(&device, &question(Order::Health), 1, 0).unwrap();
            desk.close(&device, Order::Health, ticket);
            // A stranger's device isn't remembered at all.
            desk.heard(&format!("stranger-{base}"), 0, 0);
        }
        assert_eq!(desk.bases.len(), 1000);
        open(&mut desk, &question(Order::Health), 1, FORGET_MS);
        assert_eq!(desk.bases.len(), 1);
    }

    proptest! {
        /// Whatever the base's clock and however messages are delayed: an answer that was published after its question
        /// left counts, and one from before counts only if nothing ever travelled fast enough to tell.
        #[test]
        fn answers_from_after_the_question_count(
            skew in -1_000_000_i64..1_000_000,
            messages in prop::collection::vec((0_i64..20_000, 0_i64..9_000), 1..20),
            travel in 0_i64..9_000,
        ) {
            let mut desk = Desk::default();
            let list = question(Order::QueryAllBiz);
            let mut arrivals: Vec<(i64, i64)> =
                messages.iter().map(|(at, delay)| (at + delay, at + skew)).collect();
            arrivals.sort_unstable();
            let ticket = open(&mut desk, &list, 1, 0);
            let asked = 30_000;
            for (now, published) in &arrivals {
                desk.heard("a", *published, *now);
            }
            desk.asked("a", Order::QueryAllBiz, ticket, asked);
            let fastest = messages.iter().map(|(_, delay)| *delay).min().unwrap_or_default();
            let early = asked - fastest - SLACK_MS - 1 + skew;
            prop_assert_eq!(desk.answered("a", &list, early), None, "published before");
            let published = asked + 1 + skew;
            desk.heard("a", published, asked + 1 + travel);
            prop_assert_eq!(desk.answered("a", &list, published), Some(1));
        }
    }
}
