//! Header fields or trailers of one message, in one arena that is reused from message to message: no allocation in
//! steady state. Names keep their case, fields keep their order.

use std::ops::Range;

use super::ascii;

/// A field name that the proxy treats in some particular way; everything else is [`Known::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Passed on as it is.
    Other,
    /// `Host`
    Host,
    /// `Content-Length`
    ContentLength,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Connection`
    Connection,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Proxy`: CGI turns it into `HTTP_PROXY` (CVE-2016-5385); no client needs it.
    Proxy,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Upgrade`
    Upgrade,
    /// `HTTP2-Settings`
    Http2Settings,
    /// `Expect`
    Expect,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// Any other `X-Forwarded-…`, and `X-Real-IP`
    XForwardedOther,
    /// `X-Request-Id`
    XRequestId,
    /// `Standfast-Hops`: how many proxies of this kind the request has passed through.
    StandfastHops,
    /// One of the above spelt with `_` for `-`: CGI, WSGI and others cannot tell the two apart, so that a client could
    /// forge what we vouch for. Never passed on.
    Lookalike,
}

impl Known {
    /// What a name is, ignoring case.
    pub fn of(name: &[u8]) -> Known {
        let Some(first) = name.first() else { return Known::Other };
        let known = match (name.len(), first | 0x20) {
            (2, b't') if same(name, b"te") => Known::Te,
            (4, b'h') if same(name, b"host") => Known::Host,
            (5, b'p') if same(name, b"proxy") => Known::Proxy,
            (6, b'e') if same(name, b"expect") => Known::Expect,
            (7, b'u') if same(name, b"upgrade") => Known::Upgrade,
            (7, b't') if same(name, b"trailer") => Known::Trailer,
            (9, b'f') if same(name, b"forwarded") => Known::Forwarded,
            (9, b'x') if same(name, b"x-real-ip") => Known::XForwardedOther,
            (10, b'c') if same(name, b"connection") => Known::Connection,
            (10, b'k') if same(name, b"keep-alive") => Known::KeepAlive,
            (12, b'x') if same(name, b"x-request-id") => Known::XRequestId,
            (14, b'c') if same(name, b"content-length") => Known::ContentLength,
            (14, b's') if same(name, b"standfast-hops") => Known::StandfastHops,
            (14, b'h') if same(name, b"http2-settings") => Known::Http2Settings,
            (15, b'x') if same(name, b"x-forwarded-for") => Known::XForwardedFor,
            (16, b'x') if same(name, b"x-forwarded-host") => Known::XForwardedHost,
            (16, b'p') if same(name, b"proxy-connection") => Known::ProxyConnection,
            (17, b't') if same(name, b"transfer-encoding") => Known::TransferEncoding,
            (17, b'x') if same(name, b"x-forwarded-proto") => Known::XForwardedProto,
            (13.., b'x') if same(&name[..12], b"x-forwarded-") => Known::XForwardedOther,
            _ => return Known::Other,
        };
        if name.contains(&b'_') { Known::Lookalike } else { known }
    }

    /// Does it describe one connection only, so that it is never passed on as it came.
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::Te
                | Known::Upgrade
                | Known::Http2Settings
                | Known::TransferEncoding
        )
    }

    /// May a `Connection` option that names this field not remove it: framing, host and what we vouch for.
    pub const fn is_protected(self) -> bool {
        !matches!(self, Known::Other | Known::KeepAlive | Known::ProxyConnection | Known::Http2Settings)
    }
}

/// Equal when case is ignored and `_` is taken for `-`.
#[inline]
fn same<const LEN: usize>(name: &[u8], lower: &[u8; LEN]) -> bool {
    let Ok(name) = <&[u8; LEN]>::try_from(name) else { return false };
    (0..LEN).all(|at| FOLDED[usize::from(name[at])] == lower[at])
}

/// Every byte in lower case, `_` as `-`.
const FOLDED: [u8; 256] = {
    let mut folded = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        folded[byte] = if byte as u8 == b'_' { b'-' } else { (byte as u8).to_ascii_lowercase() };
        byte += 1;
    }
    folded
};

/// Some kinds of field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldKinds(u32);

impl FieldKinds {
    pub(super) const NONE: FieldKinds = FieldKinds(0);

    pub(super) const fn with(self, kind: Known) -> FieldKinds {
        FieldKinds(self.0 | 1 << kind as u32)
    }

    const fn has(self, kind: Known) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    const fn has_any_of(self, kinds: FieldKinds) -> bool {
        self.0 & kinds.0 != 0
    }
}

/// One field, borrowed from its [`Fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// A token, in the case in which it came.
    pub name: &'a [u8],
    /// Without surrounding spaces; no control bytes except tab. Not necessarily UTF-8.
    pub value: &'a [u8],
    /// What the name means to a proxy.
    pub known: Known,
    /// Named by a `Connection` option: ends here.
    pub hop_by_hop: bool,
}

