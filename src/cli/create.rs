//! `kubectl module create`: a manifest to begin with, from what is said on the command line.
//!
//! The text is written by hand and not by a serialiser, because the comments are half of its worth. What comes out is
//! checked by [`super::validate`] before anybody sees it, so that there is one place that knows what is right.

use crate::{api::keys, domain::policy::UpgradePolicy};

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The ModuleDeployment's name.
    pub name: String,
    /// Its namespace, where one was named.
    pub namespace: Option<String>,
    /// The base Deployment.
    pub base: String,
    /// The biz name.
    pub module: String,
    /// The biz version.
    pub version: String,
    /// Where the jar lies.
    pub url: String,
    /// How many; -1 for one on every base.
    pub replicas: i32,
    /// How a new version comes.
    pub policy: Option<UpgradePolicy>,
    /// In how many batches.
    pub batches: Option<i32>,
    /// Whether the first batch is a single one that waits for a confirmation.
    pub beta: bool,
    /// Whether each batch waits for a confirmation.
    pub confirm: bool,
    /// Seconds between two batches.
    pub gray_time: Option<i32>,
    /// How many may be missing during a release, as it is written.
    pub max_unavailable: Option<String>,
    /// Seconds that a module must be active to count.
    pub min_ready: Option<i32>,
    /// The Service: its port, and the base's port or its name.
    pub service: Option<(i32, String)>,
    /// Modules as pods on virtual nodes.
    pub virtual_pods: bool,
}

/// The manifest, as YAML.
pub fn manifest(wanted: &Wanted) -> String {
    let mut out = Lines::default();
    out.field(0, "apiVersion", &format!("{}/{}", keys::GROUP, keys::VERSION));
    out.field(0, "kind", "ModuleDeployment");
    out.open(0, "metadata", "");
    out.text(1, "name", &wanted.name, "");
    if let Some(namespace) = &wanted.namespace {
        out.text(1, "namespace", namespace, "");
    }
    out.open(0, "spec", "");
    out.text(1, "baseDeploymentName", &wanted.base, "the Deployment, in this namespace, whose pods are the bases");
    let replicas = if wanted.replicas < 0 { "one on every base" } else { "on so many bases; -1 is one on every base" };
    out.commented(1, "replicas", &wanted.replicas.to_string(), replicas);
    if let Some(seconds) = wanted.min_ready {
        out.commented(1, "minReadySeconds", &seconds.to_string(), "active for so long before it counts as available");
    }
    if wanted.virtual_pods {
        out.commented(1, "delivery", "VirtualPod", "each module is a pod on the virtual node of its base");
    }
    out.open(1, "template", "");
    out.open(2, "spec", "");
    out.open(3, "module", "name and version as they stand in the jar's manifest");
    out.text(4, "name", &wanted.module, "");
    out.text(4, "version", &wanted.version, "");
    out.text(4, "url", &wanted.url, "fetched by the base");
    strategy(&mut out, wanted);
    out.0
}

fn strategy(out: &mut Lines, wanted: &Wanted) {
    let policy = wanted.policy.unwrap_or_default();
    out.open(1, "operationStrategy", "");
    out.commented(
        2,
        "upgradePolicy",
        policy.as_str(),
        match policy {
            UpgradePolicy::InstallThenUninstall => {
                "new beside old on the same base; not for web modules with a fixed path"
            }
            UpgradePolicy::UninstallThenInstall => "drain, uninstall, install, base by base",
            UpgradePolicy::ScaleUpThenScaleDown => "new on free bases, then the old ones leave",
        },
    );
    if let Some(most) = &wanted.max_unavailable {
        out.commented(2, "maxUnavailable", &number_or_text(most), "so many may be missing during a release");
    }
    if let Some(batches) = wanted.batches {
        out.commented(2, "batchCount", &batches.to_string(), "a new version comes in so many batches");
    }
    if wanted.beta {
        out.commented(2, "useBeta", "true", "the first batch is a single one and waits: kubectl module confirm");
    }
    if wanted.confirm {
        out.commented(2, "needConfirm", "true", "each batch waits: kubectl module confirm");
    }
    if let Some(seconds) = wanted.gray_time {
        out.commented(2, "grayTimeBetweenBatchSeconds", &seconds.to_string(), "between two batches");
    }
    if let Some((port, target)) = &wanted.service {
        out.open(2, "serviceStrategy", "the Service <module>-service, to the bases where the module is active");
        out.field(3, "enableModuleService", "true");
        out.commented(3, "port", &port.to_string(), "of the Service");
        out.commented(3, "targetPort", &number_or_text(target), "of the base");
    }
}

