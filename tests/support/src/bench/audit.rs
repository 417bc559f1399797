//! The audit log of the API server: what one user asked it to do.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use super::{Result, variable};

/// The log as far as it is about one user, read up to a point.
pub struct Audit {
    user: &'static str,
    file: PathBuf,
    offset: u64,
}

/// One answered request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `create`, `update`, `patch`, `delete`, `get` and so on.
    pub verb: String,
    /// Resource, with its subresource.
    pub resource: String,
    /// The API server answered with an error.
    pub refused: bool,
    /// When it was answered, `2025-01-01T00:00:00.000000Z`.
    pub at: String,
}

impl Request {
    /// Whether it was meant to change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    subresource: Option<String>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl Audit {
    /// The log of this rig, from its present end on, as far as it is about `user`.
    pub fn open(user: &'static str) -> Result<Self> {
        let file = PathBuf::from(variable("RIG_STATE")?).join("audit.log");
        if !file.exists() {
            return Err("the rig writes no audit log; start it with --audit".into());
        }
        let mut audit = Self { user, file, offset: 0 };
        audit.skip()?;
        Ok(audit)
    }

    /// Passes over what is there.
    pub fn skip(&mut self) -> Result<()> {
        self.offset = std::fs::metadata(&self.file)?.len();
        Ok(())
    }

    /// The requests that were answered since the last look.
    pub fn news(&mut self) -> Result<Vec<Request>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A line that is being written is read the next time.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        let name = format!("\"username\":\"{}\"", self.user);
        let ours = text[..whole].lines().filter(|line| line.contains(&name));
        ours.filter_map(|line| serde_json::from_str(line).map(|line| request(line, self.user)).transpose())
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| format!("a line of the audit log cannot be read: {error}").into())
    }
}

fn request(line: Line, user: &str) -> Option<Request> {
    let object = line.object_ref?;
    if line.stage != "ResponseComplete" || line.user.username != user {
        return None;
    }
    let resource = match object.subresource {
        Some(subresource) => format!("{}/{subresource}", object.resource),
        None => object.resource,
    };
    Some(Request {
        verb: line.verb,
        resource,
        refused: line.response_status.is_some_and(|status| status.code >= 400),
        at: line.stage_timestamp,
    })
}

/// Requests by verb and resource.
pub type Tally = BTreeMap<String, u64>;

/// Counts requests by verb and resource.
pub fn tally<'a>(requests: impl Iterator<Item = &'a Request>) -> Tally {
    let mut tally = Tally::new();
    for request in requests {
        *tally.entry(format!("{} {}", request.verb, request.resource)).or_default() += 1;
    }
    tally
}

/// Counts requests by tenth of a second and kind.
pub fn timeline<'a>(requests: impl Iterator<Item = &'a Request>) -> BTreeMap<String, Tally> {
    let mut timeline: BTreeMap<String, Tally> = BTreeMap::new();
    for request in requests {
        let tenth = request.at.get(11..21).unwrap_or_default().to_owned();
        let kind = format!("{} {}", request.verb, request.resource);
        *timeline.entry(tenth).or_default().entry(kind).or_default() += 1;
    }
    timeline
}
