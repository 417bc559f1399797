//! What can go wrong, each in one or two sentences: what happened, and what to do next.

use std::fmt::{self, Display};

use kube::core::Status;

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
    #[error(transparent)]
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
    #[error("{}", explain(.what, .status))]
    Api {
        /// What was tried: "list ModuleDeployments".
        what: String,
        /// Its words.
        status: Box<Status>,
    },
    /// The API server didn't answer, or what it said can't be read.
    #[error("cannot {what}: {why}; see if `kubectl get --raw /readyz` answers, and check --context and KUBECONFIG")]
    Unreachable {
        /// What was tried.
        what: String,
        /// What happened.
        why: String,
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
            other => Self::Unreachable { what, why: chain(&other).trim_start_matches("ServiceError: ").to_owned() },
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

/// An error with its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// What the API server's refusal means to the user.
fn explain(what: &str, status: &Status) -> impl Display {
    let said = if status.message.is_empty() { &status.reason } else { &status.message };
    let next = match status.code {
        401 => "log in again, or choose another user with --user",
        403 => "ask for that right; docs/kubectl-module.md lists what each verb needs",
        404 if said.contains("could not find the requested resource") || said.contains("page not found") => {
            "the CRDs are not installed here: `kubectl apply -k config/default`, or choose another --context"
        }
        404 => "it may just have been deleted; try again",
        409 => "somebody else changed it meanwhile; try again",
        400 | 422 => "correct the value",
        429 | 503 => "the API server is busy; try again",
        500.. => "the API server is in trouble; try again, and see its log",
        _ => "see `kubectl describe`",
    };
    Sentence { what: what.to_owned(), said: said.to_owned(), next }
}

struct Sentence {
    what: String,
    said: String,
    next: &'static str,
}

impl Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}; {}", self.what, self.said.trim_end_matches('.'), self.next)
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
    fn an_error_says_what_to_do_next() {
        let forbidden =
            refused(403, "moduledeployments.koupleless.io is forbidden: User \"eve\" cannot list").to_string();
        assert!(forbidden.starts_with("cannot list ModuleDeployments: moduledeployments.koupleless.io is forbidden"));
        assert!(forbidden.ends_with("docs/kubectl-module.md lists what each verb needs"));
        let missing = refused(404, "404 page not found").to_string();
        assert!(missing.contains("the CRDs are not installed here"), "{missing}");
        assert!(refused(422, "spec.replicas: too small.").to_string().contains("too small; correct the value"));
        assert!(refused(400, "found '=', expected: ','").to_string().ends_with("correct the value"));
    }

    #[test]
    fn exit_codes_tell_wrong_usage_from_failure() {
        assert_eq!(Error::Usage("x".into()).exit_code(), 2);
        assert_eq!(refused(403, "no").exit_code(), 1);
        assert_eq!(Error::Refused("x".into()).exit_code(), 1);
    }
}
