//! What is said to Arklet and what it says back, as types.
//!
//! Agents of several versions answer with fields that come and go, with state names in either case and with values nobody
//! asked for (serialised class loaders, empty objects as records), so parsing takes what it needs and skips the rest
//! without building it in memory. What it needs and cannot read is an error: a list that is only half understood must not
//! pass for a confirmed one.
//!
//! Must not: know HTTP, Kubernetes, or what to do about an answer.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Longest text taken from an agent into an error for people, in characters. It ends up in object statuses.
pub const MAX_CAUSE_CHARS: usize = 512;

/// How far a biz has come inside its base.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BizState {
    /// Starting.
    Resolved,
    /// Serving.
    Activated,
    /// Started, but another version of the name serves.
    Deactivated,
    /// Start or stop failed.
    Broken,
    /// Uninstalled.
    Stopped,
    /// A word this client doesn't know, as the agent wrote it.
    Other(String),
}

impl From<&str> for BizState {
    fn from(word: &str) -> Self {
        match word.trim().to_ascii_uppercase().as_str() {
            "RESOLVED" => Self::Resolved,
            "ACTIVATED" => Self::Activated,
            "DEACTIVATED" => Self::Deactivated,
            "BROKEN" => Self::Broken,
            "STOPPED" => Self::Stopped,
            _ => Self::Other(for_people(word)),
        }
    }
}

/// One biz of a base, as the agent reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Biz {
    /// `bizName`.
    pub name: String,
    /// `bizVersion`.
    pub version: String,
    /// `bizState`.
    pub state: BizState,
    /// `webContextPath`, where the biz has one.
    pub web_context_path: Option<String>,
}

/// The body of `installBiz`, `uninstallBiz` and `switchBiz`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BizRequest<'a> {
    /// The biz meant.
    pub biz_name: &'a str,
    /// Its version.
    pub biz_version: &'a str,
    /// Where the base finds the jar; for installs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biz_url: Option<&'a str>,
}

/// The body of a command without parameters: an empty object.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NoParameters {}

/// The verdict on a command as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Success,
    /// Refused or failed; [`OperationData::code`] says more.
    Failed,
    /// This agent has no such command.
    NotFound,
    /// The command threw; the trace has the cause.
    InternalError,
    /// A word this client doesn't know.
    Other(String),
}

impl From<&str> for Code {
    fn from(word: &str) -> Self {
        match word {
            "SUCCESS" => Self::Success,
            "FAILED" => Self::Failed,
            "CMD_NOT_FOUND" => Self::NotFound,
            "CMD_PROCESS_INTERNAL_ERROR" => Self::InternalError,
            other => Self::Other(for_people(other)),
        }
    }
}

/// An answer to any command. `data` stays text until the verdict says which shape to expect.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply<'a> {
    code: String,
    #[serde(default, deserialize_with = "text")]
    message: String,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "text")]
    error_stack_trace: String,
}

impl<'a> Reply<'a> {
    /// Reads an answer; a truncated one fails here, because its JSON doesn't end.
    pub fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// The outer verdict.
    pub fn code(&self) -> Code {
        Code::from(self.code.as_str())
    }

    /// The outer message, empty if there is none.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The list that `queryAllBiz` gives. One entry without name or version makes the whole list unreadable.
    pub fn biz_list(&self) -> Result<Vec<Biz>, serde_json::Error> {
        let entries: Vec<BizEntry> = serde_json::from_str(self.data.map_or("null", RawValue::get))?;
        Ok(entries.into_iter().map(Biz::from).collect())
    }

    /// What an operation says about itself; all of it empty if `data` has another shape.
    pub fn operation(&self) -> OperationData {
        let raw: RawOperation = self.data.and_then(|data| serde_json::from_str(data.get()).ok()).unwrap_or_default();
        let infos: Vec<BizEntry> =
            raw.biz_infos.and_then(|infos| serde_json::from_str(infos.get()).ok()).unwrap_or_default();
        OperationData { code: raw.code, message: raw.message, infos: infos.into_iter().map(Biz::from).collect() }
    }

