//! Flags of the VNode provider, for `module-controller vnode` and for `--enable-vnode`.

use std::{path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};

use super::values::{self, BindAddress};

/// What the VNode provider was asked to do.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct VNodeFlags {
    /// Play the VNode provider too, in this process.
    #[arg(
        long, value_name = "BOOL", value_parser = values::boolean, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true
    )]
    pub enable_vnode: bool,

    /// The environment of bases and module pods: part of the VNodes' names, a label and a taint. With delivery VirtualPod
    /// the operator uses the VNodes of this environment, whoever plays them.
    #[arg(long, value_name = "NAME", default_value = "dev", value_parser = values::label_value)]
    pub vnode_env: String,

    /// Bases are the running pods that this label selector matches.
    #[arg(long, value_name = "SELECTOR")]
    pub discover_bases: Option<String>,

    /// This process's name in the Leases of VNodes; no two may share one [default: the host name and a random part].
    #[arg(long, value_name = "NAME", value_parser = values::label_value)]
    pub vnode_client_id: Option<String>,

    /// How long a module goes on serving after its pod was told to end, at most the pod's own grace period.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = values::duration_or_zero)]
    pub vnode_drain: Duration,

    /// Where bases announce themselves over HTTP: `:7777`, or `0` for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = values::address)]
    pub tunnel_bind_address: BindAddress,

    /// A file with a token that announcements have to carry (`Authorization: Bearer`) [default: none is asked for].
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub tunnel_token_file: Option<PathBuf>,

    /// Who may announce a base.
    #[arg(long, value_name = "WHO", value_enum, default_value = "pod")]
    pub tunnel_trust: TunnelTrust,
}

/// Who may announce a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TunnelTrust {
    /// A running pod, itself and from its own address.
    Pod,
    /// Anybody who reaches the port.
    Anybody,
}
