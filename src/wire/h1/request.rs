//! Request heads: parsed, checked, and what they mean for routing, body, persistence and retries.

use memchr::memchr;

use super::Error;
use super::head::{BodyLength, HeadFacts, HeadLimits, Progress, Scheme, Span, Version};
use super::head_parser::{HeadParser, MessageHead};
use super::host::host_len;
use super::target::{TargetForm, TargetParts};
use crate::wire::ascii;
use crate::wire::{Fields, Known};

/// The methods that the proxy knows something about. Names are case-sensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the method of that name")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// By name.
    #[inline]
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// Asks for nothing to change (RFC 9110 §9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Means the same when it is done twice (RFC 9110 §9.2.2).
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// A request's head. Reuse it: its memory is kept from request to request.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    fields: Fields,
    method_name: Span,
    method: Method,
    version: Version,
    target: TargetParts,
    authority: Span,
    host: Span,
    body: BodyLength,
    facts: HeadFacts,
    expects_continue: bool,
}

impl RequestHead {
    /// Empty, without any memory yet.
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Forgets everything; gives memory back if it holds more than `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        self.fields.shrink(bytes);
        *self = RequestHead { fields: std::mem::take(&mut self.fields), ..RequestHead::default() };
    }

    /// The method's name as received.
    pub fn method_name(&self) -> &str {
        self.method_name.str_of(self.fields.text())
    }

    /// The method, as far as it is known.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The client's version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The path without query, as it came; `/` when an absolute target has none, `*` for `OPTIONS *`. This is what
    /// routes are matched on, and what is sent upstream.
    pub fn path(&self) -> &str {
        std::str::from_utf8(self.path_bytes()).unwrap_or_default()
    }

    /// The same as bytes.
    pub fn path_bytes(&self) -> &[u8] {
        match self.target.path.of(self.fields.text()) {
            b"" if self.is_asterisk() => b"*",
            b"" => b"/",
            path => path,
        }
    }

    /// The path with its query, as it came. For an absolute target without a path it starts with `?` or is empty; the
    /// encoder puts the missing `/` in front.
    pub fn path_and_query(&self) -> &str {
        self.target.path_and_query.str_of(self.fields.text())
    }

    /// The query as it came, without its `?`; empty when there is none.
    pub fn query_bytes(&self) -> &[u8] {
        let (text, path) = (self.fields.text(), self.target.path.of(self.fields.text()));
        self.target.path_and_query.of(text).get(path.len() + 1..).unwrap_or_default()
    }

    /// Is the request about the whole server: `OPTIONS *`, or OPTIONS of an absolute target without path and query
    /// (RFC 9112 §3.2.4).
    pub fn is_asterisk(&self) -> bool {
        self.target.form == TargetForm::Asterisk
    }

    /// `host[:port]` that the request is for: of an absolute target, else of Host. Empty only for HTTP/1.0 without Host.
    /// Routing and forwarding use this one value.
    pub fn authority(&self) -> &str {
        self.authority.str_of(self.fields.text())
    }

    /// The host in [`RequestHead::authority`], without port, brackets of IPv6 kept, case as it came.
    pub fn host(&self) -> &str {
        self.host.str_of(self.fields.text())
    }

    /// The same as bytes.
    pub fn host_bytes(&self) -> &[u8] {
        self.host.of(self.fields.text())
    }

    /// All fields as received.
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Where the body ends: never [`BodyLength::UntilClose`].
    pub const fn body(&self) -> BodyLength {
        self.body
    }

    /// May the connection carry another request after this one, as far as the client says.
    pub const fn keep_alive(&self) -> bool {
        self.facts.persists(self.version)
    }

    /// Does the client wait for `100 Continue` before it sends the body.
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Does the client say that it takes trailers.
    pub const fn accepts_trailers(&self) -> bool {
        self.facts.te_trailers
    }

    /// Does the client ask to switch to another protocol on this connection (RFC 9110 §7.8), in a way that can be granted:
    /// under HTTP/1.1, with the `upgrade` connection option, on a connection that goes on, and with nothing of the request
    /// behind the head. HEAD asks for no more than a head. What it may switch to says [`offered`](super::offered).
    pub fn asks_for_upgrade(&self) -> bool {
        let granted = self.version == Version::Http11 && self.method != Method::Head && self.body.is_empty();
        self.facts.upgrade && granted && self.keep_alive()
    }

    /// The client's `X-Request-Id` if there is exactly one and it is sane: 1 to 128 letters, digits and `-._~:+/=@`.
    /// Otherwise the caller makes one.
    pub fn request_id(&self) -> Option<&[u8]> {
        let mut ids = self.fields.known(Known::XRequestId);
        let id = ids.next().filter(|id| (1..=128).contains(&id.len()) && id.iter().all(|&b| is_id_byte(b)))?;
        if ids.next().is_some() { None } else { Some(id) }
    }

    /// Proxies of this kind that the request has passed through, by its `Standfast-Hops`. What is no number counts as none.
    pub fn hops(&self) -> u32 {
        let hops = self.fields.known(Known::StandfastHops);
        let count = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<u16>().ok();
        hops.filter_map(count).max().map_or(0, u32::from)
    }
}

/// A request's head in values, as HTTP/2 states it beside its fields.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct StatedHead<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// `:path`
    pub path: &'a [u8],
    /// `:authority`; it overrides Host.
    pub authority: Option<&'a [u8]>,
    /// Nothing follows the head: neither body nor trailers.
    pub ends: bool,
}

const fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'+' | b'/' | b'=' | b'@')
}

/// Reads request heads piece by piece. It never looks at a byte twice, and refuses as soon as a line is wrong.
///
/// After an error the connection is lost: answer [`Error::status`] and close.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestParser {
    scheme: Scheme,
    core: HeadParser,
}

impl RequestParser {
    /// Before a first request.
    pub const fn new() -> RequestParser {
        RequestParser::over(Scheme::Http)
    }

    /// The same for a connection of this scheme: an absolute target has to name it.
    pub const fn over(scheme: Scheme) -> RequestParser {
        RequestParser { scheme, core: HeadParser::new() }
    }

    /// Has a part of a head come (so that the header deadline applies, not the idle one).
    pub fn has_started(&self) -> bool {
        self.core.has_started()
    }

    /// Takes the next piece of input. With [`Progress::Complete`] `head` is valid, and the parser is ready for the next
    /// head; until then `head` means nothing. The first piece of a head forgets what `head` held.
    pub fn feed(&mut self, input: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<Progress, Error> {
        self.core.feed(input, limits, self.scheme, head)
    }
}

impl MessageHead for RequestHead {
    type Context = Scheme;

    const FIRST_LINE_TOO_LONG: Error = Error::TargetTooLong;

    #[inline]
    fn fields(&self) -> &Fields {
        &self.fields
    }

    #[inline]
    fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    #[inline]
    fn may_begin(first: u8, skipped: bool) -> Result<(), Error> {
        if ascii::is_token_byte(first) || first == b'\r' && !skipped { Ok(()) } else { Err(Error::Method) }
    }

    /// `method SP target SP version`
    #[inline]
    fn read_first_line(&mut self, line: Span, scheme: Scheme) -> Result<(), Error> {
        let text = self.fields.text();
        let bytes = line.of(text);
        let method = ascii::token_len(bytes);
        if method == 0 {
            return Err(Error::Method);
        }
        if bytes.get(method) != Some(&b' ') {
            return Err(Error::RequestLine);
        }
        let rest = &bytes[method + 1..];
        let target = memchr(b' ', rest).ok_or(if rest.is_empty() { Error::RequestLine } else { Error::NoVersion })?;
        let version = &rest[target + 1..];
        self.version = match Version::parse(version) {
            Some(version) => version,
            None if Version::looks_like(version) => return Err(Error::Version),
            None => return Err(Error::RequestLine),
        };
        self.method_name = Span::new(line.start()..line.start() + method);
        self.method = Method::of(&bytes[..method]);
        if &bytes[..method] == b"CONNECT" {
            return Err(Error::Connect);
        }
        let at = line.start() + method + 1;
        self.target = TargetParts::parse(text, Span::new(at..at + target), self.method == Method::Options, scheme)?;
        Ok(())
    }

    #[inline]
    fn complete(&mut self, _: Scheme) -> Result<(), Error> {
        self.finish()
    }
}

impl RequestHead {
    /// Everything that needs the whole head.
    #[inline]
    fn finish(&mut self) -> Result<(), Error> {
        self.facts = HeadFacts::gather(&mut self.fields, self.version)?;
        self.body = match self.facts.length {
            _ if self.facts.chunked => BodyLength::Chunked,
            Some(length) => BodyLength::Length(length),
            None => BodyLength::None,
        };
        self.find_host()?;
        self.expectation()?;
        if self.method == Method::Options && self.target.form == TargetForm::Absolute && self.target_bytes().is_empty()
        {
            self.target.form = TargetForm::Asterisk;
        }
        Ok(())
    }

    /// Exactly one valid Host (none is allowed under HTTP/1.0); the authority of an absolute target overrides it.
    #[inline]
    fn find_host(&mut self) -> Result<(), Error> {
        let mut hosts = self.fields.spans(Known::Host);
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(Error::HostRepeated);
        }
        let mut named = (Span::default(), Span::default());
        match host {
            None if self.version == Version::Http11 => return Err(Error::HostMissing),
            None if self.version == Version::Http2 && self.target.authority.is_none() => {
                return Err(Error::HostMissing);
            }
            None => {}
            Some(value) => {
                let len = host_len(&self.fields.text()[value.clone()]).ok_or(Error::HostInvalid)?;
                named = (Span::new(value.clone()), Span::new(value.start..value.start + len));
            }
        }
        (self.authority, self.host) = match self.target.authority {
            Some(authority) => (authority, self.target.host),
            None => named,
        };
        Ok(())
    }

    /// Takes up a head that came as values and not as text. After an error it means nothing.
    pub(in crate::wire) fn state(
        &mut self,
        stated: &StatedHead<'_>,
        limits: &HeadLimits,
        fill: impl FnOnce(&mut Fields) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.fields.clear();
        if stated.method == b"CONNECT" {
            return Err(Error::Connect);
        }
        if !ascii::is_token(stated.method) {
            return Err(Error::Method);
        }
        if !matches!(stated.path, [b'/', ..] | b"*") {
            return Err(Error::Target);
        }
        if limits.is_exceeded_by(stated.method.len() + stated.path.len()) {
            return Err(Error::TargetTooLong);
        }
        (self.version, self.method) = (Version::Http2, Method::of(stated.method));
        self.method_name = self.append(stated.method);
        let path = self.append(stated.path);
        // Never absolute, so that no scheme stands in it.
        self.target = TargetParts::parse(self.fields.text(), path, self.method == Method::Options, Scheme::Http)?;
        if let Some(authority) = stated.authority {
            let host = host_len(authority).ok_or(Error::HostInvalid)?;
            let authority = self.append(authority);
            self.target.authority = Some(authority);
            self.target.host = Span::new(authority.start()..authority.start() + host);
        }
        fill(&mut self.fields)?;
        if self.fields.len() > limits.fields {
            return Err(Error::TooManyFields);
        }
        if limits.is_exceeded_by(self.fields.text().len()) {
            return Err(Error::HeadTooLarge);
        }
        self.finish()?;
        self.body = match (self.body, stated.ends) {
            (BodyLength::None, false) => BodyLength::Chunked,
            (BodyLength::Length(1..), true) => return Err(Error::ContentLength),
            (length, _) => length,
        };
        self.expectation()
    }

    fn append(&mut self, text: &[u8]) -> Span {
        let start = self.fields.text().len();
        self.fields.append(text);
        Span::new(start..self.fields.text().len())
    }

    fn expectation(&mut self) -> Result<(), Error> {
        self.expects_continue = false;
        for value in self.fields.known(Known::Expect) {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Error::Expectation);
            }
            self.expects_continue = self.version != Version::Http10 && !self.body.is_empty();
        }
        Ok(())
    }

    /// The method's name as received, as bytes.
    pub fn method_bytes(&self) -> &[u8] {
        self.method_name.of(self.fields.text())
    }

    pub(super) fn target_bytes(&self) -> &[u8] {
        self.target.path_and_query.of(self.fields.text())
    }

    /// The same as bytes.
    pub fn authority_bytes(&self) -> &[u8] {
        self.authority.of(self.fields.text())
    }

    /// The target's missing path, if it has to be put in front of [`RequestHead::path_and_query`].
    pub(super) fn missing_path(&self) -> &'static str {
        match self.target.form {
            TargetForm::Absolute if self.target.path.of(self.fields.text()).is_empty() => "/",
            TargetForm::Asterisk if self.target_bytes().is_empty() => "*",
            _ => "",
        }
    }
}
