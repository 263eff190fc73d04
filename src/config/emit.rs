//! Values → YAML text, so that our reader (YAML 1.2) reads them back as the same. (The emitter of `yaml_serde` writes YAML
//! 1.1, where U+0085 and U+2028 are line breaks: such a text would come back changed.)

use serde_yaml::Value;

/// A value as a block: maps and lists one entry a line, in their order.
pub(super) fn emit(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// The lines of a map or list, or one line of a scalar.
fn block(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Mapping(map) if !map.is_empty() => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(key)));
                behind(value, indent + 2, out);
            }
        }
        Value::Sequence(list) if !list.is_empty() => {
            for value in list {
                out.push_str(&format!("{pad}-"));
                behind(value, indent + 2, out);
            }
        }
        _ => out.push_str(&format!("{pad}{}\n", scalar(value))),
    }
}

/// What stands behind `key:` or `-`.
fn behind(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Mapping(map) if !map.is_empty() => out.push('\n'),
        Value::Sequence(list) if !list.is_empty() => out.push('\n'),
        _ => return out.push_str(&format!(" {}\n", scalar(value))),
    }
    block(value, indent, out);
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Mapping(_) => "{}".into(),
        Value::Sequence(_) => "[]".into(),
        Value::Tagged(tagged) => scalar(&tagged.value),
    }
}

/// Needs no quotes: nothing that YAML gives a meaning to, and no other type's notation.
fn is_plain(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '/';
    let other = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '-');
    text.starts_with(first)
        && text.chars().all(other)
        && !text.ends_with(':')
        && text.parse::<f64>().is_err()
        && !["true", "false", "null"].contains(&text.to_lowercase().as_str())
}

/// Between double quotes, where everything can be escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::diagnostic::DiagnosticList;
    use crate::config::{tree, yaml};

    /// The texts of a tree, keys included.
    fn texts(node: &tree::TreeNode, found: &mut Vec<(String, bool)>) {
        match &node.value {
            tree::TreeValue::Scalar { text, plain } => found.push((text.to_string(), *plain)),
            tree::TreeValue::List(items) => items.iter().for_each(|item| texts(item, found)),
            tree::TreeValue::Map(entries) => entries.iter().for_each(|(key, value)| {
                texts(key, found);
                texts(value, found);
            }),
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>(), key in "[^<]{1,20}") {
            let value = Value::Sequence(vec![
                Value::Mapping([(Value::from(key.clone()), Value::from(text.clone()))].into_iter().collect()),
                Value::Sequence(vec![Value::from(text.clone())]),
            ]);
            let mut diagnostics = DiagnosticList::default();
            let tree = yaml::read(&emit(&value), &mut diagnostics).ok_or_else(|| TestCaseError::fail(format!("{diagnostics:?}")))?;
            let mut found = Vec::new();
            texts(&tree.root, &mut found);
            let found: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
            prop_assert_eq!(found, [key.as_str(), &text, &text]);
        }
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for text in ["1", "1.10", "true", "NULL", "", "~", "- a", "a: b", "#", "inf", "nan", "a:", "*a", "é"] {
            assert!(scalar(&Value::from(text)).starts_with('"'), "{text}");
        }
        for text in ["off", "10.0.0.1:80", "/var/lib", "least_request", "1m", "200-299"] {
            assert_eq!(scalar(&Value::from(text)), text);
        }
    }
}
