//! Text within a terminal's width, and one that is drawn over and over at one place of it.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Look;

/// What begins a colour, and what ends it.
const ESCAPE: char = '\u{1b}';
const RESET: &str = "\u{1b}[0m";

/// The text as far as it fits, and how many rows it takes. Lines are cut, because one that wraps shifts what is drawn next; but
/// for those with a command, which the terminal wraps, so that it can be copied. One row stays free for the cursor.
pub fn fit(text: &str, width: usize, height: usize) -> (String, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let room = height.saturating_sub(1).max(1);
    let drawn: Vec<(String, usize)> = lines.iter().map(|line| drawn(line, width)).collect();
    let needed: usize = drawn.iter().map(|(_, rows)| rows).sum();
    let most = if needed > room { room - 1 } else { room };
    let (mut fitted, mut used, mut shown) = (String::new(), 0, 0);
    for (line, rows) in &drawn {
        if used + rows > most {
            break;
        }
        (used, shown) = (used + rows, shown + 1);
        fitted.push_str(line);
        fitted.push('\n');
    }
    if shown < lines.len() {
        fitted.push_str(&shortened(&format!("… {} more lines", lines.len() - shown), width));
        fitted.push('\n');
        used += 1;
    }
    (fitted, used)
}

/// A line as it is drawn, and the rows that it takes.
fn drawn(line: &str, width: usize) -> (String, usize) {
    // Ours have no colours.
    if line.contains("`kubectl ") && line.width() > width {
        (line.to_owned(), line.width().div_ceil(width.max(1)))
    } else {
        (shortened(line, width), 1)
    }
}

/// The text with this much space before each line; on a terminal its words wrap, elsewhere its lines stay. A command stays on one
/// line, so that it can be copied.
pub fn indented(text: &str, space: &str, look: &Look) -> String {
    let room = look.width.map(|width| width.saturating_sub(space.len()).max(20));
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in &words(line) {
            let wide = room.is_some_and(|room| !current.is_empty() && current.width() + 1 + word.width() > room);
            if wide {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines.iter().map(|line| format!("{space}{line}\n")).collect()
}

/// The words of a line; what stands between backticks is one.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in line.split_whitespace() {
        match words.last_mut().filter(|_| open) {
            Some(command) => {
                command.push(' ');
                command.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        open ^= word.matches('`').count() % 2 == 1;
    }
    // A backtick alone isn't one of ours.
    if open { line.split_whitespace().map(str::to_owned).collect() } else { words }
}

/// What takes `rows` rows off the terminal again that were drawn last.
pub fn erase(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("{ESCAPE}[{rows}A\r{ESCAPE}[J") }
}

/// What empties the terminal.
pub fn clear() -> &'static str {
    "\u{1b}[2J\u{1b}[H"
}

/// The line, or as much of it as fits with an ellipsis.
pub fn elided(line: &str, width: usize) -> String {
    if shortened(line, width) == line {
        return line.to_owned();
    }
    shortened(line, width.saturating_sub(1)).trim_end_matches('…').to_owned() + "…"
}

/// At most `width` columns of a line; colours count nothing and end with it.
fn shortened(line: &str, width: usize) -> String {
    let (mut used, mut kept, mut coloured) = (0, String::new(), false);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == ESCAPE {
            kept.push(c);
            for part in rest.by_ref() {
                kept.push(part);
                if part.is_ascii_alphabetic() {
                    break;
                }
            }
            coloured = !kept.ends_with(RESET);
            continue;
        }
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    if coloured {
        kept.push_str(RESET);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_counted() {
        let fitted = |text: &str, width: usize, height: usize| fit(text, width, height).0;
        assert_eq!(fit("one\ntwo\nthree\n", 80, 24), ("one\ntwo\nthree\n".to_owned(), 3));
        assert_eq!(fit("one\ntwo\nthree\nfour\n", 80, 4), ("one\ntwo\n… 2 more lines\n".to_owned(), 3));
        assert_eq!(fitted("a long line\n", 6, 24), "a long\n");
        assert_eq!(fitted("订单订单\n", 5, 24), "订单\n");
    }

    #[test]
    fn a_command_wraps_where_it_is_drawn_over_and_over_too() {
        let text = "a long line\n`kubectl logs base-1`\nthe end\n";
        assert_eq!(fit(text, 10, 24), ("a long lin\n`kubectl logs base-1`\nthe end\n".to_owned(), 5));
        assert_eq!(fit(text, 10, 5), ("a long lin\n… 2 more l\n".to_owned(), 2), "its rows count");
    }

    #[test]
    fn words_wrap_and_a_command_stays_whole() {
        let narrow = Look { colour: false, width: Some(30) };
        let text = "see `kubectl module status hello -n shop`, then wait";
        assert_eq!(indented(text, "  ", &narrow), "  see\n  `kubectl module status hello -n shop`,\n  then wait\n");
        assert_eq!(
            indented("it's a ` in a message that is long", "", &narrow),
            "it's a ` in a message that is\nlong\n"
        );
        assert_eq!(indented(text, "", &Look::default()), format!("{text}\n"));
    }

    #[test]
    fn a_colour_ends_with_the_line_that_is_cut() {
        let fitted = |text: &str, width: usize, height: usize| fit(text, width, height).0;
        assert_eq!(fitted("\u{1b}[31mabcdef\u{1b}[0m x\n", 3, 24), "\u{1b}[31mabc\u{1b}[0m\n");
        assert_eq!(fitted("\u{1b}[31mab\u{1b}[0m\n", 2, 24), "\u{1b}[31mab\u{1b}[0m\n");
    }

    #[test]
    fn what_was_drawn_is_taken_away() {
        assert_eq!(erase(0), "");
        assert_eq!(erase(3), "\u{1b}[3A\r\u{1b}[J");
    }
}
