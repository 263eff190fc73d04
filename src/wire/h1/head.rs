//! What both kinds of head share: bounds, versions, spans, field lines, and the facts that fields state about length
//! and persistence.

use std::ops::Range;

use memchr::memchr;

use super::Error;
use crate::config::ListenerLimits;
use crate::wire::ascii;
use crate::wire::fields::FieldKinds;
use crate::wire::{Fields, Known};

/// Bounds of one head, empty line included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the head, first line included.
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

impl HeadLimits {
    /// What an upstream's reply head may take. Replies come from servers that the operator chose, so this is generous
    /// and not configurable.
    pub const REPLY: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 256 };

    /// Does a head of this many bytes exceed the bound. (Beyond 1 GiB every head does: places in it are 32 bits wide.)
    pub(super) fn is_exceeded_by(&self, bytes: usize) -> bool {
        bytes > self.bytes.min(1 << 30)
    }
}

impl From<&ListenerLimits> for HeadLimits {
    fn from(limits: &ListenerLimits) -> HeadLimits {
        HeadLimits { bytes: limits.header_bytes, fields: limits.headers }
    }
}

/// How far a parser came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The whole input was taken; the head goes on.
    Partial,
    /// The head is complete. It took this many bytes of the input; the rest is the body or the next message.
    Complete(usize),
}

/// What one look at the input yielded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the input that are done with, data included. Cut them off before the next look.
    pub taken: usize,
    /// Where in the input the data is; may be empty.
    pub data: Range<usize>,
    /// The body is complete: what follows `taken` belongs to the next message.
    pub done: bool,
}

/// The version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    pub(super) const LEN: usize = 8;

    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }

    #[inline]
    pub(super) fn parse(text: &[u8]) -> Option<Version> {
        match text {
            b"HTTP/1.1" => Some(Version::Http11),
            b"HTTP/1.0" => Some(Version::Http10),
            _ => None,
        }
    }

    /// Has it the form `HTTP/d.d` or `HTTP/d`, whatever the digits.
    pub(super) fn looks_like(text: &[u8]) -> bool {
        matches!(text, [b'H', b'T', b'T', b'P', b'/', major, rest @ ..]
            if major.is_ascii_digit() && matches!(rest, [] | [b'.', b'0'..=b'9']))
    }
}

/// How the client reached us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, and no length was stated.
    #[default]
    None,
    /// After this many bytes (zero included).
    Length(u64),
    /// Where the chunks say so.
    Chunked,
    /// Where the connection ends (replies only).
    UntilClose,
}

impl BodyLength {
    /// Is there nothing to read.
    pub const fn is_empty(self) -> bool {
        matches!(self, BodyLength::None | BodyLength::Length(0))
    }
}

/// A range of a head's arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

impl Span {
    pub(super) const fn new(range: Range<usize>) -> Span {
        Span { from: range.start as u32, to: range.end as u32 }
    }

    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.from as usize..self.to as usize).unwrap_or_default()
    }

    pub(super) fn str_of(self, text: &[u8]) -> &str {
        std::str::from_utf8(self.of(text)).unwrap_or_default()
    }

    pub(super) const fn start(self) -> usize {
        self.from as usize
    }

    pub(super) const fn end(self) -> usize {
        self.to as usize
    }
}

/// Walks over the lines of an arena that grows piece by piece, without looking at a byte of an unfinished line twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadLines {
    /// Where the current line starts.
    pub(super) line: usize,
}

/// Input goes into the arena in steps of this size, so that little of a body is copied in vain.
pub(super) const STEP: usize = 2048;

impl HeadLines {
    /// The current line without its CRLF, if it is complete; `new` is where bytes start that were not searched yet. Goes on to
    /// the next line, even behind one that ends wrongly: the bound is asked for it too, as it would be if it came in pieces.
    #[inline]
    pub(super) fn next(&mut self, text: &[u8], new: usize) -> Result<Option<Range<usize>>, Error> {
        let from = self.line.max(new);
        let Some(at) = memchr(b'\n', &text[from..]) else {
            return Ok(None);
        };
        let (start, lf) = (self.line, from + at);
        self.line = lf + 1;
        if lf == start || text[lf - 1] != b'\r' {
            return Err(Error::BareLf);
        }
        Ok(Some(start..lf - 1))
    }

    /// Notes complete field lines of the plain kind (`name: value`) as long as they come, and at most `room` of them: most
    /// heads consist of nothing else. What it does not take is not necessarily wrong.
    #[inline]
    pub(super) fn take_plain_fields(&mut self, fields: &mut Fields, room: usize, limits: &HeadLimits) {
        for _ in 0..room {
            let Some(next) = plain_field(fields, self.line, limits) else {
                return;
            };
            self.line = next;
        }
    }
}

/// Notes a field line of the plain kind; returns where the next line starts. (Called once a field: in line it is 14 instructions less.)
#[inline(always)]
fn plain_field(fields: &mut Fields, line: usize, limits: &HeadLimits) -> Option<usize> {
    let text = &fields.text()[line..];
    let name_len = ascii::usual_name_len(text);
    let (name, rest) = text.split_at(name_len);
    let [b':', b' ', value @ ..] = rest else { return None };
    let value_len = ascii::plain_len(value);
    let [b'\r', b'\n', ..] = value[value_len..] else { return None };
    // A space on either side is no part of the value.
    let trimmed = value.first().is_some_and(|&b| b > b' ') && value[..value_len].last() != Some(&b' ');
    let next = line + name_len + 2 + value_len + 2;
    if name.is_empty() || !trimmed || limits.is_exceeded_by(next) {
        return None;
    }
    let known = Known::of(name);
    fields.note_canonical(line, name_len, value_len, known);
    Some(next)
}

