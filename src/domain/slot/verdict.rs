//! How things stand for one Module of a slot.
//!
//! Must not: release a Module because its version is in no list; only the agent's word does.

use super::{
    BizState, History, Observation, Verdict, VersionHistory, Wish, WishKind, holder, is_complete,
    room::{foreign_version, may_install},
};

/// How things stand for the Module `module`; `None` where it has no wish here.
pub fn verdict(module: &str, wishes: &[Wish], observation: Observation<'_>, history: &History) -> Option<Verdict> {
    let wish = wishes.iter().find(|wish| wish.module == module)?;
    Some(verdict_of(wish, wishes, observation, history))
}

pub(super) fn verdict_of(wish: &Wish, wishes: &[Wish], observation: Observation<'_>, history: &History) -> Verdict {
    let holder = holder(wishes).unwrap_or(&wish.owner);
    let contested = wish.owner != holder;
    let record = history.get(&wish.version);
    let state = observation.state_of(&wish.version);
    if !is_complete(wishes) {
        return match (wish.kind, state) {
            (WishKind::Run, Some(Some(BizState::Active))) if !contested => Verdict::Active,
            (WishKind::Run, _) => Verdict::Unknown,
            (WishKind::Leave { .. }, _) => Verdict::Waiting,
        };
    }
    if wish.kind != WishKind::Run {
        let wanted_by_other = wishes
            .iter()
            .any(|other| other.module != wish.module && other.version == wish.version && other.kind == WishKind::Run);
        let gone = state == Some(None) && record.is_some_and(|record| record.uninstall_answered);
        return match state {
            _ if contested || wanted_by_other || gone => Verdict::Released,
            // A biz without Spring is gone although its uninstall ends in an error: the list tells.
            None => Verdict::Waiting,
            Some(_) => failed_or(record, Verdict::Waiting),
        };
    }
    if contested {
        return Verdict::Contested(holder.to_owned());
    }
    match state {
        None => failed_or(record, Verdict::Unknown),
        Some(Some(BizState::Active)) => Verdict::Active,
        Some(Some(BizState::Starting)) => Verdict::Installing,
        Some(Some(BizState::Inactive)) => inactive(wish, wishes, observation, record),
        Some(Some(BizState::Broken)) => failed_or(record, Verdict::Failed("the biz is BROKEN in the base".to_owned())),
        Some(None) => match observation {
            Observation::Known { versions, .. } => match foreign_version(wish, wishes, versions) {
                Some(version) => Verdict::Foreign(version),
                None if !may_install(wish, wishes, versions, history) => Verdict::Waiting,
                None => failed_or(record, Verdict::Installing),
            },
            Observation::Unknown => Verdict::Unknown,
        },
    }
}

fn inactive(wish: &Wish, wishes: &[Wish], observation: Observation<'_>, record: Option<&VersionHistory>) -> Verdict {
    let newer_active = wishes.iter().any(|other| {
        other.kind == WishKind::Run
            && other.revision > wish.revision
            && observation.state_of(&other.version) == Some(Some(BizState::Active))
    });
    if newer_active { Verdict::Superseded } else { failed_or(record, Verdict::Inactive) }
}

fn failed_or(record: Option<&VersionHistory>, otherwise: Verdict) -> Verdict {
    match record.and_then(|record| record.error.clone()) {
        Some(error) => Verdict::Failed(error),
        None => otherwise,
    }
}
