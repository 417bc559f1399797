//! Whole command lines: V1's, ours, and wrong ones.

use super::*;

fn parse(line: &str) -> Result<Flags, Exit> {
    Flags::parse_args(std::iter::once("/manager").chain(line.split_whitespace()).map(OsString::from))
}

fn on(host: &str, port: u16) -> BindAddress {
    BindAddress::At { host: host.to_owned(), port }
}

#[test]
fn defaults_are_those_of_v1() {
    let flags = parse("").unwrap();
    let want = Flags {
        metrics_bind_address: on("", 8080),
        health_probe_bind_address: on("", 8082),
        leader_elect: false,
        leader_elect_namespace: None,
        kubeconfig: None,
        namespaces: vec![],
        log_format: LogFormat::Text,
        log_level: None,
        health_interval: Duration::from_secs(10),
        install_timeout: Duration::from_secs(300),
        min_free_metaspace: 5,
        default_delivery: Delivery::Arklet,
        api_concurrency: 32,
        ignore_v1: false,
        dry_run: false,
        output: Output::Table,
        vnode: VNodeFlags {
            enable_vnode: false,
            vnode_env: "dev".to_owned(),
            discover_bases: None,
            vnode_client_id: None,
            vnode_drain: Duration::from_secs(3),
            tunnel_bind_address: BindAddress::Off,
            tunnel_token_file: None,
            mqtt_broker: None,
            mqtt_version: MqttVersion::V3_1_1,
            mqtt_ca_file: None,
            mqtt_client_cert_file: None,
            mqtt_client_key_file: None,
            mqtt_username: None,
            mqtt_password_file: None,
            tunnel_trust: TunnelTrust::Pod,
        },
        role: Role::Operator,
        warnings: vec![],
    };
    assert_eq!(flags, want);
}

#[test]
fn v1_command_lines_work() {
    let flags = parse("-metrics-bind-address=:9090 --health-probe-bind-address :9091 -leader-elect -kubeconfig /tmp/k")
        .unwrap();
    assert_eq!(flags.metrics_bind_address, on("", 9090));
    assert_eq!(flags.health_probe_bind_address, on("", 9091));
    assert!(flags.leader_elect);
    assert_eq!(flags.kubeconfig(), Some(Path::new("/tmp/k")));
    assert_eq!(flags.warnings, [""; 0]);

    assert_eq!(
        parse("--metrics-bind-address=127.0.0.1:8080 --leader-elect").unwrap().metrics_bind_address,
        on("127.0.0.1", 8080)
    );
    assert_eq!(parse("-metrics-bind-address 0").unwrap().metrics_bind_address, BindAddress::Off);
    assert_eq!(parse("--kubeconfig=").unwrap().kubeconfig(), None);
}

#[test]
fn leader_elect_table() {
    for (line, want) in [
        ("", false),
        ("--leader-elect", true),
        ("-leader-elect", true),
        ("--leader-elect=true", true),
        ("-leader-elect=false", false),
        ("--leader-elect=F", false),
        ("--leader-elect=1", true),
        ("--leader-elect --leader-elect=false", false),
        ("--leader-elect --namespace a", true),
    ] {
        assert_eq!(parse(line).unwrap().leader_elect, want, "{line:?}");
    }
}

#[test]
fn zap_flags_are_accepted_with_a_warning() {
    for (line, warnings) in [
        ("--zap-devel", 1),
        ("-zap-devel=false", 1),
        ("--zap-encoder=json", 1),
        ("--zap-encoder json", 1),
        ("-zap-log-level debug -zap-stacktrace-level=panic", 2),
        ("--zap-time-encoding rfc3339 --zap-devel", 2),
        ("--zap-something-new", 1),
        ("--zap-devel --leader-elect=false", 1),
    ] {
        let flags = parse(line).unwrap_or_else(|exit| panic!("{line:?}: {}", exit.message));
        assert_eq!(flags.warnings.len(), warnings, "{line:?}: {:?}", flags.warnings);
        assert!(!flags.leader_elect, "{line:?}");
    }
    let flags = parse("--zap-log-level --leader-elect").unwrap();
    assert!(flags.leader_elect, "a flag is never taken for the value of the one before");
    assert_eq!(flags.warnings, ["--zap-log-level has no effect here; use --log-level and --log-format"]);
}

#[test]
fn own_flags() {
    let flags = parse(
        "--namespace a,b --namespace=c --log-format json --log-level info,kube=debug --health-interval 500ms \
         --install-timeout=5m --leader-elect-namespace ops --api-concurrency 8",
    )
    .unwrap();
    assert_eq!(flags.namespaces, ["a", "b", "c"]);
    assert_eq!((flags.log_format, flags.log_level.as_deref()), (LogFormat::Json, Some("info,kube=debug")));
    assert_eq!((flags.health_interval, flags.install_timeout), (Duration::from_millis(500), Duration::from_secs(300)));
    assert_eq!((flags.lease_namespace().as_str(), flags.api_concurrency), ("ops", 8));
    assert_eq!(parse("--log-format json --log-format text").unwrap().log_format, LogFormat::Text, "the last one wins");
}

