//! What the output may look like: colours, width.

/// What a piece of text says, as far as it has a colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Under way, or waiting.
    Busy,
    /// Something is to be done about it.
    Bad,
    /// Less important.
    Faint,
}

/// The terminal, or what there is in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether tones become colours.
    pub colour: bool,
    /// How many columns there are; `None` where lines may have any length.
    pub width: Option<usize>,
}

impl Look {
    /// Colour on a terminal only, and not where NO_COLOR is set (`no_color`); a width on a terminal only.
    pub fn of(terminal: bool, no_color: bool, width: Option<usize>) -> Self {
        Self { colour: terminal && !no_color, width: width.filter(|_| terminal) }
    }

    /// The text in its tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => 32,
            Tone::Busy => 33,
            Tone::Bad => 31,
            Tone::Faint => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_colour_on_a_terminal_only_and_not_where_it_is_unwanted() {
        for (terminal, no_color, colour) in [(true, false, true), (true, true, false), (false, false, false)] {
            let look = Look::of(terminal, no_color, Some(80));
            assert_eq!(look, Look { colour, width: terminal.then_some(80) });
            let painted = look.paint(Tone::Bad, "no");
            assert_eq!(painted == "no", !colour, "{painted:?}");
        }
    }
}
