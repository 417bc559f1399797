//! Which labels a base pod carries.
//!
//! The label `module.koupleless.io/<module>=true` lets the module's Service select the pod: it is on exactly while
//! the module is confirmed active there and isn't about to leave. An unknown state changes nothing. Labels of that
//! prefix which neither a Module nor the base's own pod template accounts for are leftovers and go.

use std::collections::BTreeMap;

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
    let is_on = |key: &str| current.get(key).is_some_and(|value| value == label::TRUE);
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
    fn nothing_to_say_is_nothing() {
        let current = labels(&[("module.koupleless.io/a", "true"), ("koupleless.io/module-instance-count", "1")]);
        let patch = plan_labels(&current, &BTreeMap::new(), &slots(&[("a", Traffic::On)]));
        assert_eq!(patch, LabelPatch::default());
        assert_eq!(plan_labels(&BTreeMap::new(), &BTreeMap::new(), &BTreeMap::new()), LabelPatch::default());
    }
}
