//! Flags of the VNode provider, for `module-controller vnode` and for `--enable-vnode`.

use std::{path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};

use super::values::{self, BindAddress, BrokerUrl};

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

    /// The MQTT broker at which bases announce themselves and take commands: `mqtts://host:8883`, or `mqtt://host:1883` where
    /// nobody may read along.
    #[arg(long, value_name = "URL", value_parser = values::broker)]
    pub mqtt_broker: Option<BrokerUrl>,

    /// The version of MQTT.
    #[arg(long, value_name = "VERSION", value_enum, default_value = "3.1.1")]
    pub mqtt_version: MqttVersion,

    /// A file with the certificates that the broker's is verified against [default: those of the public authorities].
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub mqtt_ca_file: Option<PathBuf>,

    /// A file with this client's own certificate, where the broker asks for one.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub mqtt_client_cert_file: Option<PathBuf>,

    /// A file with the key of that certificate.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub mqtt_client_key_file: Option<PathBuf>,

    /// The broker's name for this client.
    #[arg(long, value_name = "NAME")]
    pub mqtt_username: Option<String>,

    /// A file with the password; read at each connection, so that it may change.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub mqtt_password_file: Option<PathBuf>,

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

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MqttVersion {
    /// 3.1.1, which every broker speaks.
    #[value(name = "3.1.1")]
    V3_1_1,
    /// 5: commands carry the time until which they are of use.
    #[value(name = "5")]
    V5,
}

impl VNodeFlags {
    /// What makes no sense together, in one sentence, and what is a risk.
    pub(super) fn check_mqtt(&self) -> Result<Option<&'static str>, String> {
        let files = [
            ("--mqtt-ca-file", self.mqtt_ca_file.is_some()),
            ("--mqtt-client-cert-file", self.mqtt_client_cert_file.is_some()),
            ("--mqtt-client-key-file", self.mqtt_client_key_file.is_some()),
        ];
        let login = [
            ("--mqtt-username", self.mqtt_username.is_some()),
            ("--mqtt-password-file", self.mqtt_password_file.is_some()),
        ];
        let Some(broker) = &self.mqtt_broker else {
            let lone = files.iter().chain(&login).find(|(_, given)| *given);
            return lone
                .map_or(Ok(None), |(flag, _)| Err(format!("{flag} has no effect without --mqtt-broker; give both")));
        };
        if let Some((flag, _)) = files.iter().find(|(_, given)| *given && !broker.tls) {
            return Err(format!("{flag} is for TLS; write --mqtt-broker=mqtts://{}:{}", broker.host, broker.port));
        }
        if self.mqtt_client_cert_file.is_some() != self.mqtt_client_key_file.is_some() {
            return Err("--mqtt-client-cert-file and --mqtt-client-key-file belong together; give both".to_owned());
        }
        if self.mqtt_password_file.is_some() && self.mqtt_username.is_none() {
            return Err("--mqtt-password-file needs --mqtt-username; give both".to_owned());
        }
        let plain = "--mqtt-broker=mqtt:// is not encrypted: whoever is on the way reads the password and can install modules; \
                     use mqtts://";
        Ok((!broker.tls).then_some(plain))
    }
}
