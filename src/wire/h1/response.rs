//! Reply heads: parsed, checked, and what they mean for the body and for the connection they came over.

use super::Error;
use super::head::{BodyLength, HeadFacts, HeadLimits, Progress, Span, Version};
use super::head_parser::{HeadParser, MessageHead};
use crate::wire::Fields;
use crate::wire::ascii;

/// What a reply answers, as far as it decides where the reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedMethod {
    /// HEAD: the reply has no body, whatever its fields say.
    Head,
    /// To switch protocols: the reply may be 101. (Never together with HEAD.)
    Upgrade,
    /// Anything else.
    Other,
}

impl From<super::Method> for AskedMethod {
    fn from(method: super::Method) -> AskedMethod {
        if method == super::Method::Head { AskedMethod::Head } else { AskedMethod::Other }
    }
}

/// A reply's head. Reuse it: its memory is kept from reply to reply.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    reason: Span,
    version: Version,
    body: BodyLength,
    facts: HeadFacts,
}

impl ResponseHead {
    /// Empty, without any memory yet.
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Forgets everything; gives memory back if it holds more than `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        self.fields.shrink(bytes);
        *self = ResponseHead { fields: std::mem::take(&mut self.fields), ..ResponseHead::default() };
    }

    /// 100 to 999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Is this an interim reply (1xx but 101): another head follows on the same connection.
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && !self.switches()
    }

    /// Is this 101: what follows the head is no HTTP any more. It names what to by [`agreed`](super::agreed).
    pub const fn switches(&self) -> bool {
        self.status == 101
    }

    /// The reason phrase as received.
    pub fn reason(&self) -> &[u8] {
        self.reason.of(self.fields.text())
    }

    /// The upstream's version.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// All fields as received.
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Where the body ends on this connection.
    pub const fn body(&self) -> BodyLength {
        self.body
    }

    /// The stated Content-Length; for HEAD and 304 it tells the length of a body that is not sent.
    pub const fn content_length(&self) -> Option<u64> {
        self.facts.length
    }

    /// May the connection carry another exchange after this reply, as far as the upstream says. (It may not either
    /// when bytes are left over behind the reply.) After 101 it does not speak HTTP any more.
    pub fn keep_alive(&self) -> bool {
        self.facts.persists(self.version) && self.body != BodyLength::UntilClose && !self.switches()
    }
}

/// Reads the heads of one exchange's reply, interim ones included, piece by piece. It never looks at a byte twice.
///
/// After an error the connection is lost: answer 502 and close it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseParser {
    core: HeadParser,
    interim: u32,
}

impl ResponseParser {
    /// Interim replies that one exchange may bring.
    pub const MAX_INTERIM: u32 = 16;

    /// Before the reply of one exchange. Make a new one for each.
    pub const fn new() -> ResponseParser {
        ResponseParser { core: HeadParser::new(), interim: 0 }
    }

    /// Has any byte of the reply come, interim replies included.
    pub fn has_started(&self) -> bool {
        self.core.has_started() || self.interim > 0
    }

    /// Takes the next piece of input. With [`Progress::Complete`] `head` is valid; when it
    /// [is interim](ResponseHead::is_interim), feed what follows to the same parser. The first piece of a head forgets
    /// what `head` held.
    pub fn feed(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        asked: AskedMethod,
        head: &mut ResponseHead,
    ) -> Result<Progress, Error> {
        let progress = self.core.feed(input, limits, asked, head)?;
        if matches!(progress, Progress::Complete(_)) && head.is_interim() {
            self.interim += 1;
            if self.interim > ResponseParser::MAX_INTERIM {
                return Err(self.core.fail(Error::TooManyInterim));
            }
        }
        Ok(progress)
    }
}

impl MessageHead for ResponseHead {
    type Context = AskedMethod;

    const FIRST_LINE_TOO_LONG: Error = Error::HeadTooLarge;

    #[inline]
    fn fields(&self) -> &Fields {
        &self.fields
    }

    #[inline]
    fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    #[inline]
    fn may_begin(first: u8, _: bool) -> Result<(), Error> {
        if first == b'H' { Ok(()) } else { Err(Error::StatusLine) }
    }

    /// `version SP status [SP [reason]]`
    #[inline]
    fn read_first_line(&mut self, line: Span, _: AskedMethod) -> Result<(), Error> {
        let bytes = line.of(self.fields.text());
        let (version, rest) = bytes.split_at_checked(Version::LEN).ok_or(Error::StatusLine)?;
        self.version = match Version::parse(version) {
            Some(version) => version,
            None if Version::looks_like(version) => return Err(Error::Version),
            None => return Err(Error::StatusLine),
        };
        let (&[b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'], rest) =
            rest.split_first_chunk::<4>().ok_or(Error::StatusLine)?
        else {
            return Err(Error::StatusLine);
        };
        self.status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
        let reason_at = line.end() - rest.len().saturating_sub(1);
        match rest {
            [] => {}
            [b' ', reason @ ..] if ascii::is_field_value(reason) => {}
            _ => return Err(Error::StatusLine),
        }
        self.reason = Span::new(reason_at..line.end());
        Ok(())
    }

    #[inline]
    fn complete(&mut self, asked: AskedMethod) -> Result<(), Error> {
        self.finish(asked)
    }
}

impl ResponseHead {
    /// 101 answers an upgrade request, says so by its connection option, and has no length (RFC 9110 §8.6).
    fn may_switch(&self, asked: AskedMethod) -> bool {
        let lengthless = !self.facts.chunked && self.facts.length.unwrap_or(0) == 0;
        asked == AskedMethod::Upgrade && self.version == Version::Http11 && self.facts.upgrade && lengthless
    }

    /// Takes up a head that came as values and not as text; `ended`: nothing follows it. After an error it means nothing.
    pub(in crate::wire) fn state(
        &mut self,
        status: u16,
        ended: bool,
        asked: AskedMethod,
        fill: impl FnOnce(&mut Fields) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.fields.clear();
        if !(100..=599).contains(&status) {
            return Err(Error::StatusLine);
        }
        let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        self.fields.append(reason.unwrap_or_default().as_bytes());
        self.reason = Span::new(0..self.fields.text().len());
        (self.status, self.version) = (status, Version::Http2);
        fill(&mut self.fields)?;
        if self.fields.len() > HeadLimits::REPLY.fields {
            return Err(Error::TooManyFields);
        }
        if HeadLimits::REPLY.is_exceeded_by(self.fields.text().len()) {
            return Err(Error::HeadTooLarge);
        }
        self.finish(asked)?;
        self.body = match self.body {
            BodyLength::Length(1..) if ended => return Err(Error::ContentLength),
            BodyLength::UntilClose if ended => BodyLength::Length(0),
            BodyLength::UntilClose => BodyLength::Chunked,
            length => length,
        };
        Ok(())
    }

    /// RFC 9112 §6.3, without its leniency.
    #[inline]
    fn finish(&mut self, asked: AskedMethod) -> Result<(), Error> {
        self.facts = HeadFacts::gather(&mut self.fields, self.version)?;
        if self.switches() && !self.may_switch(asked) {
            return Err(Error::UnaskedUpgrade);
        }
        let never_has_body = asked == AskedMethod::Head || matches!(self.status, 100..=199 | 204 | 304);
        self.body = match self.facts.length {
            _ if never_has_body => BodyLength::None,
            _ if self.facts.chunked => BodyLength::Chunked,
            Some(length) => BodyLength::Length(length),
            None => BodyLength::UntilClose,
        };
        Ok(())
    }
}
