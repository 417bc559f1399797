//! Answers as one line of text, so that they can be written down and compared.
//!
//! Masked is what differs from run to run: times, costs, the repository's path. Sorted is what has no order: the list.

use std::fmt::Debug;

use module_controller::arklet::client::NoAnswer;
use module_controller::arklet::wire::Biz;
use serde_json::Value;

/// The agent's codes and messages, and what the client made of them.
pub fn answer(heard: &[u8], outcome: &impl Debug) -> String {
    format!("{} => {outcome:?}", said(heard))
}

/// A list: each biz as the agent wrote it, and whether the client read the same.
pub fn list(heard: &[u8], read: Result<Vec<Biz>, NoAnswer>) -> String {
    let read = match read {
        Ok(read) => read,
        Err(no_answer) => return answer(heard, &no_answer),
    };
    let Some((_, body)) = split(heard) else {
        return "no answer".to_owned();
    };
    let reply: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut told: Vec<_> = reply["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|biz| {
            let identity = format!("{}:{}", text(&biz["bizName"]), text(&biz["bizVersion"]));
            let records = biz["bizStateRecords"].as_array().map_or(0, Vec::len);
            format!("{identity} {} {} after {records}", text(&biz["bizState"]), text(&biz["webContextPath"]))
        })
        .collect();
    told.sort();
    let mut read: Vec<_> = read.iter().map(|biz| format!("{}:{} {:?}", biz.name, biz.version, biz.state)).collect();
    read.sort();
    format!("{} [{}] => [{}]", said(heard), told.join(", "), read.join(", "))
}

/// An answer to something that the client doesn't send, and whether the connection is open after it.
pub fn raw((heard, open): &(Vec<u8>, bool)) -> String {
    let what = if heard.is_empty() { "nothing".to_owned() } else { said(heard) };
    if *open { format!("{what}, connection open") } else { what }
}

/// `outer code "message" / inner code "message"`; an answer framed in another way shows its head first.
fn said(heard: &[u8]) -> String {
    let Some((head, body)) = split(heard) else {
        return if heard.is_empty() { "nothing".to_owned() } else { "no head".to_owned() };
    };
    let framing = if head == "HTTP/1.1 200 OK" { String::new() } else { format!("{head:?} ") };
    let Ok(reply) = serde_json::from_slice::<Value>(body) else {
        return format!("{framing}{:?}", String::from_utf8_lossy(body));
    };
    let pair = |value: &Value| {
        let code = value["code"].as_str()?;
        let message = value["message"].as_str().map(|message| format!(" {:?}", masked(message)));
        Some(format!("{code}{}", message.unwrap_or_default()))
    };
    let outer = pair(&reply).unwrap_or_else(|| "no code".to_owned());
    let inner = pair(&reply["data"]).map(|inner| format!(" / {inner}")).unwrap_or_default();
    format!("{framing}{outer}{inner}")
}

fn split(heard: &[u8]) -> Option<(String, &[u8])> {
    let end = heard.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&heard[..end]).into_owned(), &heard[end + 4..]))
}

/// Without how long it took and when it began.
fn masked(message: &str) -> &str {
    message.split_once(", cost:").map_or(message, |(start, _)| start)
}