    /// The metaspace of the JVM, where the agent tells it.
    pub fn metaspace(&self) -> Option<Metaspace> {
        let data: HealthReply = serde_json::from_str(self.data?.get()).ok()?;
        let jvm = data.health_data?.jvm?;
        let bytes = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<i64>(raw.get()).ok());
        Some(Metaspace {
            max: bytes(jvm.max).and_then(|max| u64::try_from(max).ok()).filter(|max| *max > 0),
            committed: u64::try_from(bytes(jvm.committed)?).ok()?,
            used: u64::try_from(bytes(jvm.used)?).ok()?,
        })
    }

    /// Name and version of the base's own software, where the agent tells it.
    pub fn base(&self) -> Option<(String, String)> {
        let data: HealthReply = serde_json::from_str(self.data?.get()).ok()?;
        let base: BizEntry = serde_json::from_str(data.health_data?.master_biz_info?.get()).ok()?;
        Some((base.biz_name, base.biz_version))
    }

    /// Why a command failed, for people: the sentence on a clash of web contexts if there is one, else the root cause of
    /// the trace, else the best message at hand. Never empty.
    pub fn cause(&self) -> String {
        let inner = self.operation();
        let trace = self.error_stack_trace.as_str();
        let candidates = [
            trace.lines().find(|line| is_web_context_clash(line)).map(|line| for_people(from_clash(line))),
            root_cause(trace),
            trace.lines().find(|line| !line.trim().is_empty()).map(for_people),
            Some(for_people(&inner.message)),
            Some(for_people(&self.message)),
            Some(for_people(&inner.code)),
        ];
        let found = candidates.into_iter().flatten().find(|cause| !cause.is_empty());
        found.unwrap_or_else(|| format!("the agent said {} and nothing else", for_people(&self.code)))
    }
}

/// `data` of an install, uninstall or switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationData {
    /// The inner code, such as `REPEAT_BIZ`; empty if none was given.
    pub code: String,
    /// The inner message; empty if none was given.
    pub message: String,
    /// What an install put there.
    pub infos: Vec<Biz>,
}

/// The part of a JVM's memory that modules fill and never give back, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metaspace {
    /// The limit; `None` without one (the agent says -1).
    pub max: Option<u64>,
    /// Taken from the system.
    pub committed: u64,
    /// In use.
    pub used: u64,
}

impl Metaspace {
    /// Whether less than this share of the limit is free; never without a limit.
    pub fn has_less_free_than(&self, percent: u8) -> bool {
        self.max.is_some_and(|max| {
            let free = u128::from(max.saturating_sub(self.committed));
            free * 100 < u128::from(max) * u128::from(percent)
        })
    }
}

/// The last `Caused by:` of a Java stack trace, without that prefix, at most [`MAX_CAUSE_CHARS`] long.
pub fn root_cause(error_stack_trace: &str) -> Option<String> {
    let line = error_stack_trace.lines().rev().find_map(|line| line.trim_start().strip_prefix("Caused by:"))?;
    Some(for_people(line)).filter(|cause| !cause.is_empty())
}

/// Whether an install failed because another version holds the same web context path: it will fail until that one is gone.
pub fn is_web_context_clash(cause: &str) -> bool {
    clash_position(cause).is_some()
}

/// Where `Child name [/path] is not unique` begins.
fn clash_position(text: &str) -> Option<usize> {
    let start = text.find("Child name [")?;
    text[start..].contains("] is not unique").then_some(start)
}

/// The line from the exception's name on, or from the sentence itself where what precedes it would crowd it out.
fn from_clash(line: &str) -> &str {
    let line = line.trim_start().trim_start_matches("Caused by:");
    match clash_position(line) {
        Some(start) if start > MAX_CAUSE_CHARS / 4 => &line[start..],
        _ => line,
    }
}

