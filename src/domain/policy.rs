//! What the strategy fields of a ModuleDeployment mean.
//!
//! The fields are free text and open numbers in stored V1 objects; this is the one place that reads them.

use std::time::Duration;

use crate::api::{IntOrString, OperationStrategy, SchedulingStrategy};

/// How a new revision takes the place of an old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpgradePolicy {
    /// New beside old on the same base; the old one leaves once the new one is available.
    #[default]
    InstallThenUninstall,
    /// Drain, uninstall and install on the same base; two versions never share one.
    UninstallThenInstall,
    /// New on bases without the module, then as many old ones leave.
    ScaleUpThenScaleDown,
}

impl UpgradePolicy {
    /// The policy that `text` names; absent and unknown names mean the default (V1 stored any text and read none).
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("uninstall_then_install") => Self::UninstallThenInstall,
            Some("scaleup_then_scaledown") => Self::ScaleUpThenScaleDown,
            _ => Self::InstallThenUninstall,
        }
    }

    /// The policy that an unknown name was meant to be: V1's documentation wrote `installThenUninstall`.
    pub fn meant_by(text: &str) -> Option<Self> {
        let plain = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
        [Self::InstallThenUninstall, Self::UninstallThenInstall, Self::ScaleUpThenScaleDown]
            .into_iter()
            .find(|policy| plain(policy.as_str()) == plain(text))
    }

    /// The name as it stands in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstallThenUninstall => "install_then_uninstall",
            Self::UninstallThenInstall => "uninstall_then_install",
            Self::ScaleUpThenScaleDown => "scaleup_then_scaledown",
        }
    }

    /// Whether a new module comes onto the base of the old one that it replaces.
    pub fn in_place(self) -> bool {
        !matches!(self, Self::ScaleUpThenScaleDown)
    }
}

/// The drain time of a deployment with a Service that names none (seconds).
const DEFAULT_DRAIN: i64 = 5;

/// How long a base goes on serving without getting new traffic before anything is uninstalled there (seconds).
pub fn drain_seconds(strategy: Option<&OperationStrategy>) -> i64 {
    let Some(service) = strategy.and_then(|strategy| strategy.service_strategy.as_ref()) else { return 0 };
    let default = if service.enable_module_service.unwrap_or(false) { DEFAULT_DRAIN } else { 0 };
    service.drain_seconds.map_or(default, i64::from).max(0)
}

/// Which bases are preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchedulingPolicy {
    /// Bases with the fewest modules first.
    #[default]
    Scatter,
    /// Bases with the most modules first.
    Stacking,
}

impl SchedulingPolicy {
    /// The policy of a strategy; absent and empty mean scatter.
    pub fn of(strategy: Option<&SchedulingStrategy>) -> Self {
        match strategy.and_then(|strategy| strategy.scheduling_policy.as_deref()) {
            Some("stacking") => Self::Stacking,
            _ => Self::Scatter,
        }
    }

    /// The name as it stands in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scatter => "scatter",
            Self::Stacking => "stacking",
        }
    }
}

/// The operation strategy, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strategy {
    /// See [`UpgradePolicy`].
    pub policy: UpgradePolicy,
    /// Wait for a confirmation after each batch but the last.
    pub need_confirm: bool,
    /// Begin with a batch of one.
    pub use_beta: bool,
    /// Wanted number of batches, at least 1.
    pub batch_count: u32,
    /// Pause between two batches.
    pub gray_time: Duration,
    /// See [`Strategy::max_unavailable`].
    pub max_unavailable: Option<MaxUnavailable>,
    /// Bring the last good revision back when a release fails.
    pub auto_rollback: bool,
}

/// `maxUnavailable`, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnavailable {
    /// So many instances.
    Number(u32),
    /// This part of the desired number, rounded down.
    Percent(u32),
}

impl Strategy {
    /// Reads a strategy; absurd values (negative counts, malformed percentages) count as absent: telling the user
    /// is the work of [`crate::domain::validation`].
    pub fn parse(strategy: Option<&OperationStrategy>) -> Self {
        let Some(strategy) = strategy else {
            return Self { batch_count: 1, ..Self::default() };
        };
        Self {
            policy: UpgradePolicy::parse(strategy.upgrade_policy.as_deref()),
            need_confirm: strategy.need_confirm.unwrap_or(false),
            use_beta: strategy.use_beta.unwrap_or(false),
            batch_count: positive(strategy.batch_count).unwrap_or(1),
            gray_time: Duration::from_secs(u64::from(positive(strategy.gray_time_between_batch_seconds).unwrap_or(0))),
            max_unavailable: strategy.max_unavailable.as_ref().and_then(parse_max_unavailable),
            auto_rollback: strategy.auto_rollback.unwrap_or(false),
        }
    }

    /// How many of `desired` instances a release may make unavailable. 0 and absent mean a quarter, rounded down
    /// and at least 1, for `uninstall_then_install` (which can't work with none), and none for the others.
    pub fn max_unavailable(&self, desired: u32) -> u32 {
        let set = match self.max_unavailable {
            Some(MaxUnavailable::Number(number)) => number,
            Some(MaxUnavailable::Percent(percent)) => percent_of(desired, percent),
            None => 0,
        };
        match self.policy {
            UpgradePolicy::UninstallThenInstall if set == 0 => percent_of(desired, 25).max(1),
            _ => set,
        }
    }
}

fn percent_of(total: u32, percent: u32) -> u32 {
    u32::try_from(u64::from(total) * u64::from(percent) / 100).unwrap_or(u32::MAX)
}

fn positive(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

fn parse_max_unavailable(value: &IntOrString) -> Option<MaxUnavailable> {
    match value {
        IntOrString::Int(number) => u32::try_from(*number).ok().map(MaxUnavailable::Number),
        IntOrString::String(text) => match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|p| *p <= 100).map(MaxUnavailable::Percent),
            None => text.parse().ok().map(MaxUnavailable::Number),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(policy: &str, max: Option<IntOrString>) -> Strategy {
        Strategy::parse(Some(&OperationStrategy {
            upgrade_policy: Some(policy.to_owned()),
            max_unavailable: max,
            ..OperationStrategy::default()
        }))
    }

    #[test]
    fn max_unavailable_takes_numbers_percentages_and_defaults() {
        let text = |t: &str| Some(IntOrString::String(t.to_owned()));
        for (policy, max, desired, expected) in [
            ("uninstall_then_install", None, 10, 2),
            ("uninstall_then_install", None, 3, 1),
            ("uninstall_then_install", Some(IntOrString::Int(0)), 8, 2),
            ("uninstall_then_install", Some(IntOrString::Int(3)), 8, 3),
            ("uninstall_then_install", text("50%"), 8, 4),
            ("uninstall_then_install", text("1%"), 8, 2),
            ("uninstall_then_install", text("much"), 8, 2),
            ("install_then_uninstall", None, 10, 0),
            ("install_then_uninstall", text("20%"), 10, 2),
            ("scaleup_then_scaledown", Some(IntOrString::Int(-4)), 10, 0),
        ] {
            assert_eq!(with(policy, max.clone()).max_unavailable(desired), expected, "{policy} {max:?} of {desired}");
        }
    }

    #[test]
    fn unknown_policies_mean_the_default() {
        for text in [None, Some(""), Some("installThenUninstall")] {
            assert_eq!(UpgradePolicy::parse(text), UpgradePolicy::InstallThenUninstall, "{text:?}");
        }
        assert_eq!(Strategy::parse(None).batch_count, 1);
    }
}
