//! Go's command line conventions, turned into ours before clap looks.
//!
//! Go's `flag` package takes one dash as two, and V1's logger brought its own flags. Must not: interpret
//! the value of any flag that this program has.

use std::ffi::OsString;

/// Flags of V1's logger that take no value of their own: `--zap-devel` or `--zap-devel=false`.
const ZAP_BOOLEANS: [&str; 1] = ["zap-devel"];

/// A command line that clap can read.
pub(super) struct Normal {
    pub(super) args: Vec<OsString>,
    pub(super) warnings: Vec<String>,
}

/// Doubles the dash of known long flags and takes out `--zap-*` together with their values.
pub(super) fn normalise(args: impl IntoIterator<Item = OsString>, known: &[String]) -> Normal {
    let mut normal = Normal { args: Vec::new(), warnings: Vec::new() };
    let mut args = args.into_iter().peekable();
    normal.args.extend(args.next());
    while let Some(arg) = args.next() {
        if arg == "--" {
            normal.args.push(arg);
            normal.args.extend(args);
            break;
        }
        let Some((dashes, name, has_value)) = arg.to_str().and_then(split_flag) else {
            normal.args.push(arg);
            continue;
        };
        if name.starts_with("zap-") {
            normal.warnings.push(format!("--{name} has no effect here; use --log-level and --log-format"));
            let valueless = has_value || ZAP_BOOLEANS.contains(&name);
            if !valueless {
                args.next_if(|next| !next.to_string_lossy().starts_with('-'));
            }
        } else if dashes == 1 && known.iter().any(|k| k == name) {
            let mut doubled = OsString::from("-");
            doubled.push(&arg);
            normal.args.push(doubled);
        } else {
            normal.args.push(arg);
        }
    }
    normal
}

/// `-name`, `--name`, `-name=value` or `--name=value`: how many dashes, the name, whether a value is attached.
fn split_flag(arg: &str) -> Option<(usize, &str, bool)> {
    let (dashes, rest) = match arg.strip_prefix("--") {
        Some(rest) => (2, rest),
        None => (1, arg.strip_prefix('-')?),
    };
    let (name, has_value) = match rest.split_once('=') {
        Some((name, _)) => (name, true),
        None => (rest, false),
    };
    (!name.is_empty()).then_some((dashes, name, has_value))
}
