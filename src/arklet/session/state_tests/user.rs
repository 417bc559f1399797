//! What users and controllers do to the wishes of a base, and what befalls the base.

use super::{
    super::BizState,
    world::{Fault, World},
};
use crate::{
    arklet::wire,
    domain::{
        policy::UpgradePolicy,
        slot::{Verdict, Wish, WishKind},
    },
};

/// The names of the slots.
pub const NAMES: [&str; 2] = ["m", "n"];
/// How long traffic is drained (milliseconds).
const DRAIN: i64 = 400;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new version comes; the old one leaves as the policy says.
    Release { slot: usize, other_owner: bool },
    /// The oldest version comes back as the newest revision.
    RollBack { slot: usize },
    /// A Module is deleted.
    Leave { slot: usize, which: u8 },
    /// A Module is dropped without uninstalling.
    Drop { slot: usize, which: u8 },
    /// The URL changes.
    AnotherUrl { slot: usize, which: u8 },
    /// The policy changes, where the world isn't strict.
    ChangePolicy { slot: usize },
    /// The container is restarted.
    Restart { noticed_after: i64 },
    /// Nobody answers for a while.
    Silence { time: i64 },
    /// A biz that was active breaks or is switched off.
    Degrade { slot: usize, broken: bool },
}

/// A Module.
#[derive(Clone, Debug)]
pub struct Mod {
    pub slot: &'static str,
    pub wish: Wish,
    /// When its drain is over.
    pub drained_at: Option<i64>,
    pub verdict: Option<Verdict>,
    /// What the last news for it said, and whether the agent was silent then.
    pub heard: Option<(Verdict, bool)>,
}

impl World {
    pub fn happen(&mut self, event: &Event) {
        let now = self.now;
        self.note(format!("{event:?}"));
        match *event {
            Event::Release { slot, other_owner } => {
                self.versions += 1;
                let version = format!("{}", self.versions);
                self.release(NAMES[slot], if other_owner { "other" } else { "own" }, version);
            }
            Event::RollBack { slot } => {
                let first = self.modules.iter().find(|module| module.slot == NAMES[slot]);
                if let Some((owner, version)) = first.map(|m| (m.wish.owner.clone(), m.wish.version.clone())) {
                    self.release(NAMES[slot], &owner, version);
                }
            }
            Event::Leave { slot, which } => {
                if let Some(index) = self.pick(slot, which) {
                    self.leave(index);
                }
            }
            Event::Drop { slot, which } => {
                if let Some(index) = self.pick(slot, which) {
                    let module = self.modules.remove(index);
                    self.dropped.insert((module.slot.to_owned(), module.wish.version.clone()));
                    self.state.withdraw(module.slot, &module.wish.module);
                    // The end of a Module wakes its neighbours on the base.
                    for neighbour in
                        (0..self.modules.len()).filter(|&i| self.modules[i].slot == NAMES[slot]).collect::<Vec<_>>()
                    {
                        self.tell(neighbour);
                    }
                }
            }
            Event::AnotherUrl { slot, which } => {
                if let Some(index) = self.pick(slot, which) {
                    self.modules[index].wish.url.push('x');
                    self.tell(index);
                }
            }
            Event::ChangePolicy { slot } if !self.setup.strict => {
                self.policies[slot] = match self.policies[slot] {
                    UpgradePolicy::InstallThenUninstall => UpgradePolicy::ScaleUpThenScaleDown,
                    _ => UpgradePolicy::InstallThenUninstall,
                };
            }
            Event::ChangePolicy { .. } => {}
            Event::Restart { noticed_after } => {
                self.agent.restart(now);
                self.faults.push((now + noticed_after, Fault::RestartNoticed));
                self.cut_off();
            }
            Event::Silence { time } => self.silent_until = now + time,
            Event::Degrade { slot, broken } => {
                let active = self.agent.versions(NAMES[slot]);
                let active = active.iter().find(|(_, state)| **state == wire::BizState::Activated);
                let state = if broken { wire::BizState::Broken } else { wire::BizState::Deactivated };
                if let Some(version) = active.map(|(version, _)| (*version).to_owned()) {
                    self.agent.put(&(NAMES[slot].to_owned(), version), Some(state), now);
                }
            }
        }
    }

    fn pick(&self, slot: usize, which: u8) -> Option<usize> {
        let here: Vec<usize> = (0..self.modules.len()).filter(|&i| self.modules[i].slot == NAMES[slot]).collect();
        (!here.is_empty()).then(|| here[usize::from(which) % here.len()])
    }