#[test]
fn the_vnode_provider_is_a_command_or_a_flag() {
    let alone = parse("vnode --discover-bases app=base --vnode-env=test -leader-elect").unwrap();
    assert_eq!((alone.role, alone.plays_vnode(), alone.vnode.vnode_env.as_str()), (Role::VNode, true, "test"));
    assert_eq!(alone.vnode.discover_bases.as_deref(), Some("app=base"));
    assert_eq!(alone.warnings, ["--leader-elect has no effect here; each VNode has a Lease of its own"]);
    let both = parse("--enable-vnode --tunnel-bind-address=:7777 --vnode-drain 0 --tunnel-trust anybody").unwrap();
    assert_eq!((both.role, both.plays_vnode(), both.vnode.vnode_drain), (Role::Operator, true, Duration::ZERO));
    assert_eq!((both.vnode.tunnel_bind_address, both.vnode.tunnel_trust), (on("", 7777), TunnelTrust::Anybody));
    assert!(!parse("--discover-bases app=base").unwrap().plays_vnode());
}

#[test]
fn an_mqtt_broker_is_a_way_to_find_bases() {
    let flags =
        parse("vnode --mqtt-broker mqtts://broker --mqtt-version 5 --mqtt-username u --mqtt-password-file f").unwrap();
    let broker = BrokerUrl { tls: true, host: "broker".to_owned(), port: 8883 };
    assert_eq!((flags.vnode.mqtt_broker, flags.vnode.mqtt_version), (Some(broker), MqttVersion::V5));
    assert_eq!(flags.warnings, [""; 0]);
    let plain = parse("vnode --mqtt-broker mqtt://broker").unwrap();
    assert!(plain.warnings[0].contains("not encrypted"), "{:?}", plain.warnings);
}

#[test]
fn wrong_command_lines_get_one_sentence_and_code_2() {
    for (line, want) in [
        (
            "--metrics-bind-address 8080",
            "--metrics-bind-address can't be \"8080\"; write :8080, 127.0.0.1:8080, or 0 to switch it off",
        ),
        ("--leader-elect=maybe", "--leader-elect can't be \"maybe\"; write true or false"),
        ("--leader-elect true", "the argument \"true\" is not expected; write values as --flag=value, or remove it"),
        (
            "--health-interval 10",
            "--health-interval can't be \"10\"; write a duration with a unit, such as 10s, 500ms, 5m or 1m30s",
        ),
        ("-install-timeout 0s", "--install-timeout can't be \"0s\"; write a duration longer than zero, such as 10s"),
        ("--log-format xml", "--log-format can't be \"xml\"; use text or json"),
        (
            "--log-level loud",
            "--log-level can't be \"loud\"; write off, error, warn, info, debug, trace, or directives such as info,kube=debug",
        ),
        (
            "--namespace a,B",
            "--namespace can't be \"B\"; write the name of a namespace: lower-case letters, digits and dashes",
        ),
        ("--api-concurrency 0", "--api-concurrency can't be \"0\"; write a number from 1 to 1000"),
        ("--kubeconfig", "--kubeconfig needs a value; write --kubeconfig=..."),
        ("--leader-elct", "--leader-elct is not a flag of this program; did you mean --leader-elect?"),
        (
            "vnode",
            "the VNode provider finds no bases; give --discover-bases=<label selector>, or --tunnel-bind-address=:7777 or --mqtt-broker=mqtts://... for bases that announce themselves",
        ),
        (
            "--mqtt-broker broker:1883",
            "--mqtt-broker can't be \"broker:1883\"; write mqtts://host or mqtts://host:8883, or mqtt:// without TLS",
        ),
        ("--mqtt-broker mqtts://b --mqtt-version 4", "--mqtt-version can't be \"4\"; use 3.1.1 or 5"),
        ("--mqtt-ca-file f", "--mqtt-ca-file has no effect without --mqtt-broker; give both"),
        ("--mqtt-broker mqtt://b --mqtt-ca-file f", "--mqtt-ca-file is for TLS; write --mqtt-broker=mqtts://b:1883"),
        (
            "--mqtt-broker mqtts://b --mqtt-client-key-file f",
            "--mqtt-client-cert-file and --mqtt-client-key-file belong together; give both",
        ),
        ("--mqtt-broker mqtts://b --mqtt-password-file f", "--mqtt-password-file needs --mqtt-username; give both"),
        ("--vnode-env=A", "--vnode-env can't be \"A\"; write lower-case letters, digits, dashes and dots, at most 63"),
        ("--qqq=1", "--qqq is not a flag of this program; remove it, or see --help for those it has"),
    ] {
        let exit = parse(line).unwrap_err();
        assert_eq!((exit.message.as_str(), exit.code), (want, 2), "{line:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for line in ["--help", "-help", "-h", "--version", "-version"] {
        let exit = parse(line).unwrap_err();
        assert_eq!(exit.code, 0, "{line:?}: {}", exit.message);
    }
    assert!(parse("--help").unwrap_err().message.contains("--health-probe-bind-address"));
}

#[test]
fn lease_namespace_table() {
    for (flag, env, file, want) in [
        (Some("a"), Some("b"), Some("c"), "a"),
        (None, Some("b"), Some("c"), "b"),
        (None, Some(""), Some("c\n"), "c"),
        (None, None, Some("  "), "default"),
        (None, None, None, "default"),
    ] {
        assert_eq!(resolve_namespace(flag, env, file), want);
    }
}

#[test]
fn a_dry_run_is_the_operators() {
    let flags = parse("--dry-run -o json --ignore-v1").unwrap();
    assert!(flags.dry_run && flags.ignore_v1 && flags.output == Output::Json);
    assert!(!parse("--dry-run=false").unwrap().dry_run);
    let refused = parse("vnode --dry-run --discover-bases=app=base").unwrap_err();
    assert_eq!(
        (refused.code, refused.message.contains("--dry-run is the operator's")),
        (2, true),
        "{}",
        refused.message
    );
}
