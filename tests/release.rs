//! What a release is made of, against the tree: versions agree, and the image by buildah is the Dockerfile's.

use std::{collections::BTreeSet, env, fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::Value;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_chart_has_the_version_of_the_crate() {
    let chart: Value = serde_yaml_ng::from_str(&read("charts/module-controller/Chart.yaml")).expect("YAML");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// The schema refuses names that it doesn't know: one that it lacks could never be set.
#[test]
fn the_schema_knows_every_value_and_no_other() {
    let values: Value = serde_yaml_ng::from_str(&read("charts/module-controller/values.yaml")).expect("YAML");
    let schema: Value = serde_json::from_str(&read("charts/module-controller/values.schema.json")).expect("JSON");
    compare("values", &values, &schema);
}

fn compare(path: &str, value: &Value, schema: &Value) {
    let (Some(value), Some(known)) = (value.as_object(), schema["properties"].as_object()) else { return };
    if schema["additionalProperties"].is_object() {
        // The names are the user's, labels for instance; the schema names those that the chart keeps to itself.
        assert!(known.values().all(|known| known == false) && value.is_empty(), "{path}: {known:?}");
        return;
    }
    assert_eq!(schema["additionalProperties"], false, "{path} takes any name");
    let names: BTreeSet<&String> = value.keys().collect();
    // Helm puts `global` into every chart; claims of a container have no default.
    let known_names: BTreeSet<&String> =
        known.keys().filter(|name| !matches!(name.as_str(), "global" | "claims")).collect();
    assert_eq!(names, known_names, "{path}");
    for (name, value) in value {
        compare(&format!("{path}.{name}"), value, &known[name]);
    }
}

/// Two ways to one image.
#[test]
fn buildah_is_told_what_the_dockerfile_says() {
    let (script, dockerfile) = (read("release/image"), read("Dockerfile"));
    let after = |word: &str| -> Vec<String> {
        let lines = dockerfile.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|rest| rest.trim().to_owned()).collect()
    };
    assert!(script.contains(&format!("--user {} ", after("USER ")[0])));
    assert!(script.contains(&format!("--entrypoint '{}'", after("ENTRYPOINT ")[0])));
    for port in after("EXPOSE ")[0].split(' ') {
        assert!(script.contains(&format!("--port {port}/tcp ")), "{port}");
    }
    assert!(script.contains(r#"ln -s module-controller "$files/manager""#));
    assert!(dockerfile.contains("ln -s module-controller /out/manager"));
}

/// What the release script names is there.
#[test]
fn the_folders_that_a_release_renders_exist() {
    let script = read("release/build");
    let profiles = script.split("for profile in ").nth(1).and_then(|rest| rest.split(';').next()).expect("profiles");
    for profile in profiles.split(' ') {
        assert!(read(&format!("config/{profile}/kustomization.yaml")).contains("kind: Kustomization"), "{profile}");
    }
}

/// Whoever lacks what runs the other processor's programs hears it before anything is built.
#[test]
fn a_missing_emulator_is_named_in_one_sentence() {
    let (other, emulator) =
        if env::consts::ARCH == "aarch64" { ("amd64", "qemu-x86_64") } else { ("arm64", "qemu-aarch64") };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tools-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    // What the script itself is made of.
    for tool in ["bash", "sed", "head", "uname", "dirname"] {
        let path = env::var_os("PATH").expect("a PATH");
        let found = env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.exists()).expect(tool);
        symlink(found, folder.join(tool)).expect("a link");
    }
    let said = |architecture: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prerequisites");
        let run =
            Command::new(folder.join("bash")).arg(script).args(["release", architecture]).env("PATH", &folder).output();
        let run = run.expect("bash runs");
        assert!(!run.status.success(), "there is no Rust either");
        String::from_utf8(run.stderr).expect("text")
    };
    let sentence =
        format!("the command {emulator}: install the package qemu-user (on Debian: apt-get install qemu-user)");
    let (of_other, of_own) = (said(other), said(if other == "arm64" { "amd64" } else { "arm64" }));
    fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(of_other.matches(&sentence).count(), 1, "{of_other}");
    assert!(!of_own.contains("qemu"), "{of_own}");
}