#[derive(Clone, Copy, Debug)]
struct FieldEntry {
    line: u32,
    line_end: u32,
    name_end: u32,
    value: u32,
    value_end: u32,
    known: Known,
    hop_by_hop: bool,
    /// The line is exactly `name: value\r\n`, all of it checked: it may be copied whole.
    canonical: bool,
}

/// Header fields or trailers of one message. Reuse it: `clear` keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    text: Vec<u8>,
    entries: Vec<FieldEntry>,
    /// The kinds that stand here (or stood: a field that was dropped leaves its bit).
    seen: FieldKinds,
}

impl Fields {
    /// Empty, without any memory yet.
    pub const fn new() -> Fields {
        Fields { text: Vec::new(), entries: Vec::new(), seen: FieldKinds::NONE }
    }

    /// Forgets everything except the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.seen = FieldKinds::NONE;
    }

    /// Gives memory back that a rare large message took: for connections that wait.
    pub fn shrink(&mut self, bytes: usize) {
        self.clear();
        if self.text.capacity() > bytes {
            *self = Fields::new();
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends a field; `false` (and no change) when the name is no token or the value holds a control byte. Spaces
    /// around the value are dropped.
    #[must_use]
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> bool {
        let value = ascii::trim(value);
        let needed = name.len() + value.len() + 4;
        if !ascii::is_token(name) || !ascii::is_field_value(value) || self.text.len() + needed > u32::MAX as usize {
            return false;
        }
        let line = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
        let name_end = line + name.len();
        let value = name_end + 2..name_end + 2 + value.len();
        self.note(line..self.text.len(), name_end, value, Known::of(name));
        true
    }

    /// Appends a field whose value is made of several, with a separator between them.
    #[must_use]
    pub(super) fn push_joined<'v>(
        &mut self,
        name: &[u8],
        values: impl Iterator<Item = &'v [u8]>,
        separator: &[u8],
    ) -> bool {
        let line = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        let start = self.text.len();
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.text.extend_from_slice(separator);
            }
            self.text.extend_from_slice(value);
        }
        let end = self.text.len();
        let fits = end + 2 <= u32::MAX as usize;
        if !fits || !ascii::is_token(name) || !ascii::is_field_value(&self.text[start..]) {
            self.text.truncate(line);
            return false;
        }
        self.text.extend_from_slice(b"\r\n");
        self.note(line..end + 2, line + name.len(), start..end, Known::of(name));
        true
    }

    /// All, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.entries.iter().map(|entry| self.field(entry))
    }

    /// The first field of this name, ignoring case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The values of all fields of this name, ignoring case.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let wanted = name.as_bytes();
        self.entries
            .iter()
            .filter(move |e| (e.name_end - e.line) as usize == wanted.len())
            .map(|e| self.field(e))
            .filter(move |f| f.name.eq_ignore_ascii_case(wanted))
            .map(|f| f.value)
    }

    /// The values of all fields of this kind.
    pub fn known(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.entries_of(FieldKinds::NONE.with(known)).map(|e| self.field(e).value)
    }

    /// None at all when no such kind was ever seen: without a look at the fields.
    #[inline]
    fn entries_of(&self, kinds: FieldKinds) -> impl Iterator<Item = &FieldEntry> {
        let entries = if self.seen.has_any_of(kinds) { &self.entries[..] } else { &[] };
        entries.iter().filter(move |e| kinds.has(e.known))
    }

    fn field(&self, entry: &FieldEntry) -> Field<'_> {
        Field {
            name: &self.text[entry.line as usize..entry.name_end as usize],
            value: &self.text[entry.value as usize..entry.value_end as usize],
            known: entry.known,
            hop_by_hop: entry.hop_by_hop,
        }
    }
}

