//! Completion as `kubectl` asks its plugins for it: the words behind `kubectl module`, the last of them unfinished.
//!
//! `kubectl` runs `kubectl_complete-module` (`config/completion`), which runs the hidden verb `__complete`; so do the scripts for
//! shells (`completion/`), which complete `kubectl-module`. Pure: what may stand next follows from the description of the command
//! line; names of objects are only asked for.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command};

/// What else may stand next, which a cluster knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wants {
    /// Nothing.
    #[default]
    Nothing,
    /// Names of ModuleDeployments.
    Deployments,
    /// Names of namespaces.
    Namespaces,
    /// Names of contexts in the kubeconfig.
    Contexts,
    /// Names of clusters in the kubeconfig.
    Clusters,
    /// Names of users in the kubeconfig.
    Users,
    /// Files; the shell knows them.
    Files,
}

/// What may stand next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Words with what they mean, those only that go on from what is typed.
    pub candidates: Vec<(String, String)>,
    /// What a cluster or the shell knows.
    pub wants: Wants,
    /// The options that were given before, by their long names.
    pub options: BTreeMap<String, String>,
    /// What is typed of it; of `--option=value` the value.
    pub typed: String,
    /// The names that stand there already.
    pub given: Vec<String>,
}

impl Answer {
    /// Adds words that a cluster or the kubeconfig knows, as far as they go on from what is typed.
    pub fn add(&mut self, names: Vec<String>) {
        let fitting = names.into_iter().filter(|name| name.starts_with(&self.typed) && !self.given.contains(name));
        self.candidates.extend(fitting.map(|name| (name, String::new())));
    }
}

/// What may stand in the place of the last of `words`.
pub fn answer(root: &Command, words: &[String]) -> Answer {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut answer = Answer::default();
    let (mut command, mut waiting) = (root, None::<&Arg>);
    let mut typed = last;
    for word in before {
        if let Some(option) = waiting.take() {
            answer.options.extend(option.get_long().map(|long| (long.to_owned(), word.clone())));
        } else if word.starts_with('-') {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let option = option_named(root, command, name).filter(|option| takes_value(option));
            match (option, value) {
                (Some(option), Some(value)) => {
                    answer.options.extend(option.get_long().map(|long| (long.to_owned(), value.to_owned())));
                }
                (option, _) => waiting = option,
            }
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        } else {
            answer.given.push(word.clone());
        }
    }
    // `--option=value` is one word; what is offered is the value.
    if let (None, Some((name, value))) = (waiting, last.split_once('=')) {
        waiting = option_named(root, command, name).filter(|option| takes_value(option));
        typed = if waiting.is_some() { value } else { last };
    }
    (answer.candidates, answer.wants) = match waiting {
        Some(option) => values(option),
        None if last.starts_with('-') => (options(root, command), Wants::Nothing),
        None if command.has_subcommands() => (verbs(command), Wants::Nothing),
        None => next_positional(command, answer.given.len()).map(|one| positional(command, one)).unwrap_or_default(),
    };
    answer.candidates.retain(|(word, _)| word.starts_with(typed));
    answer.typed = typed.to_owned();
    answer
}

/// The argument that comes after so many others; the last one may be several.
fn next_positional(command: &Command, given: usize) -> Option<&Arg> {
    let all: Vec<&Arg> = command.get_positionals().collect();
    let several = |one: &&&Arg| matches!(one.get_action(), ArgAction::Append);
    all.get(given).or_else(|| all.last().filter(several)).copied()
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

fn option_named<'a>(root: &'a Command, command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_named = |option: &&Arg| {
        let long = option.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
        long || option.get_short().is_some_and(|short| word == format!("-{short}"))
    };
    command.get_arguments().chain(root.get_arguments()).find(is_named)
}

fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn verbs(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    shown.map(|inner| (inner.get_name().to_owned(), help(inner.get_about()))).collect()
}

fn options(root: &Command, command: &Command) -> Vec<(String, String)> {
    let all = command.get_arguments().chain(root.get_arguments()).filter(|option| !option.is_hide_set());
    let mut found: Vec<(String, String)> =
        all.filter_map(|option| Some((format!("--{}", option.get_long()?), help(option.get_help())))).collect();
    found.sort();
    found.dedup_by(|one, other| one.0 == other.0);
    found
}

