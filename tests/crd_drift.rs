//! The files in `crds/` and docs/api.md are what the types say; run `make generate` where this fails.

use std::{fs, path::PathBuf, process::Command};

fn crdgen(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_crdgen"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("crdgen was built with this test");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_files_are_what_the_types_say() {
    let (ok, said) = crdgen(&["--check"]);
    assert!(ok, "{said}");
}

#[test]
fn the_reference_is_what_the_types_say() {
    let (ok, said) = crdgen(&["--check", "--reference", "docs/api.md"]);
    assert!(ok, "{said}");
    let (ok, said) = crdgen(&["--check", "--reference", "README.md"]);
    assert!(!ok && said.contains("run `make generate`"), "{said}");
}

#[test]
fn a_drifted_a_missing_and_a_foreign_file_are_named() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("crd-drift");
    let _ = fs::remove_dir_all(&dir);
    let path = dir.to_str().unwrap();
    assert_eq!(crdgen(&["--dir", path]), (true, String::new()));
    assert_eq!(crdgen(&["--dir", path, "--check"]), (true, String::new()));

    let drifted = dir.join("koupleless.io_modules.yaml");
    let content = fs::read_to_string(&drifted).unwrap();
    fs::write(&drifted, content.replace("minLength", "maxLength").replace("int64", "int32")).unwrap();
    fs::remove_file(dir.join("koupleless.io_moduletemplates.yaml")).unwrap();
    fs::write(dir.join("old.yaml"), "").unwrap();
    let (ok, said) = crdgen(&["--dir", path, "--check"]);
    assert!(!ok);
    for fragment in [
        "koupleless.io_modules.yaml differs from the types",
        "koupleless.io_moduletemplates.yaml: No such file",
        "old.yaml is none of the generated files",
    ] {
        assert!(said.contains(fragment), "{fragment:?} is missing in: {said}");
    }
    assert!(!said.contains("moduledeployments.yaml"), "{said}");
}