    fn release(&mut self, slot: &'static str, owner: &str, version: String) {
        let crowd = self.modules.iter().filter(|module| module.slot == slot).count();
        if crowd >= 4 {
            return;
        }
        self.created += 1;
        let policy = self.policies[usize::from(slot == NAMES[1])];
        self.ours.insert((slot.to_owned(), version.clone()));
        self.owners.entry(owner.to_owned()).or_default().insert(version.clone());
        self.modules.push(Mod {
            slot,
            wish: Wish {
                module: format!("{slot}-{}", self.created),
                owner: owner.to_owned(),
                version,
                url: "file:///x".to_owned(),
                revision: u64::try_from(self.created).unwrap_or(0),
                created: self.created,
                policy,
                own_versions: vec![],
                mates: vec![],
                kind: WishKind::Run,
            },
            drained_at: None,
            verdict: None,
            heard: None,
        });
        let newest = self.modules.len() - 1;
        if policy == UpgradePolicy::UninstallThenInstall {
            for older in self.older_than(newest) {
                self.leave(older);
            }
        }
        self.tell(newest);
    }

    fn older_than(&self, newest: usize) -> Vec<usize> {
        let new = &self.modules[newest];
        let older = |module: &Mod| {
            module.slot == new.slot
                && module.wish.owner == new.wish.owner
                && module.wish.revision < new.wish.revision
                && module.wish.kind == WishKind::Run
        };
        (0..self.modules.len()).filter(|&index| older(&self.modules[index])).collect()
    }

    fn leave(&mut self, index: usize) {
        if self.modules[index].wish.kind == WishKind::Run {
            self.modules[index].wish.kind = WishKind::Leave { drained: false };
            self.modules[index].drained_at = Some(self.now + DRAIN);
            self.tell(index);
        }
    }

    /// Hands a Module's wish over, as its reconcile does.
    fn tell(&mut self, index: usize) {
        let module = &mut self.modules[index];
        module.wish.own_versions = self.owners[&module.wish.owner].iter().cloned().collect();
        let (slot, wish) = (module.slot, module.wish.clone());
        self.note(format!("wish {} {} {:?}", wish.module, wish.version, wish.kind));
        self.state.wish(slot, wish);
    }

    /// What the controllers do of themselves: old ones leave once the new one is active, drains end, what is
    /// released goes.
    pub fn control(&mut self) {
        for index in 0..self.modules.len() {
            let module = &self.modules[index];
            if module.wish.kind == WishKind::Run && module.verdict == Some(Verdict::Active) {
                for older in self.older_than(index) {
                    self.leave(older);
                }
            }
        }
        for index in 0..self.modules.len() {
            let module = &self.modules[index];
            let over = module.drained_at.is_some_and(|at| at <= self.now);
            if over && module.wish.kind == (WishKind::Leave { drained: false }) {
                self.modules[index].wish.kind = WishKind::Leave { drained: true };
                self.tell(index);
            }
        }
        let gone = |module: &Mod| {
            module.wish.kind == (WishKind::Leave { drained: true }) && module.verdict == Some(Verdict::Released)
        };
        while let Some(index) = self.modules.iter().position(gone) {
            let module = self.modules.remove(index);
            self.note(format!("released {}", module.wish.module));
            self.state.withdraw(module.slot, &module.wish.module);
        }
    }

    /// The next end of a drain.
    pub fn next_drain(&self) -> Option<i64> {
        let draining = self.modules.iter().filter(|m| m.wish.kind == (WishKind::Leave { drained: false }));
        draining.filter_map(|module| module.drained_at).min()
    }

    /// Whether the State may tell the agent to remove this.
    pub fn may_uninstall(&self, name: &str, version: &str) -> bool {
        let wishes = || self.modules.iter().filter(|module| module.slot == name);
        let of_it = || wishes().filter(|module| module.wish.version == version);
        let wanted = of_it().any(|module| module.wish.kind == WishKind::Run);
        let leaves = of_it().any(|module| module.wish.kind == (WishKind::Leave { drained: true }));
        let leftover = of_it().next().is_none()
            && wishes().any(|module| module.wish.own_versions.iter().any(|own| own == version));
        let broken = self.state.versions(name).is_some_and(|all| all.get(version) == Some(&BizState::Broken));
        if wanted { broken } else { leaves || leftover }
    }
}
