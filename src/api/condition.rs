//! Conditions as V1 wrote them: `last_transition_time` in snake case, the rest as everywhere in Kubernetes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One aspect of an object's state. V1 appended up to ten with duplicate types; this operator writes one a type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Condition {
    /// What is said: `Available`, `Progressing`, `ReplicaFailure` and this operator's own types.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: String,
    /// When `status` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// One CamelCase word for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The three values of [`Condition::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It can't be told at the moment.
    Unknown,
}

impl ConditionStatus {
    /// The value as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Puts `type_` into `conditions`: one entry a type, the transition time moves only when the status flips.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: impl Into<String>,
    now: &Time,
) {
    let same = find(conditions, type_).filter(|known| known.status == status.as_str());
    let since = same.and_then(|known| known.last_transition_time.clone());
    let message = message.into();
    let new = Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
        reason: Some(reason.to_owned()),
        message: (!message.is_empty()).then_some(message),
    };
    let position = conditions.iter().position(|c| c.type_ == type_);
    conditions.retain(|c| c.type_ != type_);
    match position {
        Some(at) if at <= conditions.len() => conditions.insert(at, new),
        _ => conditions.push(new),
    }
}

/// Takes every condition of `type_` out.
pub fn clear(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|c| c.type_ != type_);
}

/// The last condition of `type_`: with V1's duplicates the last one is the newest.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().rfind(|c| c.type_ == type_)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("a time"))
    }

    fn known(type_: &str, status: &str, second: i64) -> Condition {
        let since = Some(at(second));
        Condition { type_: type_.into(), status: status.into(), last_transition_time: since, ..Condition::default() }
    }

    #[test]
    fn the_time_moves_only_when_the_status_flips_and_duplicates_become_one() {
        let (other, more) = (known("Other", "True", 1), known("More", "True", 1));
        for (before, since) in [
            (vec![], 9),
            // Another reason is no flip.
            (vec![known("A", "True", 5)], 5),
            (vec![known("A", "False", 5)], 9),
            (vec![known("A", "Unknown", 5)], 9),
            // V1 appended: the last one is how it stood.
            (vec![known("A", "True", 3), known("A", "True", 5)], 5),
            (vec![known("A", "True", 3), known("A", "False", 5)], 9),
            (vec![known("A", "False", 3), known("A", "True", 5)], 5),
            (vec![Condition { last_transition_time: None, ..known("A", "True", 5) }], 9),
        ] {
            let mut conditions = [vec![other.clone()], before.clone(), vec![more.clone()]].concat();
            set(&mut conditions, "A", ConditionStatus::True, "New", "a sentence", &at(9));
            let found: Vec<&Condition> = conditions.iter().filter(|condition| condition.type_ == "A").collect();
            assert_eq!(found.len(), 1, "{before:?}");
            assert_eq!(found[0].last_transition_time, Some(at(since)), "{before:?}");
            assert_eq!((found[0].reason.as_deref(), found[0].message.as_deref()), (Some("New"), Some("a sentence")));
            let others: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
            let order = if before.is_empty() { ["Other", "More", "A"] } else { ["Other", "A", "More"] };
            assert_eq!(others, order, "each stays in its place");
            clear(&mut conditions, "A");
            assert_eq!(conditions, [other.clone(), more.clone()]);
        }
    }
}
