//! What a vPod asks for, and what becomes of it.
//!
//! A container whose image has `.jar` in it is a module; all others are none of a base's business. Every vPod states one wish
//! for each of its modules, and all wishes of one base are carried out by one conversation. Which of two vPods of one
//! module wins on one base: within a namespace the younger one, as a rolling update wants it; between namespaces the
//! older one, so that nobody's module is taken away by a stranger.
//!
//! Must not: say what a status looks like ([`super::status`]), or talk to anybody.

use super::status::{ModuleState, Standing, VPodStatus};
use crate::{
    api::{Reason, vkeys},
    domain::{
        policy::UpgradePolicy,
        slot::{BizState, Verdict, Wish, WishKind},
    },
};

/// A container that stands for a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The biz name.
    pub name: String,
    /// Where the base fetches the jar.
    pub image: String,
    /// The value of `BIZ_VERSION`; `None` where it is missing or empty.
    pub version: Option<String>,
}

impl Container {
    /// Whether a container with this image stands for a module.
    pub fn is_module(image: &str) -> bool {
        image.contains(vkeys::JAR)
    }
}

/// A pod on a VNode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VPod {
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created (seconds since the epoch).
    pub created: i64,
    /// Its resource version when this process first saw it: versions grow with time.
    pub seen: u64,
    /// Whether it was ordered to end.
    pub deleting: bool,
    /// How long it may take to end (milliseconds).
    pub grace: i64,
    /// Whether what it stands for stays in the base when it goes: somebody else looks after it from now on.
    pub keeps: bool,
    /// Whether finalizers hold it.
    pub held: bool,
    /// What it belongs to: its Deployment, or whatever else controls it. Pods of one group stand behind one Service.
    pub group: Option<String>,
    /// Its modules.
    pub modules: Vec<Container>,
    /// The name and image of a container that isn't a module, where it has no other.
    pub stranger: Option<(String, String)>,
    /// Its readiness gates.
    pub gates: Vec<String>,
    /// Its status, as far as it is known.
    pub status: VPodStatus,
}

/// The order in which vPods were created, as a number. Objects tell seconds. Of two vPods of one second the one that was
/// seen first is the older; a restarted provider, which sees all of them at once, goes by what it wrote itself: one that was
/// superseded is the older.
pub fn revision(pod: &VPod) -> u64 {
    let mut waiting = pod.status.container_statuses.iter().filter_map(|one| one.state.waiting.as_ref());
    let superseded = waiting.any(|waiting| Reason::Deactivated.is(waiting.reason.as_deref()));
    let seconds = u64::try_from(pod.created).unwrap_or(0);
    (seconds << 32) | (u64::from(!superseded) << 31) | (pod.seen & 0x7fff_ffff)
}

/// What is known of a vPod's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// Since when this process knows that it leaves (milliseconds); `None`: it stays.
    pub since: Option<i64>,
    /// How long a module that serves goes on doing so after that (milliseconds).
    pub drain: i64,
}

impl Leaving {
    /// When a vPod that has been leaving since `since` has drained (milliseconds).
    pub fn drained_at(&self, pod: &VPod, since: i64) -> i64 {
        since + self.drain.min(pod.grace)
    }
}

/// What a vPod wants of its module in the base. `biz`: the module's confirmed state, the outer `None` unknown; `replaced`: its
/// image was patched in place. A module that doesn't serve needs no time to drain, and nobody waits longer than the pod's
/// own grace period.
pub fn wish_kind(pod: &VPod, biz: Option<Option<BizState>>, replaced: bool, leaving: Leaving, now: i64) -> WishKind {
    if let Some(since) = leaving.since {
        let serves = !matches!(biz, Some(state) if state != Some(BizState::Active));
        return WishKind::Leave { drained: !serves || now >= leaving.drained_at(pod, since) };
    }
    if replaced {
        // It leaves the Service first.
        return WishKind::Leave { drained: !pod.status.is_ready() };
    }
    WishKind::Run
}

