//! What can go wrong, each in one or two sentences: what happened, and what to do next.

use kube::core::Status;

use super::diagnosis::{chain, refusal, setup, silence};

/// Exit code of what failed.
pub const FAILED: u8 = 1;
/// Exit code of a command that makes no sense.
pub const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options make no sense together, or a value is none.
    #[error("{0}")]
    Usage(String),
    /// There is no client.
    #[error("{}", setup(&chain(.0)))]
    Client(#[from] crate::runtime::client::Error),
    /// It can't be done as things stand; the sentence says why and what to do.
    #[error("{0}")]
    Refused(String),
    /// The object doesn't exist.
    #[error("there is no {kind} {name:?} in namespace {namespace:?}; {hint}")]
    NotFound {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// What to do.
        hint: String,
    },
    /// The API server refused.
    #[error("{}", refusal(.what, .status))]
    Api {
        /// What was tried: "list ModuleDeployments".
        what: String,
        /// Its words.
        status: Box<Status>,
    },
    /// The API server didn't answer, or what it said can't be read.
    #[error("{}", silence(.what, .why, .server.as_deref()))]
    Unreachable {
        /// What was tried.
        what: String,
        /// What happened.
        why: String,
        /// The server's address, where it is known.
        server: Option<String>,
    },
    /// Others changed the object again and again.
    #[error("{0} was changed by others while this command tried to change it; try again")]
    Conflict(String),
    /// It didn't happen in time.
    #[error("{0}")]
    Timeout(String),
    /// Nothing can be printed.
    #[error("cannot print: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            _ => FAILED,
        }
    }

    /// The API server's answer to `what` ("list ModuleDeployments"), or that there was none.
    pub fn of(what: impl Into<String>, error: kube::Error) -> Self {
        let what = what.into();
        match error {
            kube::Error::Api(status) => Self::Api { what, status },
            // What kube calls its own layer tells nobody anything.
            other => {
                let why = chain(&other).trim_start_matches("ServiceError: ").to_owned();
                Self::Unreachable { what, why, server: None }
            }
        }
    }

    /// The HTTP status, where the API server gave one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { status, .. } => Some(status.code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> Error {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        Error::of("list ModuleDeployments", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn exit_codes_tell_wrong_usage_from_failure() {
        assert_eq!(Error::Usage("x".into()).exit_code(), 2);
        assert_eq!(refused(403, "no").exit_code(), 1);
        assert_eq!(Error::Refused("x".into()).exit_code(), 1);
    }
}