/// For the parsers and encoders of this room: the arena as text.
impl Fields {
    /// All bytes in the arena.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many bytes are in the arena.
    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Appends raw bytes that a parser will look at.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Forgets raw bytes that carry nothing (an empty line before the head, a trailer that is dropped).
    pub(super) fn truncate(&mut self, len: usize) {
        self.text.truncate(len);
    }

    /// Notes a checked field that stands in the arena: its line with CRLF, where its name ends, and its value.
    #[inline]
    pub(super) fn note(&mut self, line: Range<usize>, name_end: usize, value: Range<usize>, known: Known) {
        let spaced = value.start == name_end + 2 && self.text.get(name_end + 1) == Some(&b' ');
        self.seen = self.seen.with(known);
        self.entries.push(FieldEntry {
            line: line.start as u32,
            line_end: line.end as u32,
            name_end: name_end as u32,
            value: value.start as u32,
            value_end: value.end as u32,
            known,
            hop_by_hop: false,
            canonical: spaced && line.end == value.end + 2,
        });
    }

    /// The same for a field that stands there as `name: value\r\n`, with names and values of these lengths.
    #[inline]
    pub(super) fn note_canonical(&mut self, line: usize, name: usize, value: usize, known: Known) {
        let name_end = line + name;
        let value_end = name_end + 2 + value;
        self.seen = self.seen.with(known);
        self.entries.push(FieldEntry {
            line: line as u32,
            line_end: value_end as u32 + 2,
            name_end: name_end as u32,
            value: name_end as u32 + 2,
            value_end: value_end as u32,
            known,
            hop_by_hop: false,
            canonical: true,
        });
    }

    /// The fields of these kinds.
    #[inline]
    pub(super) fn of_kinds(&self, kinds: FieldKinds) -> impl Iterator<Item = Field<'_>> {
        self.entries_of(kinds).map(|e| self.field(e))
    }

    /// Where in the arena the values of this kind stand.
    pub(super) fn spans(&self, known: Known) -> impl Iterator<Item = Range<usize>> {
        self.entries_of(FieldKinds::NONE.with(known)).map(|e| e.value as usize..e.value_end as usize)
    }

    /// Takes the last field away again, its text included.
    pub(super) fn drop_last(&mut self) {
        if let Some(entry) = self.entries.pop() {
            self.text.truncate(entry.line as usize);
        }
    }

    /// Marks every unprotected field of this name as ending here.
    pub(super) fn mark_hop_by_hop(&mut self, name: &[u8]) {
        for entry in &mut self.entries {
            let range = entry.line as usize..entry.name_end as usize;
            if !entry.known.is_protected() && self.text[range].eq_ignore_ascii_case(name) {
                entry.hop_by_hop = true;
            }
        }
    }

    /// Writes the fields for which `keep` says so, as `name: value\r\n`. Neighbours are copied in one piece.
    #[inline]
    pub(super) fn write<'a>(
        &'a self,
        out: &'a mut Vec<u8>,
        mut keep: impl FnMut(FieldLine<'a>, &mut LineRun<'a>) -> bool,
    ) {
        out.reserve(self.text.len());
        let mut run = LineRun { text: &self.text, from: 0, to: 0, out };
        for entry in &self.entries {
            if keep(FieldLine { fields: self, entry }, &mut run) {
                run.line(entry);
            }
        }
        run.flush();
    }
}

/// A field on its way out; what it is made of is looked up when it is asked for.
#[derive(Clone, Copy)]
pub(super) struct FieldLine<'a> {
    fields: &'a Fields,
    entry: &'a FieldEntry,
}

impl<'a> FieldLine<'a> {
    #[inline]
    pub(super) fn known(&self) -> Known {
        self.entry.known
    }

    /// Named by a `Connection` option.
    #[inline]
    pub(super) fn hop_by_hop(&self) -> bool {
        self.entry.hop_by_hop
    }

    pub(super) fn name(&self) -> &'a [u8] {
        self.fields.field(self.entry).name
    }

    pub(super) fn value(&self) -> &'a [u8] {
        self.fields.field(self.entry).value
    }
}

/// Lines of an arena on their way out: neighbours wait to be copied together.
pub(super) struct LineRun<'a> {
    text: &'a [u8],
    from: usize,
    to: usize,
    out: &'a mut Vec<u8>,
}

