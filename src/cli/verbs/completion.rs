//! `completion`: scripts for shells, and the answers that `kubectl` asks for.

use std::time::Duration;

use clap::CommandFactory;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::ListParams};

use super::Stdout;
use crate::{
    api::ModuleDeployment,
    cli::{
        args::{Cli, Global},
        cluster::{self, Cluster},
        complete::{self, Answer, Wants},
        error::Error,
    },
};

/// Nobody waits longer for a word.
const PATIENCE: Duration = Duration::from_secs(2);
/// More names than that help nobody.
const NAMES: u32 = 500;

/// Options of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Completes `kubectl-module`, with the names that the cluster has. `kubectl module` is completed by kubectl itself, if
kubectl_complete-module is in PATH too.

Examples:
  source <(kubectl module completion bash)
  kubectl module completion zsh > \"${fpath[1]}/_kubectl-module\"
  kubectl module completion fish > ~/.config/fish/completions/kubectl-module.fish")]
pub struct Args {
    /// The shell
    shell: Known,
}

/// The shells that there is a script for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// The words to be completed.
#[derive(Debug, clap::Args)]
pub struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Prints the script.
pub fn run(args: &Args) -> Result<(), Error> {
    Stdout::new().print(match args.shell {
        Known::Bash => include_str!("../completion/bash"),
        Known::Zsh => include_str!("../completion/zsh"),
        Known::Fish => include_str!("../completion/fish"),
    })
}

/// Prints what may stand in the place of the last word. A cluster that doesn't answer has no names.
pub async fn answer(args: &Words) -> Result<(), Error> {
    let mut answer = complete::answer(&Cli::command(), &args.words);
    if let Ok(Ok(names)) = tokio::time::timeout(PATIENCE, names(&answer)).await {
        answer.add(names);
    }
    Stdout::new().print(&complete::text(&answer))
}

async fn names(answer: &Answer) -> Result<Vec<String>, Error> {
    let option = |name: &str| answer.options.get(name).cloned();
    let global = Global {
        namespace: option("namespace"),
        context: option("context"),
        cluster: option("cluster"),
        user: option("user"),
        impersonate: option("as"),
        impersonate_group: option("as-group").into_iter().collect(),
        kubeconfig: option("kubeconfig").map(Into::into),
        request_timeout: PATIENCE,
    };
    let params = ListParams::default().limit(NAMES);
    let failed = |error| Error::of("list names", error);
    let known = || cluster::kubeconfig(&global).map_err(|error| Error::Usage(error.to_string()));
    match answer.wants {
        Wants::Deployments => {
            let cluster = Cluster::connect(&global).await?;
            let api: Api<ModuleDeployment> = cluster.api(Some(&cluster.namespace));
            Ok(api.list_metadata(&params).await.map_err(failed)?.items.iter().map(ResourceExt::name_any).collect())
        }
        Wants::Namespaces => {
            let api: Api<Namespace> = Api::all(Cluster::connect(&global).await?.client);
            Ok(api.list_metadata(&params).await.map_err(failed)?.items.iter().map(ResourceExt::name_any).collect())
        }
        Wants::Contexts => Ok(known()?.contexts.into_iter().map(|one| one.name).collect()),
        Wants::Clusters => Ok(known()?.clusters.into_iter().map(|one| one.name).collect()),
        Wants::Users => Ok(known()?.auth_infos.into_iter().map(|one| one.name).collect()),
        Wants::Nothing | Wants::Files => Ok(Vec::new()),
    }
}
