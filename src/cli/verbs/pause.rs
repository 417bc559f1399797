//! `pause`, `resume`, `restart` and `retry`: one field each.

use k8s_openapi::jiff::Timestamp;

use super::apply::{Targets, Writer, each};
use crate::{
    api::ModuleDeployment,
    cli::{
        args::Global,
        change::{Decision, plan_pause, plan_restart, plan_resume, plan_retry},
        cluster::Cluster,
        error::Error,
    },
};

async fn change(global: &Global, args: &Targets, plan: impl Fn(&ModuleDeployment) -> Decision) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let writer = Writer::new(&cluster, &args.changing);
    let (writer, plan) = (&writer, &plan);
    each(&cluster, args, |name| async move { writer.change(&name, plan).await }).await
}

/// Holds releases.
pub async fn pause(global: &Global, args: &Targets) -> Result<(), Error> {
    change(global, args, plan_pause).await
}

/// Lets them go on.
pub async fn resume(global: &Global, args: &Targets) -> Result<(), Error> {
    change(global, args, plan_resume).await
}

/// Installs the same version anew.
pub async fn restart(global: &Global, args: &Targets) -> Result<(), Error> {
    let token = token();
    change(global, args, |deployment| plan_restart(deployment, &token)).await
}

/// Begins a release anew that was given up.
pub async fn retry(global: &Global, args: &Targets) -> Result<(), Error> {
    let token = token();
    change(global, args, |deployment| plan_retry(deployment, &token)).await
}

/// The time, with its fraction, so that two orders within a second are two.
fn token() -> String {
    Timestamp::now().to_string()
}
