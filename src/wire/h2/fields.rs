//! Fields between the arena and the engine's map.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use crate::wire::h1::{Error, MAX_TRAILERS, is_forbidden};
use crate::wire::{Fields, Known, ascii};

/// Takes up trailers. Fields that may not stand there (framing, routing, what we vouch for) are dropped, as from HTTP/1.
pub fn read_trailers(map: &HeaderMap, fields: &mut Fields) -> Result<(), Error> {
    fields.clear();
    if map.len() > MAX_TRAILERS as usize {
        return Err(Error::TrailersTooLarge);
    }
    for (name, value) in map {
        check_value(value.as_bytes())?;
        let name = name.as_str().as_bytes();
        if !is_forbidden(Known::of(name), name) && !fields.push(name, value.as_bytes()) {
            return Err(Error::FieldValue);
        }
    }
    Ok(())
}

/// Trailers for the engine.
pub fn trailers(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields.iter().filter(|field| !is_forbidden(field.known, field.name)) {
        add(&mut map, field.name, HeaderValue::from_bytes(field.value));
    }
    map
}

/// A value neither begins nor ends with space (RFC 9113 §8.2.1).
pub(super) fn check_value(value: &[u8]) -> Result<(), Error> {
    let trimmed = ascii::trim(value).len() == value.len();
    if trimmed && ascii::is_field_value(value) { Ok(()) } else { Err(Error::FieldValue) }
}

/// Lines of `name: value` as the engine's map: the values share the memory of the lines.
pub(super) fn map_of(lines: Vec<u8>, count: usize) -> HeaderMap {
    let lines = Bytes::from(lines);
    let mut map = HeaderMap::with_capacity(count);
    for (name, value) in field_lines(&lines, 0) {
        add(&mut map, name, HeaderValue::from_maybe_shared(value));
    }
    map
}

/// Names and values of the lines `name: value` that start at `at`; a line without a colon is none.
pub(super) fn field_lines(lines: &Bytes, mut at: usize) -> impl Iterator<Item = (&[u8], Bytes)> {
    std::iter::from_fn(move || {
        loop {
            let len = memchr(b'\n', &lines[at..])?;
            let line = &lines[at..at + len];
            at += len + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(colon) = memchr(b':', line) {
                return Some((&line[..colon], lines.slice_ref(ascii::trim(&line[colon + 1..]))));
            }
        }
    })
}

/// Adds a field; what is none (everything was checked before) is left out, so that it cannot break the message.
fn add<E>(map: &mut HeaderMap, name: &[u8], value: Result<HeaderValue, E>) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
        // Full only beyond any bound that heads have here.
        let _ = map.try_append(name, value);
    }
}