/// Checks one field line and notes it.
pub(super) fn field_line(fields: &mut Fields, line: Range<usize>) -> Result<(), Error> {
    let text = &fields.text()[line.clone()];
    let name_len = ascii::token_len(text);
    match text.get(name_len) {
        None => return Err(Error::NoColon),
        Some(b':') if name_len > 0 => {}
        Some(b':') => return Err(Error::FieldName),
        Some(b' ' | b'\t') if name_len == 0 => return Err(Error::FoldedLine),
        Some(b' ' | b'\t') if ascii::trim(&text[name_len..]).starts_with(b":") => return Err(Error::SpaceBeforeColon),
        _ if !text.contains(&b':') => return Err(Error::NoColon),
        _ => return Err(Error::FieldName),
    }
    let raw = &text[name_len + 1..];
    let value = ascii::trim(raw);
    if !ascii::is_field_value(value) {
        return Err(Error::FieldValue);
    }
    let lead = raw.iter().take_while(|&&b| b == b' ' || b == b'\t').count().min(raw.len() - value.len());
    let known = Known::of(&text[..name_len]);
    let name_end = line.start + name_len;
    let value_at = name_end + 1 + lead;
    fields.note(line.start..line.end + 2, name_end, value_at..value_at + value.len(), known);
    Ok(())
}

/// The kinds of field that state something about length or persistence.
const FACTUAL: FieldKinds =
    FieldKinds::NONE.with(Known::ContentLength).with(Known::TransferEncoding).with(Known::Connection).with(Known::Te);

/// What the fields state about length and persistence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadFacts {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) te_trailers: bool,
    pub(super) upgrade: bool,
    has_names: bool,
}

impl HeadFacts {
    /// Gathers them. Refuses whatever leaves the length open to two readings.
    pub(super) fn gather(fields: &mut Fields, version: Version) -> Result<HeadFacts, Error> {
        let mut facts = HeadFacts::default();
        let mut options = 0;
        for field in fields.of_kinds(FACTUAL) {
            match field.known {
                Known::ContentLength if facts.length.is_some() => return Err(Error::ContentLengthRepeated),
                Known::ContentLength => facts.length = Some(content_length(field.value)?),
                Known::TransferEncoding if facts.chunked => return Err(Error::TransferEncoding),
                Known::TransferEncoding => {
                    transfer_encoding(field.value)?;
                    facts.chunked = true;
                }
                Known::Connection => facts.connection(field.value, &mut options)?,
                Known::Te => facts.te_trailers |= list(field.value).any(|te| te.eq_ignore_ascii_case(b"trailers")),
                _ => {}
            }
        }
        if facts.chunked && facts.length.is_some() {
            return Err(Error::LengthConflict);
        }
        if facts.chunked && version == Version::Http10 {
            return Err(Error::TransferEncodingHttp10);
        }
        if facts.has_names {
            mark_named(fields);
        }
        Ok(facts)
    }

    /// May the connection carry another message, as far as this one says.
    pub(super) const fn persists(&self, version: Version) -> bool {
        match version {
            Version::Http11 | Version::Http2 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    fn connection(&mut self, value: &[u8], options: &mut usize) -> Result<(), Error> {
        let mut one_more = || {
            *options += 1;
            if *options > MAX_CONNECTION_OPTIONS { Err(Error::ConnectionOptions) } else { Ok(()) }
        };
        // What most messages say, and nothing else.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
            return one_more();
        }
        for option in list(value) {
            one_more()?;
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.has_names |= !Known::of(option).is_protected();
            }
        }
        Ok(())
    }
}

/// Each option costs a look at every field.
const MAX_CONNECTION_OPTIONS: usize = 32;

/// The elements of a comma-separated list, without empty ones.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(ascii::trim).filter(|option| !option.is_empty())
}

/// Marks the fields that `Connection` names. Rare, so it may allocate.
fn mark_named(fields: &mut Fields) {
    let named: Vec<Vec<u8>> = fields.known(Known::Connection).flat_map(list).map(<[u8]>::to_vec).collect();
    for name in named {
        fields.mark_hop_by_hop(&name);
    }
}

/// Digits only, and no larger than any peer can count (2⁶³ − 1).
fn content_length(value: &[u8]) -> Result<u64, Error> {
    if value.is_empty() || value.len() > 19 {
        return Err(Error::ContentLength);
    }
    // Nineteen digits fit.
    let number = value.iter().try_fold(0_u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')));
    number.filter(|&n| n <= i64::MAX as u64).ok_or(Error::ContentLength)
}

/// Exactly `chunked`; what else it is decides between "malformed" and "not known here".
fn transfer_encoding(value: &[u8]) -> Result<(), Error> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|&b| b == b',').map(ascii::trim).peekable();
    let mut all_tokens = true;
    while let Some(coding) = codings.next() {
        let last = codings.peek().is_none();
        all_tokens &= ascii::is_token(coding);
        if coding.eq_ignore_ascii_case(b"chunked") && !last {
            return Err(Error::TransferEncoding);
        }
    }
    Err(if all_tokens { Error::TransferCoding } else { Error::TransferEncoding })
}
