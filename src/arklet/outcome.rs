//! What an answer means: from a parsed reply to the few outcomes that call for different next steps.
//!
//! The agent says most of it in prose and in codes nested in codes; nothing above this file should have to read those again.
//!
//! Must not: do IO, or claim more than the agent said. A success that doesn't name what was installed is no success.

use super::wire::{Biz, BizState, Code, Metaspace, Reply, for_people};

/// Part of the message with which an agent refuses a second operation on a name:version that is still being operated on.
const UNFINISHED: &str = "conflict, exist unfinished command";

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// No connection: the agent certainly didn't get it.
    NotSent(String),
    /// Sent, but no usable answer came back: it may have happened.
    Unknown(String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NotSent(why) | Self::Unknown(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for NoAnswer {}

/// What `health` tells that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Absent for agents that don't tell it.
    pub metaspace: Option<Metaspace>,
    /// Name and version of the base's own software; absent for agents that don't tell it.
    pub base: Option<(String, String)>,
}

/// The end of an install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstallOutcome {
    /// It is there, in this state.
    Installed(BizState),
    /// That name:version was there before; in which state only the list tells.
    AlreadyThere,
    /// Another operation on it is still running: later again.
    Conflict,
    /// It failed, for this reason. Look before going on: the base may have kept a broken biz.
    Rejected(String),
    /// The jar's own manifest says something else, and that is what was installed.
    WrongIdentity {
        /// Name and version of what the base installed instead.
        found: Vec<(String, String)>,
    },
    /// No verdict.
    NoAnswer(NoAnswer),
}

/// The end of an uninstall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UninstallOutcome {
    /// It isn't there, whether or not it was.
    Gone,
    /// Another operation on it is still running: later again.
    Conflict,
    /// An error. Look before going on: a biz without Spring is gone all the same.
    Failed(String),
    /// No verdict.
    NoAnswer(NoAnswer),
}

/// The end of a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchOutcome {
    /// This version serves now.
    Switched,
    /// It isn't there.
    NotFound,
    /// Another operation on it is still running: later again.
    Conflict,
    /// An error, for this reason.
    Failed(String),
    /// No verdict.
    NoAnswer(NoAnswer),
}

/// The three ends that all operations share.
enum Verdict {
    Success,
    Conflict,
    Inner(String, String),
    Unclear(String),
}

fn verdict(reply: &Reply<'_>) -> Verdict {
    let inner = reply.operation();
    let inner_fine = inner.code.is_empty() || inner.code == "SUCCESS";
    match reply.code() {
        Code::Success if inner_fine => Verdict::Success,
        _ if reply.message().contains(UNFINISHED) || inner.message.contains(UNFINISHED) => Verdict::Conflict,
        Code::Success | Code::Failed | Code::InternalError => Verdict::Inner(inner.code, reply.cause()),
        Code::NotFound => Verdict::Inner(inner.code, "the agent doesn't know this command".to_owned()),
        Code::Other(word) => Verdict::Unclear(format!("the agent answered with the unknown code {word}")),
    }
}

impl InstallOutcome {
    /// What the body of an answer says, however it came.
    pub(crate) fn of(body: Result<Vec<u8>, NoAnswer>, name: &str, version: &str) -> Self {
        let read = body.and_then(|body| Ok(Self::read(&parse(&body)?, name, version)));
        read.unwrap_or_else(Self::NoAnswer)
    }

    /// What `reply` says about installing `name:version`.
    pub(super) fn read(reply: &Reply<'_>, name: &str, version: &str) -> Self {
        match verdict(reply) {
            Verdict::Success => Self::installed(reply, name, version),
            Verdict::Conflict => Self::Conflict,
            Verdict::Inner(code, _) if code == "REPEAT_BIZ" => Self::repeated(reply, name, version),
            Verdict::Inner(_, cause) => Self::Rejected(cause),
            Verdict::Unclear(why) => Self::NoAnswer(NoAnswer::Unknown(why)),
        }
    }

