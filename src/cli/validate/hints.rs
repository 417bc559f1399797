//! What somebody probably meant.

/// Fields of older manifests and of V1's documentation: the path of the object, the old name, what to do.
const OLD_FIELDS: &[(&str, &str, &str)] = &[
    ("spec", "pause", "is the name from before December 2023; write paused"),
    ("spec", "currentGroupConfirmation", "is the name from before December 2023; write confirmBatchNum"),
    ("spec.operationStrategy", "grayTime", "is unknown; write grayTimeBetweenBatchSeconds"),
    ("spec.operationStrategy", "currentGroupConfirmation", "is unknown; write confirmBatchNum in spec"),
    ("spec", "upgradePolicy", "is unknown here; write it in spec.operationStrategy"),
];

/// What is to be said of the unknown field `name` in the object at `path`, which knows the fields `known`;
/// `elsewhere` are the paths at which the schema has a field of that name.
pub fn unknown_field(path: &str, name: &str, known: &[&str], elsewhere: &[String]) -> String {
    if let Some((.., sentence)) = OLD_FIELDS.iter().find(|(at, old, _)| *at == path && *old == name) {
        return (*sentence).to_owned();
    }
    if let Some(near) = nearest(name, known) {
        return format!("is unknown; did you mean {near}?");
    }
    match elsewhere {
        [only] => format!("is unknown here; did you mean {only}?"),
        _ => format!("is unknown; take it away, or use one of {}", known.join(", ")),
    }
}

/// The word of `known` that differs least from `word`, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', '.'], "");
    let word = plain(word);
    known
        .iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 4).clamp(1, 4))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_strange_one_has_none() {
        let known = ["replicas", "scaleReplicas", "baseDeploymentName", "paused", "install_then_uninstall"];
        for (word, meant) in [
            ("replica", Some("replicas")),
            ("Replicas", Some("replicas")),
            ("base-deployment-name", Some("baseDeploymentName")),
            ("baseDeploymentNmae", Some("baseDeploymentName")),
            ("installThenUninstall", Some("install_then_uninstall")),
            ("pausd", Some("paused")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }

    #[test]
    fn a_field_in_the_wrong_place_is_sent_to_the_right_one() {
        let said =
            unknown_field("spec", "batchCount", &["replicas"], &["spec.operationStrategy.batchCount".to_owned()]);
        assert_eq!(said, "is unknown here; did you mean spec.operationStrategy.batchCount?");
        assert!(unknown_field("spec", "pause", &["paused"], &[]).contains("write paused"));
        assert!(unknown_field("spec", "xyz", &["a", "b"], &[]).contains("one of a, b"));
    }
}
