//! Text of others, fit to be shown: names from files and answers, values of configurations, what libraries say of both. Neither a
//! terminal nor a reader of a log must take it for something else than text.

use std::borrow::Cow;

/// Is it no text but a command: control characters (terminals obey those of C1 too), what breaks a line, and what has the text behind
/// it shown in another order than it stands in (bidirectional controls, UAX #9).
pub fn is_command(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

/// The same text with U+FFFD in the place of every [command](is_command).
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_command(c) { '\u{fffd}' } else { c }).collect())
}

/// The same for texts of several lines: they stay lines.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// A text for a message: printable, and cut behind so many characters.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", printable(&text[..end])),
        None => printable(text).into_owned(),
    }
}

/// JSON for a terminal: what is no plain text in its strings is escaped. (Outside of strings JSON has nothing of the kind.)
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => out.push(c),
            c if is_command(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_commands_is_left() {
        let commands = ('\0'..' ')
            .chain('\u{7f}'..='\u{9f}')
            .chain('\u{2028}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .chain(['\u{200e}', '\u{200f}', '\u{61c}']);
        for c in commands {
            assert_eq!(printable(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
            assert_eq!(shortened(&format!("{c}bcd"), 2), "\u{fffd}b…", "{c:?}");
            let json = printable_json(&format!("{{\"a\":\n\"{c}\"}}"));
            assert!(c == '\n' || !json.replace('\n', "").contains(is_command), "{c:?}");
        }
        for text in ["", "plain", "é 日本 العربية עברית 👩‍🚀", "a\u{a0}b"] {
            assert_eq!(printable(text), text);
            assert_eq!(printable_json(text), text);
        }
        assert_eq!(printable_lines("a\n\u{1b}[2Jb\r\n"), "a\n\u{fffd}[2Jb\u{fffd}\n");
        let value: serde_json::Value = serde_json::from_str(&printable_json("[\"\u{202e}\u{9b}\"]")).unwrap();
        assert_eq!(value[0], "\u{202e}\u{9b}");
    }
}
