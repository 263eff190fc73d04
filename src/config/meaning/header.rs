//! Header fields that the file names: those we set, those we expect.

use super::diagnostics::Diagnostics;
use crate::config::model::{HeaderChanges, Secret};
use crate::config::schema;
use crate::config::spanned::{NamedEntries, Spanned};
use crate::config::tree::{NodeId, shorten, shown_key};

/// Fields that say how a message is framed or how far a field or a message travels: they are ours, on both sides.
const OURS: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "standfast-hops",
];

/// `request_headers:` or `response_headers:`
pub(super) fn changes(diagnostics: &mut Diagnostics, changes: &Spanned<schema::HeaderChanges>) -> HeaderChanges {
    let Some(changes) = changes.get() else { return HeaderChanges::default() };
    let remove = changes.remove.get().map_or(&[][..], |list| &list.0);
    HeaderChanges {
        set: settable(diagnostics, &changes.set),
        add: settable(diagnostics, &changes.add)
            .into_iter()
            .inspect(|(name, _)| {
                if let (true, Some(at)) = (name.eq_ignore_ascii_case("host"), changes.add.at()) {
                    diagnostics.problem(at, "a request has one Host", "write it under `set`");
                }
            })
            .collect(),
        remove: remove
            .iter()
            .filter_map(Spanned::found)
            .filter_map(|(at, text)| {
                let removed = name(diagnostics, at, text, true)?.to_lowercase();
                if removed == "host" {
                    diagnostics.problem(at, "a request must have a Host", "write the one you want under `set`");
                }
                Some(removed)
            })
            .collect(),
    }
}

/// Fields that we write: none of [`OURS`], values that a message can carry.
pub(super) fn settable(diagnostics: &mut Diagnostics, fields: &Spanned<NamedEntries<String>>) -> Vec<(String, String)> {
    pairs(diagnostics, fields, true)
}

/// Fields that a probe sends beside its own.
pub(super) fn sent(diagnostics: &mut Diagnostics, fields: &Spanned<NamedEntries<String>>) -> Vec<(String, Secret)> {
    for (key, _) in fields.get().map_or(&[][..], |fields| &fields.0) {
        if let Some((at, name)) = key.found()
            && name.eq_ignore_ascii_case("host")
        {
            diagnostics.problem(
                at,
                "the Host of a check has a key of its own",
                "write it as `host`, beside `request_headers`",
            );
        }
    }
    settable(diagnostics, fields).into_iter().map(|(name, value)| (name, Secret::from(value))).collect()
}

/// Fields that only requests have, and usual names of keys and tokens: an answer is not expected to have them.
const OF_REQUESTS: [&str; 31] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "api-key",
    "authorization",
    "cookie",
    "expect",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "te",
    "user-agent",
    "x-api-key",
    "x-auth-token",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-requested-with",
];

/// Fields that we look for in the answer of a check; names in lower case.
pub(super) fn expected(diagnostics: &mut Diagnostics, fields: &Spanned<NamedEntries<String>>) -> Vec<(String, String)> {
    for (key, _) in fields.get().map_or(&[][..], |fields| &fields.0) {
        let Some((at, name)) = key.found() else { continue };
        let lower = name.to_ascii_lowercase();
        if OF_REQUESTS.contains(&lower.as_str()) {
            let what = format!(
                "`{}` is a field of requests, and `headers` are those that the answer must have",
                shorten(name)
            );
            let advice = match lower.as_str() {
                "host" => "write it as `host`, beside `headers`",
                _ => "write it under `request_headers`: these are sent with each probe",
            };
            diagnostics.problem(at, what, advice);
        }
    }
    pairs(diagnostics, fields, false).into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect()
}

fn pairs(
    diagnostics: &mut Diagnostics,
    fields: &Spanned<NamedEntries<String>>,
    ours_refused: bool,
) -> Vec<(String, String)> {
    let Some(fields) = fields.get() else { return Vec::new() };
    let pair = |(key, value): &(Spanned<String>, Spanned<String>)| {
        let name = key.found().and_then(|(at, text)| name(diagnostics, at, text, ours_refused));
        let value = value.found().and_then(|(at, text)| self::value(diagnostics, at, text));
        name.zip(value)
    };
    fields.0.iter().filter_map(pair).collect()
}

/// The name of a field, as it was written.
pub(super) fn name(diagnostics: &mut Diagnostics, at: NodeId, text: &str, ours_refused: bool) -> Option<String> {
    if http::HeaderName::from_bytes(text.as_bytes()).is_err() {
        let what = format!("`{}` is not the name of a header field", shown_key(text));
        diagnostics.problem(at, what, "letters, digits and `-`, such as `X-Request-Id`; the value stands behind `: `");
        return None;
    }
    if ours_refused && OURS.contains(&text.to_lowercase().as_str()) {
        let what = format!("`{}` belongs to the connection", shorten(text));
        diagnostics.problem(at, what, "leave it out: the proxy frames every message itself");
        return None;
    }
    Some(text.to_owned())
}

/// The value of a field: visible ASCII, spaces inside.
pub(super) fn value(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    let visible = text.bytes().all(|b| b == b' ' || b == b'\t' || b.is_ascii_graphic());
    if !visible || text.trim() != text || http::HeaderValue::from_str(text).is_err() {
        diagnostics.problem(
            at,
            "this is not the value of a header field",
            "visible ASCII on one line, without spaces around it",
        );
        return None;
    }
    Some(text.to_owned())
}
