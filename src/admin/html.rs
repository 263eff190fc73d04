//! A writer of HTML that cannot forget to escape: markup is only what stands in this program, everything else is text.

use crate::text::is_command;

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct HtmlPage(String);

impl HtmlPage {
    /// Markup of our own. `'static`: text from outside cannot get here.
    pub fn markup(&mut self, markup: &'static str) -> &mut HtmlPage {
        self.0.push_str(markup);
        self
    }

    /// Text, escaped for content and quoted attribute values. What is no text but a command is shown as U+FFFD.
    pub fn text(&mut self, text: &str) -> &mut HtmlPage {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                c if is_command(c) => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_neither_markup_nor_a_command() {
        let mut html = HtmlPage::default();
        html.markup("<p>").text("<script>alert('a' & \"b\")</script>\u{1b}[2J\u{202e}\nü").markup("</p>");
        assert_eq!(
            html.finish(),
            "<p>&lt;script&gt;alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt;\u{fffd}[2J\u{fffd}\nü</p>"
        );
    }
}
