//! The command line of the manager process.
//!
//! An image swap must work: whatever V1 was started with has to be understood, including Go's way of writing
//! flags (one dash or two, `--leader-elect=true`, the last of two wins, `:8080` for "all addresses") and the
//! logger's `--zap-*`, which are accepted with a warning.
//!
//! Must not: touch the environment or the file system while parsing (what is looked up there comes in as
//! arguments), or print anything: [`Flags::parse_args`] returns what to say and the exit code.

mod go_style;
mod values;
mod vnode;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::Delivery;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Parser, ValueEnum};

pub use values::{BindAddress, BrokerUrl, parse_duration};
pub use vnode::{MqttVersion, TunnelTrust, VNodeFlags};

/// What the manager was asked to do.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(
    name = "module-controller",
    version,
    about = "Installs, upgrades and removes Koupleless modules in running bases",
    after_help = "With `vnode` as its first argument it is the VNode provider and nothing else.",
    args_override_self = true
)]
pub struct Flags {
    /// Where metrics are served: `:8080`, `127.0.0.1:8080`, or `0` for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = ":8080", value_parser = values::address)]
    pub metrics_bind_address: BindAddress,

    /// Where /healthz and /readyz are served: `:8082`, `127.0.0.1:8082`, or `0` for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = ":8082", value_parser = values::address)]
    pub health_probe_bind_address: BindAddress,

    /// Take part in a leader election, so that several replicas can run.
    #[arg(
        long, value_name = "BOOL", value_parser = values::boolean, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true
    )]
    pub leader_elect: bool,

    /// Namespace of the lease [default: the one this process runs in].
    #[arg(long, value_name = "NAMESPACE", value_parser = values::namespace)]
    pub leader_elect_namespace: Option<String>,

    /// A kubeconfig file [default: KUBECONFIG, then the cluster this process runs in, then ~/.kube/config].
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub kubeconfig: Option<PathBuf>,

    /// Watch this namespace only; may be repeated or given as a list with commas [default: all].
    #[arg(long = "namespace", value_name = "NAMESPACE", value_delimiter = ',', value_parser = values::namespace, action = ArgAction::Append)]
    pub namespaces: Vec<String>,

    /// Form of the log lines.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// off, error, warn, info, debug, trace, or directives such as `info,kube=debug` [default: RUST_LOG, then info].
    #[arg(long, value_name = "LEVEL", value_parser = values::log_level)]
    pub log_level: Option<String>,

    /// How often the agent of a base is asked how it is.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    pub health_interval: Duration,

    /// How long the installation of a module may take.
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = values::duration)]
    pub install_timeout: Duration,

    /// Bases with less than this percentage of their JVM's metaspace free get no new modules, where their agent tells it;
    /// 0: it isn't asked for.
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = values::percentage)]
    pub min_free_metaspace: u8,

    /// How modules get into bases where a ModuleDeployment doesn't say: Arklet, or VirtualPod.
    #[arg(long, value_name = "DELIVERY", default_value = "Arklet", value_parser = values::delivery)]
    pub default_delivery: Delivery,

    /// How many writes to the API server may be under way at once.
    #[arg(long, value_name = "NUMBER", default_value = "32", value_parser = values::concurrency)]
    pub api_concurrency: usize,

    /// Act even where a Go V1 seems to run, for a pod that only looks like one.
    #[arg(
        long = "ignore-v1", value_name = "BOOL", value_parser = values::boolean, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true
    )]
    pub ignore_v1: bool,

    /// Print what would be written to the API server and told to agents, write nothing, and end.
    #[arg(
        long, value_name = "BOOL", value_parser = values::boolean, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true
    )]
    pub dry_run: bool,

    /// Form of what a dry run prints.
    #[arg(long, short = 'o', value_name = "FORM", value_enum, default_value = "table")]
    pub output: Output,

    /// Of the VNode provider.
    #[command(flatten, next_help_heading = "VNode provider")]
    pub vnode: VNodeFlags,

    /// What this process is.
    #[arg(skip)]
    pub role: Role,

    /// What was accepted without effect; to be logged once logging is set up.
    #[arg(skip)]
    pub warnings: Vec<String>,
}

/// What a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The operator; with `--enable-vnode` the VNode provider too.
    #[default]
    Operator,
    /// The VNode provider alone.
    VNode,
}

/// The first argument of a process that is the VNode provider alone.
const VNODE: &str = "vnode";

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Form of what a dry run prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// Parsing ended without flags to run with.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// What to print: help to standard output (code 0), a sentence to standard error (code 2).
    pub message: String,
    /// Exit code of the process.
    pub code: u8,
}