/// Whether the module was installed from another address than it is wanted from now: its image was patched in place. The
/// status tells what is there, so an interrupted replacement goes on. A module that another vPod of the base, which stays,
/// wants in the same version is left as it is.
pub fn is_replaced<'a>(pod: &VPod, module: &Container, mut mates: impl Iterator<Item = &'a VPod>) -> bool {
    let had = pod.status.container(&module.name);
    let moved = had.is_some_and(|had| !had.image_id.is_empty() && had.image != module.image);
    let same = |theirs: &Container| theirs.name == module.name && theirs.version == module.version;
    let shares = |other: &VPod| other.uid != pod.uid && !other.deleting && other.modules.iter().any(same);
    moved && !pod.deleting && !mates.any(shares)
}

/// The wish of a vPod for one of its modules; `None` where the module has no version. `mates` are all vPods of the base.
pub fn wish<'a>(pod: &VPod, module: &Container, kind: WishKind, mates: impl Iterator<Item = &'a VPod>) -> Option<Wish> {
    let version = module.version.clone()?;
    let wants = |other: &&VPod| {
        other.uid != pod.uid
            && other.modules.iter().any(|theirs| theirs.name == module.name && theirs.version.is_some())
    };
    Some(Wish {
        module: pod.uid.clone(),
        owner: pod.namespace.clone(),
        version,
        url: module.image.clone(),
        revision: revision(pod),
        created: pod.created,
        policy: UpgradePolicy::InstallThenUninstall,
        own_versions: vec![],
        mates: mates.filter(wants).map(|other| other.uid.clone()).collect(),
        kind,
    })
}

/// What a conversation says of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How things stand for this vPod.
    pub verdict: Verdict,
    /// The confirmed state in the base; the outer `None` is unknown.
    pub biz: Option<Option<BizState>>,
    /// Its image was patched in place, and what was installed from the old one isn't gone yet.
    pub replaced: bool,
}

/// How each container of a vPod stands. `report` gives what is known of a module, by its name.
pub fn standings<'a>(pod: &'a VPod, report: impl Fn(&str) -> Option<Report>) -> Vec<Standing<'a>> {
    if let (true, Some((name, image)), Some(_)) = (pod.modules.is_empty(), &pod.stranger, &pod.group) {
        // Ended, it would be replaced at once, and its successor again, without end.
        let message = "no container's image names a .jar, so there is no module to install".to_owned();
        let state = ModuleState::Waiting { present: false, reason: Reason::NoModule, message };
        return vec![Standing { name, image, state }];
    }
    let standing = |module: &'a Container| {
        let state = match (&module.version, report(&module.name)) {
            (None, _) => ModuleState::Waiting {
                present: false,
                reason: Reason::InvalidModule,
                message: format!("set the environment variable {} to the module's version", vkeys::BIZ_VERSION_ENV),
            },
            (_, None) => ModuleState::Unknown,
            (_, Some(Report { biz: Some(biz), replaced: true, .. })) => ModuleState::Waiting {
                present: biz.is_some(),
                reason: Reason::Replacing,
                message: "the module is fetched from another address".to_owned(),
            },
            (_, Some(Report { verdict: Verdict::Failed(error), biz, .. })) if pod.deleting => ModuleState::Waiting {
                present: !matches!(biz, Some(None)),
                reason: Reason::UninstallFailed,
                message: error,
            },
            (_, Some(report)) => ModuleState::of(&report.verdict, report.biz),
        };
        Standing { name: &module.name, image: &module.image, state }
    };
    pod.modules.iter().map(standing).collect()
}

/// Whether a vPod that was ordered to end may go: the end of each of its modules is confirmed, by the agent's own word, or
/// they stay.
pub fn may_go(pod: &VPod, verdict: impl Fn(&str) -> Option<Verdict>) -> bool {
    let owed = pod.modules.iter().filter(|module| module.version.is_some());
    pod.deleting && (pod.keeps || owed.into_iter().all(|module| verdict(&module.name) == Some(Verdict::Released)))
}

