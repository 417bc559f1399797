//! How many worlds the property tests walk, and which.
//!
//! The usual run walks the same worlds each time, so that a red build is about the change and not about luck. A sweep,
//! that is a number of cases by `PROPTEST_CASES`, walks new ones; `PROPTEST_RNG_SEED` repeats it.

use proptest::test_runner::{Config, RngSeed};

/// `usual` cases unless `PROPTEST_CASES` says how many.
pub fn config(usual: u32, max_shrink_iters: u32) -> Config {
    let asked = number("PROPTEST_CASES");
    let rng_seed = match (number("PROPTEST_RNG_SEED"), asked) {
        (Some(seed), _) => RngSeed::Fixed(seed),
        (None, Some(_)) => RngSeed::Random,
        (None, None) => RngSeed::Fixed(1),
    };
    let cases = asked.and_then(|asked| u32::try_from(asked).ok()).unwrap_or(usual);
    Config { cases, max_shrink_iters, failure_persistence: None, rng_seed, ..Config::default() }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
