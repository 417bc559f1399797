//! Carries out the vPods of one VNode: states their wishes to the conversation with the base, writes what becomes of them, and
//! lets go those that may go.
//!
//! A look at all vPods of the VNode together, whenever one of them or the base's news changes: an old and a new version of a
//! module are about the same slot, and their statuses are written in one order. A vPod that vanished without its module's
//! end being confirmed is remembered until it is. Writes the status of vPods and deletes those that were ordered to end;
//! nothing else.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{keep, pod::ModulePod, provider::Provider, state::Found, state::VNode};
use crate::{
    arklet::wire::is_web_context_clash,
    domain::{
        slot::{BizState, Verdict, WishKind},
        vnode::{
            keep::Reach,
            order::Write,
            status::{self, Place, VPodStatus},
            vpod::{self, Container, Leaving, Report, VPod},
        },
    },
    runtime::clock::timestamp,
};

/// A status that says nothing urgent is written once it has been true for so long (milliseconds): an install of a moment is
/// one write and not three.
const WRITE_AFTER_MS: i64 = 1_000;
/// Between two looks at most: a conversation that ended because its base was gone for a moment has to begin again.
const RESYNC: Duration = Duration::from_secs(30);
/// Between a write that failed and the next try (milliseconds).
const AGAIN_MS: i64 = 1_000;

/// What is remembered of a vPod between two looks.
struct Known {
    pod: Arc<VPod>,
    /// Since when it is known to leave (milliseconds).
    leaving: Option<i64>,
    /// Since when its status isn't what it should be (milliseconds).
    odd: Option<i64>,
    /// It was ordered to end at once; finalizers of others hold it.
    let_go: bool,
}

/// What is remembered of a VNode's vPods between two looks.
#[derive(Default)]
struct Memory {
    known: HashMap<String, Known>,
    /// vPods that are gone while their modules may be there.
    departed: HashMap<String, Arc<VPod>>,
    /// The base that the conversation is with.
    base: Option<String>,
}

/// What one look found about a vPod.
struct Judged {
    pod: Arc<VPod>,
    wanted: VPodStatus,
    urgent: bool,
    may_go: bool,
}

