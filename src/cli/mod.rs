//! `kubectl module`: what people at a terminal, and scripts, do with ModuleDeployments.
//!
//! A client of the API server like any other: it reads the objects that the operator writes and changes what a user may
//! change. It talks to the same types ([`crate::api`]) and means the same by them ([`crate::domain`]), and knows nothing of
//! controllers, sessions and virtual nodes: a check in `tests/architecture.rs` refuses them here.
//!
//! ```text
//! args --> verbs (thin: read, ask, write, print) --> view:   objects and the time -> what is shown
//!              |                                     change: an object and a wish -> patch, nothing to do, or refusal
//!          cluster (the API)                         output: what is shown -> text, JSON, YAML
//! ```
//!
//! `view`, `change` and `output` are pure, and hold all decisions; so are `validate`, `create`, `migrate`, `bundle` and
//! `complete`, the cores of the verbs of those names, and `diagnosis` and `hint`: what is said where something goes wrong, and what
//! to do then. Exit codes: 0 done, 1 failed, 2 wrong usage.

pub mod args;
pub mod bundle;
pub mod change;
pub mod cluster;
pub mod complete;
pub mod create;
pub mod diagnosis;
pub mod error;
pub mod hint;
pub mod manifest;
pub mod migrate;
pub mod output;
pub mod validate;
pub mod verbs;
pub mod view;

use std::io::Write;

use args::{Cli, Verb};
use error::Error;
use hint::Chosen;
use output::Tone;

/// Runs one command and gives its exit code. What it prints goes to standard output, what went wrong to standard error.
pub async fn run(cli: Cli) -> u8 {
    let global = &cli.global;
    let done = match &cli.verb {
        Verb::Get(args) => verbs::get::run(global, args).await,
        Verb::Status(args) => verbs::status::run(global, args).await,
        Verb::History(args) => verbs::history::run(global, args).await,
        Verb::Diff(args) => verbs::history::diff(global, args).await,
        Verb::Bases(args) => verbs::bases::run(global, args).await,
        Verb::LogsWhy(args) => verbs::logs_why::run(global, args).await,
        Verb::Confirm(args) => verbs::confirm::run(global, args).await,
        Verb::Pause(args) => verbs::pause::pause(global, args).await,
        Verb::Resume(args) => verbs::pause::resume(global, args).await,
        Verb::Abort(args) => verbs::abort::run(global, args).await,
        Verb::Undo(args) => verbs::undo::run(global, args).await,
        Verb::SetVersion(args) => verbs::set_version::run(global, args).await,
        Verb::Scale(args) => verbs::scale::run(global, args).await,
        Verb::Restart(args) => verbs::pause::restart(global, args).await,
        Verb::Retry(args) => verbs::pause::retry(global, args).await,
        Verb::Validate(args) => verbs::validate::run(args),
        Verb::Create(args) => verbs::create::run(global, args),
        Verb::Migrate(args) => verbs::migrate::run(global, args).await,
        Verb::SupportBundle(args) => verbs::support_bundle::run(global, args).await,
        Verb::Completion(args) => verbs::completion::run(args),
        Verb::Complete(args) => verbs::completion::answer(args).await,
    };
    match done {
        Ok(()) => 0,
        // Who closed the pipe, as `head` does, has seen enough.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(mut error) => {
            let code = error.exit_code();
            if let Error::Unreachable { server, .. } = &mut error {
                *server = cluster::server(global).await;
            }
            let error = Chosen::of(global).repeat(&error.to_string(), None);
            // Where nobody hears of it, the exit code says it still.
            let _ = writeln!(std::io::stderr(), "{} {error}", verbs::look_of_errors().paint(Tone::Bad, "error:"));
            code
        }
    }
}
