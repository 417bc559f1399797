//! Parsers for single values. Each error is the half of a sentence that says what to write instead.

use std::fmt;
use std::time::Duration;

use crate::api::Delivery;
use tracing_subscriber::EnvFilter;

/// Upper limit of `--api-concurrency`: each write under way is a connection of its own.
const MAX_CONCURRENCY: usize = 1_000;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// Nowhere.
    Off,
    /// At a host (all addresses if empty) and a port (a free one if 0).
    At {
        /// Host name or address without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("0"),
            Self::At { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::At { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// As controller-runtime reads it: `host:port`, `:port`, `[v6]:port`; `0` or nothing switches it off.
pub(super) fn address(text: &str) -> Result<BindAddress, String> {
    if matches!(text, "" | "0") {
        return Ok(BindAddress::Off);
    }
    let advice = || "write :8080, 127.0.0.1:8080, or 0 to switch it off".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(advice)?;
    let port = port.parse().map_err(|_| advice())?;
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6,
        None if host.contains([':', '[', ']', '/', ' ']) => return Err(advice()),
        None => host,
    };
    Ok(BindAddress::At { host: host.to_owned(), port })
}

/// Where an MQTT broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Host name or address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// `mqtts://host`, `mqtt://host:port`; the ports are those that are registered for MQTT.
pub(super) fn broker(text: &str) -> Result<BrokerUrl, String> {
    let advice = || "write mqtts://host or mqtts://host:8883, or mqtt:// without TLS".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(advice)?;
    let (tls, standard) = match scheme {
        "mqtts" => (true, 8883),
        "mqtt" => (false, 1883),
        _ => return Err(advice()),
    };
    if rest.contains('@') {
        return Err("give the user with --mqtt-username and --mqtt-password-file".to_owned());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or_else(advice)?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")).ok_or_else(advice)?)
        }
        None => rest.split_once(':').unwrap_or((rest, "")),
    };
    let port = if port.is_empty() { Ok(standard) } else { port.parse().map_err(|_| advice()) }?;
    if host.is_empty() || port == 0 || host.contains(['/', ' ', '[', ']', '?', '#']) {
        return Err(advice());
    }
    Ok(BrokerUrl { tls, host: host.to_owned(), port })
}

/// The spellings that Go's `strconv.ParseBool` takes.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// A DNS label, as the API server demands for namespaces.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok =
        (1..=63).contains(&text.len()) && text.chars().all(legal) && !text.starts_with('-') && !text.ends_with('-');
    if ok {
        Ok(text.to_owned())
    } else {
        Err("write the name of a namespace: lower-case letters, digits and dashes".to_owned())
    }
}

/// A label value that may stand in a node's name too.
pub(super) fn label_value(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let ok = text.len() <= 63 && text.chars().all(legal) && edge(text.chars().next()) && edge(text.chars().last());
    let ok = ok && !text.contains("..") && !text.contains(".-") && !text.contains("-.");
    if ok {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits, dashes and dots, at most 63".to_owned())
    }
}

/// A level, or directives of [`EnvFilter`]. A lone word that isn't a level would be taken for a module's
/// name and silence the log, so it is refused.
pub(super) fn log_level(text: &str) -> Result<String, String> {
    let advice = || "write off, error, warn, info, debug, trace, or directives such as info,kube=debug".to_owned();
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let lone = !text.contains(['=', ',', '[']);
    if lone {
        let lower = text.to_ascii_lowercase();
        return if levels.contains(&lower.as_str()) { Ok(lower) } else { Err(advice()) };
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| advice())
}

/// A positive duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        Some(_) => Err("write a duration longer than zero, such as 10s".to_owned()),
        None => Err("write a duration with a unit, such as 10s, 500ms, 5m or 1m30s".to_owned()),
    }
}

/// A duration; `0` is none.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).ok_or_else(|| "write a duration with a unit, such as 10s or 500ms, or 0".to_owned())
}

/// Go's notation: numbers with units ms, s, m or h, in any number of parts; fractions are allowed.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let unit_seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit_seconds).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    // A year: beyond that it is a typing error, and deadlines computed from it would overflow.
    (!text.is_empty() && total <= Duration::from_secs(365 * 86_400)).then_some(total)
}

/// 1 to [`MAX_CONCURRENCY`].
pub(super) fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MAX_CONCURRENCY).contains(&n) => Ok(n),
        _ => Err(format!("write a number from 1 to {MAX_CONCURRENCY}")),
    }
}

