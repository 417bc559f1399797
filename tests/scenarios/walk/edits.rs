//! What a user may do next, drawn by a seeded generator, and what holds after it.

use std::time::Duration;

use serde_json::{Value, json};

/// The policies, as they stand in a spec.
const POLICIES: [&str; 3] = ["install_then_uninstall", "uninstall_then_install", "scaleup_then_scaledown"];
/// The most instances that are ever wanted: one base stays free.
const MOST: u32 = 3;

/// Numbers from a seed (`SplitMix64`): the same seed gives the same walk.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub fn below(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        u32::try_from(mixed % u64::from(sides)).expect("it is below a u32")
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(u32::try_from(from.len()).expect("few")) as usize].clone()
    }

    pub fn millis_below(&mut self, most: u32) -> Duration {
        Duration::from_millis(u64::from(self.below(most)))
    }
}

/// One thing that a user does.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// A merge patch of the spec.
    Spec(Value),
    /// Another version of the module, or one from before.
    Version(String),
    /// As `kubectl rollout restart` has it.
    RestartModules,
    /// A base pod, by its number.
    DeleteBase(u32),
    RestartOperator,
}

/// What the user has asked for, as far as guarantees depend on it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub version: u32,
    /// How many instances are wanted.
    pub replicas: u32,
    /// `spec.replicas`, which only decides when it changes.
    written: u32,
    policy: &'static str,
    max_unavailable: u32,
    restarted: bool,
}

impl Settings {
    pub fn new() -> Self {
        Self { version: 1, replicas: MOST, written: MOST, policy: POLICIES[0], max_unavailable: 0, restarted: false }
    }

    /// How many must stay available, where that many are.
    pub fn floor(&self) -> u32 {
        let strict = self.policy == POLICIES[1];
        let least = u32::from(strict && self.max_unavailable == 0 || self.restarted);
        self.replicas.saturating_sub(self.max_unavailable.max(least))
    }

    /// As the scale subresource writes it.
    pub fn scale(&mut self, replicas: u32) -> Edit {
        self.replicas = replicas;
        Edit::Spec(json!({ "scaleReplicas": replicas }))
    }

    /// The next edit.
    pub fn next(&mut self, dice: &mut Dice, number: u32) -> Edit {
        let strategy = |field: &str, value: Value| Edit::Spec(json!({ "operationStrategy": { field: value } }));
        match dice.below(14) {
            0..3 => {
                self.version += 1;
                Edit::Version(version(self.version))
            }
            3 => Edit::Version(version(1 + dice.below(self.version))),
            4 => {
                let number = dice.below(MOST + 1);
                if dice.below(2) == 0 {
                    return self.scale(number);
                }
                if number != self.written {
                    (self.written, self.replicas) = (number, number);
                }
                Edit::Spec(json!({ "replicas": number }))
            }
            5 => {
                self.policy = dice.pick(&POLICIES);
                strategy("upgradePolicy", json!(self.policy))
            }
            6 => strategy("batchCount", json!(1 + dice.below(3))),
            7 => Edit::Spec(json!({ "paused": dice.below(2) == 1 })),
            8 => Edit::Spec(json!({ "confirmBatchNum": dice.below(3) })),
            9 => strategy("needConfirm", json!(dice.below(2) == 1)),
            10 => {
                self.max_unavailable = dice.below(3);
                strategy("maxUnavailable", json!(self.max_unavailable))
            }
            11 => Edit::DeleteBase(number),
            12 => Edit::RestartOperator,
            _ => {
                self.restarted = true;
                Edit::RestartModules
            }
        }
    }
}

/// The version of this number.
pub fn version(number: u32) -> String {
    format!("{number}.0.0")
}