/// Looks after the vPods of a VNode until its end.
pub async fn attend(provider: Arc<Provider>, vnode: Arc<VNode>) {
    let mut memory = Memory::default();
    loop {
        let deposed = vnode.deposed.notified();
        let at = tokio::select! {
            biased;
            // What still waits for its turn is another's to write; the next look ends the conversation with the base.
            () = deposed => continue,
            at = look(&provider, &vnode, &mut memory) => at,
        };
        let wait = provider.clock.until(at.unwrap_or(i64::MAX)).min(RESYNC);
        tokio::select! {
            () = vnode.pods_turn.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One look; when to look again without news.
async fn look(provider: &Arc<Provider>, vnode: &VNode, memory: &mut Memory) -> Option<i64> {
    let (acts, reach, found) = {
        let state = vnode.state();
        (state.acts, state.reach, state.found.clone())
    };
    let uid = found.as_ref().map(|found| found.id.uid.clone());
    if memory.base != uid {
        // Another base, or none: what the old one had is gone with it.
        if let Some(old) = memory.base.take() {
            provider.sessions.close(&old);
        }
        memory.departed.clear();
        memory.base.clone_from(&uid);
    }
    if !acts {
        // What is known is kept: if this process gets the VNode back, what departed meanwhile still has to leave the base.
        if let Some(uid) = &uid {
            provider.sessions.close(uid);
        }
        return None;
    }
    if !provider.pods.is_complete() {
        return None;
    }
    let mut pods = provider.pods.on(&vnode.name);
    vpod::sort_by_age(&mut pods);
    let now = provider.clock.now();
    for pod in memory.note(&pods, now) {
        if let Some(uid) = &uid {
            withdraw(provider, uid, &pod);
        }
    }
    if keep::has_ended(reach) {
        return end_all(provider, vnode, memory, pods).await;
    }
    let found = found?;
    let look = Look { provider, found: &found, reach, pods: &pods, now };
    look.state_wishes(memory);
    let held = |pod: &VPod| memory.known.get(&pod.uid).is_some_and(|known| known.let_go);
    let judged = pods.iter().map(|pod| look.judge(pod, held(pod))).collect();
    memory.forget_departed(provider, &found);
    let writes = apply(provider, vnode, memory, &found, judged).await;
    earliest([writes, memory.drains_at(provider, now)])
}

fn earliest<const N: usize>(times: [Option<i64>; N]) -> Option<i64> {
    times.into_iter().flatten().min()
}

impl Memory {
    /// Takes note of which vPods are there: those that aren't any more have departed, unless they were let go. Gives those.
    fn note(&mut self, pods: &[Arc<VPod>], now: i64) -> Vec<Arc<VPod>> {
        for pod in pods {
            let entry = self.known.entry(pod.uid.clone());
            let known =
                entry.or_insert_with(|| Known { pod: Arc::clone(pod), leaving: None, odd: None, let_go: false });
            known.pod = Arc::clone(pod);
            if pod.deleting {
                known.leaving.get_or_insert(now);
            }
        }
        let vanished: Vec<String> =
            self.known.keys().filter(|uid| !pods.iter().any(|pod| pod.uid == **uid)).cloned().collect();
        let mut settled = Vec::new();
        for uid in vanished {
            match self.known.remove(&uid) {
                Some(known) if known.let_go || known.pod.keeps => settled.push(known.pod),
                Some(known) => _ = self.departed.insert(uid, known.pod),
                None => {}
            }
        }
        settled
    }

    fn leaving(&self, pod: &VPod, drain: i64) -> Leaving {
        Leaving { since: self.known.get(&pod.uid).and_then(|known| known.leaving), drain }
    }

    /// When the next vPod that leaves has drained.
    fn drains_at(&self, provider: &Provider, now: i64) -> Option<i64> {
        let drain = provider.settings.drain_millis();
        let times = self.known.values().filter_map(|known| {
            let since = known.leaving?;
            Some(Leaving { since: Some(since), drain }.drained_at(&known.pod, since))
        });
        times.filter(|at| *at > now).min()
    }

    /// Forgets the departed whose modules are gone by the agent's word.
    fn forget_departed(&mut self, provider: &Provider, found: &Found) {
        let uid = &found.id.uid;
        self.departed.retain(|pod_uid, pod| {
            let released = |module: &Container| {
                let told = provider.sessions.told(uid, &module.name, pod_uid);
                module.version.is_none() || told.is_some_and(|told| told.verdict == Verdict::Released)
            };
            let over = pod.modules.iter().all(released);
            if over {
                withdraw(provider, uid, pod);
            }
            !over
        });
    }
}

fn withdraw(provider: &Provider, base: &str, pod: &VPod) {
    for module in &pod.modules {
        provider.sessions.withdraw(base, &module.name, &pod.uid);
    }
}

/// What a look at the vPods of one VNode is about.
struct Look<'a> {
    provider: &'a Arc<Provider>,
    found: &'a Found,
    reach: Option<Reach>,
    pods: &'a [Arc<VPod>],
    now: i64,
}

impl Look<'_> {
    fn mates(&self) -> impl Iterator<Item = &VPod> {
        self.pods.iter().map(|pod| &**pod)
    }

    /// The confirmed state of a module in the base; the outer `None` is unknown.
    fn confirmed(&self, module: &Container) -> Option<Option<BizState>> {
        let versions = self.provider.sessions.versions(&self.found.id.uid, &module.name)?;
        Some(module.version.as_ref().and_then(|version| versions.get(version).copied()))
    }

    /// States the wish of every vPod, also of those that have departed, before anything is concluded from any of them.
    fn state_wishes(&self, memory: &Memory) {
        let drain = self.provider.settings.drain_millis();
        let state = |pod: &VPod, module: &Container, kind, mates: bool| {
            let mates = self.mates().filter(|_| mates);
            if let Some(wish) = vpod::wish(pod, module, kind, mates) {
                self.provider.sessions.wish(&self.found.id, self.found.at, &module.name, wish);
            }
        };
        for pod in self.pods {
            if pod.deleting && pod.keeps {
                withdraw(self.provider, &self.found.id.uid, pod);
                continue;
            }
            for module in &pod.modules {
                let replaced = vpod::is_replaced(pod, module, self.mates());
                let leaving = memory.leaving(pod, drain);
                state(pod, module, vpod::wish_kind(pod, self.confirmed(module), replaced, leaving, self.now), true);
            }
        }
        for pod in memory.departed.values() {
            for module in &pod.modules {
                state(pod, module, WishKind::Leave { drained: true }, false);
            }
        }
    }

    /// What is known of a module of a vPod.
    fn report(&self, pod: &VPod, module: &Container) -> Option<Report> {
        let told = self.provider.sessions.told(&self.found.id.uid, &module.name, &pod.uid)?;
        let replaced = vpod::is_replaced(pod, module, self.mates());
        Some(Report { verdict: explained(told.verdict), biz: self.confirmed(module), replaced })
    }

    /// What follows for one vPod. `held`: finalizers of others keep it although it was let go.
    fn judge(&self, pod: &Arc<VPod>, held: bool) -> Judged {
        let mut had = pod.status.clone();
        let mut reports = BTreeMap::new();
        for module in &pod.modules {
            match self.report(pod, module) {
                // What came from the old address is gone: from here on the status says so, and the new one comes.
                Some(report) if report.replaced && report.verdict == Verdict::Released => {
                    had = status::replaced(&had, &module.name, &module.image);
                }
                Some(report) => _ = reports.insert(module.name.as_str(), report),
                None => {}
            }
        }
        let standings = vpod::standings(pod, |name| reports.get(name).cloned());
        let place = Place {
            ip: &self.found.facts.ip,
            unreachable: self.reach == Some(Reach::Unreachable),
            gates: &pod.gates,
            wall: timestamp(self.now),
        };
        let wanted = status::wanted(&had, &standings, &place);
        let trouble = standings.iter().any(|standing| standing.state.is_trouble());
        let edge = wanted.is_ready() != pod.status.is_ready();
        let verdict = |name: &str| reports.get(name).map(|report| report.verdict.clone());
        Judged {
            pod: Arc::clone(pod),
            urgent: trouble || edge || standings.is_empty() || held || had != pod.status,
            may_go: !held && vpod::may_go(pod, verdict),
            // One that leaves says only what keeps it.
            wanted: if pod.deleting && !trouble && !held { pod.status.clone() } else { wanted },
        }
    }
}

/// A clash of web contexts comes as one line of a stack trace; say what to do about it.
fn explained(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Failed(cause) if is_web_context_clash(&cause) => Verdict::Failed(format!(
            "two versions of a web module with one context path cannot stand side by side on a base; let the old pod go \
             first (a Deployment with strategy Recreate, or with maxSurge 0) ({cause})"
        )),
        other => other,
    }
}

