//! pause, resume, restart, retry.

use kube::ResourceExt;
use serde_json::json;

use super::{Change, Decision, alive, patch};
use crate::{
    api::{ModuleDeployment, keys::annotation},
    cli::view::standing::release,
    domain::release::Progress,
};

/// Holds back every new revision, batch and restart.
pub fn plan_pause(deployment: &ModuleDeployment) -> Decision {
    alive(deployment)?;
    if deployment.is_paused() {
        return Ok(Change::Nothing("already paused".to_owned()));
    }
    Ok(patch(json!({ "spec": { "paused": true } }), "paused"))
}

/// Lets go what [`plan_pause`] held back.
pub fn plan_resume(deployment: &ModuleDeployment) -> Decision {
    alive(deployment)?;
    if !deployment.is_paused() {
        return Ok(Change::Nothing("not paused".to_owned()));
    }
    Ok(patch(json!({ "spec": { "paused": false } }), "resumed"))
}

/// Orders every instance to be installed anew; `token` differs from every one before.
pub fn plan_restart(deployment: &ModuleDeployment, token: &str) -> Decision {
    alive(deployment)?;
    let name = deployment.name_any();
    if deployment.module().is_none() {
        return Err(format!("{name} has no module in spec.template.spec.module; give it one first"));
    }
    let annotations = json!({ annotation::RESTARTED_AT: token });
    let mut change =
        patch(json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }), "restarted");
    if let Change::Patch { notes, .. } = &mut change
        && deployment.is_paused()
    {
        notes.push(format!("{name} is paused: it begins with `kubectl module resume {name}`"));
    }
    Ok(change)
}

/// Begins a release anew that was given up, by abort or past its deadline; its template stays, but for `token`.
pub fn plan_retry(deployment: &ModuleDeployment, token: &str) -> Decision {
    alive(deployment)?;
    let name = deployment.name_any();
    let progress = release(deployment).and_then(|release| release.progress.as_deref());
    if progress != Some(Progress::Aborted.as_str()) {
        return Err(format!(
            "no release of {name} was given up; `kubectl module status {name}` shows how it stands, \
             `kubectl module restart {name}` installs the same version anew"
        ));
    }
    let mut change = plan_restart(deployment, token)?;
    if let Change::Patch { done, .. } = &mut change {
        let version = deployment.module().map(|module| module.version.as_str()).unwrap_or_default();
        *done = format!("tries version {version} again");
    }
    Ok(change)
}
