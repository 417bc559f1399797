//! `create`: writes a manifest.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use super::{Stdout, stdout::remark};
use crate::{
    cli::{
        args::Global,
        create::{self, Wanted},
        error::Error,
        validate::check,
    },
    domain::{policy::UpgradePolicy, validation::Severity},
};

/// Options of `create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes a manifest and sends nothing; `kubectl apply -f -` takes it.

Examples:
  kubectl module create hello --base base --version 1.0.0 --url https://host/hello-1.0.0-ark-biz.jar
  kubectl module create hello --base base --version 1.0.0 --url file:///modules/hello.jar \\
    --replicas 3 --policy uninstall_then_install --batches 3 --service 80:8080 | kubectl apply -f -")]
pub struct Args {
    /// The name of the ModuleDeployment
    name: String,
    /// The base Deployment
    #[arg(long, value_name = "DEPLOYMENT")]
    base: String,
    /// The biz name, as it stands in the jar's manifest [default: NAME]
    #[arg(long, value_name = "BIZ")]
    module: Option<String>,
    /// The biz version, as it stands in the jar's manifest
    #[arg(long = "version", value_name = "VERSION")]
    biz_version: String,
    /// Where the bases fetch the jar
    #[arg(long)]
    url: String,
    /// On how many bases; -1 for all
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_name = "COUNT")]
    replicas: i32,
    /// How a new version takes the place of the old one
    #[arg(long, value_parser = policy, value_name = "POLICY")]
    policy: Option<UpgradePolicy>,
    /// How many instances may be missing during a release: a number or a percentage
    #[arg(long, value_name = "COUNT")]
    max_unavailable: Option<String>,
    /// In how many batches a new version comes
    #[arg(long, value_name = "COUNT")]
    batches: Option<i32>,
    /// The first batch is a single one, which waits for a confirmation
    #[arg(long)]
    beta: bool,
    /// Each batch waits for a confirmation
    #[arg(long)]
    need_confirm: bool,
    /// Seconds between two batches
    #[arg(long, value_name = "SECONDS")]
    gray_time: Option<i32>,
    /// Seconds that a module must be active to count as available
    #[arg(long, value_name = "SECONDS")]
    min_ready: Option<i32>,
    /// Publish a Service: its port, and the base's port or port name
    #[arg(long, value_parser = service, value_name = "PORT:TARGET")]
    service: Option<(i32, String)>,
    /// Each module is a pod on the virtual node of its base
    #[arg(long)]
    virtual_pods: bool,
    /// Write to this file, which must not exist, instead of standard output
    #[arg(short, long = "filename", value_name = "FILE")]
    filename: Option<PathBuf>,
}

fn policy(text: &str) -> Result<UpgradePolicy, String> {
    UpgradePolicy::meant_by(text)
        .ok_or_else(|| "use install_then_uninstall, uninstall_then_install or scaleup_then_scaledown".to_owned())
}

fn service(text: &str) -> Result<(i32, String), String> {
    let (port, target) = text.split_once(':').unwrap_or((text, text));
    let port = port.parse().map_err(|_| "write PORT:TARGET, such as 80:8080".to_owned())?;
    Ok((port, target.to_owned()))
}

/// Makes the manifest and writes it.
pub fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let manifest = create::manifest(&Wanted {
        name: args.name.clone(),
        namespace: global.namespace.clone(),
        base: args.base.clone(),
        module: args.module.clone().unwrap_or_else(|| args.name.clone()),
        version: args.biz_version.clone(),
        url: args.url.clone(),
        replicas: args.replicas,
        policy: args.policy,
        batches: args.batches,
        beta: args.beta,
        confirm: args.need_confirm,
        gray_time: args.gray_time,
        max_unavailable: args.max_unavailable.clone(),
        min_ready: args.min_ready,
        service: args.service.clone(),
        virtual_pods: args.virtual_pods,
    });
    let findings = check::file("", &manifest).findings;
    let said = |severity| {
        let of = findings.iter().filter(move |finding| finding.severity == severity);
        of.map(|finding| format!("{}: {}", finding.field, finding.message)).collect::<Vec<_>>()
    };
    let errors = said(Severity::Error);
    if !errors.is_empty() {
        return Err(Error::Usage(errors.join("\n")));
    }
    said(Severity::Warning).iter().for_each(|warning| remark(&format!("warning: {warning}")));
    let Some(path) = &args.filename else { return Stdout::new().print(&manifest) };
    let written = OpenOptions::new().write(true).create_new(true).open(path);
    let written = written.and_then(|mut file| file.write_all(manifest.as_bytes()));
    written
        .map_err(|error| Error::Usage(format!("cannot write {}: {error}; name another file with -f", path.display())))
}