/// The words of `spec.delivery`.
pub(super) fn delivery(text: &str) -> Result<Delivery, String> {
    match text {
        "Arklet" => Ok(Delivery::Arklet),
        "VirtualPod" => Ok(Delivery::VirtualPod),
        _ => Err("write Arklet or VirtualPod".to_owned()),
    }
}

/// A percentage: 0 to 100.
pub(super) fn percentage(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    number.parse().ok().filter(|percent| *percent <= 100).ok_or_else(|| "write a percentage from 0 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Option<BindAddress> {
        Some(BindAddress::At { host: host.to_owned(), port })
    }

    #[test]
    fn address_table() {
        for (text, want) in [
            (":8080", at("", 8080)),
            ("127.0.0.1:8080", at("127.0.0.1", 8080)),
            ("localhost:0", at("localhost", 0)),
            ("[::1]:8082", at("::1", 8082)),
            ("0", Some(BindAddress::Off)),
            ("", Some(BindAddress::Off)),
            ("8080", None),
            (":70000", None),
            (":http", None),
            ("::1:8080", None),
            ("http://x:80", None),
            ("[::1:80", None),
        ] {
            assert_eq!(address(text).ok(), want, "{text:?}");
            if let Some(address @ BindAddress::At { .. }) = want {
                assert_eq!(address.to_string(), text);
            }
        }
    }

    #[test]
    fn broker_table() {
        let at = |tls, host: &str, port| Some(BrokerUrl { tls, host: host.to_owned(), port });
        for (text, want) in [
            ("mqtts://broker", at(true, "broker", 8883)),
            ("mqtts://broker:1234", at(true, "broker", 1234)),
            ("mqtt://broker", at(false, "broker", 1883)),
            ("mqtt://10.0.0.1:1883/", at(false, "10.0.0.1", 1883)),
            ("mqtts://[::1]", at(true, "::1", 8883)),
            ("mqtts://[::1]:1234", at(true, "::1", 1234)),
            ("broker:8883", None),
            ("tcp://broker", None),
            ("mqtts://", None),
            ("mqtts://broker:0", None),
            ("mqtts://broker:many", None),
            ("mqtts://user:word@broker", None),
            ("mqtts://broker/path", None),
            ("mqtts://[::1", None),
            ("mqtts://[::1]1", None),
        ] {
            assert_eq!(broker(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn duration_table() {
        let ms = |n| Some(Duration::from_millis(n));
        for (text, want) in [
            ("10s", ms(10_000)),
            ("500ms", ms(500)),
            ("5m", ms(300_000)),
            ("1m30s", ms(90_000)),
            ("1.5h", ms(5_400_000)),
            ("0s", None),
            ("", None),
            ("10", None),
            ("s", None),
            ("10 s", None),
            ("-5s", None),
            ("1.2.3s", None),
            (".s", None),
            ("10d", None),
            ("9999999h", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn boolean_namespace_level_and_concurrency_tables() {
        for (text, want) in [
            ("true", Some(true)),
            ("1", Some(true)),
            ("F", Some(false)),
            ("False", Some(false)),
            ("yes", None),
            ("", None),
        ] {
            assert_eq!(boolean(text).ok(), want, "{text:?}");
        }
        for (text, ok) in
            [("default", true), ("a-1", true), ("", false), ("-a", false), ("a-", false), ("A", false), ("a.b", false)]
        {
            assert_eq!(namespace(text).is_ok(), ok, "{text:?}");
        }
        for (text, ok) in
            [("dev", true), ("a.b-1", true), ("", false), ("-a", false), ("a.", false), ("A", false), ("a..b", false)]
        {
            assert_eq!(label_value(text).is_ok(), ok, "{text:?}");
        }
        for (text, want) in [("0", Some(0)), ("0s", Some(0)), ("500ms", Some(500)), ("5", None)] {
            assert_eq!(duration_or_zero(text).ok(), want.map(Duration::from_millis), "{text:?}");
        }
        assert!(namespace(&"a".repeat(63)).is_ok() && namespace(&"a".repeat(64)).is_err());
        for (text, want) in [
            ("DEBUG", Some("debug")),
            ("off", Some("off")),
            ("info,kube=debug", Some("info,kube=debug")),
            ("loud", None),
            ("info,kube=loud", None),
            ("", None),
        ] {
            assert_eq!(log_level(text).ok().as_deref(), want, "{text:?}");
        }
        for (text, want) in
            [("1", Some(1)), ("1000", Some(1000)), ("0", None), ("1001", None), ("-1", None), ("many", None)]
        {
            assert_eq!(concurrency(text).ok(), want, "{text:?}");
        }
    }
}