/// Writes what has to be written and lets go what may go. When to look again, if something has to wait.
async fn apply(
    provider: &Provider,
    vnode: &VNode,
    memory: &mut Memory,
    found: &Found,
    judged: Vec<Judged>,
) -> Option<i64> {
    let now = provider.clock.now();
    let mut again = None;
    let mut writes = Vec::new();
    let mut wanted = HashMap::new();
    for one in &judged {
        let Some(known) = memory.known.get_mut(&one.pod.uid) else { continue };
        if one.wanted == one.pod.status {
            known.odd = None;
            continue;
        }
        let since = *known.odd.get_or_insert(now);
        if !one.urgent && now < since + WRITE_AFTER_MS {
            again = earliest([again, Some(since + WRITE_AFTER_MS)]);
            continue;
        }
        let write = Write {
            uid: one.pod.uid.clone(),
            revision: vpod::revision(&one.pod),
            modules: one.pod.modules.iter().map(|module| module.name.clone()).collect(),
            was_ready: one.pod.status.is_ready(),
            will_be_ready: one.wanted.is_ready(),
            ready_elsewhere: false,
        };
        wanted.insert(one.pod.uid.clone(), one.wanted.clone());
        writes.push((Arc::clone(&one.pod), write));
    }
    if !write_all(provider, vnode, writes, &wanted).await {
        again = earliest([again, Some(provider.clock.now() + AGAIN_MS)]);
    }
    for one in judged.into_iter().filter(|one| one.may_go) {
        match let_go(provider, &one.pod).await {
            Some(held) => {
                if let Some(known) = memory.known.get_mut(&one.pod.uid) {
                    known.let_go = true;
                }
                if held {
                    // Its status is the next thing to write.
                    vnode.pods_turn.notify_one();
                } else {
                    withdraw(provider, &found.id.uid, &one.pod);
                    memory.known.remove(&one.pod.uid);
                }
                vnode.health_turn.notify_one();
            }
            None => again = earliest([again, Some(provider.clock.now() + AGAIN_MS)]),
        }
    }
    again
}

