//! How long to wait before something that failed is tried again.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// First wait after a failure. Long enough that a permanent error is no hot loop, short enough that a passing one
/// isn't noticed.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait; the upper end of what kubelet uses for a crashing container (5 min).
const LONGEST: Duration = Duration::from_secs(300);

/// The wait after the `failures`-th failure in a row (1 or more): 1 s doubling up to 5 min, spread by up to a
/// quarter so that a thousand modules which failed together don't return together. `seed` is the object's identity;
/// the same arguments give the same wait.
pub fn after(failures: u32, seed: &str) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let plain = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let digest = Sha256::digest(format!("{seed}/{failures}").as_bytes());
    plain + plain.mul_f64(f64::from(digest[0]) / 256.0 / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_and_ends_at_five_minutes() {
        for (failures, low) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1000, 300)] {
            let wait = after(failures, "x").as_secs_f64();
            let low = f64::from(low);
            assert!(wait >= low && wait <= low * 1.25, "{failures}: {wait}");
        }
        assert_ne!(after(3, "a"), after(3, "b"));
        assert_eq!(after(3, "a"), after(3, "a"));
    }
}
