//! Whether a controller leads by a Lease: looked at until it is sure, because clocks differ and whoever leads renews it.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use super::stdout::remark;
use crate::{
    cli::{
        cluster::Cluster,
        error::Error,
        migrate::running::{is_election, named},
    },
    runtime::{
        lease::plan::Record,
        predecessor::plan::{Held, LeaseSight},
    },
};

/// Between two looks at a Lease, which is renewed every few seconds.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The election that a controller holds, as `namespace/name (holder)`; `None`: nobody holds one any more.
pub async fn leader(cluster: &Cluster) -> Result<Option<String>, Error> {
    let (mut elections, mut told) = (Elections::default(), false);
    loop {
        let leases: Vec<Lease> = cluster.list(None, None).await?;
        let found = elections.note(&leases, Instant::now());
        if let Some((leader, _)) = found.iter().find(|(_, held)| matches!(held, Held::By(_))) {
            return Ok(Some(leader.clone()));
        }
        let Some((leader, _)) = found.first() else { return Ok(None) };
        if !std::mem::replace(&mut told, true) {
            remark(&format!("Waiting until it is sure that nobody renews the Lease {leader} any more."));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// What was seen of the elections so far.
#[derive(Default)]
struct Elections {
    sights: BTreeMap<String, LeaseSight>,
}

impl Elections {
    /// Takes note of a look at all Leases: the elections that are held, or may be.
    fn note(&mut self, all: &[Lease], now: Instant) -> Vec<(String, Held)> {
        let mut found = Vec::new();
        for lease in all.iter().filter(|lease| is_election(lease)) {
            let record = Record::of(lease);
            let held = self.sights.entry(named(lease)).or_default().note(Some(&record), now);
            if held != Held::No {
                found.push((format!("{} ({})", named(lease), record.holder), held));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_election_counts_while_it_is_renewed_before_our_eyes() {
        let lease = |name: &str, holder: &str, renewed: &str| -> Lease {
            let spec = json!({ "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15 });
            serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "ns" }, "spec": spec })).unwrap()
        };
        // By another clock, which is years off.
        let long_ago = |second: u32| {
            [
                lease("2245841c.alipay.com", "pod_1", &format!("2001-01-01T00:00:{second:02}.000000Z")),
                lease("other", "x", "2026-01-01T00:00:00.000000Z"),
                lease("2245841c.koupleless.io", "", "2026-01-01T00:00:00.000000Z"),
            ]
        };
        let named = "ns/2245841c.alipay.com (pod_1)".to_owned();
        let (mut elections, began) = (Elections::default(), Instant::now());
        let mut at = |seconds: u64, leases: &[Lease]| elections.note(leases, began + Duration::from_secs(seconds));
        assert_eq!(at(0, &long_ago(0)), [(named.clone(), Held::Perhaps)]);
        assert_eq!(at(15, &long_ago(0)), [(named.clone(), Held::Perhaps)]);
        assert_eq!(at(16, &long_ago(0)), [], "nobody renews it");
        assert_eq!(at(17, &long_ago(9)), [(named, Held::By("pod_1".to_owned()))]);
    }
}
