//! Standard output, and what it may look like.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::cli::{
    error::Error,
    output::{self, Look},
};

/// Standard output of this process.
pub struct Stdout {
    /// What it may look like.
    pub look: Look,
    /// Whether it is a terminal that can be drawn on.
    pub terminal: bool,
}

impl Stdout {
    /// Looks at what there is.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self { look: Look::of(terminal, is_plain(), width), terminal: terminal && !is_dumb() }
    }

    /// Prints text as it is.
    pub fn print(&self, text: &str) -> Result<(), Error> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Prints a document as JSON.
    pub fn print_json<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        self.print(&output::json(value).map_err(std::io::Error::other)?)
    }

    /// Prints a document as YAML.
    pub fn print_yaml<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        self.print(&output::yaml(value).map_err(std::io::Error::other)?)
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Self::new()
    }
}

/// What standard error may look like; its lines may have any length.
pub fn look_of_errors() -> Look {
    Look::of(std::io::stderr().is_terminal(), is_plain(), None)
}

/// Whether nobody wants colours, or the terminal has none.
fn is_plain() -> bool {
    is_dumb() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether the terminal, if there is one, prints text and nothing else, as those of editors and of serial lines.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Says something beside the output, which scripts don't read.
pub fn remark(text: &str) {
    // Nothing depends on it.
    let _ = writeln!(std::io::stderr(), "{text}");
}
