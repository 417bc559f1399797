//! `logs-why`: why a module isn't available.

use kube::ResourceExt;

use super::{Stdout, read};
use crate::{
    api::Module,
    cli::{
        args::Global,
        cluster::{self, Cluster},
        error::Error,
        view::{Observed, events, why},
    },
};

/// Options of `logs-why`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl module logs-why hello        a ModuleDeployment and all of its Modules
  kubectl module logs-why md/hello-replicas-2-hello-abcdefghij")]
pub struct Args {
    /// A ModuleDeployment, or a Module as md/NAME
    #[arg(value_name = "NAME", value_parser = subject)]
    subject: Subject,
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Deployment(String),
    Module(String),
    /// Whichever exists.
    Either(String),
}

fn subject(text: &str) -> Result<Subject, String> {
    let (kind, name) = text.split_once('/').map_or((None, text), |(kind, name)| (Some(kind), name));
    let kind = kind.map(|kind| kind.strip_suffix(".koupleless.io").unwrap_or(kind).to_ascii_lowercase());
    let name = name.to_owned();
    match kind.as_deref() {
        _ if name.is_empty() => Err("the name is empty".to_owned()),
        None => Ok(Subject::Either(name)),
        Some("moduledeployment" | "moduledeployments" | "mddeploy") => Ok(Subject::Deployment(name)),
        Some("module" | "modules" | "md") => Ok(Subject::Module(name)),
        Some(kind) => {
            Err(format!("{kind} is neither a ModuleDeployment nor a Module; give its name alone, or md/NAME"))
        }
    }
}

/// Reads and prints.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    match &args.subject {
        Subject::Deployment(name) => deployment(&cluster, name).await,
        Subject::Module(name) => module(&cluster, name).await,
        Subject::Either(name) => match deployment(&cluster, name).await {
            Err(Error::NotFound { .. }) if find(&cluster, name).await?.is_some() => module(&cluster, name).await,
            done => done,
        },
    }
}

async fn deployment(cluster: &Cluster, name: &str) -> Result<(), Error> {
    let found = cluster.deployment(name).await?;
    let scope = Some(cluster.namespace.as_str());
    let observed = read::around(cluster, scope, vec![found]).await?;
    let told = events::told(&read::events(cluster, scope).await?);
    let Some(deployment) = observed.deployments.first() else { return Ok(()) };
    let (out, now) = (Stdout::new(), cluster::now());
    let troubles = why::of_deployment(&observed, deployment, &told, now);
    let summary = why::summary(&observed).unwrap_or_default();
    out.print(&format!("{summary}\n{}", why::render(name, &troubles, &out.look, now)))
}

async fn module(cluster: &Cluster, name: &str) -> Result<(), Error> {
    let Some(found) = find(cluster, name).await? else {
        return Err(Error::NotFound {
            kind: "Module",
            name: name.to_owned(),
            namespace: cluster.namespace.clone(),
            hint: "`kubectl module get -o wide` shows the names of all".to_owned(),
        });
    };
    let told = events::told(&read::events(cluster, Some(&cluster.namespace)).await?);
    let (out, now) = (Stdout::new(), cluster::now());
    let observed = Observed { chosen: cluster.chosen.clone(), ..Observed::default() };
    let trouble = why::of_module(&observed, &found, &told, now);
    out.print(&why::render(&found.name_any(), &trouble.into_iter().collect::<Vec<_>>(), &out.look, now))
}

async fn find(cluster: &Cluster, name: &str) -> Result<Option<Module>, Error> {
    let found = cluster.api::<Module>(Some(&cluster.namespace)).get_opt(name).await;
    found.map_err(|error| Error::of(format!("get the Module {name}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_and_a_deployment_are_told_apart() {
        assert_eq!(subject("hello"), Ok(Subject::Either("hello".into())));
        assert_eq!(subject("md/hello"), Ok(Subject::Module("hello".into())));
        assert_eq!(subject("ModuleDeployment.koupleless.io/hello"), Ok(Subject::Deployment("hello".into())));
        assert!(subject("pod/hello").unwrap_err().contains("md/NAME"));
        assert!(subject("md/").is_err());
    }
}
