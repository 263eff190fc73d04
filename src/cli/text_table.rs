//! Text for people: styles and columns.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use standfast::control::status_text::Tone;

use super::ask::printable;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextStyle {
    /// As everything else.
    Plain,
    /// A heading.
    Head,
    /// As it should be.
    Good,
    /// It needs attention.
    Warn,
    /// It fails.
    Bad,
}

/// One cell of a table.
pub type TableCell = (String, TextStyle);

/// What a status says, as a cell.
pub fn cell((text, tone): (impl AsRef<str>, Tone)) -> TableCell {
    let style = match tone {
        Tone::Plain => TextStyle::Plain,
        Tone::Good => TextStyle::Good,
        Tone::Warn => TextStyle::Warn,
        Tone::Bad => TextStyle::Bad,
    };
    (printable(text.as_ref()), style)
}

/// A row of headings.
pub fn heads(names: &[&str]) -> Vec<TableCell> {
    names.iter().map(|name| ((*name).to_owned(), TextStyle::Head)).collect()
}

/// How a text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLayout {
    /// May it have colours?
    pub colour: bool,
    /// The columns of the terminal; `None` = lines may be of any length.
    pub width: Option<usize>,
}

impl TextLayout {
    /// No colours, lines of any length.
    pub const PLAIN: TextLayout = TextLayout { colour: false, width: None };

    /// As this output wants it.
    pub fn of(out: &(impl IsTerminal + AsFd)) -> TextLayout {
        let terminal = out.is_terminal();
        let size = rustix::termios::tcgetwinsize(out).ok().map(|size| usize::from(size.ws_col));
        TextLayout {
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            width: size.filter(|columns| terminal && *columns > 0),
        }
    }
}

/// The last column is broken into lines where it has so many characters; where it has fewer, it stands below its row.
const NARROW: usize = 24;

/// Columns as wide as their widest cell, two spaces between them, none after the last. Where the terminal is narrower, the last
/// column is broken between words.
pub fn layout(indent: &str, rows: Vec<Vec<TableCell>>, look: TextLayout) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |row: &Vec<TableCell>, column: usize| row.get(column).map_or(0, |(text, _)| text.chars().count());
    let width = |column: usize| rows.iter().map(|row| wide(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let before = indent.len() + widths.iter().rev().skip(1).map(|width| width + 2).sum::<usize>();
    let room = look.width.map_or(usize::MAX, |all| all.saturating_sub(before));
    let below = widths.last().is_some_and(|last| room < NARROW && *last > room);
    let (start, room) = match below {
        true => (indent.len() + 4, look.width.unwrap_or(usize::MAX).saturating_sub(indent.len() + 4)),
        false => (before, room),
    };
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        let whole = row.len() == columns && columns > 1;
        let last = row.last().filter(|(text, _)| whole && (below || text.chars().count() > room));
        let first = if last.is_some() { row.len() - 1 } else { row.len() };
        let used = row.iter().take(first).rposition(|(text, _)| !text.is_empty()).map_or(0, |last| last + 1);
        let mut line = indent.to_owned();
        let mut shown = indent.len();
        for (column, (text, style)) in row.iter().take(used).enumerate() {
            line.push_str(&paint(text, *style, look.colour));
            shown += text.chars().count();
            if column + 1 < used {
                let gap = widths[column] - text.chars().count() + 2;
                line.extend(std::iter::repeat_n(' ', gap));
                shown += gap;
            }
        }
        // (The heading of a column that stands below its rows is left out.)
        if let Some((text, style)) = last.filter(|(text, _)| !(text.is_empty() || below && index == 0)) {
            for (number, part) in broken(text, room).into_iter().enumerate() {
                if number > 0 || below {
                    line.push('\n');
                    line.extend(std::iter::repeat_n(' ', start));
                } else {
                    line.extend(std::iter::repeat_n(' ', before.saturating_sub(shown)));
                }
                line.push_str(&paint(&part, *style, look.colour));
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// A text in lines that are broken between words.
pub fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut().map(|line| (line.chars().count(), line)) {
            Some((0, line)) => line.push_str(word),
            Some((used, line)) if used + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The text in its colour.
pub fn paint(text: &str, style: TextStyle, colour: bool) -> String {
    let code = match style {
        TextStyle::Plain => "",
        TextStyle::Head => "1",
        TextStyle::Good => "32",
        TextStyle::Warn => "33",
        TextStyle::Bad => "31",
    };
    match colour && !code.is_empty() && !text.is_empty() {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> String {
        let row = |texts: [&str; 3]| texts.map(|text| (text.to_owned(), TextStyle::Plain)).to_vec();
        let rows = vec![
            row(["NAME", "STATE", "EVIDENCE"]),
            row(["north-1", "unhealthy", "a request was refused, and so was the confirming connect"]),
            row(["s", "healthy", ""]),
        ];
        layout("  ", rows, TextLayout { colour: false, width })
    }

    #[test]
    fn a_last_column_that_is_too_wide_is_broken_under_its_heading() {
        let expected = [
            "  NAME     STATE      EVIDENCE",
            "  north-1  unhealthy  a request was refused, and",
            "                      so was the confirming",
            "                      connect",
            "  s        healthy",
        ];
        assert_eq!(table(Some(48)).lines().collect::<Vec<_>>(), expected);
        assert_eq!(table(None).lines().count(), 3);
        assert_eq!(table(Some(200)), table(None));
    }

    #[test]
    fn where_it_has_no_room_it_stands_below_its_row() {
        let expected = [
            "  NAME     STATE",
            "  north-1  unhealthy",
            "      a request was refused, and so",
            "      was the confirming connect",
            "  s        healthy",
        ];
        assert_eq!(table(Some(36)).lines().collect::<Vec<_>>(), expected);
    }
}