    /// A repeat is about the manifest's identity too: `Biz: stranger:9.9.9 has been installed or registered.` Such a biz may
    /// be somebody else's, so it must not come out as something that this call installed.
    fn repeated(reply: &Reply<'_>, name: &str, version: &str) -> Self {
        let message = reply.operation().message;
        let named =
            message.strip_prefix("Biz: ").and_then(|rest| rest.split_once(" has been ")).map(|(named, _)| named);
        match named {
            Some(named) if named != format!("{name}:{version}") => {
                let named = for_people(named);
                Self::Rejected(format!("the jar's manifest says {named}, which is on this base already"))
            }
            _ => Self::AlreadyThere,
        }
    }

    /// The manifest of the jar wins over the request, so a success is read against what was asked.
    fn installed(reply: &Reply<'_>, name: &str, version: &str) -> Self {
        let infos = reply.operation().infos;
        if let Some(biz) = infos.iter().find(|biz| biz.name == name && biz.version == version) {
            return Self::Installed(biz.state.clone());
        }
        if infos.is_empty() {
            let why = "the agent reports a success but not what it installed";
            return Self::NoAnswer(NoAnswer::Unknown(why.to_owned()));
        }
        let found = infos.iter().map(|biz| (for_people(&biz.name), for_people(&biz.version))).collect();
        Self::WrongIdentity { found }
    }
}

impl UninstallOutcome {
    /// What the body of an answer says, however it came.
    pub(crate) fn of(body: Result<Vec<u8>, NoAnswer>) -> Self {
        let read = body.and_then(|body| Ok(Self::read(&parse(&body)?)));
        read.unwrap_or_else(Self::NoAnswer)
    }

    /// What `reply` says about an uninstall.
    pub(super) fn read(reply: &Reply<'_>) -> Self {
        match verdict(reply) {
            Verdict::Success => Self::Gone,
            Verdict::Conflict => Self::Conflict,
            Verdict::Inner(code, _) if code == "NOT_FOUND_BIZ" => Self::Gone,
            Verdict::Inner(_, cause) => Self::Failed(cause),
            Verdict::Unclear(why) => Self::NoAnswer(NoAnswer::Unknown(why)),
        }
    }
}

impl SwitchOutcome {
    /// What the body of an answer says, however it came.
    pub(crate) fn of(body: Result<Vec<u8>, NoAnswer>) -> Self {
        let read = body.and_then(|body| Ok(Self::read(&parse(&body)?)));
        read.unwrap_or_else(Self::NoAnswer)
    }

    /// What `reply` says about a switch.
    pub(super) fn read(reply: &Reply<'_>) -> Self {
        match verdict(reply) {
            Verdict::Success => Self::Switched,
            Verdict::Conflict => Self::Conflict,
            Verdict::Inner(code, _) if code == "NOT_FOUND_BIZ" => Self::NotFound,
            Verdict::Inner(_, cause) => Self::Failed(cause),
            Verdict::Unclear(why) => Self::NoAnswer(NoAnswer::Unknown(why)),
        }
    }
}

/// What the body of a list says.
pub(crate) fn list(body: &[u8]) -> Result<Vec<Biz>, NoAnswer> {
    let reply = successful(body)?;
    reply.biz_list().map_err(|error| NoAnswer::Unknown(format!("the list cannot be read: {error}")))
}

/// What the body of an answer to `health` says.
pub(crate) fn health(body: &[u8]) -> Result<Health, NoAnswer> {
    let reply = successful(body)?;
    Ok(Health { metaspace: reply.metaspace(), base: reply.base() })
}

fn parse(body: &[u8]) -> Result<Reply<'_>, NoAnswer> {
    Reply::parse(body).map_err(|error| match body.len() {
        0 => NoAnswer::Unknown("the agent's answer is empty".to_owned()),
        length => NoAnswer::Unknown(format!("the agent's answer of {length} bytes cannot be read: {error}")),
    })
}

/// A reply that says `SUCCESS`: for questions, everything else is no answer.
fn successful(body: &[u8]) -> Result<Reply<'_>, NoAnswer> {
    let reply = parse(body)?;
    match reply.code() {
        Code::Success => Ok(reply),
        _ => Err(NoAnswer::Unknown(format!("the agent could not tell: {}", reply.cause()))),
    }
}
