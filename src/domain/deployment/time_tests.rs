//! What time alone changes: random deployments that have come to rest, looked at before they asked to be.

use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::json;

use super::{
    super::merge::{self, patched},
    Plan, Reports, SetView,
    tests::{NOW, created, deployment, plan_at, view_of},
};
use crate::api::{ModuleDeployment, ModuleReplicaSet};

/// Longer than any pause or deadline of the cases (milliseconds).
const LONG: i64 = 400_000;

/// Steps that a deployment may take until it rests: two batches and confirmations, a rollback, and what each leads to.
const STEPS: usize = 30;

/// A deployment with its replica sets, of each of which so many Modules come to be available.
#[derive(Clone, Debug)]
struct Case {
    deployment: ModuleDeployment,
    sets: Vec<ModuleReplicaSet>,
    able: Vec<u32>,
}

impl Case {
    fn plan(&self, now: i64) -> Plan {
        let able = |set: &ModuleReplicaSet| {
            let number = usize::try_from(super::number(set)).unwrap_or(0);
            self.able.get(number).copied().unwrap_or(0).min(set.desired())
        };
        let sets: Vec<SetView<'_>> = self.sets.iter().map(|set| view_of(set, set.desired(), able(set))).collect();
        let available = self.sets.iter().map(able).sum();
        plan_at(
            &self.deployment,
            sets,
            Reports { bases_available: available, bases_ready: available, ..Reports::default() },
            now,
        )
    }

    /// Does what the plan says; whether that changed anything.
    fn step(&mut self, now: i64) -> bool {
        let plan = self.plan(now);
        let moved = self.asks(&plan);
        if let Some(patch) = &plan.own_patch {
            self.deployment = patched(&self.deployment, patch);
        }
        self.deployment.status = plan.status.clone();
        self.sets.retain(|set| !plan.delete.iter().any(|(name, _)| *name == set.name_any()));
        if plan.create.is_some() {
            self.sets.push(created(&plan));
        }
        for change in &plan.change {
            for set in self.sets.iter_mut().filter(|set| set.name_any() == change.name) {
                *set = patched(set, &change.patch);
            }
        }
        moved
    }

    /// Whether the plan says more than that all stays as it is.
    fn asks(&self, plan: &Plan) -> bool {
        let rest = Plan { status: None, wake_at: None, adopt_base: false, ..plan.clone() };
        rest != Plan::default() || merge::diff(&json!(self.deployment.status), &json!(plan.status)).is_some()
    }

    /// Goes on until nothing more follows; whether that comes.
    fn rests(&mut self, now: i64) -> bool {
        (0..STEPS).any(|_| !self.step(now))
    }
}

/// Deployments whose first version runs, and whose second is asked for, or not.
fn any_case() -> impl Strategy<Value = (Case, Vec<u32>, i64)> {
    let strategy = (1..4_i32, 0..3_usize, prop_oneof![Just(0), 5..90_i32], any::<[bool; 4]>(), 0..3_i32);
    let spec = (1..5_i32, strategy, 10..120_i32, prop::bool::weighted(0.8));
    let able = || prop::collection::vec(0..6_u32, 5);
    (spec, able(), able(), 0..150_000_i64).prop_map(|((replicas, strategy, deadline, second), before, after, ago)| {
        let (batches, policy, gray, [beta, confirm, back, paused], confirmed) = strategy;
        let policy = ["scaleup_then_scaledown", "install_then_uninstall", "uninstall_then_install"][policy];
        let first = deployment(json!({ "spec": { "replicas": replicas, "progressDeadlineSeconds": deadline } }));
        let mut case = Case { deployment: first, sets: vec![], able: vec![6; 5] };
        case.rests(NOW - LONG);
        let version = if second { "2.0.0" } else { "1.0.0" };
        case.deployment = patched(
            &case.deployment,
            &json!({ "spec": {
            "confirmBatchNum": confirmed, "paused": paused,
            "template": { "spec": { "module": { "version": version } } },
            "operationStrategy": {
                "batchCount": batches, "upgradePolicy": policy, "grayTimeBetweenBatchSeconds": gray, "useBeta": beta,
                "needConfirm": confirm, "autoRollback": back,
            },
        } }),
        );
        case.able = before;
        (case, after, ago)
    })
}

proptest! {
    #![proptest_config(crate::sweep::config(1_000, 1_000))]

    /// Nobody wakes a deployment because time passes: what time alone changes, the plan asks to be woken for.
    #[test]
    fn what_time_alone_changes_is_woken_for((mut case, after, ago) in any_case()) {
        // It went on for a while, at the pace that it asked for, then some Modules came or went.
        let mut now = NOW - ago;
        while now < NOW {
            prop_assert!(case.rests(now), "it never rests: {:#?}", case.plan(now));
            now = case.plan(now).wake_at.unwrap_or(NOW);
        }
        case.able = after;
        prop_assert!(case.rests(NOW), "it never rests: {:#?}", case.plan(NOW));

        let woken = case.plan(NOW).wake_at.unwrap_or(i64::MAX);
        prop_assert!(woken > NOW);
        // What has changed by one of these times has not changed back.
        let times = [500, 2_000, 10_000, 40_000, 100_000, LONG].map(|later| NOW + later);
        for later in times.into_iter().chain([woken - 1]).filter(|later| *later < woken.min(NOW + LONG + 1)) {
            let plan = case.plan(later);
            prop_assert!(!case.asks(&plan), "{} ms later: {plan:#?}", later - NOW);
        }
    }
}
