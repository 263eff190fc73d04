//! Text for people: styles and columns.

use standfast::control::status_text::Tone;

use super::ask::printable;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As everything else.
    Plain,
    /// A heading.
    Head,
    /// As it should be.
    Good,
    /// Somebody should look.
    Warn,
    /// It fails.
    Bad,
}

/// One cell of a table.
pub type Cell = (String, Style);

/// What a status says, as a cell.
pub fn cell((text, tone): (impl AsRef<str>, Tone)) -> Cell {
    let style = match tone {
        Tone::Plain => Style::Plain,
        Tone::Good => Style::Good,
        Tone::Warn => Style::Warn,
        Tone::Bad => Style::Bad,
    };
    (printable(text.as_ref()), style)
}

/// A row of headings.
pub fn heads(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| ((*name).to_owned(), Style::Head)).collect()
}

/// Columns as wide as their widest cell, two spaces between them, none after the last.
pub fn layout(indent: &str, rows: Vec<Vec<Cell>>, colour: bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |row: &Vec<Cell>, column: usize| row.get(column).map_or(0, |(text, _)| text.chars().count());
    let width = |column: usize| rows.iter().map(|row| wide(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let used = row.iter().rposition(|(text, _)| !text.is_empty()).map_or(0, |last| last + 1);
        let mut line = indent.to_owned();
        for (column, (text, style)) in row.iter().take(used).enumerate() {
            line.push_str(&paint(text, *style, colour));
            if column + 1 < used {
                line.extend(std::iter::repeat_n(' ', widths[column] - text.chars().count() + 2));
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// The text in its colour.
pub fn paint(text: &str, style: Style, colour: bool) -> String {
    let code = match style {
        Style::Plain => "",
        Style::Head => "1",
        Style::Good => "32",
        Style::Warn => "33",
        Style::Bad => "31",
    };
    match colour && !code.is_empty() && !text.is_empty() {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}
