//! A client's request as the engine gives it, in the common value. The engine has checked the framing, the pseudo-fields'
//! order and number, and that names are lower case; everything that could mean two things to two readers is checked here.

use http::request::Parts;

use super::fields::check_value;
use crate::wire::h1::{Error, HeadLimits, RequestHead, StatedHead};
use crate::wire::{Fields, Known};

/// Takes up a request's head. `ends`: nothing follows it. After an error `head` means nothing.
///
/// `:authority` overrides Host, as an absolute target does in HTTP/1; one of them must be there. Several Cookie fields
/// become one (RFC 9113 §8.2.3).
pub fn read_request(parts: &Parts, ends: bool, limits: &HeadLimits, head: &mut RequestHead) -> Result<(), Error> {
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Error::Target);
    }
    let stated = StatedHead {
        method: parts.method.as_str().as_bytes(),
        path: parts.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes()),
        ends,
    };
    head.state(&stated, limits, |fields| read_fields(parts, fields))
}

fn read_fields(parts: &Parts, fields: &mut Fields) -> Result<(), Error> {
    let mut cookies = false;
    for (name, value) in &parts.headers {
        let (text, value) = (name.as_str().as_bytes(), value.as_bytes());
        check_value(value)?;
        if *name == http::header::COOKIE {
            if !std::mem::replace(&mut cookies, true) {
                let all = parts.headers.get_all(name).iter().map(|value| value.as_bytes());
                if !fields.push_joined(text, all, b"; ") {
                    return Err(Error::FieldValue);
                }
            }
            continue;
        }
        if is_connection_specific(text, value) || !fields.push(text, value) {
            return Err(Error::FieldName);
        }
    }
    Ok(())
}

/// Fields that HTTP/2 has no use for (RFC 9113 §8.2.2). In front of an HTTP/1 upstream they would be a request in a request.
fn is_connection_specific(name: &[u8], value: &[u8]) -> bool {
    match Known::of(name) {
        Known::Te => !value.eq_ignore_ascii_case(b"trailers"),
        known => known.is_hop_by_hop(),
    }
}
