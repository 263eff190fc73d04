//! The request target: which forms are allowed, where its path is, and what never passes because the upstream might
//! read another path than the one that was routed.
//!
//! **The path is routed and forwarded as it came, byte for byte**: nothing is decoded, merged or resolved, so what is
//! matched is what is sent. What an upstream would resolve to *another* path is refused instead: segments `.` and
//! `..`, also when percent-encoded (`%2e`), behind an encoded slash or a backslash (`..%2f`, `..\`), or with a path
//! parameter (`..;x`). Browsers and curl resolve these before they send, so honest clients do not meet the rule.
//! `//`, `%2f` and other percent-encodings pass unchanged.

use super::Error;
use super::head::{Scheme, Span};
use super::host::host_len;
use crate::wire::ascii;

/// A target in its parts. `path` is empty when an absolute target has none (then `/` is meant) and for `*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TargetParts {
    pub(super) form: TargetForm,
    /// `host[:port]` of an absolute target.
    pub(super) authority: Option<Span>,
    /// The host in it.
    pub(super) host: Span,
    /// Path without query.
    pub(super) path: Span,
    /// Path and query.
    pub(super) path_and_query: Span,
}

/// The form of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TargetForm {
    /// A path with or without a query.
    #[default]
    Origin,
    /// `http://…`, over TLS `https://…`
    Absolute,
    /// `*`
    Asterisk,
}

impl TargetParts {
    /// Reads the target that stands in `text` at `span`; an absolute one has to name the scheme of its connection.
    #[inline]
    pub(super) fn parse(text: &[u8], span: Span, is_options: bool, scheme: Scheme) -> Result<TargetParts, Error> {
        let target = span.of(text);
        match target {
            [b'/', ..] => TargetParts::origin(target, span.start()),
            b"*" if is_options => Ok(TargetParts {
                form: TargetForm::Asterisk,
                path: span,
                path_and_query: span,
                ..TargetParts::default()
            }),
            _ => TargetParts::absolute(target, span.start(), scheme),
        }
    }

    #[inline]
    fn origin(target: &[u8], at: usize) -> Result<TargetParts, Error> {
        let seen = ascii::target_classes(target);
        if seen & ascii::TARGET_BAD != 0 {
            return Err(Error::Target);
        }
        let path = match seen & ascii::TARGET_QUERY {
            0 => target.len(),
            _ => target.iter().position(|&b| b == b'?').unwrap_or(target.len()),
        };
        if seen & ascii::TARGET_DOT != 0 && has_dot_segment(&target[..path]) {
            return Err(Error::DotSegment);
        }
        Ok(TargetParts {
            path: Span::new(at..at + path),
            path_and_query: Span::new(at..at + target.len()),
            ..TargetParts::default()
        })
    }

    fn absolute(target: &[u8], at: usize, scheme: Scheme) -> Result<TargetParts, Error> {
        let (name, scheme) = (scheme.as_str().len(), scheme.as_str().as_bytes());
        let length = name + b"://".len();
        if target.len() <= length || !target[..name].eq_ignore_ascii_case(scheme) || &target[name..length] != b"://" {
            return Err(Error::Target);
        }
        let rest = &target[length..];
        let authority = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        let host = host_len(&rest[..authority]).ok_or(Error::HostInvalid)?;
        let start = at + length;
        let mut parsed = TargetParts::origin(&rest[authority..], start + authority)?;
        parsed.form = TargetForm::Absolute;
        parsed.authority = Some(Span::new(start..start + authority));
        parsed.host = Span::new(start..start + host);
        Ok(parsed)
    }
}

/// Would some upstream take a segment of this path for `.` or `..`.
fn has_dot_segment(path: &[u8]) -> bool {
    let mut rest = path;
    while !rest.is_empty() {
        let (dots, after) = leading_dots(rest);
        if matches!(dots, 1 | 2) && (after.is_empty() || after[0] == b';' || separator(after).is_some()) {
            return true;
        }
        rest = next_segment(after);
    }
    false
}

/// How many dots, plain or encoded, stand first (three stand for any more), and what follows them.
fn leading_dots(mut text: &[u8]) -> (usize, &[u8]) {
    let mut dots = 0;
    loop {
        match text {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => text = rest,
            _ => return (dots, text),
        }
        dots += 1;
    }
}

/// The length of the separator that stands first, plain or encoded.
fn separator(text: &[u8]) -> Option<usize> {
    match text {
        [b'/' | b'\\', ..] => Some(1),
        [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => Some(3),
        _ => None,
    }
}

/// Behind the next separator.
fn next_segment(mut text: &[u8]) -> &[u8] {
    while !text.is_empty() {
        if let Some(len) = separator(text) {
            return &text[len..];
        }
        text = &text[1..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> Result<TargetParts, Error> {
        TargetParts::parse(target.as_bytes(), Span::new(0..target.len()), false, Scheme::Http)
    }

    #[test]
    fn paths_pass_as_they_came() {
        for target in
            ["/", "/a/b?c=/../d", "//a", "/a%2fb", "/.well-known/x", "/a..b/..c/d..", "/...", "/a.", "/%2ea", "/a;.."]
        {
            let parsed = parse(target).unwrap();
            assert_eq!(parsed.path_and_query.str_of(target.as_bytes()), target);
            assert_eq!(parsed.path.str_of(target.as_bytes()), target.split('?').next().unwrap());
        }
    }

    #[test]
    fn dot_segments_are_refused_in_every_disguise() {
        for target in [
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a/..%2fb",
            "/a%2f..",
            "/a\\..\\b",
            "/a%5c..",
            "/..;x/b",
            "/a/..?q",
            "http://h/..",
        ] {
            assert_eq!(parse(target), Err(Error::DotSegment), "{target}");
        }
    }

    #[test]
    fn an_absolute_target_yields_authority_and_path() {
        let text = b"http://a.b:81?x";
        let parsed = parse("HTTP://a.b:81?x").unwrap();
        assert_eq!(parsed.authority.unwrap().of(text), b"a.b:81");
        assert_eq!(parsed.host.of(text), b"a.b");
        assert_eq!(parsed.path.of(text), b"");
        assert_eq!(parsed.path_and_query.of(text), b"?x");
    }

    #[test]
    fn an_absolute_target_names_the_scheme_of_its_connection() {
        let parse = |target: &str, scheme| {
            TargetParts::parse(target.as_bytes(), Span::new(0..target.len()), false, scheme).is_ok()
        };
        for (target, plain, secure) in
            [("http://a/", true, false), ("hTTps://a/", false, true), ("https:/a", false, false)]
        {
            assert_eq!((parse(target, Scheme::Http), parse(target, Scheme::Https)), (plain, secure), "{target}");
        }
    }

    #[test]
    fn other_targets_are_refused() {
        for target in [
            "",
            "*",
            "a",
            "example.com:443",
            "https://a/",
            "ftp://a/",
            "http:/a",
            "http://",
            "http:///a",
            "/a#b",
            "/é",
            "/a\x7f",
            "?a",
        ] {
            assert!(parse(target).is_err(), "{target}");
        }
        assert_eq!(parse("http://u@h/"), Err(Error::HostInvalid));
    }
}
