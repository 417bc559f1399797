//! What stands in a document: its blocks, what they say about themselves, its links.

use std::collections::BTreeSet;

/// A document.
#[derive(Debug, Default)]
pub struct Page {
    /// From the top of the repository.
    pub path: String,
    /// Its commands and manifests, in order.
    pub blocks: Vec<Block>,
    /// What it needs around it.
    pub rig: Vec<String>,
    /// Targets of links to files and headings.
    pub links: Vec<String>,
}

/// A fenced block of commands or YAML, or the command in a line `- Look: ...` of a runbook.
#[derive(Debug, Default, PartialEq)]
pub struct Block {
    /// The line of its first line, from 1.
    pub line: usize,
    /// `console`, `sh`, `bash`, `shell`, `yaml` or `yml`.
    pub language: String,
    /// Without the fences.
    pub text: String,
    /// What the comment above it says.
    pub mark: Option<Mark>,
}

/// What a block says about itself.
#[derive(Debug, PartialEq)]
pub enum Mark {
    /// It can't run here: why.
    NotRun(String),
    /// It is saved under this name.
    File(String),
}

/// A command, and what it prints.
#[derive(Debug, PartialEq)]
pub struct Step {
    /// The line where it begins.
    pub line: usize,
    /// For bash.
    pub command: String,
    /// The lines that the document shows; `None` where it shows none.
    pub shown: Option<Vec<String>>,
}

const SHELLS: [&str; 4] = ["console", "sh", "bash", "shell"];
const YAML: [&str; 2] = ["yaml", "yml"];

impl Block {
    /// Whether it is tried.
    pub fn is_run(&self) -> bool {
        !matches!(self.mark, Some(Mark::NotRun(_)))
    }

    /// Whether it has commands.
    pub fn is_shell(&self) -> bool {
        SHELLS.contains(&self.language.as_str())
    }

    /// Its commands. Without prompts the block is one script; with them, what follows a command is what it prints.
    pub fn steps(&self) -> Vec<Step> {
        if !self.text.lines().any(|line| line.starts_with("$ ")) {
            return vec![Step { line: self.line, command: self.text.clone(), shown: None }];
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut open = false;
        for (index, line) in self.text.lines().enumerate() {
            if open && let Some(step) = steps.last_mut() {
                step.command.push('\n');
                step.command.push_str(line.strip_prefix("> ").unwrap_or(line));
                open = is_open(&step.command);
            } else if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { line: self.line + index, command: command.to_owned(), shown: None });
                open = is_open(command);
            } else if let Some(step) = steps.last_mut() {
                step.shown.get_or_insert_default().push(line.to_owned());
            }
        }
        steps
    }
}

/// Whether a command goes on in the next line: a backslash, an open quote, a here-document.
fn is_open(command: &str) -> bool {
    let document = command.split_once("<<").map(|(_, rest)| rest.trim_start_matches(['-', ' ', '\'', '"']));
    if let Some(rest) = document.filter(|rest| !rest.starts_with('<')) {
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        return !command.lines().skip(1).any(|line| line.trim() == word);
    }
    let (mut single, mut double, mut escaped) = (false, false, false);
    for c in command.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if !single => escaped = true,
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            _ => {}
        }
    }
    single || double || escaped
}

impl Page {
    /// Reads a document; complains of comments that say nothing known, and of blocks that aren't closed.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let mut page = Self { path: path.to_owned(), ..Self::default() };
        let mut mark = None;
        let mut lines = text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let trimmed = line.trim();
            if let Some(fence) = trimmed.strip_prefix("```") {
                let indent = line.len() - line.trim_start().len();
                let mut body = String::new();
                loop {
                    let Some((_, line)) = lines.next() else {
                        return Err(format!("{path}:{}: this block is never closed", index + 1));
                    };
                    if line.trim() == "```" {
                        break;
                    }
                    body.push_str(line.get(indent.min(line.len() - line.trim_start().len())..).unwrap_or(line));
                    body.push('\n');
                }
                let language = fence.split_whitespace().next().unwrap_or_default().to_owned();
                if SHELLS.contains(&language.as_str()) || YAML.contains(&language.as_str()) {
                    page.blocks.push(Block { line: index + 2, language, text: body, mark: mark.take() });
                } else if mark.take().is_some() {
                    return Err(format!("{path}:{}: only a block of commands or YAML has such a comment", index + 1));
                }
            } else if let Some(comment) = comment(trimmed) {
                let known = comment.split_once(':').map(|(key, value)| (key.trim(), value.trim()));
                match known {
                    Some(("not run", reason)) if !reason.is_empty() => mark = Some(Mark::NotRun(reason.to_owned())),
                    Some(("file", name)) if !name.is_empty() => mark = Some(Mark::File(name.to_owned())),
                    Some(("rig", words)) => page.rig.extend(words.split(',').map(|word| word.trim().to_owned())),
                    Some(("not run" | "file", _)) => {
                        return Err(format!("{path}:{}: the comment says nothing after its colon", index + 1));
                    }
                    _ => {}
                }
            } else if !trimmed.is_empty() {
                if mark.take().is_some() {
                    return Err(format!("{path}:{}: the comment above must stand right above a block", index + 1));
                }
                page.links.extend(links(line));
                if let Some(look) = trimmed.strip_prefix("- Look: `").and_then(|rest| rest.strip_suffix('`')) {
                    let block =
                        Block { line: index + 1, language: "console".to_owned(), text: look.to_owned(), mark: None };
                    if page.blocks.iter().all(|known| known.text != block.text) {
                        page.blocks.push(block);
                    }
                }
            }
        }
        Ok(page)
    }
}

