//! Paths and methods: what a request line can carry.

use super::diagnostics::Diagnostics;
use crate::config::tree::{NodeId, shorten};

/// A path of a route, a check or a probe: it starts with `/` and has nothing that a request line could not carry. What to
/// write instead. (What is behind `?` may be a token: it is not repeated.)
pub(super) fn path_advice(path: &str, query: bool) -> Option<String> {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let alone = &path[..end];
    let is_plain = |path: &str| path.len() <= 60 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'`');
    let written = |path: &str, why: &str| match is_plain(path) {
        true => format!("write `{path}`: {why}"),
        false => why.to_owned(),
    };
    if let Some((_, rest)) = alone.split_once("://") {
        let path = rest.find('/').map_or("/", |at| &rest[at..]);
        return Some(written(path, "a path, without scheme and host"));
    }
    if alone.starts_with(['^', '~', '(']) || alone.contains(".*") {
        return Some("regular expressions are not supported yet; write `path_prefix: /api`".to_owned());
    }
    if !path.starts_with('/') {
        return Some(written(&format!("/{}", alone.trim_start()), "a path starts with `/`"));
    }
    if path.contains('#') || (!query && path.contains('?')) {
        return Some(written(alone, "the path alone, without query and fragment"));
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) {
        let encoded = alone.replace(' ', "%20");
        return Some(written(&encoded, "spaces and what is not ASCII are percent-encoded"));
    }
    None
}

/// The name of a method, whichever.
pub(super) fn method_name(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    if http::Method::from_bytes(text.as_bytes()).is_err() || text.bytes().any(|b| b.is_ascii_lowercase()) {
        let what = format!("`{}` is not a method", shorten(text));
        let capitals = text.to_ascii_uppercase();
        let advice = match http::Method::from_bytes(capitals.as_bytes()) {
            Ok(_) if capitals.len() <= 20 => format!("write `{capitals}`: methods are written in capitals"),
            _ => "write one such as `GET` or `POST`".to_owned(),
        };
        diagnostics.problem(at, what, advice);
        return None;
    }
    Some(text.to_owned())
}
