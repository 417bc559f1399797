//! Spreads what many objects do regularly: a thousand that began at one moment don't all come back at one moment.
//!
//! By a hash of the object's name and not by chance, so that the same object always gets the same interval.

use std::time::Duration;

/// The interval of one object: shorter or longer by up to a tenth.
pub fn around(interval: Duration, name: &str) -> Duration {
    interval.mul_f64(0.9 + f64::from(share(name)) / 5000.0)
}

/// The interval of one object (milliseconds): longer by up to a tenth, and never shorter.
pub fn later(interval: i64, name: &str) -> i64 {
    interval.saturating_add((interval / 10).saturating_mul(i64::from(share(name))) / 1000)
}

/// A number below 1000, as good as any other.
fn share(name: &str) -> u32 {
    name.bytes().fold(0, |sum, byte| (sum * 31 + u32::from(byte)) % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_get_different_intervals_and_none_a_much_longer_one() {
        let interval = Duration::from_secs(10);
        assert_ne!(around(interval, "vnode.a.dev"), around(interval, "vnode.b.dev"));
        assert_ne!(later(10_000, "vnode.a.dev"), later(10_000, "vnode.b.dev"));
        for name in ["", "vnode.a.dev", "vnode.9c0a5e62-7d06-44d4-9f69-ae466afb92e0.dev"] {
            assert!((Duration::from_secs(9)..=Duration::from_secs(11)).contains(&around(interval, name)), "{name}");
            assert!((10_000..11_000).contains(&later(10_000, name)), "{name}");
        }
    }

    #[test]
    fn a_crowd_is_spread_evenly() {
        let intervals: Vec<i64> = (0..1000).map(|index| later(10_000, &format!("vnode.{index:04}.dev"))).collect();
        for tenth in 0..10 {
            let count = intervals.iter().filter(|interval| (**interval - 10_000) / 100 == tenth).count();
            assert!((50..=200).contains(&count), "{count} of a thousand in one tenth");
        }
    }
}
