//! How a simulated base and a simulated jar behave, and in which ways an agent can be made to fail.

use std::time::Duration;

/// How an agent writes the states of a biz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// `ACTIVATED`, as runtime 2.1.3.
    #[default]
    Upper,
    /// `activated`, as runtime 2.1.6.
    Lower,
}

/// The memory that a base reports, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metaspace {
    /// The limit; -1 without one.
    pub max: i64,
    /// Taken from the system.
    pub committed: u64,
    /// In use.
    pub used: u64,
}

/// The settings of a base. The default is a fast base with the answers of runtime 2.1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseConfig {
    /// How states are written.
    pub style: Style,
    /// Whether a second version of a name becomes the active one (`-Dactivate.new.module=true`).
    pub activate_new: bool,
    /// How long a start takes, unless the jar says otherwise.
    pub install_delay: Duration,
    /// How long a stop takes.
    pub uninstall_delay: Duration,
    /// Whether a biz whose start failed is removed; else it stays as broken. Runtime 2.1.3 always removes it; 2.1.6 can be told
    /// not to with `-Dsofa.ark.auto.uninstall.when.failed.enable=false`.
    pub auto_uninstall_failed: bool,
    /// Whether the uninstall of a biz without Spring ends with an error, although the biz is gone.
    pub no_spring_uninstall_errors: bool,
    /// Whether `installStrategy` is understood (runtime 2.1.6).
    pub install_strategy: bool,
    /// Whether a connection that falls on the event loop of a running operation waits for its end, as in reality. One loop in
    /// four is taken by each.
    pub hang_every_fourth_during_install: bool,
    /// What `health` says of the metaspace; runtime 2.1.3 says nothing.
    pub metaspace: Option<Metaspace>,
    /// Whether `queryAllBiz` and `health` are logged beside the operations. They are counted in any case.
    pub log_questions: bool,
}

impl Default for BaseConfig {
    fn default() -> Self {
        Self {
            style: Style::Upper,
            activate_new: false,
            install_delay: Duration::ZERO,
            uninstall_delay: Duration::ZERO,
            auto_uninstall_failed: true,
            no_spring_uninstall_errors: true,
            install_strategy: false,
            hang_every_fourth_during_install: false,
            metaspace: None,
            log_questions: true,
        }
    }
}

impl BaseConfig {
    /// As a base with runtime 2.1.3 on two cores was measured.
    pub fn runtime_2_1_3() -> Self {
        Self {
            install_delay: Duration::from_millis(500),
            uninstall_delay: Duration::from_millis(20),
            hang_every_fourth_during_install: true,
            ..Self::default()
        }
    }

    /// As a base with runtime 2.1.6 right after its start.
    pub fn runtime_2_1_6() -> Self {
        let metaspace = Metaspace { max: -1, committed: 48_955_392, used: 48_000_000 };
        Self { style: Style::Lower, install_strategy: true, metaspace: Some(metaspace), ..Self::runtime_2_1_3() }
    }
}

/// How the start of a jar ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It starts.
    #[default]
    Starts,
    /// It throws while starting; this is the root cause.
    Fails(String),
    /// It can't be fetched or isn't a biz; this is the root cause.
    Unfetchable(String),
    /// The download never ends: nothing in the list, no reply. Over when the behaviour is set to something else.
    FetchHangs,
    /// The start never ends: resolved in the list, no reply. Over when the behaviour is set to something else.
    StartHangs,
}

/// What a jar is and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// How its start ends.
    pub end: End,
    /// How long its start takes; the base's `install_delay` if absent.
    pub delay: Option<Duration>,
    /// Name and version in its manifest, if they aren't those asked for.
    pub manifest: Option<(String, String)>,
    /// The web context path; two biz with the same one can't be on a base.
    pub context: Option<String>,
    /// Whether it uses Spring.
    pub spring: bool,
    /// Whether it vanishes from the list once started, and serves on for ever.
    pub ghost: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { end: End::Starts, delay: None, manifest: None, context: None, spring: true, ghost: false }
    }
}

impl Behaviour {
    /// A Spring module without a web context that starts.
    pub fn ok() -> Self {
        Self::default()
    }

    /// One whose start throws.
    pub fn fails(cause: &str) -> Self {
        Self { end: End::Fails(cause.to_owned()), ..Self::default() }
    }

    /// One that can't be fetched.
    pub fn unfetchable(cause: &str) -> Self {
        Self { end: End::Unfetchable(cause.to_owned()), ..Self::default() }
    }

    /// One whose download never ends.
    pub fn fetch_hangs() -> Self {
        Self { end: End::FetchHangs, ..Self::default() }
    }

    /// One whose start never ends.
    pub fn start_hangs() -> Self {
        Self { end: End::StartHangs, ..Self::default() }
    }

    /// With a start that takes this long.
    pub fn slow(self, delay: Duration) -> Self {
        Self { delay: Some(delay), ..self }
    }

    /// With another identity in the manifest.
    pub fn manifest(self, name: &str, version: &str) -> Self {
        Self { manifest: Some((name.to_owned(), version.to_owned())), ..self }
    }

    /// With a web context.
    pub fn context(self, path: &str) -> Self {
        Self { context: Some(path.to_owned()), ..self }
    }

    /// Not a Spring application.
    pub fn without_spring(self) -> Self {
        Self { spring: false, ..self }
    }

    /// In no list once it has started.
    pub fn ghost(self) -> Self {
        Self { ghost: true, ..self }
    }
}

/// A way for an agent to fail.
///
/// A refused connection is none of them: all bases share a listener. Use a port without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset as soon as it is accepted.
    Reset,
    /// The command is taken, not carried out and never answered.
    Hang,
    /// The command is carried out, but never answered.
    HangAfter,
    /// The command is carried out, but the connection closes without a byte.
    CloseAfter,
    /// The command is carried out, but its answer ends in the middle.
    Truncated,
    /// The command is carried out after this time.
    Delay(Duration),
    /// The agent answers that the command threw this, and carries nothing out.
    Throws(String),
    /// An error page with status 500 instead.
    Status500,
    /// 200 with a body that isn't JSON instead.
    Garbage,
    /// A redirect to this URL instead.
    Redirect(String),
    /// 200 and a body of 1 GiB instead.
    Huge,
}
