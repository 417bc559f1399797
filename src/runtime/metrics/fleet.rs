//! How full the bases are, by base Deployment: what an autoscaler of bases reads.
//!
//! The one place where names become labels: a base Deployment is what is scaled, and there are a few of them. Series of a
//! base Deployment that is no longer used go.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{BaseStat, WaitReason};

/// One base Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseLoad {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub deployment: String,
    /// Slots in use on each of its pods that isn't being deleted: two versions of a module count once.
    pub modules: Vec<usize>,
    /// Modules that find no base, by what keeps most bases from taking them.
    pub waiting: BTreeMap<WaitReason, usize>,
}

impl BaseLoad {
    /// The value of one statistic.
    fn stat(&self, stat: BaseStat) -> f64 {
        let sum: usize = self.modules.iter().sum();
        let waiting: usize = self.waiting.values().sum();
        let number = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
        match stat {
            BaseStat::Min => number(self.modules.iter().copied().min().unwrap_or(0)),
            BaseStat::Max => number(self.modules.iter().copied().max().unwrap_or(0)),
            BaseStat::Average if self.modules.is_empty() => 0.0,
            BaseStat::Average => number(sum) / number(self.modules.len()),
            BaseStat::Wanted => number(sum + waiting),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatLabels {
    namespace: String,
    deployment: String,
    stat: BaseStat,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    namespace: String,
    deployment: String,
    reason: WaitReason,
}

/// The gauges.
#[derive(Debug, Default)]
pub struct FleetMetrics {
    modules: Family<StatLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    waiting: Family<WaitLabels, Gauge>,
}

impl FleetMetrics {
    /// Makes them part of a scrape.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Modules on the pods of a base Deployment: fewest, mean and most on one pod; wanted in all";
        registry.register("base_modules", help, self.modules.clone());
        let help = "Modules that find no base, by what keeps most bases from taking them";
        registry.register("waiting_modules", help, self.waiting.clone());
    }

    /// Sets everything anew.
    pub fn set(&self, loads: &[BaseLoad]) {
        self.modules.clear();
        self.waiting.clear();
        for load in loads {
            let (namespace, deployment) = (load.namespace.clone(), load.deployment.clone());
            for stat in BaseStat::ALL {
                let labels = StatLabels { namespace: namespace.clone(), deployment: deployment.clone(), stat };
                self.modules.get_or_create(&labels).set(load.stat(stat));
            }
            for reason in WaitReason::ALL {
                let count = load.waiting.get(&reason).copied().unwrap_or(0);
                let labels = WaitLabels { namespace: namespace.clone(), deployment: deployment.clone(), reason };
                self.waiting.get_or_create(&labels).set(super::as_value(count));
            }
        }
    }
}
