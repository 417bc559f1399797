//! Tables aligned as kubectl's: upper-case headers, three spaces between columns.
//!
//! Widths are those of a terminal: a Chinese character takes two columns, a colour none. Where the terminal is too
//! narrow the last column, which holds sentences, is cut with an ellipsis; where that isn't enough the widest columns, which hold
//! names, lose their middle, because names differ at their ends; and where that isn't enough either all lines end at the edge,
//! because a table or a tree that wraps can't be read. What isn't for a terminal is never cut.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Look, Tone, frame::elided};

/// Between two columns.
const GAP: usize = 3;
/// So much of the last column is worth shortening names that are long.
const LEAST: usize = 12;
/// A name is long.
const LONG: usize = 24;

/// No column is shortened below this.
const NARROWEST: usize = 16;

/// One field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text in a tone; what would break the line is shown as a space.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        let text: String = text.into();
        Self { text: text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(), tone }
    }

    /// Text, or kubectl's `<none>`.
    pub fn or_none(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty()).unwrap_or("<none>").into()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Rows under headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; what is missing at its end stays empty.
    pub fn row(&mut self, mut cells: Vec<Cell>) {
        cells.resize(self.headers.len(), Cell::default());
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each with its line feed and without space at its end.
    pub fn render(&self, look: &Look) -> String {
        let headers: Vec<Cell> = self.headers.iter().map(|header| Cell::from(*header)).collect();
        let all = || std::iter::once(&headers).chain(&self.rows);
        let columns = self.headers.len();
        let mut widths: Vec<usize> =
            (0..columns).map(|at| all().map(|row| row[at].text.width()).max().unwrap_or(0)).collect();
        if let Some(width) = look.width {
            shrink(&mut widths, width);
        }
        let before: usize = widths.iter().take(columns.saturating_sub(1)).map(|width| width + GAP).sum();
        let last = look.width.map(|width| width.saturating_sub(before).max(1));
        let mut text = String::new();
        for row in all() {
            let line = line(row, &widths, last, look);
            text.push_str(&look.width.map_or_else(|| line.clone(), |width| elided(&line, width)));
            text.push('\n');
        }
        text
    }
}

fn line(row: &[Cell], widths: &[usize], last: Option<usize>, look: &Look) -> String {
    let end = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |at| at + 1);
    let mut line = String::new();
    for (at, cell) in row.iter().take(end).enumerate() {
        if at + 1 == row.len() {
            let shown = last.map_or_else(|| cell.text.clone(), |room| cut(&cell.text, room));
            line.push_str(&look.paint(cell.tone, &shown));
        } else {
            let shown = middle(&cell.text, widths[at]);
            let gap = if at + 1 == end { 0 } else { widths[at] - shown.width() + GAP };
            line.push_str(&look.paint(cell.tone, &shown));
            line.push_str(&" ".repeat(gap));
        }
    }
    line
}

/// Takes columns but the last off the widest ones: of long names for the beginning of a sentence, and more until all fit.
fn shrink(widths: &mut [usize], width: usize) {
    let Some((last, names)) = widths.split_last_mut() else { return };
    let room = width.saturating_sub(names.len() * GAP);
    for (last, narrowest) in [((*last).min(LEAST), LONG), ((*last).min(1), NARROWEST)] {
        while names.iter().sum::<usize>() + last > room {
            let Some(widest) = names.iter_mut().max().filter(|widest| **widest > narrowest) else { break };
            *widest -= 1;
        }
    }
}

/// At most `room` columns of the text: what a tree draws before it, and both of its ends, where it is longer.
pub fn middle(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let name = text.trim_start_matches(['│', '├', '└', '─', ' ']);
    let stem = &text[..text.len() - name.len()];
    let ends = room.saturating_sub(stem.width() + 1);
    let tail: String = within(name.chars().rev(), ends / 2).into_iter().rev().collect();
    let head: String = within(name.chars(), ends - tail.width()).into_iter().collect();
    format!("{stem}{head}…{tail}")
}

/// As many characters as `room` columns take.
fn within(text: impl Iterator<Item = char>, room: usize) -> Vec<char> {
    let mut used = 0;
    text.take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= room
    })
    .collect()
}

/// At most `room` columns of the text.
fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let (mut used, mut kept) = (1, String::new());
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let mut table = Table::new(&["NAME", "AGE", "WHY"]);
        for row in rows {
            table.row(row.iter().map(|text| Cell::from(*text)).collect());
        }
        table
    }

    #[test]
    fn columns_are_aligned_as_kubectls() {
        let text = table(&[["hello", "5m", "it runs"], ["a", "120d", ""]]).render(&Look::default());
        assert_eq!(text, "NAME    AGE    WHY\nhello   5m     it runs\na       120d\n");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        let text = table(&[["订单", "5m", "x"], ["hello", "5m", "y"]]).render(&Look::default());
        assert_eq!(text, "NAME    AGE   WHY\n订单    5m    x\nhello   5m    y\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_the_last_column_first_and_then_the_lines() {
        let rows = [["a-name-that-is-long", "5m", "the agent does not answer for a while"]];
        let narrow = Look { colour: false, width: Some(50) };
        let text = table(&rows).render(&narrow);
        assert_eq!(text.lines().nth(1), Some("a-name-that-is-long   5m    the agent does not an…"));
        let tiny = table(&rows).render(&Look { colour: false, width: Some(10) });
        assert_eq!(tiny.lines().nth(1), Some("a-name-t…"));
        assert!(table(&rows).render(&Look::default()).contains("for a while"));
    }

    #[test]
    fn a_long_name_loses_its_middle_and_hides_no_other_column() {
        let long = format!("orders-{}-7d9fcb-x2x4k", "of-a-team-with-a-long-name".repeat(2));
        for (width, row) in [
            (60, "orders-of-a-team-wi…-name-7d9fcb-x2x4k   5m     it does not…"),
            (40, "orders-of-a-…d9fcb-x2x4k   5m     it do…"),
        ] {
            let text = table(&[[&long, "5m", "it does not answer"], ["a", "120d", ""]])
                .render(&Look { colour: false, width: Some(width) });
            assert_eq!(text.lines().nth(1), Some(row), "{width}");
        }
        assert_eq!(middle("│  ├─ base-7d9fcb-x2x4k", 16), "│  ├─ base-…2x4k");
        assert_eq!(middle("订单订单订单", 7), "订单…单");
        assert_eq!(middle("abc", 3), "abc");
    }

    #[test]
    fn a_colour_takes_no_width_and_a_line_feed_breaks_no_line() {
        let mut coloured = Table::new(&["A", "B"]);
        coloured.row(vec![Cell::new("bad", Tone::Bad), Cell::from("one\ntwo")]);
        let text = coloured.render(&Look { colour: true, width: None });
        assert_eq!(text, "A     B\n\u{1b}[31mbad\u{1b}[0m   one two\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in prop::collection::vec(["[a-z订]{0,9}", "[a-z]{0,5}", "[a-z订 ]{0,80}"], 1..5),
            width in 1usize..120,
        ) {
            let mut table = Table::new(&["NAME", "AGE", "WHY"]);
            for row in rows {
                table.row(row.map(Cell::from).to_vec());
            }
            for line in table.render(&Look { colour: false, width: Some(width) }).lines() {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }
    }
}