fn comment(line: &str) -> Option<&str> {
    line.strip_prefix("<!--")?.strip_suffix("-->").map(str::trim)
}

/// The targets of links in a line that don't lead out of the repository.
fn links(line: &str) -> Vec<String> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target.trim().to_owned());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The anchors of the headings in a document, as GitHub makes them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if !fenced && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<(usize, String, Option<Vec<String>>)> {
        let block = Block { line: 10, language: "console".into(), text: text.into(), mark: None };
        block.steps().into_iter().map(|step| (step.line, step.command, step.shown)).collect()
    }

    #[test]
    fn blocks_marks_and_links_are_found() {
        let looks = Page::parse("p.md", "- Look: `ls`\n- Look: `ls`\n").unwrap().blocks;
        assert_eq!(looks.iter().map(|block| block.text.as_str()).collect::<Vec<_>>(), ["ls"], "each once");
        let text = "a [link](b.md#c) and [out](https://x.org)\n<!-- rig: vnodes, hello -->\n```console\nls\n```\n\n\
                    <!-- not run: needs an engine -->\n\n```sh\ndocker build .\n```\n```text\n$ no\n```\n\
                    - item\n  <!-- file: a.yaml -->\n  ```yaml\n  a:\n    b: 1\n  ```\n";
        let page = Page::parse("p.md", text).unwrap();
        assert_eq!(page.links, ["b.md#c"]);
        assert_eq!(page.rig, ["vnodes", "hello"]);
        let seen: Vec<_> =
            page.blocks.iter().map(|b| (b.line, b.language.as_str(), b.text.as_str(), b.is_run())).collect();
        let want =
            [(4, "console", "ls\n", true), (10, "sh", "docker build .\n", false), (18, "yaml", "a:\n  b: 1\n", true)];
        assert_eq!(seen, want);
        assert_eq!(page.blocks[2].mark, Some(Mark::File("a.yaml".into())));
    }

    #[test]
    fn what_would_be_overlooked_is_a_complaint() {
        for (text, word) in [
            ("```sh\nls\n", "never closed"),
            ("<!-- not run: -->\n```sh\nls\n```\n", "says nothing"),
            ("<!-- not run: x -->\nwords\n```sh\nls\n```\n", "right above"),
            ("<!-- not run: x -->\n```text\nls\n```\n", "only a block of commands"),
        ] {
            let complaint = Page::parse("p.md", text).expect_err(text);
            assert!(complaint.contains(word), "{complaint}");
        }
    }

    #[test]
    fn prompts_part_a_block_into_commands_and_what_they_print() {
        let own = |lines: &[&str]| Some(lines.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(steps("a\nb\n"), [(10, "a\nb\n".into(), None)]);
        assert_eq!(
            steps("$ a\nx\ny\n$ b\n$ c \\\n  d\nz\n"),
            [(10, "a".into(), own(&["x", "y"])), (13, "b".into(), None), (14, "c \\\n  d".into(), own(&["z"]))]
        );
        assert_eq!(steps("$ a '{\n> b}'\nx\n"), [(10, "a '{\nb}'".into(), own(&["x"]))]);
        assert_eq!(steps("$ a <<'EOF'\nb\nEOF\nx\n"), [(10, "a <<'EOF'\nb\nEOF".into(), own(&["x"]))]);
    }

    #[test]
    fn anchors_are_those_of_the_headings() {
        let found = anchors("# A `b`, c\n```sh\n# no\n```\n## With-out_a \"new\" version?\n");
        assert_eq!(found, BTreeSet::from(["a-b-c".to_owned(), "with-out_a-new-version".to_owned()]));
    }
}
