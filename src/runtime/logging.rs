//! Log lines to standard error, for people or for machines.
//!
//! A bare level is meant for this program: libraries stay at `warn` unless a directive names them, because
//! the client and the connection layer write a line a request at `debug`. Must not: be set up twice, or be
//! used by anything that runs before it (the flags carry their warnings along instead).

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::flags::LogFormat;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// RUST_LOG can't be read (the flag was checked when it was parsed).
    #[error("RUST_LOG can't be {text:?}; write a level such as info, or directives such as info,kube=debug: {source}")]
    Filter {
        /// What it says.
        text: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging had been set up before.
    #[error("logging is already set up")]
    Twice,
}

/// Sets up logging for the process: the level of the flag, else of `RUST_LOG`, else `info`.
pub fn init(format: LogFormat, level: Option<&str>) -> Result<(), Error> {
    let env = std::env::var("RUST_LOG").ok();
    let text = directives(level, env.as_deref());
    let filter = EnvFilter::try_new(&text).map_err(|source| Error::Filter { text, source })?;
    let colour = std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(subscriber(format, filter, colour, std::io::stderr))
        .map_err(|_| Error::Twice)
}

fn directives(flag: Option<&str>, env: Option<&str>) -> String {
    let given = [flag, env].into_iter().flatten().map(str::trim).find(|text| !text.is_empty()).unwrap_or("info");
    match given.to_ascii_lowercase().as_str() {
        level @ ("info" | "debug" | "trace") => format!("warn,module_controller={level}"),
        _ => given.to_owned(),
    }
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, colour: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => Box::new(builder.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, work: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = EnvFilter::try_new(directives(Some(level), None)).unwrap();
        tracing::subscriber::with_default(subscriber(format, filter, false, move || writer.clone()), work);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn directives_table() {
        for (flag, env, want) in [
            (None, None, "warn,module_controller=info"),
            (None, Some("debug"), "warn,module_controller=debug"),
            (None, Some("debug,hyper=off"), "debug,hyper=off"),
            (Some("trace"), Some("error"), "warn,module_controller=trace"),
            (Some("error"), None, "error"),
            (Some("info,kube=debug"), Some("x"), "info,kube=debug"),
            (None, Some(""), "warn,module_controller=info"),
        ] {
            assert_eq!(directives(flag, env), want, "{flag:?} {env:?}");
        }
    }

    #[test]
    fn text_lines_hold_level_message_and_fields() {
        let out = logged(LogFormat::Text, "info", || {
            tracing::info!(module = "a/b", "installed");
            tracing::debug!("not this");
            tracing::info!(target: "hyper", "nor this");
            tracing::warn!(target: "hyper", "but this");
        });
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines.len(), 2, "{out}");
        assert!(lines[0].contains("INFO") && lines[0].contains("installed module=\"a/b\""), "{out}");
        assert!(lines[1].contains("WARN") && lines[1].contains("but this"), "{out}");
        assert!(!out.contains('\u{1b}'), "no colour codes: {out}");
    }

    #[test]
    fn json_lines_are_flat_objects() {
        let out = logged(LogFormat::Json, "debug", || {
            let _span = tracing::info_span!("reconcile", object = "ns/x").entered();
            tracing::debug!(attempt = 2, "again");
        });
        let line: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!((&line["level"], &line["message"], &line["attempt"]), (&"DEBUG".into(), &"again".into(), &2.into()));
        assert_eq!(line["span"]["object"], "ns/x");
        assert!(line["timestamp"].is_string() && line["target"].is_string());
    }
}
