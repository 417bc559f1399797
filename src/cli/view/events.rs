//! Events, as far as they are about modules.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::core::v1::Event,
    apimachinery::pkg::apis::meta::v1::{MicroTime, Time},
};
use kube::ResourceExt;
use serde::Serialize;

use super::Observed;
use crate::api::ModuleDeployment;

/// Something that was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// When it was last told.
    pub at: Option<Time>,
    /// How often.
    pub count: i32,
    /// Whether it is a warning.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub note: String,
    /// What it is about: kind and name.
    pub about: (String, String),
    /// The UID of that.
    #[serde(skip)]
    pub uid: String,
}

/// The Events in the order in which they were last told.
pub fn told(events: &[Event]) -> Vec<Told> {
    let mut told: Vec<Told> = events.iter().map(one).collect();
    told.sort_by(|one, other| one.at.cmp(&other.at));
    told
}

fn one(event: &Event) -> Told {
    let series = event.series.as_ref();
    let micro = |time: &MicroTime| Time(time.0);
    let last = series.and_then(|series| series.last_observed_time.as_ref()).map(micro);
    let first = event.event_time.as_ref().map(micro);
    let about = &event.involved_object;
    Told {
        at: last.or_else(|| event.last_timestamp.clone()).or(first).or_else(|| event.creation_timestamp()),
        count: series.and_then(|series| series.count).or(event.count).unwrap_or(1).max(1),
        warning: event.type_.as_deref() == Some("Warning"),
        reason: event.reason.clone().unwrap_or_default(),
        note: event.message.clone().unwrap_or_default(),
        about: (about.kind.clone().unwrap_or_default(), about.name.clone().unwrap_or_default()),
        uid: about.uid.clone().unwrap_or_default(),
    }
}

/// Those about a deployment and what is under it.
pub fn around<'a>(told: &'a [Told], observed: &Observed, deployment: &ModuleDeployment) -> Vec<&'a Told> {
    let sets = observed.sets_of(deployment);
    let modules = sets.iter().flat_map(|set| observed.modules_of(set)).filter_map(ResourceExt::uid);
    let uids: BTreeSet<String> =
        sets.iter().filter_map(|set| set.uid()).chain(modules).chain(deployment.uid()).collect();
    told.iter().filter(|told| uids.contains(&told.uid)).collect()
}