/// Writes statuses in the order that loses no traffic; the first that fails ends it. Whether all were written.
async fn write_all(
    provider: &Provider,
    vnode: &VNode,
    writes: Vec<(Arc<VPod>, Write)>,
    wanted: &HashMap<String, VPodStatus>,
) -> bool {
    let mut fine = true;
    let ordered = provider.pods.settle(&vnode.name, writes);
    let mut open = Unsettled { provider, uids: ordered.iter().map(|(pod, _)| pod.uid.clone()).collect() };
    for (pod, write) in ordered {
        let patch = wanted.get(&pod.uid).and_then(|wanted| status::patch(&pod.uid, &pod.status, wanted));
        if let (true, Some(patch)) = (fine, patch) {
            match provider.ops.merge_status::<ModulePod>(&pod.namespace, &pod.name, &patch).await {
                Ok(patched) => provider.changed(provider.pods.apply(None, patched)),
                // It is gone, or another pod has its name: the watch tells.
                Err(error) if error.is_not_found() || error.is_conflict() => fine = false,
                Err(error) => {
                    tracing::warn!(vnode = vnode.name, pod = pod.name, %error, "a status was not written, trying again");
                    fine = false;
                }
            }
            if write.will_be_ready != write.was_ready {
                vnode.health_turn.notify_one();
            }
        }
        open.ended();
    }
    fine
}

/// Writes that were ordered and haven't ended, first to last; they end with this.
struct Unsettled<'a> {
    provider: &'a Provider,
    uids: VecDeque<String>,
}

impl Unsettled<'_> {
    fn ended(&mut self) {
        if let Some(uid) = self.uids.pop_front() {
            self.provider.pods.settled(&uid);
        }
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        while !self.uids.is_empty() {
            self.ended();
        }
    }
}

/// Ends a pod at once. Whether finalizers hold it; `None` where it has to be tried again.
async fn let_go(provider: &Provider, pod: &VPod) -> Option<bool> {
    let ended = provider.ops.delete_within::<ModulePod>(&pod.namespace, &pod.name, &pod.uid, Some(0)).await;
    match ended {
        Ok(Some(left)) if !left.metadata.finalizers.as_deref().unwrap_or_default().is_empty() => {
            provider.changed(provider.pods.apply(None, left));
            Some(true)
        }
        Ok(_) => {
            let key = (pod.namespace.clone(), pod.name.clone());
            provider.changed(provider.pods.gone(&key, &pod.uid));
            Some(false)
        }
        Err(error) if error.is_conflict() => Some(false),
        Err(error) => {
            tracing::warn!(pod = pod.name, %error, "a pod was not let go, trying again");
            None
        }
    }
}

/// The base is gone, or silent for so long that it counts as gone: its vPods end, so that they are replaced elsewhere. Not
/// before the Node is gone, or their successors would be scheduled there.
async fn end_all(provider: &Provider, vnode: &VNode, memory: &mut Memory, pods: Vec<Arc<VPod>>) -> Option<i64> {
    if provider.node(&vnode.name).is_some() {
        return None;
    }
    let mut again = None;
    for pod in pods {
        if memory.known.get(&pod.uid).is_some_and(|known| known.let_go) {
            continue;
        }
        match let_go(provider, &pod).await {
            Some(true) => {
                if let Some(known) = memory.known.get_mut(&pod.uid) {
                    known.let_go = true;
                }
            }
            // If the base comes back, what it may still have of it has to leave.
            Some(false) => {
                memory.known.remove(&pod.uid);
                memory.departed.insert(pod.uid.clone(), pod);
            }
            None => again = Some(provider.clock.now() + AGAIN_MS),
        }
        vnode.node_turn.notify_one();
    }
    again
}
