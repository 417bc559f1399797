//! What is told about an object can be read where people look for it: each sentence is an Event of its own, and one that
//! is said again is counted.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{ConfigMap, ObjectReference},
    events::v1::Event,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use module_controller::{
    api::Reason,
    runtime::{metrics::Metrics, ops::Ops},
};

use crate::cluster::{Policy, Space, in_namespace, kubectl};

/// Note and count of each Event in the namespace, sorted.
async fn told(space: &Space) -> Vec<(String, i32)> {
    let events = Api::<Event>::namespaced(space.client.clone(), &space.name).list(&ListParams::default()).await;
    let said = |event: Event| (event.note.unwrap_or_default(), event.series.map_or(1, |series| series.count));
    let mut told: Vec<(String, i32)> = events.expect("a list of Events").items.into_iter().map(said).collect();
    told.sort();
    told
}

#[tokio::test]
async fn each_sentence_is_an_event_and_what_is_said_again_is_counted() {
    in_namespace(Policy::On, |space| async move {
        let maps = Api::<ConfigMap>::namespaced(space.client.clone(), &space.name);
        let mut subject = ConfigMap::default();
        // With the suffix of an Event's name it would be too long.
        subject.metadata.name = Some("a".repeat(253));
        let subject: ObjectReference =
            maps.create(&PostParams::default(), &subject).await.expect("an object").object_ref(&());
        let ops = Ops::new(space.client.clone(), 4, Arc::new(Metrics::new()), "contract".to_owned());
        let say = async |note: &str| {
            ops.publish(&subject, false, Reason::ReleaseStarted, "Reconcile", note.to_owned()).await;
        };
        for note in ["2.0.0 began", "3.0.0 began", "3.0.0 began", &"x".repeat(3000)] {
            say(note).await;
        }
        let long = format!("{}...", "x".repeat(1000));
        let all = [("2.0.0 began".to_owned(), 1), ("3.0.0 began".to_owned(), 2), (long, 1)];
        assert_eq!(told(&space).await, all);
        let shown = kubectl(&[
            "-n",
            &space.name,
            "events",
            "--for",
            &format!("configmap/{}", subject.name.as_deref().unwrap_or_default()),
        ])
        .await;
        assert!(shown.out.contains("(x2 over ") && shown.out.contains("2.0.0 began"), "{}{}", shown.out, shown.err);

        // As when its time is over: the third time is told anew.
        let events = Api::<Event>::namespaced(space.client.clone(), &space.name);
        for event in events.list(&ListParams::default()).await.expect("a list of Events") {
            events.delete(&event.name_any(), &DeleteParams::default()).await.expect("it goes");
        }
        say("2.0.0 began").await;
        assert_eq!(told(&space).await, [("2.0.0 began".to_owned(), 1)]);
    })
    .await;
}
