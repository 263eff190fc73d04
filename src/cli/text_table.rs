//! Text for people: styles, columns, times.

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

/// The name that JSON knows a value of an enum by, in words.
pub fn label<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => "?".to_owned(),
    }
}

/// Milliseconds in the two largest units that matter.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A measured time, as exact as it is worth.
pub fn millis(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1}ms")
    } else if ms < 1000.0 {
        format!("{ms:.0}ms")
    } else {
        format!("{:.2}s", ms / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_two_units_that_matter() {
        let told: Vec<_> = [0, 999, 59_999, 60_000, 3_599_000, 90_061_000].into_iter().map(span).collect();
        assert_eq!(told, ["0ms", "999ms", "59s", "1m 0s", "59m 59s", "1d 1h"]);
    }
}