impl Flags {
    /// Parses a command line; the first argument is the program's name.
    pub fn parse_args(args: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        let mut args: Vec<OsString> = args.into_iter().collect();
        let role = match args.get(1) {
            Some(first) if first == VNODE => Role::VNode,
            _ => Role::Operator,
        };
        if role == Role::VNode {
            args.remove(1);
        }
        let normal = go_style::normalise(args, &long_names());
        match Self::try_parse_from(normal.args) {
            Ok(mut flags) => {
                flags.warnings = normal.warnings;
                flags.role = role;
                flags.check()
            }
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                Err(Exit { message: error.to_string(), code: 0 })
            }
            Err(error) => Err(Exit { message: sentence(&error), code: 2 }),
        }
    }

    /// Whether this process plays the VNode provider.
    pub fn plays_vnode(&self) -> bool {
        self.role == Role::VNode || self.vnode.enable_vnode
    }

    /// Refuses what makes no sense together.
    fn check(mut self) -> Result<Self, Exit> {
        let own = &self.vnode;
        let tunnel = own.tunnel_bind_address != BindAddress::Off || own.mqtt_broker.is_some();
        if self.plays_vnode() && own.discover_bases.is_none() && !tunnel {
            let message = "the VNode provider finds no bases; give --discover-bases=<label selector>, or \
                           --tunnel-bind-address=:7777 or --mqtt-broker=mqtts://... for bases that announce themselves";
            return Err(Exit { message: message.to_owned(), code: 2 });
        }
        if self.dry_run && self.plays_vnode() {
            let message = "--dry-run is the operator's; leave out vnode and --enable-vnode";
            return Err(Exit { message: message.to_owned(), code: 2 });
        }
        match own.check_mqtt() {
            Ok(warning) => self.warnings.extend(warning.map(str::to_owned)),
            Err(message) => return Err(Exit { message, code: 2 }),
        }
        if self.role == Role::VNode && self.leader_elect {
            self.warnings.push("--leader-elect has no effect here; each VNode has a Lease of its own".to_owned());
        }
        Ok(self)
    }

    /// The namespace of the lease: the flag, else where this process runs by its environment
    /// (`POD_NAMESPACE`) or its service account's file, else `default`.
    pub fn lease_namespace(&self) -> String {
        own_namespace(self.leader_elect_namespace.as_deref())
    }

    /// Where this process's pod is, if it runs in one.
    pub fn pod_namespace(&self) -> String {
        own_namespace(None)
    }

    /// The kubeconfig file to read, if one was named.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig.as_deref().filter(|path| !path.as_os_str().is_empty())
    }
}

/// Where Kubernetes puts the namespace of a pod.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

fn own_namespace(flag: Option<&str>) -> String {
    let (env, file) = (std::env::var("POD_NAMESPACE").ok(), std::fs::read_to_string(NAMESPACE_FILE).ok());
    resolve_namespace(flag, env.as_deref(), file.as_deref())
}

fn resolve_namespace(flag: Option<&str>, env: Option<&str>, file: Option<&str>) -> String {
    [flag, env, file].into_iter().flatten().map(str::trim).find(|name| !name.is_empty()).unwrap_or("default").to_owned()
}

fn long_names() -> Vec<String> {
    let command = <Flags as clap::CommandFactory>::command();
    let own = command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned));
    own.chain(["help".to_owned(), "version".to_owned()]).collect()
}

/// One sentence that says what to change.
fn sentence(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let arg = context(ContextKind::InvalidArg).unwrap_or("an argument");
    let flag = arg.split([' ', '=', '[']).next().unwrap_or(arg);
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => match context(ContextKind::SuggestedArg) {
            Some(known) => format!("{flag} is not a flag of this program; did you mean {known}?"),
            None if flag.starts_with('-') => {
                format!("{flag} is not a flag of this program; remove it, or see --help for those it has")
            }
            None => format!("the argument {flag:?} is not expected; write values as --flag=value, or remove it"),
        },
        ErrorKind::InvalidValue if value.is_empty() => format!("{flag} needs a value; write {flag}=..."),
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(valid)) => format!("{flag} can't be {value:?}; use {}", valid.join(" or ")),
            _ => format!("{flag} can't be {value:?}"),
        },
        ErrorKind::ValueValidation => match std::error::Error::source(error) {
            Some(advice) => format!("{flag} can't be {value:?}; {advice}"),
            None => format!("{flag} can't be {value:?}"),
        },
        _ => error.to_string().lines().next().unwrap_or("bad arguments").trim_start_matches("error: ").to_owned(),
    }
}

#[cfg(test)]
#[path = "flags/tests.rs"]
mod tests;
