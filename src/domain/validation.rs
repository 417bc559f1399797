//! Is a ModuleDeployment's spec usable, and if not, what should its author change?
//!
//! The schema is never stricter than V1's, so that what V1 stored stays writable; everything stricter is here, and
//! as far as one request can show it also in the admission policy (`config/admission`), which refuses exactly what
//! is an [`Severity::Error`] here. The operator doesn't act on a spec with an error. What merely reads otherwise
//! than its author may think is a [`Severity::Warning`] and must never stop a take-over from V1. Nothing here may
//! look at anything but the object.

pub mod forms;

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
    } else if module.name.contains(|c| forms::is_blank(c) || c == '/') {
        found.error(
            NAME,
            format!("{:?} has white space, a control character or a slash; give the biz name alone", module.name),
        );
    } else if module.name.chars().count() > MODULE_NAME_MAX {
        found.error(NAME, format!("is longer than {MODULE_NAME_MAX} characters; shorten the biz name"));
    }
    if module.version.is_empty() {
        found.error(VERSION, "is empty; give the biz version as it stands in the jar's manifest");
    } else if module.version.contains(forms::is_blank) {
        found.error(
            VERSION,
            format!("{:?} has white space or a control character; give the biz version alone", module.version),
        );
    }
    if let Some(problem) = forms::url_problem(&module.url) {
        found.error("spec.template.spec.module.url", problem);
    }
}

fn template_metadata(found: &mut Violations, metadata: &ModuleTemplateMetadata) {
    const LABELS: &str = "spec.template.metadata.labels";
    let none = BTreeMap::new();
    for (key, value) in metadata.labels.as_ref().unwrap_or(&none) {
        let prefix = key.split_once('/').map(|(prefix, _)| prefix);
        if !forms::is_qualified_name(key) {
            found.error(LABELS, format!("{key:?} is no legal label key; rename it"));
        } else if !forms::is_label_value(value) {
            found.error(
                LABELS,
                format!("{value:?} is no legal label value; use an annotation, or at most 63 of A-Z a-z 0-9 - _ ."),
            );
        } else if prefix.is_some_and(|p| p == "koupleless.io" || p.ends_with(".koupleless.io")) {
            found.error(LABELS, format!("{key:?} is one of the operator's own labels; rename it"));
        }
    }
    for key in metadata.annotations.as_ref().unwrap_or(&none).keys() {
        if !forms::is_qualified_name(key) {
            found.error("spec.template.metadata.annotations", format!("{key:?} is no legal annotation key; rename it"));
        }
    }
}

fn numbers(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    if let Some(replicas) = spec.replicas.filter(|replicas| *replicas < PEER) {
        found.error(
            "spec.replicas",
            format!("{replicas} is less than -1; write -1 for one on every base, or 0 and more"),
        );
    }
    let operation = spec.operation_strategy.as_ref();
    for (field, number) in [
        ("spec.scaleReplicas", spec.scale_replicas),
        ("spec.minReadySeconds", spec.min_ready_seconds),
        ("spec.revisionHistoryLimit", spec.revision_history_limit),
        ("spec.progressDeadlineSeconds", spec.progress_deadline_seconds),
        ("spec.confirmBatchNum", spec.confirm_batch_num),
        ("spec.operationStrategy.batchCount", operation.and_then(|o| o.batch_count)),
        (
            "spec.operationStrategy.grayTimeBetweenBatchSeconds",
            operation.and_then(|o| o.gray_time_between_batch_seconds),
        ),
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
    let Some(strategy) = &spec.operation_strategy else {
        return;
    };
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
    if let Some(problem) = strategy.max_unavailable.as_ref().and_then(forms::max_unavailable_problem) {
        found.error("spec.operationStrategy.maxUnavailable", problem);
    }
}

fn service(found: &mut Violations, spec: &ModuleDeploymentSpec) {
    let Some(service) = spec.operation_strategy.as_ref().and_then(|o| o.service_strategy.as_ref()) else {
        return;
    };
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
        Some(IntOrString::String(name)) if !name.is_empty() && !forms::is_port_name(name) => {
            found.error(
                TARGET,
                format!("{name:?} is no port name; use at most 15 of a-z 0-9 -, with a letter, or a number"),
            );
        }
        _ => {}
    }
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
mod tests;
