//! Whether what a command printed is what the document shows.
//!
//! Words are compared, not columns. What differs from run to run stands for anything of its form: ages, times, addresses,
//! UIDs, the random ends of names, and the namespace of the story, which is `default` in a document. A line `...` stands for
//! any number of lines, and a word `...` for any word.

/// `None` if they agree; else the first line of the document that isn't there.
pub fn differs(shown: &[String], printed: &str, namespace: &str) -> Option<String> {
    let shown: Vec<Vec<String>> =
        shown.iter().filter(|line| !line.trim().is_empty()).map(|line| words(line, "")).collect();
    let printed: Vec<Vec<String>> =
        printed.lines().filter(|line| !line.trim().is_empty()).map(|line| words(line, namespace)).collect();
    if matches(&shown, &printed) {
        return None;
    }
    // Rows whose names end at random come in any order.
    let (mut a, mut b) = (shown.clone(), printed.clone());
    a.sort();
    b.sort();
    if a.len() == b.len() && matches(&a, &b) {
        return None;
    }
    let missing = shown.iter().find(|line| !printed.iter().any(|other| same(line, other)));
    Some(missing.map_or_else(|| "more, fewer or other lines".to_owned(), |line| line.join(" ")))
}

fn matches(shown: &[Vec<String>], printed: &[Vec<String>]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.as_slice() == ["..."] => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| same(line, first) && matches(rest, others))
        }
    }
}

fn same(shown: &[String], printed: &[String]) -> bool {
    shown.len() == printed.len()
        && shown.iter().zip(printed).all(|(a, b)| {
            // `...` at the end of a word is the rest of it.
            a == b || a.strip_suffix("...").is_some_and(|begin| b.starts_with(begin))
        })
}

/// The words of a line, each in the form that is the same in every run.
fn words(line: &str, namespace: &str) -> Vec<String> {
    let line = if namespace.is_empty() { line.to_owned() } else { line.replace(namespace, "default") };
    line.split_whitespace().map(form).collect()
}

fn form(word: &str) -> String {
    let core = word.trim_matches(|c: char| matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '.' | ':'));
    let form = if is_duration(core) {
        "<age>".to_owned()
    } else if is_address(core) {
        "<address>".to_owned()
    } else if is_time(core) {
        "<time>".to_owned()
    } else {
        core.split('/').map(name).collect::<Vec<_>>().join("/")
    };
    word.replacen(core, &form, usize::from(!core.is_empty()))
}

/// 9s, 4m30s, 2d.
fn is_duration(word: &str) -> bool {
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Some(after) = rest.get(digits..).and_then(|after| after.strip_prefix(['s', 'm', 'h', 'd'])) else {
            return false;
        };
        if digits == 0 {
            return false;
        }
        rest = after;
    }
    !word.is_empty()
}

fn is_address(word: &str) -> bool {
    let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
    host.parse::<std::net::Ipv4Addr>().is_ok()
}

fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.ends_with('Z') && word.as_bytes().get(10) == Some(&b'T')
}

/// A name without what is random in it: UIDs, and the parts that Kubernetes and the operator make of hashes.
fn name(word: &str) -> String {
    if let Some(rest) = word.strip_prefix("vnode.")
        && rest.get(..36).is_some_and(is_uid)
    {
        return "vnode.<uid>".to_owned();
    }
    if is_uid(word) {
        return "<uid>".to_owned();
    }
    let parts: Vec<&str> = word.split('-').collect();
    let random = |part: &&&str| {
        part.len() >= 5
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            // The operator's hashes have ten characters, and may look like a word; Kubernetes' never do.
            && (part.len() == 10
                || part.chars().any(|c| c.is_ascii_digit())
                || !part.chars().any(|c| "aeiou".contains(c)))
    };
    let ends = parts.iter().rev().take(parts.len().saturating_sub(1).min(2)).take_while(random).count();
    let kept = parts[..parts.len() - ends].join("-");
    if ends == 0 { kept } else { format!("{kept}-<hash>") }
}

fn is_uid(word: &str) -> bool {
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_random_stands_for_anything_of_its_form() {
        for (shown, printed) in [
            ("NAME  AGE\nhello   9s\n", "NAME AGE\nhello 4m30s\n"),
            ("hello-6d5f9c7b9d-2xk8q 1/1", "hello-86c7bd4f9d-zzzzz 1/1"),
            ("hello-replicas-1-hello-2cbn2q5zlq", "hello-replicas-1-hello-9cbn2q5zl8"),
            ("hello-replicas-1-hello-2cbn2q5zlq", "hello-replicas-1-hello-ljnzpyjuty"),
            (
                "vnode.9c0a5e62-7d06-44d4-9f69-ae466afb92e0.dev Ready",
                "vnode.11111111-7d06-44d4-9f69-ae466afb92e0.n Ready",
            ),
            ("on 10.1.2.3:1238, at 2026-01-01T00:00:00Z", "on 10.9.9.9:80, at 2027-02-01T10:00:00.5Z"),
            ("in default", "in docs-1"),
            ("a\n...\nd", "a\nb\nc\nd"),
            ("rev... x", "revision x"),
            ("b-x4k2v Ready\na-x4k2v Gone", "a-9k2vv Gone\nb-77777 Ready"),
        ] {
            assert_eq!(differs(&lines(shown), printed, "docs-1"), None, "{shown} / {printed}");
        }
    }

    #[test]
    fn everything_else_has_to_agree() {
        for (shown, printed) in [
            ("hello 2", "hello 3"),
            ("hello", "hello\nmore"),
            ("hello-world 1", "hello-there 1"),
            ("a\nb", "a"),
            ("hello 9s", "hello"),
            ("hello-2 x", "hello-3 x"),
        ] {
            assert!(differs(&lines(shown), printed, "docs-1").is_some(), "{shown} / {printed}");
        }
        assert_eq!(differs(&lines("a\nb 2"), "a\nb 3", "n"), Some("b 2".to_owned()));
    }
}