/// The vPods of a base, oldest first.
pub fn sort_by_age(pods: &mut [std::sync::Arc<VPod>]) {
    pods.sort_by(|a, b| (revision(a), &a.uid).cmp(&(revision(b), &b.uid)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vnode::status::{ContainerState, ContainerStatus, PodCondition, Waiting};

    const NOW: i64 = 50_000;

    fn module(name: &str, version: Option<&str>) -> Container {
        Container { name: name.into(), image: format!("file:///{name}.jar"), version: version.map(str::to_owned) }
    }

    fn pod(uid: &str, created: i64) -> VPod {
        VPod {
            uid: uid.into(),
            namespace: "n".into(),
            name: format!("pod-{uid}"),
            created,
            grace: 30_000,
            modules: vec![module("shop", Some("1"))],
            ..VPod::default()
        }
    }

    fn installed(mut pod: VPod, image: &str, ready: bool) -> VPod {
        let container = ContainerStatus {
            name: "shop".into(),
            image: image.into(),
            image_id: image.into(),
            ready,
            ..ContainerStatus::default()
        };
        let status = if ready { "True" } else { "False" };
        let condition = PodCondition { type_: "Ready".into(), status: status.into(), ..PodCondition::default() };
        (pod.status.container_statuses, pod.status.conditions) = (vec![container], vec![condition]);
        pod
    }

    #[test]
    fn a_module_is_a_container_whose_image_names_a_jar() {
        for (image, is) in [
            ("https://store/shop-1.0.0-ark-biz.jar", true),
            ("file:///shop.jar?sum=7", true),
            ("registry.example.com/shop:1.0.0", false),
            ("", false),
        ] {
            assert_eq!(Container::is_module(image), is, "{image}");
        }
    }

    #[test]
    fn the_wish_is_the_containers_name_version_and_image() {
        let (old, new) = (pod("a", 10), pod("b", 20));
        let all = [old.clone(), new.clone()];
        let of = |pod: &VPod| wish(pod, &pod.modules[0], WishKind::Run, all.iter()).unwrap();
        let first = of(&old);
        assert_eq!((first.version.as_str(), first.url.as_str(), first.owner.as_str()), ("1", "file:///shop.jar", "n"));
        assert_eq!((first.module.as_str(), first.mates.as_slice()), ("a", &["b".to_owned()][..]));
        assert!(of(&new).revision > first.revision, "the younger one wins");
        let nameless = module("shop", None);
        assert_eq!(wish(&old, &nameless, WishKind::Run, all.iter()), None);
    }

    #[test]
    fn of_two_pods_of_one_second_the_one_seen_first_is_older_and_a_restart_keeps_it_so() {
        let old = VPod { seen: 700, ..pod("z", 10) };
        let new = VPod { seen: 701, ..pod("a", 10) };
        assert!(revision(&new) > revision(&old));
        assert!(revision(&pod("b", 11)) > revision(&new), "another second counts more");
        // After a restart the superseded one comes with the higher version: it was written last.
        let mut superseded = VPod { seen: 900, ..old };
        let waiting = Waiting { reason: Some("Deactivated".into()), message: None };
        let state = ContainerState { waiting: Some(waiting), ..ContainerState::default() };
        superseded.status.container_statuses = vec![ContainerStatus { state, ..ContainerStatus::default() }];
        assert!(revision(&superseded) < revision(&new));
    }

    #[test]
    fn a_vpod_that_leaves_drains_only_while_its_module_serves() {
        let stays = Leaving { since: None, drain: 5_000 };
        let leaves = |ago: i64| Leaving { since: Some(NOW - ago), drain: 5_000 };
        let hasty = VPod { grace: 1_000, ..pod("a", 1) };
        let plain = pod("a", 1);
        let active = Some(Some(BizState::Active));
        let superseded = Some(Some(BizState::Inactive));
        for (name, pod, biz, leaving, kind) in [
            ("it stays", &plain, active, stays, WishKind::Run),
            ("it serves", &plain, active, leaves(4_999), WishKind::Leave { drained: false }),
            ("perhaps it serves", &plain, None, leaves(4_999), WishKind::Leave { drained: false }),
            ("it served on for long enough", &plain, active, leaves(5_000), WishKind::Leave { drained: true }),
            ("no longer than its grace period", &hasty, active, leaves(1_000), WishKind::Leave { drained: true }),
            ("its successor serves", &plain, superseded, leaves(0), WishKind::Leave { drained: true }),
            ("it isn't there", &plain, Some(None), leaves(0), WishKind::Leave { drained: true }),
        ] {
            assert_eq!(wish_kind(pod, biz, false, leaving, NOW), kind, "{name}");
        }
    }

    #[test]
    fn an_image_patched_in_place_leaves_the_service_then_the_base_then_comes_anew() {
        let active = Some(Some(BizState::Active));
        let replaced = |pod: &VPod| is_replaced(pod, &pod.modules[0], std::iter::once(pod));
        let kind = |pod: &VPod| wish_kind(pod, active, replaced(pod), Leaving::default(), NOW);
        let old = "file:///shop-old.jar";
        assert_eq!(kind(&installed(pod("a", 1), "file:///shop.jar", true)), WishKind::Run);
        assert_eq!(kind(&installed(pod("a", 1), old, true)), WishKind::Leave { drained: false });
        let out = installed(pod("a", 1), old, false);
        assert_eq!(kind(&out), WishKind::Leave { drained: true });
        let report = || Report { verdict: Verdict::Waiting, biz: active, replaced: true };
        let standing = standings(&out, |_| Some(report())).remove(0).state;
        assert!(
            matches!(standing, ModuleState::Waiting { present: true, reason: Reason::Replacing, .. }),
            "{standing:?}"
        );
        let mut done = out;
        done.status = super::super::status::replaced(&done.status, "shop", "file:///shop.jar");
        assert_eq!(kind(&done), WishKind::Run);
        assert_eq!(done.status.container_statuses[0].restart_count, 1);
    }

    #[test]
    fn a_module_that_another_vpod_wants_too_is_not_fetched_again() {
        let moved = installed(pod("a", 1), "file:///shop-old.jar", true);
        let replaced = |mates: &[VPod]| is_replaced(&moved, &moved.modules[0], mates.iter());
        let other = VPod { modules: vec![module("shop", Some("2"))], ..pod("c", 3) };
        let ending = VPod { deleting: true, ..pod("d", 4) };
        assert!(!replaced(&[moved.clone(), pod("b", 2)]));
        assert!(replaced(&[moved.clone(), other, ending]));
    }

    #[test]
    fn a_vpod_goes_when_every_module_of_it_is_uninstalled_by_word() {
        let ending = VPod {
            deleting: true,
            modules: vec![module("shop", Some("1")), module("till", Some("1")), module("odd", None)],
            ..pod("a", 1)
        };
        let all = |verdict: Option<Verdict>| {
            move |name: &str| match name {
                "shop" => Some(Verdict::Released),
                "till" => verdict.clone(),
                _ => None,
            }
        };
        assert!(may_go(&ending, all(Some(Verdict::Released))));
        for owed in [None, Some(Verdict::Unknown), Some(Verdict::Waiting), Some(Verdict::Failed("x".into()))] {
            assert!(!may_go(&ending, all(owed.clone())), "{owed:?}");
        }
        assert!(may_go(&VPod { keeps: true, ..ending.clone() }, |_| None), "its module stays in the base");
        assert!(!may_go(&VPod { deleting: false, ..ending }, all(Some(Verdict::Released))));
        assert!(may_go(&VPod { deleting: true, modules: vec![], ..pod("b", 1) }, |_| None));
    }

    #[test]
    fn what_has_no_module_ends_unless_it_would_be_replaced_without_end() {
        let stranger = Some(("web".to_owned(), "nginx".to_owned()));
        let bare = VPod { modules: vec![], stranger, ..pod("a", 1) };
        assert!(standings(&bare, |_| None).is_empty());
        let owned = VPod { group: Some("ReplicaSet/web".into()), ..bare };
        let standing = standings(&owned, |_| None).remove(0);
        assert_eq!(standing.name, "web");
        assert!(matches!(standing.state, ModuleState::Waiting { reason: Reason::NoModule, .. }));
        let versionless = VPod { modules: vec![module("shop", None)], ..pod("b", 1) };
        let standing = standings(&versionless, |_| None).remove(0).state;
        assert!(matches!(standing, ModuleState::Waiting { reason: Reason::InvalidModule, .. }));
        let stuck = VPod { deleting: true, ..pod("c", 1) };
        let report =
            Report { verdict: Verdict::Failed("busy".into()), biz: Some(Some(BizState::Active)), replaced: false };
        let standing = standings(&stuck, |_| Some(report.clone())).remove(0).state;
        assert!(matches!(standing, ModuleState::Waiting { reason: Reason::UninstallFailed, .. }), "{standing:?}");
    }
}