impl LineRun<'_> {
    /// What was written so far; for lines that stand between copied ones.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        self.flush();
        self.out
    }

    #[inline]
    fn line(&mut self, entry: &FieldEntry) {
        let (from, to) = (entry.line as usize, entry.line_end as usize);
        if !entry.canonical {
            self.flush();
            self.out.extend_from_slice(&self.text[from..entry.name_end as usize]);
            self.out.extend_from_slice(b": ");
            self.out.extend_from_slice(&self.text[entry.value as usize..entry.value_end as usize]);
            self.out.extend_from_slice(b"\r\n");
        } else if from == self.to {
            self.to = to;
        } else {
            self.flush();
            (self.from, self.to) = (from, to);
        }
    }

    #[inline]
    fn flush(&mut self) {
        if self.from < self.to {
            self.out.extend_from_slice(&self.text[self.from..self.to]);
        }
        (self.from, self.to) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_lookalikes_are_told_apart() {
        assert_eq!(Known::of(b"cOnTent-LENGTH"), Known::ContentLength);
        assert_eq!(Known::of(b"Content_Length"), Known::Lookalike);
        assert_eq!(Known::of(b"X-Forwarded_For"), Known::Lookalike);
        assert_eq!(Known::of(b"X-Forwarded-Port"), Known::XForwardedOther);
        assert_eq!(Known::of(b"x_custom"), Known::Other);
        assert_eq!(Known::of(b"X-Forwarded-"), Known::Other);
        assert_eq!(Known::of(b"X-Forwarded-Host2"), Known::XForwardedOther);
        assert_eq!(Known::of(b"X_Forwarded-Port"), Known::Lookalike);
        for (known, name) in [
            (Known::Te, "TE"),
            (Known::Host, "HOST"),
            (Known::Proxy, "Proxy"),
            (Known::Expect, "Expect"),
            (Known::Upgrade, "Upgrade"),
            (Known::Trailer, "Trailer"),
            (Known::Forwarded, "Forwarded"),
            (Known::XForwardedOther, "X-Real-IP"),
            (Known::Connection, "Connection"),
            (Known::KeepAlive, "Keep-Alive"),
            (Known::XRequestId, "X-Request-ID"),
            (Known::ContentLength, "Content-Length"),
            (Known::Http2Settings, "HTTP2-Settings"),
            (Known::XForwardedFor, "X-Forwarded-For"),
            (Known::XForwardedHost, "X-Forwarded-Host"),
            (Known::ProxyConnection, "Proxy-Connection"),
            (Known::TransferEncoding, "Transfer-Encoding"),
            (Known::XForwardedProto, "X-Forwarded-Proto"),
        ] {
            assert_eq!(Known::of(name.as_bytes()), known, "{name}");
            assert_eq!(Known::of(name.to_lowercase().as_bytes()), known, "{name}");
            let lookalike = if name.contains('-') { Known::Lookalike } else { known };
            assert_eq!(Known::of(name.replace('-', "_").as_bytes()), lookalike, "{name}");
        }
        assert_eq!(Known::of(b""), Known::Other);
    }

    #[test]
    fn fields_can_be_filled_from_pairs() {
        let mut fields = Fields::new();
        assert!(fields.push(b"Host", b" a "));
        assert!(fields.push(b"accept", b""));
        assert!(!fields.push(b"bad name", b"x"));
        assert!(!fields.push(b"", b"x"));
        assert!(!fields.push(b"x", b"a\r\nb"));
        let all: Vec<_> = fields.iter().map(|f| (f.name, f.value, f.known)).collect();
        assert_eq!(all, [(&b"Host"[..], &b"a"[..], Known::Host), (&b"accept"[..], &b""[..], Known::Other)]);
        assert_eq!(fields.get("ACCEPT"), Some(&b""[..]));
    }

    #[test]
    fn kept_fields_are_written_in_order() {
        let mut fields = Fields::new();
        for name in ["a", "b", "c", "d"] {
            assert!(fields.push(name.as_bytes(), b"1"));
        }
        let mut out = Vec::new();
        fields.write(&mut out, |field, run| {
            if field.name() == b"c" {
                run.out().extend_from_slice(b"C: 2\r\n");
            }
            field.name() != b"c"
        });
        assert_eq!(out, b"a: 1\r\nb: 1\r\nC: 2\r\nd: 1\r\n");
    }
}
