//! The order in which statuses are written, so that an update loses no traffic.
//!
//! When a new version becomes active in a base, the old vPod there stops being ready and the new one begins to be. Two
//! things must not happen in between. The Deployment controller must not see both ready and take an old vPod away that
//! is ready on *another* base: so the old one is written first. And the Service must not be without any ready endpoint: so
//! where no other vPod of the group is ready elsewhere, the new one is written first; there is no old one elsewhere
//! then that could be taken away.
//!
//! Worked example, one Deployment on bases A, B and C. On A and B version 2 becomes active: old A, new A, old B, new B; on C
//! the same. With A alone: new A, old A.

/// A status that is about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The vPod's UID.
    pub uid: String,
    /// Its place in the order of creation ([`super::vpod::revision`]).
    pub revision: u64,
    /// The names of its modules.
    pub modules: Vec<String>,
    /// Whether its status says ready now.
    pub was_ready: bool,
    /// Whether it will.
    pub will_be_ready: bool,
    /// Whether another vPod of its group is ready on another VNode, and isn't about to stop being so.
    pub ready_elsewhere: bool,
}

impl Write {
    fn loses(&self) -> bool {
        self.was_ready && !self.will_be_ready
    }

    fn gains(&self) -> bool {
        !self.was_ready && self.will_be_ready
    }
}

/// The writes for one VNode in their order; each has to be acknowledged before the next begins.
pub fn order(mut writes: Vec<Write>) -> Vec<Write> {
    let heirs: Vec<(String, Vec<String>)> =
        writes.iter().filter(|write| write.gains()).map(|write| (write.uid.clone(), write.modules.clone())).collect();
    let rank = |write: &Write| {
        let shares = |(uid, modules): &(String, Vec<String>)| {
            *uid != write.uid && modules.iter().any(|name| write.modules.contains(name))
        };
        match write.loses() {
            true if !write.ready_elsewhere && heirs.iter().any(shares) => 2,
            true => 0,
            false => 1,
        }
    };
    writes.sort_by(|a, b| (rank(a), a.revision, &a.uid).cmp(&(rank(b), b.revision, &b.uid)));
    writes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(uid: &str, revision: u64, module: &str, was: bool, will: bool, elsewhere: bool) -> Write {
        Write {
            uid: uid.into(),
            revision,
            modules: vec![module.into()],
            was_ready: was,
            will_be_ready: will,
            ready_elsewhere: elsewhere,
        }
    }

    fn ordered(writes: Vec<Write>) -> Vec<String> {
        order(writes).into_iter().map(|write| write.uid).collect()
    }

    #[test]
    fn the_table_of_orders() {
        let old = |elsewhere| write("old", 1, "shop", true, false, elsewhere);
        let new = |elsewhere| write("new", 2, "shop", false, true, elsewhere);
        for (name, writes, expected) in [
            ("others serve: the old one first", vec![new(true), old(true)], vec!["old", "new"]),
            ("nobody else serves: the new one first", vec![old(false), new(false)], vec!["new", "old"]),
            (
                "two old ones of one base, oldest first",
                vec![new(true), write("older", 0, "shop", true, false, true), old(true)],
                vec!["older", "old", "new"],
            ),
            (
                "what breaks without a successor is said at once",
                vec![write("fine", 1, "till", false, true, false), write("broken", 2, "shop", true, false, false)],
                vec!["broken", "fine"],
            ),
            (
                "what changes nothing is written between",
                vec![old(false), write("starts", 3, "till", false, false, false), new(false)],
                vec!["new", "starts", "old"],
            ),
        ] {
            assert_eq!(ordered(writes), expected, "{name}");
        }
    }

    fn any_write() -> impl Strategy<Value = Write> {
        (0u8..20, 0u64..4, "[ab]", any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(uid, created, module, was, will, elsewhere)| {
                write(&format!("u{uid}"), created, &module, was, will, elsewhere)
            },
        )
    }

    proptest! {
        #![proptest_config(crate::sweep::config(500, 1000))]

        /// Whatever is written: nothing is lost, an old vPod stops being ready before its successor is wherever others of its
        /// group are ready elsewhere, and where none are its module is never without a ready vPod that could have one.
        #[test]
        fn no_order_loses_traffic(writes in proptest::collection::vec(any_write(), 0..8)) {
            let result = order(writes.clone());
            prop_assert_eq!(result.len(), writes.len());
            for (index, loser) in result.iter().enumerate().filter(|(_, write)| write.loses()) {
                for (other, heir) in result.iter().enumerate() {
                    let pair = heir.gains() && heir.uid != loser.uid && heir.modules == loser.modules;
                    if pair && loser.ready_elsewhere {
                        prop_assert!(index < other, "{:?}", result);
                    }
                    if pair && !loser.ready_elsewhere {
                        prop_assert!(index > other, "{:?}", result);
                    }
                }
            }
        }
    }
}
