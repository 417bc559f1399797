//! Is a ModuleDeployment's spec usable, and if not, what should its author change?
//!
//! The schema is never stricter than V1's, so that what V1 stored stays writable; everything stricter is here, and
//! as far as one request can show it also in the admission policy (`config/admission`), which refuses exactly what
//! is an [`Severity::Error`] here. The operator doesn't act on a spec with an error. What merely reads otherwise
//! than its author may think is a [`Severity::Warning`] and must never stop a take-over from V1. Nothing here may
//! look at anything but the object.

use std::collections::BTreeMap;

use crate::{
    api::{IntOrString, ModuleDeployment, ModuleDeploymentSpec, ModuleInfo, ModuleTemplateMetadata, ServiceStrategy},
    domain::policy::UpgradePolicy,
};

/// `spec.replicas` of a peer deployment: one module on every base pod.
const PEER: i32 = -1;
/// Longest module name. Names of objects and labels are derived in a shorter form; this bounds what is stored.
const MODULE_NAME_MAX: usize = 253;
/// What an absent or zero `progressDeadlineSeconds` means (as in a Kubernetes Deployment).
const DEFAULT_PROGRESS_DEADLINE_SECONDS: i32 = 600;
/// Longest name part of a label's key, and longest value (Kubernetes, "Labels and Selectors").
const LABEL_MAX: usize = 63;
/// Longest port name (Kubernetes takes it from RFC 6335, section 5.1).
const PORT_NAME_MAX: usize = 15;
/// Longest drain; the schema has the same bound.
const DRAIN_SECONDS_MAX: i32 = 3600;

/// What follows from a [`Violation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The operator acts, but not as the author may have meant it.
    Warning,
    /// The operator doesn't act: condition `InvalidSpec`.
    Error,
}

/// One thing that is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field.
    pub field: &'static str,
    /// What is wrong; what to change.
    pub message: String,
    /// What follows.
    pub severity: Severity,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Everything that is wrong with `deployment`, in the order of the fields; empty for a good one.
pub fn validate(deployment: &ModuleDeployment) -> Vec<Violation> {
    let spec = &deployment.spec;
    let mut found = Violations(Vec::new());
    base(&mut found, spec);
    template(&mut found, spec);
    numbers(&mut found, spec);
    deadline(&mut found, spec);
    strategy(&mut found, spec);
    service(&mut found, spec);
    scheduling(&mut found, spec);
    found.0
}

/// The sentence for condition `InvalidSpec`: all errors, or `None` if the operator may act.
pub fn refusal(violations: &[Violation]) -> Option<String> {
    let errors: Vec<String> =
        violations.iter().filter(|v| v.severity == Severity::Error).map(Violation::to_string).collect();
    (!errors.is_empty()).then(|| errors.join(". "))
}

struct Violations(Vec<Violation>);

impl Violations {
    fn error(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push(Violation { field, message: message.into(), severity: Severity::Error });
    }

    fn warning(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push(Violation { field, message: message.into(), severity: Severity::Warning });
    }
}

fn base(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    if spec.base_deployment_name.is_empty() {
        found.error("spec.baseDeploymentName", "is empty; name the Deployment whose pods are the bases");
    }
}

fn template(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    let Some(template) = &spec.template else {
        return found.error("spec.template", "is missing; say in spec.template.spec.module what to install");
    };
    if let Some(metadata) = &template.metadata {
        template_metadata(found, metadata);
    }
    match template.module() {
        Some(info) => module(found, info),
        None => found.error("spec.template.spec.module", "is missing; give name, version and url of the module"),
    }
    let inner = template.spec.as_ref().and_then(|inner| inner.upgrade_policy.as_deref()).unwrap_or_default();
    let outer = spec.operation_strategy.as_ref().and_then(|s| s.upgrade_policy.as_deref()).unwrap_or_default();
    if !inner.is_empty() && inner != outer {
        found.warning(
            "spec.template.spec.upgradePolicy",
            format!("{inner:?} has no effect; set spec.operationStrategy.upgradePolicy"),
        );
    }
}

