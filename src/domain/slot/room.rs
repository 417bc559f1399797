//! Whether a version may come to a slot, beside what is there or may be there.
//!
//! Must not: take what the list doesn't show for absent, while an install may still be under way.

use std::collections::{BTreeMap, BTreeSet};

use super::{BizState, History, Wish, WishKind};
use crate::domain::policy::UpgradePolicy;

/// Whether what else is on the base leaves room for this version.
pub(super) fn may_install(
    wish: &Wish,
    wishes: &[Wish],
    versions: &BTreeMap<String, BizState>,
    history: &History,
) -> bool {
    if foreign_version(wish, wishes, versions).is_some() {
        return false;
    }
    // The same version is on its way out for another Module: a new install waits for the end of the old.
    let leaving_same = wishes.iter().any(|other| other.version == wish.version && other.kind != WishKind::Run);
    if leaving_same && versions.contains_key(&wish.version) {
        return false;
    }
    let others = versions.keys().filter(|version| **version != wish.version).count()
        + lingering(wish, wishes, versions, history).len();
    match wish.policy {
        UpgradePolicy::UninstallThenInstall => {
            // Revisions of another owner, who lost this slot, say nothing here.
            let older = |other: &Wish| other.owner == wish.owner && other.revision < wish.revision;
            let older_runs = wishes.iter().any(|other| other.kind == WishKind::Run && older(other));
            others == 0 && !older_runs
        }
        UpgradePolicy::InstallThenUninstall | UpgradePolicy::ScaleUpThenScaleDown => others < 2,
    }
}

/// Other versions of this owner that the list doesn't show and that may be there all the same: one whose install nobody
/// saw end, or one that leaves and isn't uninstalled by word yet (a jar that is being fetched is in no list).
fn lingering<'a>(
    wish: &Wish,
    wishes: &'a [Wish],
    versions: &BTreeMap<String, BizState>,
    history: &History,
) -> BTreeSet<&'a str> {
    let unlisted = wishes.iter().filter(|other| {
        other.owner == wish.owner && other.version != wish.version && !versions.contains_key(&other.version)
    });
    let may_be_there = |other: &&Wish| match history.get(&other.version) {
        Some(record) => record.install_unclear || (other.kind != WishKind::Run && !record.uninstall_answered),
        None => other.kind != WishKind::Run,
    };
    unlisted.filter(may_be_there).map(|other| other.version.as_str()).collect()
}

/// A version on the base that neither a wish nor one of the owner's revisions accounts for.
pub(super) fn foreign_version(wish: &Wish, wishes: &[Wish], versions: &BTreeMap<String, BizState>) -> Option<String> {
    versions
        .keys()
        .find(|version| !wishes.iter().any(|other| other.version == **version) && !wish.own_versions.contains(version))
        .cloned()
}
