//! What bases say over MQTT: `{publishTimestamp, data}`, where `data` is another thing on each topic.
//!
//! A message that is older than [`OLD_MS`] is none: a broker may keep one for days. Must not: trust a number or a length
//! that a message tells.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::topics::{Order, Word};
use crate::{
    arklet::wire::{Biz, BizState, Reply, for_people},
    vnode::tunnel::wire::{BaseMetadata, Heartbeat},
};

/// A message counts for so long after it was published (milliseconds); the contract's time.
pub const OLD_MS: i64 = 10_000;

/// Why a message has no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It isn't what its topic says.
    #[error("it can't be read: {0}")]
    Unreadable(String),
    /// It is too old, or the base's clock is slow.
    #[error("it is {} s old: the broker kept it back, or the base's clock is behind; set that clock", .0 / 1000)]
    Old(i64),
}

/// A message that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When the base says that it published it (milliseconds by its own clock).
    pub published: i64,
    /// What it says.
    pub said: Said,
}

/// What a base says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is there.
    Heart(Box<Heartbeat>),
    /// It asks for its baseline.
    QueryBaseline(BaseMetadata),
    /// It answers.
    Answer(About, Answer),
    /// It has installed a baseline, or failed to: then with the reason.
    BatchInstalled(Result<(), String>),
}

/// The question that an answer is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct About {
    /// What the base was told to do.
    pub order: Order,
    /// Name and version of the biz, for an operation.
    pub biz: Option<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The agent's own reply, as over HTTP.
    Reply(Vec<u8>),
    /// A list of biz.
    List(Vec<Biz>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    publish_timestamp: i64,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation<'a> {
    command: String,
    biz_name: String,
    biz_version: String,
    #[serde(borrow)]
    response: &'a RawValue,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    response: &'a RawValue,
}

#[derive(Deserialize)]
struct SimpleBiz {
    name: String,
    version: String,
    #[serde(default)]
    state: Option<String>,
}

/// Reads what arrived at `now` (milliseconds by the wall clock).
pub fn read(word: Word, payload: &[u8], now: i64) -> Result<Message, Unfit> {
    let envelope: Envelope<'_> = parse(payload)?;
    let age = now.saturating_sub(envelope.publish_timestamp);
    if age >= OLD_MS {
        return Err(Unfit::Old(age));
    }
    let data = envelope.data.get().as_bytes();
    let reply = |order| Said::Answer(About { order, biz: None }, Answer::Reply(data.to_vec()));
    let said = match word {
        Word::Heart => Said::Heart(owned(data)?),
        Word::QueryBaseline => Said::QueryBaseline(owned(data)?),
        Word::Health => reply(Order::Health),
        Word::Biz => reply(Order::QueryAllBiz),
        Word::SimpleBiz => {
            let list: Vec<SimpleBiz> = owned(data)?;
            let about = About { order: Order::QueryAllBiz, biz: None };
            Said::Answer(about, Answer::List(list.into_iter().map(Biz::from).collect()))
        }
        Word::BizOperation => operation(data)?,
        Word::BatchInstall => Said::BatchInstalled(batch(data)?),
    };
    Ok(Message { published: envelope.publish_timestamp, said })
}

fn operation(data: &[u8]) -> Result<Said, Unfit> {
    let Operation { command, biz_name, biz_version, response } = parse(data)?;
    let order = [Order::InstallBiz, Order::UninstallBiz].into_iter().find(|order| order.word() == command);
    let order = order.ok_or_else(|| Unfit::Unreadable(format!("unknown operation {}", for_people(&command))))?;
    let about = About { order, biz: Some((biz_name, biz_version)) };
    Ok(Said::Answer(about, Answer::Reply(response.get().as_bytes().to_vec())))
}

fn batch(data: &[u8]) -> Result<Result<(), String>, Unfit> {
    let batch: Batch<'_> = parse(data)?;
    let reply = Reply::parse(batch.response.get().as_bytes()).map_err(unreadable)?;
    Ok(match reply.code() {
        crate::arklet::wire::Code::Success => Ok(()),
        _ => Err(reply.cause()),
    })
}