fn values(option: &Arg) -> (Vec<(String, String)>, Wants) {
    let possible = option.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    let possible: Vec<(String, String)> =
        possible.map(|value| (value.get_name().to_owned(), help(value.get_help()))).collect();
    let wants = match option.get_long() {
        Some("namespace" | "operator-namespace") => Wants::Namespaces,
        Some("context") => Wants::Contexts,
        Some("cluster") => Wants::Clusters,
        Some("user") => Wants::Users,
        Some("filename" | "kubeconfig" | "output") if possible.is_empty() => Wants::Files,
        _ => Wants::Nothing,
    };
    (possible, wants)
}

fn positional(command: &Command, argument: &Arg) -> (Vec<(String, String)>, Wants) {
    let (possible, wants) = values(argument);
    // What `create` names doesn't exist yet.
    let exists = command.get_name() != "create" && matches!(argument.get_id().as_str(), "name" | "names");
    (possible, if exists { Wants::Deployments } else { wants })
}

/// The answer as `kubectl` reads it: a word a line with a tab before what it means, and last what the shell may add.
pub fn text(answer: &Answer) -> String {
    const NO_FILES: u8 = 4;
    const DEFAULT: u8 = 0;
    let line = |(word, meaning): &(String, String)| {
        if meaning.is_empty() { format!("{word}\n") } else { format!("{word}\t{meaning}\n") }
    };
    let directive = if answer.wants == Wants::Files { DEFAULT } else { NO_FILES };
    answer.candidates.iter().map(line).collect::<String>() + &format!(":{directive}\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    fn asked(words: &[&str]) -> Answer {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        answer(&Cli::command(), &words)
    }

    fn words(answer: &Answer) -> Vec<&str> {
        answer.candidates.iter().map(|(word, _)| word.as_str()).collect()
    }

    #[test]
    fn verbs_options_values_and_names_are_told_apart() {
        assert_eq!(words(&asked(&["va"])), ["validate"]);
        assert!(words(&asked(&[""])).contains(&"get") && !words(&asked(&[""])).contains(&"__complete"));
        assert_eq!(words(&asked(&["migrate", ""])), ["plan", "apply"]);
        assert_eq!(words(&asked(&["validate", "--rec"])), ["--recursive"]);
        assert_eq!(words(&asked(&["get", "--name"])), ["--namespace"], "those of all verbs too");
        assert_eq!(words(&asked(&["validate", "-o", ""])), ["text", "json"]);
        assert_eq!(words(&asked(&["completion", "f"])), ["fish"]);
        assert_eq!(asked(&["get", "x"]).wants, Wants::Deployments);
        assert_eq!(asked(&["create", ""]).wants, Wants::Nothing);
        assert_eq!(asked(&["validate", "-f", ""]).wants, Wants::Files);
        assert_eq!(asked(&["get", "--context", ""]).wants, Wants::Contexts);
        assert_eq!(asked(&["pause", "a", ""]).wants, Wants::Deployments, "several");
        assert_eq!(asked(&["set-version", ""]).wants, Wants::Deployments);
        assert_eq!(asked(&["set-version", "a", ""]).wants, Wants::Nothing, "a version is no name");
    }

    #[test]
    fn a_value_behind_an_equals_sign_is_completed_as_one_of_its_own() {
        assert_eq!(words(&asked(&["get", "--output=js"])), ["json"]);
        let answer = asked(&["get", "--namespace=sh"]);
        assert_eq!((answer.wants, answer.typed.as_str()), (Wants::Namespaces, "sh"));
        assert!(words(&asked(&["get", "--what=js"])).is_empty());
    }

    #[test]
    fn what_the_cluster_knows_goes_on_from_what_is_typed_and_is_offered_once() {
        let mut answer = asked(&["pause", "hello", "he"]);
        answer.add(["hello", "hey", "other"].map(str::to_owned).to_vec());
        assert_eq!(words(&answer), ["hey"]);
    }

    #[test]
    fn the_options_before_say_where_to_look() {
        let answer = asked(&["get", "-n", "shop", "--context=prod", ""]);
        assert_eq!(
            answer.options,
            BTreeMap::from([("namespace".into(), "shop".into()), ("context".into(), "prod".into())])
        );
        assert_eq!(answer.wants, Wants::Deployments);
        assert_eq!(asked(&["get", "-n", "sh"]).wants, Wants::Namespaces);
    }

    #[test]
    fn the_answer_ends_with_what_the_shell_may_add() {
        assert_eq!(text(&asked(&["completion", "z"])), "zsh\n:4\n");
        assert_eq!(text(&asked(&["validate", "-f", ""])), ":0\n");
        assert!(text(&asked(&["va"])).starts_with("validate\tCheck manifests"));
    }
}
