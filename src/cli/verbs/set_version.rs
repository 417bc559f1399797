//! `set-version`: another version of the module.

use super::apply::{Changing, Writer};
use crate::cli::{
    args::{Global, deployment_name},
    change::plan_version,
    cluster::Cluster,
    error::Error,
};

/// Options of `set-version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kubectl module set-version hello 2.0.0
  kubectl module set-version hello 2.0.0 --url https://repository.example.com/hello-2.0.0-ark-biz.jar")]
pub struct Args {
    /// The ModuleDeployment's name
    #[arg(value_name = "NAME", value_parser = deployment_name)]
    name: String,
    /// The version, exactly as in the jar's manifest
    #[arg(value_name = "VERSION", value_parser = version)]
    version: String,
    /// Where the jar is [default: the present URL with the new version in place of the old one]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Why, as `kubectl module history` shows it
    #[arg(long, value_name = "TEXT")]
    change_cause: Option<String>,
    #[command(flatten)]
    changing: Changing,
}

fn version(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the version is empty".to_owned()),
        text if text.contains(char::is_whitespace) => Err("a version has no white space".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Changes the template.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let cluster = Cluster::connect(global).await?;
    let decide =
        |deployment: &_| plan_version(deployment, &args.version, args.url.as_deref(), args.change_cause.as_deref());
    Writer::new(&cluster, &args.changing).change(&args.name, decide).await
}
