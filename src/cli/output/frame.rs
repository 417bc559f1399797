//! Text within a terminal's width, and one that is drawn over and over at one place of it.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Look;

/// What begins a colour, and what ends it.
const ESCAPE: char = '\u{1b}';
const RESET: &str = "\u{1b}[0m";

/// The text as far as it fits: no line wraps, which would shift what is drawn next, and one line stays free for the cursor.
pub fn fit(text: &str, width: usize, height: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = height.saturating_sub(1).max(1);
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    let mut fitted = String::new();
    for line in &lines[..shown] {
        fitted.push_str(&shortened(line, width));
        fitted.push('\n');
    }
    if shown < lines.len() {
        fitted.push_str(&shortened(&format!("… {} more lines", lines.len() - shown), width));
        fitted.push('\n');
    }
    fitted
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

/// What takes `lines` lines off the terminal again that were drawn last.
pub fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("{ESCAPE}[{lines}A\r{ESCAPE}[J") }
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
        assert_eq!(fit("one\ntwo\nthree\n", 80, 24), "one\ntwo\nthree\n");
        assert_eq!(fit("one\ntwo\nthree\nfour\n", 80, 4), "one\ntwo\n… 2 more lines\n");
        assert_eq!(fit("a long line\n", 6, 24), "a long\n");
        assert_eq!(fit("订单订单\n", 5, 24), "订单\n");
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
        assert_eq!(fit("\u{1b}[31mabcdef\u{1b}[0m x\n", 3, 24), "\u{1b}[31mabc\u{1b}[0m\n");
        assert_eq!(fit("\u{1b}[31mab\u{1b}[0m\n", 2, 24), "\u{1b}[31mab\u{1b}[0m\n");
    }

    #[test]
    fn what_was_drawn_is_taken_away() {
        assert_eq!(erase(0), "");
        assert_eq!(erase(3), "\u{1b}[3A\r\u{1b}[J");
    }
}
