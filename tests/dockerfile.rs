//! The Dockerfile against the tree: what can be known about the image without building it.

use std::{fs, path::Path};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Instructions with their arguments, continuation lines joined, comments left out.
fn instructions() -> Vec<Vec<String>> {
    read("Dockerfile")
        .replace("\\\n", " ")
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

fn named<'a>(instructions: &'a [Vec<String>], name: &str) -> Vec<&'a [String]> {
    instructions.iter().filter(|words| words[0] == name).map(|words| &words[1..]).collect()
}

/// What the build stage copies out of the tree.
fn copied() -> Vec<String> {
    let instructions = instructions();
    named(&instructions, "COPY")
        .into_iter()
        .filter(|words| !words[0].starts_with("--from="))
        .flat_map(|words| words[..words.len() - 1].to_vec())
        .collect()
}

/// The value of `key = "value"` in `section` of a manifest, for every such section.
fn values(manifest: &str, section: &str, key: &str) -> Vec<String> {
    let mut at = "";
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            at = line;
        } else if at == section
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            found.push(value.trim().trim_matches('"').to_owned());
        }
    }
    found
}

#[test]
fn every_copied_path_exists_and_is_not_ignored() {
    let ignore = read(".dockerignore");
    assert!(!copied().is_empty());
    for source in copied() {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&source).exists(), "COPY {source}: there is no such path");
        assert!(ignore.lines().any(|line| line == format!("!{source}")), ".dockerignore keeps {source} out");
    }
}

/// Cargo refuses a manifest that names a file or a package which isn't there, used or not.
#[test]
fn everything_that_the_manifest_names_is_copied() {
    let manifest = read("Cargo.toml");
    let quoted = |text: &str| text.split('"').nth(1).unwrap_or_default().to_owned();
    let mut named: Vec<String> = manifest.split("path = ").skip(1).map(quoted).collect();
    for members in values(&manifest, "[workspace]", "members") {
        named.extend(members.split(',').map(quoted).filter(|member| member != "."));
    }
    assert!(named.contains(&"src/main.rs".to_owned()), "{named:?}");
    for path in named {
        let known = copied().iter().any(|source| Path::new(&path).starts_with(source));
        assert!(known, "{path} is not copied into the build stage");
    }
    assert!(values(&manifest, "[package]", "build").is_empty(), "a build script would have to be copied too");
}

#[test]
fn the_binary_is_the_one_that_cargo_builds() {
    let bins = values(&read("Cargo.toml"), "[[bin]]", "name");
    let instructions = instructions();
    let runs: Vec<String> = named(&instructions, "RUN").iter().map(|words| words.join(" ")).collect();
    assert!(bins.contains(&"module-controller".to_owned()), "{bins:?}");
    assert!(runs.iter().any(|run| run.contains("--bin module-controller")), "{runs:?}");
    assert!(
        runs.iter().any(|run| run.contains("cp target/release/module-controller /out/module-controller")),
        "{runs:?}"
    );
    assert!(runs.iter().any(|run| run.contains("ln -s module-controller /out/manager")), "{runs:?}");
    assert_eq!(named(&instructions, "ENTRYPOINT"), [[r#"["/manager"]"#.to_owned()]]);
    let deployment = read("config/manager/deployment.yaml");
    assert!(deployment.contains("command: [/manager]"), "the manager's manifest starts something else");
}

#[test]
fn the_compiler_is_the_pinned_one() {
    let channel = values(&read("rust-toolchain.toml"), "[toolchain]", "channel").remove(0);
    let instructions = instructions();
    let build = &named(&instructions, "FROM")[0][0];
    assert!(build.starts_with(&format!("rust:{channel}-")), "{build} is not {channel}");
}

#[test]
fn the_final_stage_is_empty_and_not_root() {
    let instructions = instructions();
    let last = instructions.iter().rposition(|words| words[0] == "FROM").unwrap();
    let last = &instructions[last..];
    assert_eq!(last[0], ["FROM", "scratch"]);
    assert!(named(last, "RUN").is_empty(), "there is no shell in the final stage");
    let user = &named(last, "USER")[0][0];
    let numbers: Vec<u32> = user.split(':').map(|part| part.parse().expect("a numeric USER")).collect();
    assert!(numbers.iter().all(|number| *number > 0), "{user} is root");
    let deployment = read("config/manager/deployment.yaml");
    assert!(deployment.contains(&format!("runAsUser: {}", numbers[0])), "the manager's manifest runs as another user");
}

#[test]
fn the_image_has_the_version_of_the_crate() {
    let kustomization = read("config/manager/kustomization.yaml");
    assert!(kustomization.contains(&format!("newTag: {}", env!("CARGO_PKG_VERSION"))), "{kustomization}");
}