/// One line of bounded length, without control characters.
pub(crate) fn for_people(text: &str) -> String {
    let text = text.trim();
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().nth(MAX_CAUSE_CHARS).is_none() {
        return text.chars().map(clean).collect();
    }
    text.chars().take(MAX_CAUSE_CHARS - 1).map(clean).chain(std::iter::once('…')).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BizEntry {
    biz_name: String,
    biz_version: String,
    #[serde(default, deserialize_with = "text")]
    biz_state: String,
    #[serde(default, deserialize_with = "text")]
    web_context_path: String,
}

impl From<BizEntry> for Biz {
    fn from(entry: BizEntry) -> Self {
        Self {
            state: BizState::from(entry.biz_state.as_str()),
            name: entry.biz_name,
            version: entry.biz_version,
            web_context_path: Some(entry.web_context_path).filter(|path| !path.is_empty()),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawOperation<'a> {
    #[serde(default, deserialize_with = "text")]
    code: String,
    #[serde(default, deserialize_with = "text")]
    message: String,
    #[serde(default, borrow)]
    biz_infos: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthReply<'a> {
    #[serde(default, borrow)]
    health_data: Option<HealthData<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthData<'a> {
    #[serde(default, borrow)]
    jvm: Option<Jvm<'a>>,
    #[serde(default, borrow)]
    master_biz_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Jvm<'a> {
    #[serde(default, borrow, rename = "java max metaspace")]
    max: Option<&'a RawValue>,
    #[serde(default, borrow, rename = "java committed metaspace")]
    committed: Option<&'a RawValue>,
    #[serde(default, borrow, rename = "java used metaspace")]
    used: Option<&'a RawValue>,
}

/// A string, or the empty one for anything else.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(json: &str) -> Reply<'_> {
        Reply::parse(json.as_bytes()).expect("a reply")
    }

    #[test]
    fn states_are_read_in_either_case() {
        for (word, state) in [
            ("ACTIVATED", BizState::Activated),
            ("activated", BizState::Activated),
            ("Deactivated", BizState::Deactivated),
            ("resolved", BizState::Resolved),
            ("BROKEN", BizState::Broken),
            ("stopped ", BizState::Stopped),
            ("unloading", BizState::Other("unloading".into())),
            ("", BizState::Other(String::new())),
        ] {
            assert_eq!(BizState::from(word), state, "{word}");
        }
    }

    #[test]
    fn a_list_keeps_what_is_known_and_skips_the_rest() {
        let list = reply(
            r#"{"code":"SUCCESS","new":{"x":[1]},"baseIdentity":7,"data":[
                {"bizName":"a","bizVersion":"1","bizState":"activated","webContextPath":"/a","bizStateRecords":[{},{}],"mainClass":null},
                {"bizName":"b","bizVersion":"2","bizState":null,"webContextPath":{"odd":1},"bizStateRecords":"none","classLoader":{"parent":{}}}]}"#,
        )
        .biz_list()
        .expect("a list");
        assert_eq!(
            list,
            [
                Biz {
                    name: "a".into(),
                    version: "1".into(),
                    state: BizState::Activated,
                    web_context_path: Some("/a".into())
                },
                Biz {
                    name: "b".into(),
                    version: "2".into(),
                    state: BizState::Other(String::new()),
                    web_context_path: None
                },
            ]
        );
    }

    #[test]
    fn a_list_that_is_not_understood_is_no_list() {
        for data in ["", r#","data":null"#, r#","data":{}"#, r#","data":[{"bizName":"a"}]"#, r#","data":[1]"#] {
            assert!(reply(&format!(r#"{{"code":"SUCCESS"{data}}}"#)).biz_list().is_err(), "{data}");
        }
    }

    #[test]
    fn a_reply_without_a_code_is_no_reply() {
        for body in ["", "{}", "[]", r#"{"code":null}"#, r#"{"code":"SUCCESS","data":[{"bizNa"#, "<html>"] {
            assert!(Reply::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn odd_data_of_an_operation_is_empty() {
        for data in ["null", "7", "[]", r#""text""#, r#"{"code":7,"message":{},"bizInfos":"many"}"#] {
            let body = format!(r#"{{"code":"FAILED","message":["x"],"data":{data}}}"#);
            assert_eq!(reply(&body).operation(), OperationData::default(), "{data}");
        }
    }

    #[test]
    fn the_last_cause_counts() {
        let trace = "java.lang.RuntimeException: outer\n\tat a.B.c(B.java:1)\nCaused by: x.Y: middle\n\tat z\n  Caused by: java.io.IOException: no such jar\n\t... 3 more";
        assert_eq!(root_cause(trace).as_deref(), Some("java.io.IOException: no such jar"));
        assert_eq!(root_cause("java.lang.RuntimeException: alone\n\tat a.B.c(B.java:1)"), None);
        assert_eq!(root_cause("Caused by:   "), None);
        assert_eq!(root_cause(""), None);
    }

    #[test]
    fn a_cause_is_bounded_and_is_one_line() {
        let cause = root_cause(&format!("Caused by: é\u{7}{}", "ü".repeat(4000))).expect("a cause");
        assert_eq!(cause.chars().count(), MAX_CAUSE_CHARS);
        assert!(cause.starts_with("é ü") && cause.ends_with('…'));
    }

    #[test]
    fn a_clash_of_web_contexts_is_kept_whatever_stands_around_it() {
        let sentence = "Child name [/hello] is not unique";
        for trace in [
            format!("a.B: x\nCaused by: java.lang.IllegalArgumentException: {sentence}\n\tat c"),
            format!(
                "a.B: x\nCaused by: java.lang.IllegalArgumentException: {sentence}\n\tat c\nCaused by: d.E: deeper"
            ),
            format!("a.B: {} {sentence}\n\tat c", "x".repeat(3000)),
        ] {
            let body = serde_json::json!({"code": "CMD_PROCESS_INTERNAL_ERROR", "errorStackTrace": trace}).to_string();
            let cause = reply(&body).cause();
            assert!(is_web_context_clash(&cause), "{cause}");
        }
        assert!(!is_web_context_clash("Child name [/hello] is fine"));
        assert!(!is_web_context_clash("] is not unique, Child name ["));
    }

    #[test]
    fn a_cause_is_never_empty() {
        for (body, cause) in [
            (r#"{"code":"FAILED"}"#, "the agent said FAILED and nothing else"),
            (r#"{"code":"FAILED","message":"outer"}"#, "outer"),
            (r#"{"code":"FAILED","message":"outer","data":{"message":"inner"}}"#, "inner"),
            (r#"{"code":"FAILED","data":{"code":"ILLEGAL_STATE_BIZ"}}"#, "ILLEGAL_STATE_BIZ"),
            (
                r#"{"code":"FAILED","message":"outer","errorStackTrace":"\njava.lang.Error: top\n\tat x"}"#,
                "java.lang.Error: top",
            ),
        ] {
            assert_eq!(reply(body).cause(), cause, "{body}");
        }
    }

    #[test]
    fn a_metaspace_is_tight_below_its_share_and_never_without_a_limit() {
        let tight = |max, committed, percent| Metaspace { max, committed, used: 0 }.has_less_free_than(percent);
        for (max, committed, percent, want) in [
            (Some(100), 95, 5, false),
            (Some(100), 96, 5, true),
            (Some(100), 120, 1, true),
            (Some(100), 100, 0, false),
            (Some(u64::MAX), 0, 100, false),
            (None, 1 << 40, 100, false),
        ] {
            assert_eq!(tight(max, committed, percent), want, "{committed} of {max:?}, {percent} %");
        }
    }

    #[test]
    fn metaspace_is_read_where_it_is_told() {
        let told = |jvm: &str| {
            let body = format!(r#"{{"code":"SUCCESS","data":{{"healthData":{{"jvm":{jvm},"cpu":{{}}}}}}}}"#);
            reply(&body).metaspace()
        };
        let known = |max| Some(Metaspace { max, committed: 48_955_392, used: 48_000_000 });
        let rest = r#""java committed metaspace":48955392,"java used metaspace":48000000"#;
        assert_eq!(told(&format!(r#"{{"java max metaspace":134217728,{rest}}}"#)), known(Some(134_217_728)));
        assert_eq!(told(&format!(r#"{{"java max metaspace":-1,{rest}}}"#)), known(None));
        assert_eq!(told(&format!(r#"{{{rest}}}"#)), known(None));
        assert_eq!(told(r#"{"max heap memory(M)":247}"#), None);
        assert_eq!(told(r#"{"java committed metaspace":"much","java used metaspace":1}"#), None);
        assert_eq!(reply(r#"{"code":"SUCCESS","data":[]}"#).metaspace(), None);
    }

    #[test]
    fn the_base_is_named_where_the_agent_tells_it() {
        let told = |base: &str| {
            let body = format!(r#"{{"code":"SUCCESS","data":{{"healthData":{{"masterBizInfo":{base}}}}}}}"#);
            reply(&body).base()
        };
        let named = r#"{"bizName":"base","bizVersion":"1.1.1","bizState":"ACTIVATED","webContextPath":"/"}"#;
        assert_eq!(told(named), Some(("base".to_owned(), "1.1.1".to_owned())));
        assert_eq!(told("null"), None);
        assert_eq!(told(r#"{"bizName":"base"}"#), None);
        assert_eq!(reply(r#"{"code":"SUCCESS","data":[]}"#).base(), None);
    }
}
