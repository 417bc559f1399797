//! How much metaspace a base's JVM has left, and when its agent is asked for that.
//!
//! The question (`health`) is one call more, so it is asked seldom: when a conversation begins, after each command that
//! changes what is loaded, and now and then while the JVM has a limit. An agent that tells none is asked once (runtime
//! 2.1.3 says nothing of metaspace, and without `-XX:MaxMetaspaceSize` there is no limit): that changes only when the
//! JVM is started anew.

use crate::arklet::{client::NoAnswer, wire::Metaspace};

/// What is known of the room in one JVM.
#[derive(Debug)]
pub struct Room {
    /// How often it is asked for (milliseconds); `None`: never.
    every: Option<i64>,
    /// When it is asked for next; `None`: not until something changes.
    due: Option<i64>,
    asking: bool,
    /// The agent has answered, and told no limit.
    unlimited: bool,
    metaspace: Option<Metaspace>,
}

impl Room {
    /// Nothing is known yet.
    pub fn new(every: Option<i64>) -> Self {
        Self { every, due: every.map(|_| 0), asking: false, unlimited: false, metaspace: None }
    }

    /// What was told last.
    pub fn metaspace(&self) -> Option<Metaspace> {
        self.metaspace
    }

    /// When to ask; `None` while the answer is awaited, or nothing is to be learnt.
    pub fn at(&self) -> Option<i64> {
        self.due.filter(|_| !self.asking)
    }

    /// The question is on its way.
    pub fn asked(&mut self) {
        self.asking = true;
    }

    /// Something was loaded or unloaded: what is known is old.
    pub fn changed(&mut self, now: i64) {
        if self.every.is_some() && !self.unlimited {
            self.due = Some(now);
        }
    }

    /// Another JVM runs there now.
    pub fn restarted(&mut self) {
        *self = Self { asking: self.asking, ..Self::new(self.every) };
    }

    /// The agent has answered, or not.
    pub fn answered(&mut self, answer: Result<Option<Metaspace>, NoAnswer>, now: i64) {
        self.asking = false;
        let later = self.every.map(|every| now.saturating_add(every));
        match answer {
            Ok(metaspace) => {
                self.unlimited = metaspace.is_none_or(|metaspace| metaspace.max.is_none());
                self.due = later.filter(|_| !self.unlimited);
                self.metaspace = metaspace;
            }
            // Whether the agent answers at all is the list's business.
            Err(_) => self.due = later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(max: Option<u64>) -> Result<Option<Metaspace>, NoAnswer> {
        Ok(Some(Metaspace { max, committed: 60, used: 50 }))
    }

    #[test]
    fn it_is_asked_for_at_the_start_after_a_change_and_now_and_then() {
        let mut room = Room::new(Some(60_000));
        assert_eq!(room.at(), Some(0));
        room.asked();
        assert_eq!(room.at(), None);
        room.answered(told(Some(100)), 5);
        assert_eq!((room.at(), room.metaspace().and_then(|metaspace| metaspace.max)), (Some(60_005), Some(100)));
        room.changed(7);
        assert_eq!(room.at(), Some(7));
        room.answered(Err(NoAnswer::Unknown("late".to_owned())), 10);
        assert_eq!((room.at(), room.metaspace().is_some()), (Some(60_010), true));
    }

    #[test]
    fn an_agent_that_tells_no_limit_is_asked_once() {
        for answer in [Ok(None), told(None)] {
            let mut room = Room::new(Some(60_000));
            room.answered(answer, 5);
            room.changed(7);
            assert_eq!(room.at(), None);
            room.restarted();
            assert_eq!(room.at(), Some(0));
        }
    }

    #[test]
    fn nobody_who_does_not_want_to_know_asks() {
        let mut room = Room::new(None);
        room.changed(7);
        room.restarted();
        assert_eq!(room.at(), None);
    }
}
