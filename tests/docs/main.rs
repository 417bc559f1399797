//! Every command and every manifest in the documents is tried: README.md and all of docs/.
//!
//! A document is a story that is played from its first block to its last, in a namespace of its own with simulated bases and
//! the operator; documents are played side by side. What a block may say about itself, in an HTML comment above it:
//!
//! | comment | |
//! |---|---|
//! | `<!-- not run: REASON -->` | it can't run here, for this reason; it is listed, and its syntax is checked |
//! | `<!-- file: NAME -->` | it is saved under this name, for a command that comes later |
//!
//! and a document, anywhere: `<!-- rig: WORD, WORD -->`, with the words of [`story::Rig`].
//!
//! Commands that install something for the whole cluster (`kubectl apply -k`) are sent to the API server as a dry run: the
//! other documents live in the same cluster.

mod output;
mod page;
mod story;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use page::{Block, Mark, Page};

/// So many documents are played at once.
const AT_ONCE: usize = 6;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// README.md and every document under docs/, also those that are written tomorrow.
fn pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(repository().join("docs")).expect("docs/") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "md") {
            paths.push(Path::new("docs").join(path.file_name().expect("a name")));
        }
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(repository().join(path)).expect("a readable document");
        Page::parse(&path.to_string_lossy(), &text).unwrap_or_else(|complaint| panic!("{complaint}"))
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_block_of_every_document_does_what_it_says() {
    let pages = pages();
    story::prepare();
    let queue = Mutex::new(pages.iter().filter(|page| page.blocks.iter().any(Block::is_run)));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics").next();
                    let Some(page) = next else { return };
                    if let Err(complaints) = story::play(page) {
                        failures.lock().expect("no worker panics").extend(complaints);
                    }
                }
            });
        }
    });
    for page in &pages {
        let (run, left): (Vec<&Block>, Vec<&Block>) = page.blocks.iter().partition(|block| block.is_run());
        println!("{}: {} blocks run, {} not", page.path, run.len(), left.len());
        for block in left {
            if let Some(Mark::NotRun(reason)) = &block.mark {
                println!("  not run: {}:{}: {reason}", page.path, block.line);
            }
        }
    }
    let failures = failures.into_inner().expect("no worker panics");
    assert!(
        failures.is_empty(),
        "{}\n\nMend the block, or, if it can't run here, put <!-- not run: REASON --> above it.",
        failures.join("\n\n")
    );
}

#[test]
fn every_block_is_legal_shell_and_every_make_target_exists() {
    let makefile = fs::read_to_string(repository().join("Makefile")).expect("the Makefile");
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.is_shell()) {
            for step in block.steps() {
                let at = format!("{}:{}", page.path, step.line);
                let output =
                    std::process::Command::new("bash").args(["-n", "-c", &step.command]).output().expect("bash");
                assert!(output.status.success(), "{at}: {}", String::from_utf8_lossy(&output.stderr));
                for line in step.command.lines() {
                    let target = line.trim().strip_prefix("make ").and_then(|rest| rest.split_whitespace().next());
                    let known = |target: &str| makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
                    assert!(target.is_none_or(known), "{at}: the Makefile has no target {target:?}");
                }
            }
        }
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for page in pages() {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        for link in &page.links {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { repository().join(&page.path) } else { repository().join(folder).join(file) };
            assert!(target.exists(), "{}: the link to {link} leads nowhere", page.path);
            if !anchor.is_empty() && target.extension().is_some_and(|ending| ending == "md") {
                let text = fs::read_to_string(&target).expect("a readable document");
                assert!(page::anchors(&text).contains(anchor), "{}: {link}: no such heading", page.path);
            }
        }
    }
}

/// A block that isn't run because a test elsewhere plays it: that test is there.
#[test]
fn every_test_that_a_block_is_left_to_exists() {
    for page in pages() {
        for block in &page.blocks {
            let Some(Mark::NotRun(reason)) = &block.mark else { continue };
            for file in reason.split([' ', ',', ';']).filter(|word| word.starts_with("tests/")) {
                assert!(repository().join(file).exists(), "{}:{}: there is no {file}", page.path, block.line);
            }
        }
    }
}