impl From<SimpleBiz> for Biz {
    fn from(simple: SimpleBiz) -> Self {
        let word = simple.state.unwrap_or_default();
        // Some bases number the states.
        let state = match word.as_str() {
            "1" | "2" => BizState::Resolved,
            "3" => BizState::Activated,
            "4" => BizState::Deactivated,
            "5" => BizState::Broken,
            word => BizState::from(word),
        };
        Self { name: simple.name, version: simple.version, state, web_context_path: None }
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unfit> {
    serde_json::from_slice(bytes).map_err(unreadable)
}

fn owned<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unfit> {
    serde_json::from_slice(bytes).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Unfit {
    Unfit::Unreadable(for_people(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn said(word: Word, data: serde_json::Value) -> Result<Said, Unfit> {
        let payload = json!({ "publishTimestamp": NOW, "data": data }).to_string();
        read(word, payload.as_bytes(), NOW).map(|message| message.said)
    }

    #[test]
    fn a_message_counts_for_ten_seconds() {
        for (published, want) in [
            (NOW, None),
            (NOW - 9_999, None),
            (NOW - 10_000, Some(Unfit::Old(10_000))),
            (0, Some(Unfit::Old(NOW))),
            (i64::MIN, Some(Unfit::Old(i64::MAX))),
            // A base whose clock is ahead is none the less there.
            (NOW + 60_000, None),
            (i64::MAX, None),
        ] {
            let payload = json!({ "publishTimestamp": published, "data": {} }).to_string();
            let result = read(Word::Heart, payload.as_bytes(), NOW);
            assert_eq!(result.clone().err(), want, "{published}");
            assert_eq!(result.ok().map(|message| message.published), want.is_none().then_some(published));
        }
    }

    #[test]
    fn what_is_no_envelope_has_no_effect() {
        for payload in ["", "{}", "[]", "null", "hello", r#"{"publishTimestamp":1}"#, r#"{"data":{}}"#, "\u{0}"] {
            for word in Word::ALL {
                assert!(matches!(read(word, payload.as_bytes(), NOW), Err(Unfit::Unreadable(_))), "{payload:?}");
            }
        }
        assert!(read(Word::Heart, &[0xff, 0xfe], NOW).is_err());
    }

    #[test]
    fn a_heartbeat_and_the_wish_for_a_baseline_are_those_of_http() {
        let base = json!({ "identity": "a", "name": "base", "version": "1.0.0", "clusterName": "default" });
        let beat = json!({ "baseMetadata": base, "localIP": "10.0.0.7", "localHostName": "h", "port": 1238, "state": "ACTIVATED" });
        let Ok(Said::Heart(beat)) = said(Word::Heart, beat) else { panic!("a heartbeat") };
        assert_eq!((beat.local_ip.as_str(), beat.base_metadata.name.as_str()), ("10.0.0.7", "base"));
        let Ok(Said::QueryBaseline(asked)) = said(Word::QueryBaseline, base) else { panic!("a question") };
        assert_eq!(asked.identity, "a");
        assert!(said(Word::Heart, json!("hello")).is_err());
        assert!(said(Word::Heart, json!({ "port": 70_000 })).is_err());
    }

    #[test]
    fn answers_to_questions_are_replies_or_lists() {
        let reply = json!({ "code": "SUCCESS", "data": {} });
        for (word, order) in [(Word::Health, Order::Health), (Word::Biz, Order::QueryAllBiz)] {
            let answer = Answer::Reply(reply.to_string().into_bytes());
            assert_eq!(said(word, reply.clone()), Ok(Said::Answer(About { order, biz: None }, answer)));
        }
        let list = json!([
            { "name": "a", "version": "1", "state": "ACTIVATED", "latestStateRecord": {} },
            { "name": "b", "version": "2", "state": "deactivated", "latestStateRecord": null },
            { "name": "c", "version": "3", "state": "3" },
            { "name": "d", "version": "4", "state": null },
        ]);
        let Ok(Said::Answer(_, Answer::List(list))) = said(Word::SimpleBiz, list) else { panic!("a list") };
        let states: Vec<BizState> = list.into_iter().map(|biz| biz.state).collect();
        let unknown = BizState::Other(String::new());
        assert_eq!(states, [BizState::Activated, BizState::Deactivated, BizState::Activated, unknown]);
        for half in [json!([{ "name": "a" }]), json!({}), json!(null), json!([1])] {
            assert!(said(Word::SimpleBiz, half.clone()).is_err(), "{half}: half a list is no list");
        }
    }

    #[test]
    fn numbered_states_are_those_of_the_agent() {
        for (word, state) in [
            ("1", BizState::Resolved),
            ("2", BizState::Resolved),
            ("3", BizState::Activated),
            ("4", BizState::Deactivated),
            ("5", BizState::Broken),
            ("6", BizState::Other("6".into())),
            ("BROKEN", BizState::Broken),
        ] {
            let simple = SimpleBiz { name: "a".into(), version: "1".into(), state: Some(word.into()) };
            assert_eq!(Biz::from(simple).state, state, "{word}");
        }
    }

    #[test]
    fn the_end_of_an_operation_names_the_biz() {
        let end = |command: &str| json!({ "command": command, "bizName": "a", "bizVersion": "1", "response": { "code": "FAILED" } });
        for (command, order) in [("installBiz", Order::InstallBiz), ("uninstallBiz", Order::UninstallBiz)] {
            let about = About { order, biz: Some(("a".to_owned(), "1".to_owned())) };
            let answer = Answer::Reply(br#"{"code":"FAILED"}"#.to_vec());
            assert_eq!(said(Word::BizOperation, end(command)), Ok(Said::Answer(about, answer)));
        }
        assert!(said(Word::BizOperation, end("switchBiz")).is_err());
        assert!(said(Word::BizOperation, json!({ "command": "installBiz", "response": {} })).is_err());
    }

    #[test]
    fn the_end_of_a_baseline_is_told() {
        let end = |code: &str| json!({ "command": "batchInstallBiz", "response": { "code": code, "message": "why" } });
        assert_eq!(said(Word::BatchInstall, end("SUCCESS")), Ok(Said::BatchInstalled(Ok(()))));
        assert_eq!(said(Word::BatchInstall, end("FAILED")), Ok(Said::BatchInstalled(Err("why".to_owned()))));
        assert!(said(Word::BatchInstall, json!({})).is_err());
    }
}
