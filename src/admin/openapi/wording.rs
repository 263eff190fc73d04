//! Descriptions that were written for readers of the sources, as readers of JSON need them.

use serde_json::Value;

/// In all descriptions: links into the sources become words, and `None` is what JSON has.
pub(super) fn for_programs(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = reworded(text),
                    member => for_programs(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(for_programs),
        _ => {}
    }
}

/// Links of the documentation, with and without a target, become code: their brackets are gone.
fn reworded(text: &str) -> String {
    let mut rest = text;
    let mut words = String::new();
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else { break };
        let after = match after.strip_prefix('(') {
            Some(target) => target.split_once(')').map_or("", |(_, after)| after),
            None => after,
        };
        words.extend([before, "`", name, "`"]);
        rest = after;
    }
    words.push_str(rest);
    words.replace("`None`", "`null` or absent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_words() {
        for (text, expected) in [
            ("nothing", "nothing"),
            ("by [`A::B`](super::A), or [`C`]; `None` = no", "by `A::B`, or `C`; `null` or absent = no"),
            ("a [mark](super::M) stays", "a [mark](super::M) stays"),
            ("[`open", "[`open"),
            ("[`a`](open", "`a`"),
        ] {
            assert_eq!(reworded(text), expected);
        }
    }
}
