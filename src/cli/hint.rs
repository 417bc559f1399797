//! Commands that a sentence suggests, made so that they work as they are copied: they name the cluster and the namespace in the
//! way in which this command was told them.
//!
//! A suggested command stands between backticks and begins with `kubectl`. What it needs is decided by its words, and what it
//! has already isn't added again.

use super::args::Global;

/// How the cluster and the namespace were chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Options that choose a cluster or a user, with their values.
    options: Vec<(&'static str, String)>,
    /// The namespace, where one was given.
    namespace: Option<String>,
    /// All namespaces are looked at, so that each object's own has to be named.
    everywhere: bool,
}

/// What a suggested command asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// No cluster.
    Nobody,
    /// The kubeconfig.
    Kubeconfig,
    /// A cluster, for what is in no namespace.
    Cluster,
    /// A namespace.
    Namespace,
}

impl Chosen {
    /// By these options. A token isn't among them: it would be seen.
    pub fn of(global: &Global) -> Self {
        let text = |value: &Option<String>| value.clone();
        let file = global.kubeconfig.as_ref().map(|file| file.display().to_string());
        let single = [
            ("--kubeconfig", file),
            ("--context", text(&global.context)),
            ("--cluster", text(&global.cluster)),
            ("--user", text(&global.user)),
            ("--as", text(&global.impersonate)),
        ];
        let single = single.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let groups = global.impersonate_group.iter().map(|group| ("--as-group", group.clone()));
        Self { options: single.chain(groups).collect(), namespace: global.namespace.clone(), everywhere: false }
    }

    /// The same, while all namespaces are looked at.
    pub fn everywhere(&self, everywhere: bool) -> Self {
        Self { everywhere, ..self.clone() }
    }

    /// The text with its commands completed; `of` is the namespace of the object that it is about.
    pub fn repeat(&self, text: &str, of: Option<&str>) -> String {
        let parts: Vec<&str> = text.split('`').collect();
        let is_quoted = |at: usize| at % 2 == 1 && at + 1 < parts.len();
        let shown: Vec<String> = parts
            .iter()
            .enumerate()
            .map(|(at, part)| if is_quoted(at) { self.command(part, of) } else { (*part).to_owned() })
            .collect();
        shown.join("`")
    }

    fn command(&self, command: &str, of: Option<&str>) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let has = |name: &str| words.iter().any(|word| *word == name || word.strip_prefix(name) == Some("="));
        let asks = asks(&words);
        let mut text = command.to_owned();
        let namespace = self.namespace.as_deref().or(of.filter(|_| self.everywhere));
        if let Some(namespace) = namespace.filter(|_| asks == Asks::Namespace && !has("-n") && !has("-A")) {
            text.push_str(&format!(" -n {}", quoted(namespace)));
        }
        for (name, value) in &self.options {
            let wanted = match asks {
                Asks::Nobody => false,
                Asks::Kubeconfig => *name == "--kubeconfig",
                Asks::Cluster | Asks::Namespace => true,
            };
            let option = format!("{name} {}", quoted(value));
            // Groups may be several.
            if wanted && !command.contains(&option) {
                text.push_str(&format!(" {option}"));
            }
        }
        text
    }
}

fn asks(words: &[&str]) -> Asks {
    match words {
        ["kubectl", "module", "validate" | "create" | "completion", ..] => Asks::Nobody,
        ["kubectl", "config", ..] => Asks::Kubeconfig,
        ["kubectl", "apply" | "cluster-info" | "api-resources", ..] => Asks::Cluster,
        ["kubectl", "get", "nodes" | "node" | "crd" | "--raw", ..] => Asks::Cluster,
        ["kubectl", _, ..] => Asks::Namespace,
        _ => Asks::Nobody,
    }
}

/// As a shell takes it for one word.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,~".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::args::Cli;

    fn chosen(line: &str) -> Chosen {
        let words = ["kubectl-module", "get"].into_iter().chain(line.split_whitespace());
        Chosen::of(&Cli::try_parse_from(words).expect("a command line").global)
    }

    #[test]
    fn a_command_says_what_this_one_was_told() {
        let prod = "--kubeconfig k.yaml --context arn:aws:eks:x/prod --as eve --as-group a --as-group b";
        let (cluster, short) =
            (" --kubeconfig k.yaml --context arn:aws:eks:x/prod --as eve --as-group a --as-group b", " -n shop");
        for (options, of, text, expected) in [
            ("", None, "`kubectl module get`", "`kubectl module get`".to_owned()),
            ("", Some("shop"), "`kubectl logs x`", "`kubectl logs x`".to_owned()),
            ("-n shop", None, "see `kubectl module get hello`: x", format!("see `kubectl module get hello{short}`: x")),
            ("-n shop", None, "`kubectl get pods -A`", "`kubectl get pods -A`".to_owned()),
            (
                "-n shop",
                None,
                "`kubectl get nodes` and `kubectl logs a`",
                format!("`kubectl get nodes` and `kubectl logs a{short}`"),
            ),
            ("-n shop", None, "`kubectl scale deployment a -n b`", "`kubectl scale deployment a -n b`".to_owned()),
            (prod, None, "`kubectl get nodes`", format!("`kubectl get nodes{cluster}`")),
            (
                prod,
                None,
                "`kubectl config get-contexts`",
                "`kubectl config get-contexts --kubeconfig k.yaml`".to_owned(),
            ),
            (prod, None, "`kubectl module validate -f x`", "`kubectl module validate -f x`".to_owned()),
            (prod, None, "an unknown field `kubectl` or `a b`", "an unknown field `kubectl` or `a b`".to_owned()),
            ("--context x", None, "`kubectl logs a", "`kubectl logs a".to_owned()),
        ] {
            assert_eq!(chosen(options).repeat(text, of), expected, "{options}: {text}");
        }
        let all = chosen("").everywhere(true);
        assert_eq!(all.repeat("`kubectl module get a`", Some("team")), "`kubectl module get a -n team`");
        let odd = Chosen { options: vec![("--context", "it's here".to_owned())], ..Chosen::default() };
        assert_eq!(odd.repeat("`kubectl logs a`", None), r"`kubectl logs a --context 'it'\''s here'`");
    }

    proptest! {
        #[test]
        fn saying_it_twice_adds_nothing(
            namespace in "[a-z]{1,5}",
            context in "[a-z' ]{1,6}",
            command in "kubectl (module|logs|get|config|scale)( [a-z]{1,4}){0,3}",
        ) {
            let given = Global { namespace: Some(namespace), context: Some(context), ..Global::default() };
            let chosen = Chosen::of(&given);
            let once = chosen.repeat(&format!("do `{command}` now"), None);
            prop_assert_eq!(chosen.repeat(&once, None), once);
        }
    }

    /// Every command of this tool that its sources suggest.
    fn suggested() -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("hint.rs") {
                    let text = std::fs::read_to_string(path).expect("a source");
                    let code =
                        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
                    let quoted =
                        code.split('`').filter(|part| part.starts_with("kubectl module ") && !part.contains('\n'));
                    found.extend(quoted.map(str::to_owned));
                }
            }
        }
        found
    }

    #[test]
    fn every_suggested_command_is_one() {
        let all = suggested();
        assert!(all.len() > 20, "{all:?}");
        for command in all {
            let line = command.replace(['{', '}'], "");
            let words = line.split_whitespace().skip(1);
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{command}: {}", parsed.map(|_| ()).unwrap_err());
        }
    }
}