fn module(found: &mut Violations, module: &ModuleInfo) {
    const NAME: &str = "spec.template.spec.module.name";
    const VERSION: &str = "spec.template.spec.module.version";
    if module.name.is_empty() {
        found.error(NAME, "is empty; give the biz name as it stands in the jar's manifest");
    } else if module.name.contains(|c| is_blank(c) || c == '/') {
        found.error(
            NAME,
            format!("{:?} has white space, a control character or a slash; give the biz name alone", module.name),
        );
    } else if module.name.chars().count() > MODULE_NAME_MAX {
        found.error(NAME, format!("is longer than {MODULE_NAME_MAX} characters; shorten the biz name"));
    }
    if module.version.is_empty() {
        found.error(VERSION, "is empty; give the biz version as it stands in the jar's manifest");
    } else if module.version.contains(is_blank) {
        found.error(
            VERSION,
            format!("{:?} has white space or a control character; give the biz version alone", module.version),
        );
    }
    if let Some(problem) = url_problem(&module.url) {
        found.error("spec.template.spec.module.url", problem);
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// What is wrong with a jar's address. Only its form: whether there is a jar is for the base to find out.
fn url_problem(url: &str) -> Option<String> {
    if url.is_empty() {
        return Some("is empty; say where the base fetches the jar".to_owned());
    }
    if url.contains(is_blank) {
        return Some(format!("{url:?} has white space or a control character; write %20 for a space"));
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Some(format!("{url:?} has no scheme; begin it with http, https, file or jar"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {
            let host = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
            host.is_none_or(str::is_empty).then(|| format!("{url:?} names no host; write http://host/path"))
        }
        "file" | "jar" => rest
            .trim_start_matches('/')
            .is_empty()
            .then(|| format!("{url:?} names no file; write file:///path on the base")),
        _ => Some(format!("{url:?} has a scheme that bases can't fetch; use http, https, file or jar")),
    }
}

fn template_metadata(found: &mut Violations, metadata: &ModuleTemplateMetadata) {
    const LABELS: &str = "spec.template.metadata.labels";
    let none = BTreeMap::new();
    for (key, value) in metadata.labels.as_ref().unwrap_or(&none) {
        let prefix = key.split_once('/').map(|(prefix, _)| prefix);
        if !is_qualified_name(key) {
            found.error(LABELS, format!("{key:?} is no legal label key; rename it"));
        } else if !is_label_value(value) {
            found.error(
                LABELS,
                format!("{value:?} is no legal label value; use an annotation, or at most {LABEL_MAX} of A-Z a-z 0-9 - _ ."),
            );
        } else if prefix.is_some_and(|p| p == "koupleless.io" || p.ends_with(".koupleless.io")) {
            found.error(LABELS, format!("{key:?} is one of the operator's own labels; rename it"));
        }
    }
    for key in metadata.annotations.as_ref().unwrap_or(&none).keys() {
        if !is_qualified_name(key) {
            found.error("spec.template.metadata.annotations", format!("{key:?} is no legal annotation key; rename it"));
        }
    }
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

/// `name` or `prefix/name`, as keys of labels and annotations are.
fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_prefix = |prefix: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_part = |part: &str| {
            !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        };
        prefix.len() <= 253 && prefix.split('.').all(is_part)
    };
    prefix.is_none_or(is_prefix) && is_name_part(name)
}

fn is_name_part(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.len() <= LABEL_MAX
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text.chars().all(|c| ends(c) || matches!(c, '-' | '_' | '.'))
}

fn numbers(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    if let Some(replicas) = spec.replicas.filter(|replicas| *replicas < PEER) {
        found.error("spec.replicas", format!("{replicas} is less than -1; write -1 for one on every base, or 0 and more"));
    }
    let operation = spec.operation_strategy.as_ref();
    for (field, number) in [
        ("spec.scaleReplicas", spec.scale_replicas),
        ("spec.minReadySeconds", spec.min_ready_seconds),
        ("spec.revisionHistoryLimit", spec.revision_history_limit),
        ("spec.progressDeadlineSeconds", spec.progress_deadline_seconds),
        ("spec.confirmBatchNum", spec.confirm_batch_num),
        ("spec.operationStrategy.batchCount", operation.and_then(|o| o.batch_count)),
        ("spec.operationStrategy.grayTimeBetweenBatchSeconds", operation.and_then(|o| o.gray_time_between_batch_seconds)),
    ] {
        if let Some(number) = number.filter(|number| *number < 0) {
            found.error(field, format!("{number} is negative; write 0 or more, or leave it out"));
        }
    }
}

/// A module that counts as available only after the deadline makes every release a failed one.
fn deadline(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    const FIELD: &str = "spec.progressDeadlineSeconds";
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    match spec.progress_deadline_seconds.unwrap_or(0) {
        set if set > 0 && min_ready >= set => {
            found.error(FIELD, format!("{set} is not more than minReadySeconds {min_ready}; raise it or lower minReadySeconds"));
        }
        // V1 had neither, so such an object must be taken over; its author said nothing about a deadline.
        0 if min_ready >= DEFAULT_PROGRESS_DEADLINE_SECONDS => found.warning(
            FIELD,
            format!(
                "its default {DEFAULT_PROGRESS_DEADLINE_SECONDS} is not more than minReadySeconds {min_ready}, so every \
                 release counts as failed; set it to more"
            ),
        ),
        _ => {}
    }
}

fn strategy(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    const POLICY: &str = "spec.operationStrategy.upgradePolicy";
    let Some(strategy) = &spec.operation_strategy else { return };
    let text = strategy.upgrade_policy.as_deref().unwrap_or_default();
    let policy = UpgradePolicy::parse(Some(text));
    if !text.is_empty() && text != policy.as_str() {
        found.warning(
            POLICY,
            format!(
                "{text:?} is unknown and means {}; use install_then_uninstall, uninstall_then_install or \
                 scaleup_then_scaledown",
                policy.as_str()
            ),
        );
    }
    if policy == UpgradePolicy::ScaleUpThenScaleDown && spec.replicas == Some(PEER) {
        found.error(
            POLICY,
            "scaleup_then_scaledown needs bases without the module, and with replicas -1 there are none; use another policy",
        );
    }
    if let Some(problem) = strategy.max_unavailable.as_ref().and_then(max_unavailable_problem) {
        found.error("spec.operationStrategy.maxUnavailable", problem);
    }
}

fn max_unavailable_problem(value: &IntOrString) -> Option<String> {
    const CHANGE: &str = "write a number from 0, or a percentage from 0% to 100%";
    match value {
        IntOrString::Int(number) if *number < 0 => Some(format!("{number} is negative; {CHANGE}")),
        IntOrString::Int(number) if *number > i64::from(i32::MAX) => Some(format!("{number} is too large; {CHANGE}")),
        IntOrString::Int(_) => None,
        IntOrString::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            let legal = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit());
            if !legal {
                return Some(format!("{text:?} is neither a number nor a percentage; {CHANGE}"));
            }
            let over = text.ends_with('%') && digits.parse::<u32>().is_ok_and(|percent| percent > 100);
            over.then(|| format!("{text:?} is more than all; {CHANGE}"))
        }
    }
}

fn service(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    let Some(service) = spec.operation_strategy.as_ref().and_then(|o| o.service_strategy.as_ref()) else { return };
    if let Some(seconds) = service.drain_seconds.filter(|s| !(0..=DRAIN_SECONDS_MAX).contains(s)) {
        found.error(
            "spec.operationStrategy.serviceStrategy.drainSeconds",
            format!("{seconds} is out of range; write 0 to {DRAIN_SECONDS_MAX}"),
        );
    }
    // V1 stores `targetPort: 0` where nobody asked for a Service.
    if service.enable_module_service == Some(true) {
        ports(found, service);
    }
}

fn ports(found: &mut Violations, service: &ServiceStrategy) {
    const TARGET: &str = "spec.operationStrategy.serviceStrategy.targetPort";
    let port = service.port.unwrap_or(0);
    if !(1..=65535).contains(&port) {
        found.error(
            "spec.operationStrategy.serviceStrategy.port",
            format!("{port} is no port; give the Service's port, 1 to 65535, or set enableModuleService to false"),
        );
    }
    match &service.target_port {
        Some(IntOrString::Int(number)) if !(0..=65535).contains(number) => {
            found.error(TARGET, format!("{number} is no port; give the base's port, 1 to 65535, or its name"));
        }
        Some(IntOrString::String(name)) if !name.is_empty() && !is_port_name(name) => {
            found.error(
                TARGET,
                format!("{name:?} is no port name; use at most {PORT_NAME_MAX} of a-z 0-9 -, with a letter, or a number"),
            );
        }
        _ => {}
    }
}

fn is_port_name(name: &str) -> bool {
    name.len() <= PORT_NAME_MAX
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

fn scheduling(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    let policy = spec.scheduling_strategy.as_ref().and_then(|s| s.scheduling_policy.as_deref()).unwrap_or_default();
    if !matches!(policy, "" | "scatter" | "stacking") {
        found.warning(
            "spec.schedulingStrategy.schedulingPolicy",
            format!("{policy:?} is unknown and means scatter; use scatter or stacking"),
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        Severity::{Error, Warning},
        *,
    };

    /// A good deployment with one value put at `path` (null takes the field away).
    fn with(changes: &[(&str, Value)]) -> ModuleDeployment {
        let mut object = json!({
            "metadata": { "name": "hello" },
            "spec": {
                "baseDeploymentName": "base",
                "replicas": 2,
                "template": { "metadata": {}, "spec": { "module": {
                    "name": "hello", "version": "1.0.0", "url": "https://jars.example/hello-1.0.0.jar"
                } } },
                "operationStrategy": { "serviceStrategy": { "enableModuleService": true, "port": 80, "targetPort": 8080 } },
                "schedulingStrategy": { "schedulingPolicy": "scatter" },
            },
        });
        for (path, value) in changes {
            let keys: Vec<&str> = path.split('.').collect();
            let (last, parents) = keys.split_last().unwrap();
            let mut at = object.get_mut("spec").unwrap();
            for key in parents {
                at = at.as_object_mut().unwrap().entry(*key).or_insert(json!({}));
            }
            at.as_object_mut().unwrap().insert((*last).to_owned(), value.clone());
        }
        serde_json::from_value(object).unwrap()
    }

    const NAME: &str = "template.spec.module.name";
    const VERSION: &str = "template.spec.module.version";
    const URL: &str = "template.spec.module.url";
    const LABELS: &str = "template.metadata.labels";
    const POLICY: &str = "operationStrategy.upgradePolicy";
    const MAX: &str = "operationStrategy.maxUnavailable";
    const PORT: &str = "operationStrategy.serviceStrategy.port";
    const TARGET: &str = "operationStrategy.serviceStrategy.targetPort";
    const DEADLINE: &str = "progressDeadlineSeconds";

    #[test]
    fn one_wrong_value_is_one_violation() {
        let long = "m".repeat(254);
        let table: Vec<(&str, Value, &str, Severity, &str)> = vec![
            ("baseDeploymentName", json!(""), "baseDeploymentName", Error, "is empty; name the Deployment"),
            ("template", Value::Null, "template", Error, "is missing; say in"),
            ("template", json!({}), "template.spec.module", Error, "is missing; give name"),
            ("template.spec", json!({}), "template.spec.module", Error, "is missing; give name"),
            (NAME, json!(""), NAME, Error, "is empty; give the biz name"),
            (NAME, json!("a b"), NAME, Error, "\"a b\" has white space"),
            (NAME, json!("a\tb"), NAME, Error, "\"a\\tb\" has white space"),
            (NAME, json!("a\u{a0}b"), NAME, Error, "has white space"),
            (NAME, json!("a\u{0}b"), NAME, Error, "a control character"),
            (NAME, json!("a/b"), NAME, Error, "or a slash; give the biz name alone"),
            (NAME, json!(long), NAME, Error, "longer than 253 characters"),
            (VERSION, json!(""), VERSION, Error, "is empty; give the biz version"),
            (VERSION, json!("1 0"), VERSION, Error, "\"1 0\" has white space"),
            (VERSION, json!("1.0\n"), VERSION, Error, "a control character; give the biz version alone"),
            (URL, json!(""), URL, Error, "is empty; say where"),
            (URL, json!("http://host/a b.jar"), URL, Error, "write %20 for a space"),
            (URL, json!("/m/hello.jar"), URL, Error, "has no scheme; begin it with"),
            (URL, json!("ftp://host/hello.jar"), URL, Error, "a scheme that bases can't fetch"),
            (URL, json!("http:/hello.jar"), URL, Error, "names no host"),
            (URL, json!("https:///hello.jar"), URL, Error, "names no host; write http://host/path"),
            (URL, json!("file:///"), URL, Error, "names no file; write file:///path"),
            (URL, json!("jar:"), URL, Error, "names no file"),
            (LABELS, json!({ "a b": "c" }), LABELS, Error, "\"a b\" is no legal label key"),
            (LABELS, json!({ "/a": "c" }), LABELS, Error, "is no legal label key; rename it"),
            (LABELS, json!({ "a": "1+2" }), LABELS, Error, "\"1+2\" is no legal label value"),
            (LABELS, json!({ "koupleless.io/delete-module": "true" }), LABELS, Error, "the operator's own labels"),
            (LABELS, json!({ "module.koupleless.io/x": "true" }), LABELS, Error, "the operator's own labels"),
            ("template.metadata.annotations", json!({ "": "c" }), "template.metadata.annotations", Error, "annotation key"),
            ("template.spec.upgradePolicy", json!("uninstall_then_install"), "template.spec.upgradePolicy", Warning, "has no effect; set spec.operationStrategy"),
            ("replicas", json!(-2), "replicas", Error, "-2 is less than -1; write -1 for one on every base"),
            ("scaleReplicas", json!(-1), "scaleReplicas", Error, "-1 is negative"),
            ("minReadySeconds", json!(-1), "minReadySeconds", Error, "-1 is negative; write 0 or more"),
            ("revisionHistoryLimit", json!(-5), "revisionHistoryLimit", Error, "-5 is negative"),
            (DEADLINE, json!(-1), DEADLINE, Error, "-1 is negative"),
            ("confirmBatchNum", json!(-1), "confirmBatchNum", Error, "-1 is negative"),
            ("operationStrategy.batchCount", json!(-3), "operationStrategy.batchCount", Error, "-3 is negative"),
            (
                "operationStrategy.grayTimeBetweenBatchSeconds",
                json!(i32::MIN),
                "operationStrategy.grayTimeBetweenBatchSeconds",
                Error,
                "-2147483648 is negative",
            ),
            ("minReadySeconds", json!(600), DEADLINE, Warning, "its default 600 is not more than minReadySeconds 600"),
            (POLICY, json!("installThenUninstall"), POLICY, Warning, "is unknown and means install_then_uninstall"),
            (MAX, json!(-1), MAX, Error, "-1 is negative; write a number"),
            (MAX, json!(2_147_483_648_i64), MAX, Error, "2147483648 is too large"),
            (MAX, json!("many"), MAX, Error, "\"many\" is neither a number nor a percentage"),
            (MAX, json!(""), MAX, Error, "neither a number nor a percentage"),
            (MAX, json!("%"), MAX, Error, "neither a number nor a percentage"),
            (MAX, json!("-5%"), MAX, Error, "neither a number nor a percentage"),
            (MAX, json!("2.5%"), MAX, Error, "neither a number nor a percentage"),
            (MAX, json!("99999999999"), MAX, Error, "neither a number nor a percentage"),
            (MAX, json!("101%"), MAX, Error, "\"101%\" is more than all"),
            (PORT, Value::Null, PORT, Error, "0 is no port; give the Service's port"),
            (PORT, json!(0), PORT, Error, "or set enableModuleService to false"),
            (PORT, json!(65536), PORT, Error, "65536 is no port"),
            (TARGET, json!(-1), TARGET, Error, "-1 is no port; give the base's port"),
            (TARGET, json!(70000), TARGET, Error, "70000 is no port"),
            (TARGET, json!("8080"), TARGET, Error, "\"8080\" is no port name"),
            (TARGET, json!("Http"), TARGET, Error, "is no port name; use at most 15"),
            (TARGET, json!("a-very-long-port"), TARGET, Error, "is no port name"),
            (TARGET, json!("a--b"), TARGET, Error, "is no port name"),
            (
                "operationStrategy.serviceStrategy.drainSeconds",
                json!(3601),
                "operationStrategy.serviceStrategy.drainSeconds",
                Error,
                "3601 is out of range; write 0 to 3600",
            ),
            (
                "schedulingStrategy.schedulingPolicy",
                json!("Scatter"),
                "schedulingStrategy.schedulingPolicy",
                Warning,
                "\"Scatter\" is unknown and means scatter",
            ),
        ];
        for (path, value, field, severity, fragment) in table {
            let found = validate(&with(&[(path, value.clone())]));
            let case = format!("{path} = {value}: {found:?}");
            assert_eq!(found.len(), 1, "{case}");
            assert_eq!(found[0].field, format!("spec.{field}"), "{case}");
            assert_eq!(found[0].severity, severity, "{case}");
            assert!(found[0].message.contains(fragment), "{case}");
            assert!(found[0].message.contains("; "), "says what to change: {case}");
            assert_eq!(refusal(&found).is_some(), severity == Error, "{case}");
        }
    }

    #[test]
    fn legal_values_are_no_violation() {
        let table: Vec<Vec<(&str, Value)>> = vec![
            vec![],
            vec![("replicas", Value::Null)],
            vec![("replicas", json!(-1))],
            vec![("replicas", json!(-1)), (POLICY, json!("uninstall_then_install"))],
            vec![(POLICY, json!("scaleup_then_scaledown"))],
            vec![(POLICY, json!(""))],
            vec![("template.spec.upgradePolicy", json!("scaleup_then_scaledown")), (POLICY, json!("scaleup_then_scaledown"))],
            vec![(NAME, json!("m".repeat(70)))],
            vec![(NAME, json!("Biz_One.模块"))],
            vec![(VERSION, json!("1.0.0+build.7"))],
            vec![(VERSION, json!("v".repeat(300)))],
            vec![(URL, json!("HTTP://host:8080/a?b=c"))],
            vec![(URL, json!("file:///m/hello%20world.jar"))],
            vec![(URL, json!("file:relative.jar"))],
            vec![(URL, json!("jar:file:///m/all.jar!/hello.jar"))],
            vec![(LABELS, json!({ "team": "", "example.com/cost-centre": "a_B.9" }))],
            vec![("operationStrategy.batchCount", json!(i32::MAX))],
            vec![(MAX, json!(0))],
            vec![(MAX, json!("0%"))],
            vec![(MAX, json!("100%"))],
            vec![(MAX, json!("3"))],
            vec![("minReadySeconds", json!(599))],
            vec![("minReadySeconds", json!(900)), (DEADLINE, json!(901))],
            vec![(TARGET, json!(0))],
            vec![(TARGET, Value::Null)],
            vec![(TARGET, json!(""))],
            vec![(TARGET, json!("http-1"))],
            vec![("operationStrategy.serviceStrategy", json!({ "targetPort": 0 }))],
            vec![("operationStrategy.serviceStrategy", json!({ "port": -1, "targetPort": "NO PORT" }))],
            vec![("operationStrategy", Value::Null)],
            vec![("schedulingStrategy", json!({}))],
        ];
        for changes in table {
            assert_eq!(validate(&with(&changes)), [], "{changes:?}");
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_errors() {
        let table = [
            (
                vec![("replicas", json!(-1)), (POLICY, json!("scaleup_then_scaledown"))],
                "spec.operationStrategy.upgradePolicy",
                "with replicas -1 there are none; use another policy",
            ),
            (
                vec![("minReadySeconds", json!(60)), (DEADLINE, json!(60))],
                "spec.progressDeadlineSeconds",
                "60 is not more than minReadySeconds 60; raise it",
            ),
        ];
        for (changes, field, fragment) in table {
            let found = validate(&with(&changes));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].field, found[0].severity), (field, Error), "{found:?}");
            assert!(found[0].message.contains(fragment), "{found:?}");
        }
    }

    #[test]
    fn a_refusal_names_all_errors_and_no_warning() {
        let found = validate(&with(&[(NAME, json!("")), (VERSION, json!("")), (POLICY, json!("odd"))]));
        assert_eq!(
            refusal(&found).unwrap(),
            "spec.template.spec.module.name: is empty; give the biz name as it stands in the jar's manifest. \
             spec.template.spec.module.version: is empty; give the biz version as it stands in the jar's manifest"
        );
        assert_eq!(validate(&ModuleDeployment::default()).iter().filter(|v| v.severity == Error).count(), 2);
    }
}