/// YAML, line by line.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn field(&mut self, depth: usize, name: &str, value: &str) {
        self.commented(depth, name, value, "");
    }

    fn open(&mut self, depth: usize, name: &str, comment: &str) {
        self.commented(depth, name, "", comment);
    }

    /// A text of a user's, which may be anything.
    fn text(&mut self, depth: usize, name: &str, value: &str, comment: &str) {
        self.commented(depth, name, &quoted(value), comment);
    }

    fn commented(&mut self, depth: usize, name: &str, value: &str, comment: &str) {
        let (indent, space) = ("  ".repeat(depth), if value.is_empty() { "" } else { " " });
        let comment = if comment.is_empty() { String::new() } else { format!("  # {comment}") };
        self.0.push_str(&format!("{indent}{name}:{space}{value}{comment}\n"));
    }
}

/// What may be a number or a text. A number is written anew: `010` is ten to whoever typed it, and eight in YAML.
fn number_or_text(value: &str) -> String {
    value.parse::<i64>().map_or_else(|_| quoted(value), |number| number.to_string())
}

/// A text as YAML: bare where it is a text by itself, else in quotes (JSON's are YAML's).
fn quoted(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+');
    let inner = |c: char| bare(c) || c == ':';
    let is_text = matches!(
        super::manifest::read(text).as_deref(),
        Ok([document]) if document.root.text() == Some(text)
    );
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    if is_text && begins && text.chars().all(inner) && !text.ends_with(':') {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::cli::{manifest::read, validate::check};

    fn hello() -> Wanted {
        Wanted {
            name: "hello".to_owned(),
            base: "base".to_owned(),
            module: "hello".to_owned(),
            version: "1.0".to_owned(),
            url: "https://host/hello.jar".to_owned(),
            replicas: 2,
            ..Wanted::default()
        }
    }

    #[test]
    fn the_manifest_is_short_and_says_what_things_are() {
        let all = Wanted {
            namespace: Some("shop".to_owned()),
            policy: Some(UpgradePolicy::UninstallThenInstall),
            batches: Some(3),
            beta: true,
            confirm: true,
            gray_time: Some(30),
            max_unavailable: Some("25%".to_owned()),
            min_ready: Some(5),
            service: Some((80, "web".to_owned())),
            virtual_pods: true,
            ..hello()
        };
        assert_eq!(manifest(&all), include_str!("create/golden.yaml"));
        for wanted in [all, hello(), Wanted { replicas: -1, ..hello() }] {
            assert_eq!(check::file("x", &manifest(&wanted)).findings, []);
        }
    }

    #[test]
    fn a_number_stays_the_number_that_was_typed() {
        let wanted =
            Wanted { max_unavailable: Some("010".to_owned()), service: Some((80, "08080".to_owned())), ..hello() };
        let strategy = &read(&manifest(&wanted)).unwrap()[0].root.json()["spec"]["operationStrategy"];
        assert_eq!(strategy["maxUnavailable"], 10);
        assert_eq!(strategy["serviceStrategy"]["targetPort"], 8080);
    }

    proptest! {
        /// Whatever stands on the command line stands in the object, and is never read as something else.
        #[test]
        fn every_text_comes_through(name in any::<String>(), version in "[-0-9a-zA-Z.:#+~ \"'\n]{0,8}", most in "[0-9a-z%]{1,5}") {
            let wanted = Wanted { module: name.clone(), version: version.clone(), max_unavailable: Some(most.clone()), ..hello() };
            let object = read(&manifest(&wanted)).unwrap()[0].root.json();
            prop_assert_eq!(&object["spec"]["template"]["spec"]["module"]["name"], &Value::from(name));
            prop_assert_eq!(&object["spec"]["template"]["spec"]["module"]["version"], &Value::from(version));
            let read = &object["spec"]["operationStrategy"]["maxUnavailable"];
            prop_assert_eq!(read, &most.parse::<i64>().map_or_else(|_| Value::from(most.clone()), Value::from));
        }
    }
}
