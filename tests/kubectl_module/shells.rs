//! The tab key: what each shell offers, in the shell itself, with the script that the program prints. `tests/shell` has zsh and
//! fish.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rig::terminal::Terminal;

use super::{NOBODY, folder, tool};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-module");

/// A kubeconfig with the context `eks:one`, whose cluster doesn't answer; and beside it a manifest.
fn kubeconfig(folder: &Path) -> PathBuf {
    let file = folder.join("kubeconfig");
    fs::write(&file, NOBODY.replace("name: a, context", "name: 'eks:one', context")).unwrap();
    fs::write(folder.join("manifest.yaml"), "").unwrap();
    file
}

/// The folder with the program, and then those that there are.
fn path() -> String {
    let folder = Path::new(PROGRAM).parent().unwrap().display();
    format!("{folder}:{}", std::env::var("PATH").unwrap())
}

/// The script that has both shells. Where it downloads them first it says so, and that isn't what a shell says.
fn shell() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shell");
    for shell in ["zsh", "fish"] {
        let output = Command::new(&script).args([shell, "-c", ":"]).output().expect("tests/shell runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    script
}

#[test]
fn each_shell_has_its_script_and_kubectl_its_answers() {
    for (shell, mark) in [
        ("bash", "complete -o default -F _kubectl_module kubectl-module"),
        ("zsh", "#compdef kubectl-module"),
        ("fish", "complete -c kubectl-module"),
    ] {
        let script = tool(&["completion", shell], "");
        assert!(script.code == Some(0) && script.out.contains(mark), "{shell}: {}", script.out);
        assert!(script.out.contains("__complete --"), "{shell} asks the program, which knows the cluster's names");
    }
    let answer = |words: &[&str]| tool(&[&["__complete", "--"], words].concat(), "").out;
    assert_eq!(answer(&["migrate", "p"]), "plan\tShow what V1 left, and what becomes of it\n:4\n");
    assert_eq!(answer(&["get", ""]), ":4\n", "no cluster, no names");
    assert!(answer(&["validate", "--re"]).starts_with("--recursive\t"));
}

/// As bash calls it: the words as it splits them, and the place of the cursor.
fn completed_by_bash(words: &[&str], kubeconfig: &Path) -> Vec<String> {
    let script = "source <(\"$1\" completion bash) && COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) \
                  && _kubectl_module && printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["-c", script, "bash", PROGRAM])
        .args(words)
        .env("KUBECONFIG", kubeconfig)
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_the_bare_name_with_what_is_there() {
    let kubeconfig = kubeconfig(&folder("complete"));
    let completed = |words: &[&str]| completed_by_bash(words, &kubeconfig);
    assert_eq!(completed(&["sta"]), ["status"]);
    assert_eq!(completed(&["get", "-o", "j"]), ["json"]);
    assert_eq!(completed(&["get", "--output", "=", "j"]), ["json"]);
    assert_eq!(completed(&["get", "--context", ""]), ["eks:one"]);
    assert_eq!(completed(&["get", "--context", "eks", ":", "o"]), ["one"], "bash splits at colons");
}

#[test]
fn fish_offers_what_is_there_with_what_it_means() {
    let home = folder("fish");
    let kubeconfig = kubeconfig(&home);
    let completions = home.join("fish/completions");
    fs::create_dir_all(&completions).unwrap();
    fs::write(completions.join("kubectl-module.fish"), tool(&["completion", "fish"], "").out).unwrap();
    let shell = shell();
    let completed = |line: &str| {
        let output = Command::new(&shell)
            .args(["fish", "-c", "complete -C $argv[1]", line])
            .current_dir(&home)
            .env("XDG_CONFIG_HOME", &home)
            .env("XDG_DATA_HOME", &home)
            .env("PATH", path())
            .env("KUBECONFIG", &kubeconfig)
            .output()
            .expect("tests/shell runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{line}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (line, offered) in [
        ("kubectl-module sta", "status\tShow how releases stand; with --watch until they end\n"),
        ("kubectl-module migrate p", "plan\tShow what V1 left, and what becomes of it\n"),
        ("kubectl-module get -o j", "json\tJSON; fields are added, never renamed or removed\n"),
        ("kubectl-module get --output=j", "--output=json\tJSON; fields are added, never renamed or removed\n"),
        ("kubectl-module get --context ", "eks:one\n"),
        ("kubectl-module get --context=eks:", "--context=eks:one\n"),
        ("kubectl-module validate -f man", "manifest.yaml\n"),
        ("kubectl-module create ", ""),
    ] {
        assert_eq!(completed(line), offered, "{line}");
    }
}

#[tokio::test]
async fn zsh_completes_what_is_typed_at_its_prompt() {
    let shell = shell();
    for sourced in [false, true] {
        let home = folder("zsh");
        let kubeconfig = kubeconfig(&home);
        fs::write(home.join("inner/_kubectl-module"), tool(&["completion", "zsh"], "").out).unwrap();
        let (before, after) =
            if sourced { ("", "source inner/_kubectl-module") } else { ("fpath=($PWD/inner $fpath)", "") };
        let settings =
            format!("PS1='%# '\nbindkey -e\n{before}\nautoload -Uz compinit\ncompinit -D -u\n{after}\nprint ready\n");
        fs::write(home.join(".zshrc"), format!("cd {}\n{settings}", home.display())).unwrap();
        let variables =
            [("ZDOTDIR", home.to_str().unwrap()), ("KUBECONFIG", kubeconfig.to_str().unwrap()), ("PATH", &path())];
        let mut window = Terminal::run(&shell, &["zsh", "-d", "-i"], &variables, (120, 40));
        window.until_shown("ready").await;
        for (typed, shown) in [
            ("kubectl-module sta\t#", "kubectl-module status #"),
            ("kubectl-module migrate \t", "plan   -- Show what V1 left, and what becomes of it"),
            ("kubectl-module get -o j\t#", "kubectl-module get -o json #"),
            ("kubectl-module get --output=j\t#", "kubectl-module get --output=json #"),
            ("kubectl-module get --context e\t#", "kubectl-module get --context eks:one #"),
            ("kubectl-module get --context=eks:\t#", "kubectl-module get --context=eks:one #"),
            ("kubectl-module validate -f man\t#", "kubectl-module validate -f manifest.yaml #"),
            ("kubectl-module create \t#", "kubectl-module create #"),
        ] {
            window.type_in(typed);
            window.until_shown(shown).await;
            // Takes the line away.
            window.type_in("\u{15}");
        }
        window.type_in("exit\r");
        let ended = window.end().await;
        assert_eq!(ended.code, 0, "{}", ended.last.text());
    }
}
