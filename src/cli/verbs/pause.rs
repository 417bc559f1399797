//! `pause`, `resume` and `restart`: one field each.

use k8s_openapi::jiff::Timestamp;

use super::apply::{Targets, Writer, each};
use crate::{
    api::ModuleDeployment,
    cli::{
        args::Global,
        change::{Decision, plan_pause, plan_restart, plan_resume},
        cluster::Cluster,
        error::Error,
    },
};

async fn change(global: &Global, args: &Targets, plan: impl Fn(&ModuleDeployment) -> Decision) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let writer = Writer::new(&cluster, &args.changing);
    let (writer, plan) = (&writer, &plan);
    each(&args.names, |name| async move { writer.change(&name, plan).await }).await
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
    // With its fraction, so that two orders within a second are two.
    let token = Timestamp::now().to_string();
    change(global, args, |deployment| plan_restart(deployment, &token)).await
}
