//! Which labels a base pod carries.
//!
//! The label `module.koupleless.io/<module>=true` lets the module's Service select the pod: it is on exactly while
//! the module is confirmed active there and isn't about to leave. An unknown state changes nothing. Labels of that
//! prefix which neither a Module nor the base's own pod template accounts for are leftovers and go.

use std::collections::BTreeMap;

use super::{
    module::{Told, UNREACHABLE_AFTER_MS},
    slot::Verdict,
};
use crate::api::keys::label;

/// What one slot of the pod wants of its traffic label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Serving: on.
    On,
    /// Not serving, or leaving: off.
    Off,
    /// Nobody knows: as it is.
    Keep,
}

impl Traffic {
    /// What one Module wants of its slot's label; `leaving`: it, or its pod, is on its way out.
    pub fn wanted(leaving: bool, told: Option<&Told>, now: i64) -> Self {
        let unreachable = |told: &Told| told.silent_since.is_some_and(|since| now >= since + UNREACHABLE_AFTER_MS);
        match told {
            _ if leaving => Self::Off,
            None => Self::Keep,
            Some(told) => match told.verdict {
                Verdict::Active if unreachable(told) => Self::Keep,
                Verdict::Active => Self::On,
                Verdict::Unknown => Self::Keep,
                _ => Self::Off,
            },
        }
    }

    /// What two Modules of one slot want together: it serves if any of them does, and is off only where all are off.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::On, _) | (_, Self::On) => Self::On,
            (Self::Keep, _) | (_, Self::Keep) => Self::Keep,
            (Self::Off, Self::Off) => Self::Off,
        }
    }
}

/// The labels to change on a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelPatch {
    /// Key to new value; `None` removes the key.
    pub changes: BTreeMap<String, Option<String>>,
    /// Whether a base is taken out of a Service: nothing may delay that.
    pub urgent: bool,
}

/// What to change: `slots` maps traffic label keys to what the slot wants, `template` holds the labels of the base's
/// pod template.
pub fn plan_labels(
    current: &BTreeMap<String, String>,
    template: &BTreeMap<String, String>,
    slots: &BTreeMap<String, Traffic>,
) -> LabelPatch {
    let mut patch = LabelPatch::default();
    let is_on = |key: &str| label::is_set(current, key);
    for (key, traffic) in slots {
        match traffic {
            Traffic::On if !is_on(key) => {
                patch.changes.insert(key.clone(), Some(label::TRUE.to_owned()));
            }
            Traffic::Off if current.contains_key(key) => {
                patch.changes.insert(key.clone(), None);
                patch.urgent = true;
            }
            Traffic::On | Traffic::Off | Traffic::Keep => {}
        }
    }
    for key in current.keys() {
        let ours = key.starts_with(label::TRAFFIC_PREFIX) && is_on(key);
        if ours && !slots.contains_key(key) && !template.contains_key(key) {
            patch.changes.insert(key.clone(), None);
            patch.urgent = true;
        }
    }
    let count = slots.len().to_string();
    if current.get(label::MODULE_INSTANCE_COUNT).map_or("0", String::as_str) != count {
        patch.changes.insert(label::MODULE_INSTANCE_COUNT.to_owned(), Some(count));
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn slots(pairs: &[(&str, Traffic)]) -> BTreeMap<String, Traffic> {
        pairs.iter().map(|(key, traffic)| (format!("module.koupleless.io/{key}"), *traffic)).collect()
    }

    #[test]
    fn one_patch_says_everything() {
        let current = labels(&[
            ("app", "base"),
            ("module.koupleless.io/serving", "true"),
            ("module.koupleless.io/leaving", "true"),
            ("module.koupleless.io/unknown", "true"),
            ("module.koupleless.io/leftover", "true"),
            ("module.koupleless.io/static", "true"),
            ("koupleless.io/module-instance-count", "9"),
        ]);
        let template = labels(&[("module.koupleless.io/static", "true")]);
        let slots = slots(&[
            ("serving", Traffic::On),
            ("new", Traffic::On),
            ("leaving", Traffic::Off),
            ("unknown", Traffic::Keep),
        ]);
        let patch = plan_labels(&current, &template, &slots);
        let expected = [
            ("koupleless.io/module-instance-count", Some("4")),
            ("module.koupleless.io/leaving", None),
            ("module.koupleless.io/leftover", None),
            ("module.koupleless.io/new", Some("true")),
        ];
        let changes: Vec<_> = patch.changes.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(changes, expected);
        assert!(patch.urgent);
    }

    #[test]
    fn only_a_known_state_changes_a_label() {
        let told = |verdict, silent_since| Told { verdict, since: 0, silent_since, silence: None };
        let now = 100_000;
        for (name, leaving, told, wanted) in [
            ("active", false, Some(told(Verdict::Active, None)), Traffic::On),
            ("active, silent for a moment", false, Some(told(Verdict::Active, Some(now - 1))), Traffic::On),
            ("active, silent for long", false, Some(told(Verdict::Active, Some(now - 60_000))), Traffic::Keep),
            ("leaving", true, Some(told(Verdict::Active, None)), Traffic::Off),
            ("leaving, nothing known", true, None, Traffic::Off),
            ("nothing known", false, None, Traffic::Keep),
            ("unknown", false, Some(told(Verdict::Unknown, None)), Traffic::Keep),
            ("superseded", false, Some(told(Verdict::Superseded, None)), Traffic::Off),
            ("failed", false, Some(told(Verdict::Failed("no".into()), None)), Traffic::Off),
        ] {
            assert_eq!(Traffic::wanted(leaving, told.as_ref(), now), wanted, "{name}");
        }
        assert_eq!(Traffic::Off.or(Traffic::On), Traffic::On);
        assert_eq!(Traffic::Keep.or(Traffic::Off), Traffic::Keep);
        assert_eq!(Traffic::Off.or(Traffic::Off), Traffic::Off);
    }

    #[test]
    fn nothing_to_say_is_nothing() {
        let current = labels(&[("module.koupleless.io/a", "true"), ("koupleless.io/module-instance-count", "1")]);
        let patch = plan_labels(&current, &BTreeMap::new(), &slots(&[("a", Traffic::On)]));
        assert_eq!(patch, LabelPatch::default());
        assert_eq!(plan_labels(&BTreeMap::new(), &BTreeMap::new(), &BTreeMap::new()), LabelPatch::default());
    }
}
