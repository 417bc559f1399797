//! A terminal session as a picture (SVG) and as a recording (asciicast v2), from what its commands printed.
//!
//! Pure: the commands are run by `terminal-record`. Only what command line tools print is understood: text, colours, bold and
//! faint. Nothing moves the cursor.

use std::fmt::Write;

/// How wide a character of a monospace font of [`SIZE`] pixels is drawn.
const WIDTH: f64 = 8.4;
const SIZE: f64 = 14.0;
const LINE: f64 = 20.0;
const MARGIN: f64 = 18.0;
/// The title bar of the window.
const BAR: f64 = 34.0;
/// Black, red, green, yellow, blue, magenta, cyan, white, as terminals on a dark ground show them.
const COLOURS: [&str; 8] = ["#6e7681", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#76e3ea", "#c9d1d9"];
const TEXT: &str = "#c9d1d9";

/// What was printed at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Seconds since the session began.
    pub at: f64,
    /// With escape sequences, and `\r\n` at the end of lines.
    pub text: String,
}

/// A piece of a line in one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub text: String,
    /// The colour, 0 to 7.
    pub colour: Option<u8>,
    /// Less important.
    pub faint: bool,
    /// More important.
    pub bold: bool,
}

/// The lines of a text with escape sequences.
pub fn lines(text: &str) -> Vec<Vec<Span>> {
    let (mut lines, mut line, mut span) = (Vec::new(), Vec::new(), Span::default());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                let mut code = String::new();
                while let Some(c) = rest.next_if(|c| !c.is_ascii_alphabetic()) {
                    code.push(c);
                }
                if rest.next() == Some('m') {
                    line.extend(
                        Some(std::mem::take(&mut span.text))
                            .filter(|t| !t.is_empty())
                            .map(|text| Span { text, ..span.clone() }),
                    );
                    code.split(';').for_each(|code| style(&mut span, code));
                }
            }
            '\n' => {
                let text = std::mem::take(&mut span.text);
                line.push(Span { text, ..span.clone() });
                lines.push(std::mem::take(&mut line));
            }
            '\r' => {}
            c => span.text.push(c),
        }
    }
    if !span.text.is_empty() || !line.is_empty() {
        line.push(span);
        lines.push(line);
    }
    lines
}

fn style(span: &mut Span, code: &str) {
    match code.parse().unwrap_or(0) {
        0 => (span.colour, span.faint, span.bold) = (None, false, false),
        1 => span.bold = true,
        2 => span.faint = true,
        22 => (span.faint, span.bold) = (false, false),
        39 => span.colour = None,
        code @ (30..=37 | 90..=97) => span.colour = Some(code % 10),
        _ => {}
    }
}

/// The picture of a window with the whole session in it, `columns` wide.
pub fn svg(title: &str, columns: u16, chunks: &[Chunk]) -> String {
    let all: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    let lines = lines(&all);
    let width = f64::from(columns) * WIDTH + 2.0 * MARGIN;
    let height = BAR + lines.len() as f64 * LINE + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" role=\"img\">\n\
         <title>{title}</title>\n\
         <style>text{{font:{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;fill:{TEXT};white-space:pre}}\
         .f{{opacity:.6}}.b{{font-weight:700}}",
        title = escaped(title)
    );
    for (index, colour) in COLOURS.iter().enumerate() {
        let _ = write!(out, ".c{index}{{fill:{colour}}}");
    }
    let _ = write!(
        out,
        "</style>\n<rect width=\"100%\" height=\"100%\" rx=\"9\" fill=\"#0d1117\"/>\n\
         <path d=\"M0 {BAR}h{width:.0}\" stroke=\"#21262d\"/>\n\
         <circle cx=\"20\" cy=\"17\" r=\"6\" fill=\"#ff5f57\"/><circle cx=\"40\" cy=\"17\" r=\"6\" fill=\"#febc2e\"/>\
         <circle cx=\"60\" cy=\"17\" r=\"6\" fill=\"#28c840\"/>\n\
         <text x=\"{:.0}\" y=\"22\" text-anchor=\"middle\" class=\"f\">{}</text>\n",
        width / 2.0,
        escaped(title)
    );
    for (row, line) in lines.iter().enumerate() {
        let y = BAR + MARGIN + SIZE + row as f64 * LINE;
        let mut column = 0;
        for span in line {
            let length = span.text.chars().count();
            if !span.text.trim().is_empty() {
                out.push_str(&text(span, MARGIN + column as f64 * WIDTH, y, length));
            }
            column += length;
        }
    }
    out + "</svg>\n"
}

/// A piece of text at its place. Its length is given, so that columns stay aligned in whatever font there is.
fn text(span: &Span, x: f64, y: f64, length: usize) -> String {
    let mut classes: Vec<String> = span.colour.map(|colour| format!("c{colour}")).into_iter().collect();
    classes.extend(span.faint.then(|| "f".to_owned()));
    classes.extend(span.bold.then(|| "b".to_owned()));
    let class = if classes.is_empty() { String::new() } else { format!(" class=\"{}\"", classes.join(" ")) };
    let long = length as f64 * WIDTH;
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.0}\" textLength=\"{long:.1}\" xml:space=\"preserve\"{class}>{}</text>\n",
        escaped(&span.text)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The recording, for players of asciicast v2.
pub fn cast(title: &str, columns: u16, chunks: &[Chunk]) -> String {
    let rows = chunks.iter().map(|chunk| chunk.text.matches('\n').count()).sum::<usize>().min(40);
    let mut out =
        serde_json::json!({ "version": 2, "width": columns, "height": rows, "title": title }).to_string() + "\n";
    for chunk in chunks {
        let at = (chunk.at * 1000.0).round() / 1000.0;
        out.push_str(&(serde_json::json!([at, "o", chunk.text]).to_string() + "\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str, colour: Option<u8>) -> Span {
        Span { text: text.to_owned(), colour, ..Span::default() }
    }

    #[test]
    fn colours_become_spans_and_other_sequences_nothing() {
        let found = lines("a\u{1b}[32mgood\u{1b}[0m b\u{1b}[K\r\n\u{1b}[1;31mbad\u{1b}[m\n\nend");
        let bad = Span { bold: true, ..span("bad", Some(1)) };
        let expected = [
            vec![span("a", None), span("good", Some(2)), span(" b", None)],
            vec![bad, span("", None)],
            vec![span("", None)],
            vec![span("end", None)],
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_picture_holds_every_line_escaped_and_in_its_colour() {
        let chunks = [Chunk { at: 0.0, text: "$ a < b\r\n\u{1b}[32mok & well\u{1b}[0m\r\n".to_owned() }];
        let svg = svg("a & b", 40, &chunks);
        for part in [
            "<title>a &amp; b</title>",
            ">$ a &lt; b</text>",
            "class=\"c2\">ok &amp; well</text>",
            // Seven and nine columns.
            "textLength=\"58.8\"",
            "textLength=\"75.6\"",
        ] {
            assert!(svg.contains(part), "{part} isn't in {svg}");
        }
    }

    #[test]
    fn the_recording_has_a_head_and_one_event_a_chunk() {
        let cast = cast("t", 80, &[Chunk { at: 0.12345, text: "a\r\n".to_owned() }]);
        assert_eq!(cast, "{\"height\":1,\"title\":\"t\",\"version\":2,\"width\":80}\n[0.123,\"o\",\"a\\r\\n\"]\n");
    }
}
