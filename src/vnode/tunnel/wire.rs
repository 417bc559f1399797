//! What bases announce and what they are told, as the Go V2 has it.
//!
//! Unknown fields are skipped, missing ones are empty: bases of several versions announce themselves.

use serde::{Deserialize, Serialize};

/// Who a base says that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BaseMetadata {
    /// Some versions tell the host's address here, or another word each time.
    #[serde(deserialize_with = "text")]
    pub identity: String,
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Its version.
    #[serde(deserialize_with = "text")]
    pub version: String,
    /// The cluster that it counts itself to.
    #[serde(deserialize_with = "text")]
    pub cluster_name: String,
}

/// The body of `/heartbeat`, which a base sends every 10 to 12 s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// Who it is.
    pub base_metadata: BaseMetadata,
    /// Its address.
    #[serde(rename = "localIP", deserialize_with = "text")]
    pub local_ip: String,
    /// Its host name.
    #[serde(deserialize_with = "text")]
    pub local_host_name: String,
    /// The port of its agent.
    pub port: Option<u16>,
    /// `ACTIVATED` while it takes modules.
    #[serde(deserialize_with = "text")]
    pub state: String,
}

/// A module that a base should have: an entry of the answer to `/queryBaseline`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaselineBiz {
    /// `bizName`.
    pub biz_name: String,
    /// `bizVersion`.
    pub biz_version: String,
    /// Where the base fetches it.
    pub biz_url: String,
}

/// Null is the empty text.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_read_as_a_base_sends_it() {
        let beat: Heartbeat = serde_json::from_str(
            r#"{"baseMetadata":{"clusterName":"default","identity":"10.0.0.7","name":"base","version":"1.0.0"},
                "localHostName":"base-0","localIP":"10.0.0.7","port":1238,"state":"ACTIVATED","more":{}}"#,
        )
        .unwrap();
        assert_eq!(
            (beat.base_metadata.identity.as_str(), beat.base_metadata.cluster_name.as_str()),
            ("10.0.0.7", "default")
        );
        assert_eq!((beat.local_ip.as_str(), beat.port, beat.state.as_str()), ("10.0.0.7", Some(1238), "ACTIVATED"));
        let bare: Heartbeat = serde_json::from_str(r#"{"baseMetadata":{"identity":"a","name":null}}"#).unwrap();
        assert_eq!((bare.base_metadata.name.as_str(), bare.port), ("", None));
    }

    #[test]
    fn a_baseline_is_written_as_a_base_reads_it() {
        let biz = BaselineBiz { biz_name: "a".into(), biz_version: "1".into(), biz_url: "file:///a.jar".into() };
        let text = serde_json::to_string(&[biz]).unwrap();
        assert_eq!(text, r#"[{"bizName":"a","bizVersion":"1","bizUrl":"file:///a.jar"}]"#);
    }
}
