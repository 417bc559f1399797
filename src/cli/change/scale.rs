//! scale: how many instances, through the scale subresource, as `kubectl scale` and autoscalers set it.

use kube::ResourceExt;

use crate::{
    api::{ModuleDeployment, keys::annotation},
    cli::view::standing::OPERATOR,
    domain::replicas::PEER,
};

/// Whether the scale of a deployment can be set to `replicas` now; what it is at present if it can.
///
/// The operator follows the scale only while `spec.replicas` is what the scale was derived from, so two cases are refused
/// that the API server would let pass without effect: peer mode, and a `spec.replicas` that the operator hasn't seen yet.
pub fn plan_replicas(
    deployment: &ModuleDeployment,
    replicas: u32,
    expected: Option<u32>,
) -> Result<Option<u32>, String> {
    super::alive(deployment)?;
    let name = deployment.name_any();
    let spec = &deployment.spec;
    if spec.replicas == Some(PEER) {
        return Err(format!(
            "{name} is in peer mode (spec.replicas is -1): one instance on every base pod, and the operator puts a scale back; \
             scale the base Deployment {} instead, or leave peer mode: \
             `kubectl patch mddeploy {name} --type merge -p '{{\"spec\":{{\"replicas\":{replicas}}}}}'`",
            spec.base_deployment_name
        ));
    }
    let baseline = deployment.annotations().get(annotation::SCALE_BASELINE).map(String::as_str);
    let wanted = spec.replicas.unwrap_or(0).to_string();
    if baseline != Some(wanted.as_str()) {
        return Err(format!(
            "the operator has not taken over spec.replicas ({wanted}) of {name} yet, and would put a scale back; \
             try again, and see whether the operator runs: {OPERATOR}"
        ));
    }
    let now = spec.scale_replicas.and_then(|count| u32::try_from(count).ok());
    match expected {
        Some(expected) if now != Some(expected) => Err(format!(
            "{name} is scaled to {}, not to {expected} as --current-replicas expects; look again, or leave the option out",
            now.map_or_else(|| "nothing".to_owned(), |count| count.to_string())
        )),
        _ => Ok(now),
    }
}
