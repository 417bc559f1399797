//! How many instances are wanted.
//!
//! `kubectl scale` and autoscalers can't point at `spec.replicas`, where V1 manifests write -1 for peer mode, so
//! the scale path is `spec.scaleReplicas`. An annotation keeps the `replicas` that it was derived from: as long as
//! `replicas` is unchanged the scale counts, and whoever changes `replicas` wins. Level-triggered and crash-safe:
//! one patch writes both.

/// `spec.replicas` that means one instance on every base pod.
pub const PEER: i32 = -1;

/// The fields that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale<'a> {
    /// `spec.replicas`; absent means 0.
    pub replicas: Option<i32>,
    /// `spec.scaleReplicas`.
    pub scale_replicas: Option<i32>,
    /// The annotation `koupleless.io/scale-baseline`.
    pub baseline: Option<&'a str>,
    /// In peer mode: base pods that carry the module and aren't ending, plus eligible ones.
    pub peers: u32,
}

/// What follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// D: how many instances are wanted.
    pub count: u32,
    /// One on every base pod.
    pub peer: bool,
    /// `scaleReplicas` and its baseline, where they have to be written.
    pub write: Option<(i32, String)>,
}

/// D, and what to write for it.
pub fn plan_scale(scale: Scale<'_>) -> Desired {
    let replicas = scale.replicas.unwrap_or(0);
    let baseline = replicas.to_string();
    let same_baseline = scale.baseline == Some(baseline.as_str());
    if replicas == PEER {
        let count = i32::try_from(scale.peers).unwrap_or(i32::MAX);
        let differs = scale.scale_replicas != Some(count);
        return Desired {
            count: scale.peers,
            peer: true,
            write: (differs || !same_baseline).then_some((count, baseline)),
        };
    }
    match scale.scale_replicas.and_then(|count| u32::try_from(count).ok()) {
        Some(count) if same_baseline => Desired { count, peer: false, write: None },
        _ => {
            let count = replicas.max(0);
            Desired { count: count.unsigned_abs(), peer: false, write: Some((count, baseline)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_scales() {
        let cases = [
            // replicas, scaleReplicas, baseline, peers -> D, written
            (Some(3), None, None, 0, 3, Some((3, "3"))),
            (Some(3), Some(3), Some("3"), 0, 3, None),
            (Some(3), Some(7), Some("3"), 0, 7, None),
            (Some(3), Some(0), Some("3"), 0, 0, None),
            (Some(5), Some(7), Some("3"), 0, 5, Some((5, "5"))),
            (Some(3), Some(7), None, 0, 3, Some((3, "3"))),
            (None, None, None, 0, 0, Some((0, "0"))),
            (Some(-1), Some(4), Some("-1"), 4, 4, None),
            (Some(-1), Some(9), Some("-1"), 4, 4, Some((4, "-1"))),
            (Some(-1), Some(4), Some("4"), 4, 4, Some((4, "-1"))),
            (Some(-7), None, None, 4, 0, Some((0, "-7"))),
        ];
        for (replicas, scale_replicas, baseline, peers, count, write) in cases {
            let desired = plan_scale(Scale { replicas, scale_replicas, baseline, peers });
            let expected = write.map(|(count, baseline): (i32, &str)| (count, baseline.to_owned()));
            assert_eq!(
                (desired.count, desired.write),
                (count, expected),
                "{replicas:?} {scale_replicas:?} {baseline:?}"
            );
        }
    }

    #[test]
    fn writing_it_settles_it() {
        let first = plan_scale(Scale { replicas: Some(4), scale_replicas: Some(9), baseline: None, peers: 0 });
        let (count, baseline) = first.write.expect("a write");
        let again =
            plan_scale(Scale { replicas: Some(4), scale_replicas: Some(count), baseline: Some(&baseline), peers: 0 });
        assert_eq!((again.count, again.write), (4, None));
    }
}
