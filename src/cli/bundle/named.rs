//! Credentials that stand behind their name in a text: `Authorization: Basic ...`, `password=...`, `"token":"..."`.

use super::redact::REDACTED;

/// Which marks between a name and a value make the value a credential.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    /// A header: all that follows in the line or up to the end of the quotes.
    Header,
    /// `=` or `:`.
    Any,
    /// `=`, or `:` behind a name in quotes; "unexpected token: x" holds none.
    Strict,
    /// A space, and what follows is long enough to be none of a sentence's words.
    Space,
}

/// Names in small letters. What ends with one, such as `access_token`, is one.
const NAMES: [(&[u8], Mark); 9] = [
    (b"authorization", Mark::Header),
    (b"bearer", Mark::Space),
    (b"password", Mark::Any),
    (b"passwd", Mark::Any),
    (b"token", Mark::Strict),
    (b"secret", Mark::Strict),
    (b"api_key", Mark::Strict),
    (b"api-key", Mark::Strict),
    (b"apikey", Mark::Strict),
];
/// The shortest token behind a bare `Bearer`.
const SHORTEST: usize = 16;

/// The text with every value behind such a name redacted.
pub fn redacted(text: &str) -> String {
    let small = text.to_ascii_lowercase().into_bytes();
    let (mut out, mut kept, mut at) = (String::with_capacity(text.len()), 0, 0);
    while at < small.len() {
        match NAMES.iter().find(|(name, _)| small[at..].starts_with(name)) {
            Some((name, mark)) => {
                at += name.len();
                if let Some((from, to)) = value(&small, at, *mark) {
                    // Both stand beside ASCII characters, or at the end.
                    out.push_str(&text[kept..from]);
                    out.push_str(REDACTED);
                    (kept, at) = (to, to);
                }
            }
            None => at += 1,
        }
    }
    out + &text[kept..]
}

/// Where the value begins and ends that follows a name at `at`.
fn value(text: &[u8], at: usize, mark: Mark) -> Option<(usize, usize)> {
    let skip = |from: usize, what: &[u8]| from + text[from..].iter().take_while(|c| what.contains(c)).count();
    let end = |from: usize, what: &[u8]| from + text[from..].iter().take_while(|c| !what.contains(c)).count();
    let quoted = skip(at, b"\\\"'");
    let from = match text.get(quoted)? {
        b' ' if mark == Mark::Space => skip(quoted, b" "),
        b'=' if mark != Mark::Space => skip(quoted + 1, b" \\\"'[("),
        b':' if matches!(mark, Mark::Any | Mark::Header) || mark == Mark::Strict && quoted > at => {
            skip(quoted + 1, b" \\\"'[(")
        }
        _ => return None,
    };
    let quote = text[from - 1];
    let to = match mark {
        _ if matches!(quote, b'"' | b'\'') => {
            let to = end(from, &[quote, b'\n']);
            // In JSON in a text the quote has a backslash before it.
            if to > from && text[to - 1] == b'\\' { to - 1 } else { to }
        }
        Mark::Header => end(from, b"\n\r\"'\\])},"),
        _ => end(from, b" \t\n\r\"'\\])},;&"),
    };
    let long = mark != Mark::Space || to - from >= SHORTEST;
    (to > from && long && !text[from..to].starts_with(b"redacted")).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stands_behind_its_name_goes_and_sentences_stay() {
        for (before, after) in [
            ("Authorization: Bearer pa55.w0rd-x", "Authorization: REDACTED"),
            (
                "headers {\"authorization\":[\"Basic cGE1NQ==\"],\"a\":1}",
                "headers {\"authorization\":[\"REDACTED\"],\"a\":1}",
            ),
            ("Proxy-Authorization=Basic cGE1NQ== \nnext", "Proxy-Authorization=REDACTED\nnext"),
            ("sent Bearer eyJhbGciOiJIUzI1NiJ9.x.y to it", "sent Bearer REDACTED to it"),
            ("jdbc:sqlserver://h;user=sa;password=pa55;x=1", "jdbc:sqlserver://h;user=sa;password=REDACTED;x=1"),
            ("spring.datasource.password: pa55 words", "spring.datasource.password: REDACTED words"),
            ("password=\"pa55 w0rd\" x", "password=\"REDACTED\" x"),
            ("{\\\"access_token\\\":\\\"pa55\\\",\\\"b\\\":1}", "{\\\"access_token\\\":\\\"REDACTED\\\",\\\"b\\\":1}"),
            ("client_secret=pä55&x=1", "client_secret=REDACTED&x=1"),
            ("unexpected token: }", "unexpected token: }"),
            ("the bearer token is old", "the bearer token is old"),
            ("no password", "no password"),
            ("no token given", "no token given"),
            ("secret default/x not found", "secret default/x not found"),
            ("password=", "password="),
        ] {
            assert_eq!(redacted(before), after);
        }
    }

    proptest! {
        #[test]
        fn no_password_behind_its_name_is_left(
            before in "[ -~äß]{0,20}", name in "(Authorization: Basic |\"token\": \"|PASSWORD=)", password in "Pa55[a-zä0-9!$%*+._-]{0,10}", after in "[ -~äß]{0,20}",
        ) {
            let dirty = format!("{before}{name}{password}\"{after}");
            prop_assert!(!redacted(&dirty).contains("Pa55"), "{}", redacted(&dirty));
        }

        #[test]
        fn redacting_twice_changes_nothing_and_nothing_makes_it_panic(text in "[a-z:=\"'\\\\ ä订\n]{0,10}(password|token|bearer|authorization)[:=\"'\\\\ ä订\n]{0,6}[a-zä]{0,20}") {
            let once = redacted(&text);
            prop_assert_eq!(redacted(&once), once);
        }
    }
}
