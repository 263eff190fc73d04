//! The first message of a TLS handshake, read for nothing but what it asks for: the server's name (SNI) and the protocols
//! offered (ALPN). It is neither answered nor changed; the endpoint behind reads it again.
//!
//! A hello may be cut into any number of records, each into any number of segments. Old clients (no extensions at all) and
//! unknown values (GREASE) are taken; what two readers could understand differently (a name given twice) is refused.
#[cfg(test)]
mod tests;

/// The longest hello that is read (bytes of the handshake message, its four bytes of header included). Browsers send less
/// than 2 KiB, with post-quantum key shares.
pub const LONGEST: usize = 16 * 1024;
/// The most that a hello may take with the headers of all its records.
pub const LONGEST_ON_WIRE: usize = 64 * 1024;

/// `content_type` of a record that carries handshake messages.
const HANDSHAKE: u8 = 22;
/// `msg_type` of a ClientHello.
const CLIENT_HELLO: u8 = 1;
/// The longest record (RFC 8446 §5.1).
const LONGEST_RECORD: usize = 1 << 14;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelloRequest {
    /// The server's name in lower case.
    pub name: Option<String>,
    /// The protocols offered, the preferred one first.
    pub protocols: Vec<Vec<u8>>,
}

/// Why bytes are not a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// They do not begin a TLS handshake.
    NotTls,
    /// They begin like one and go on otherwise.
    Malformed(&'static str),
    /// Longer than [`LONGEST`] or [`LONGEST_ON_WIRE`].
    TooLong,
}

/// Reads a hello as its bytes come. Each byte is looked at once.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// Of the record that is being read.
    header: [u8; 5],
    /// How much of the header is there.
    have: usize,
    /// How much of the record's content is still to come.
    left: usize,
    /// The message without the records around it.
    message: Vec<u8>,
    /// Bytes read in all.
    taken: usize,
}

impl HelloReader {
    /// Nothing read yet.
    pub fn new() -> HelloReader {
        HelloReader::default()
    }

    /// Takes the next bytes. `Ok(None)`: the hello goes on. What stands behind its end is not looked at.
    ///
    /// # Errors
    /// This is no hello. The reader is not to be asked again, nor after the hello is complete.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Option<HelloRequest>, HelloError> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left == 0 {
                self.take_header(*first)?;
                self.count(1)?;
                bytes = rest;
                continue;
            }
            // No further than the message goes: what stands behind it must not count, be it here or not.
            let (now, rest) = bytes.split_at(bytes.len().min(self.left).min(self.missing()?));
            self.count(now.len())?;
            self.left -= now.len();
            self.message.extend_from_slice(now);
            bytes = rest;
            if let Some(length) = self.length()?
                && let Some(message) = self.message.get(4..4 + length)
            {
                return asked(message).map(Some);
            }
        }
        Ok(None)
    }

    /// How many bytes of the message are still to come, as far as it says so.
    fn missing(&self) -> Result<usize, HelloError> {
        let length = self.length()?.map_or(4, |length| 4 + length);
        Ok(length.saturating_sub(self.message.len()))
    }

    fn count(&mut self, more: usize) -> Result<(), HelloError> {
        self.taken += more;
        if self.taken > LONGEST_ON_WIRE { Err(HelloError::TooLong) } else { Ok(()) }
    }

    /// One more byte of a record's header.
    fn take_header(&mut self, byte: u8) -> Result<(), HelloError> {
        let first = self.taken < self.header.len();
        let otherwise = |why| if first { HelloError::NotTls } else { HelloError::Malformed(why) };
        match (self.have, byte) {
            (0, HANDSHAKE) | (1, 3) | (2..=4, _) => {}
            (0, _) => return Err(otherwise("another record inside the hello")),
            _ => return Err(otherwise("an unknown version of records")),
        }
        self.header[self.have] = byte;
        self.have += 1;
        if let [_, _, _, high, low] = self.header
            && self.have == self.header.len()
        {
            self.have = 0;
            self.left = usize::from(u16::from_be_bytes([high, low]));
            if self.left == 0 || self.left > LONGEST_RECORD {
                return Err(otherwise("a record that is empty or too long"));
            }
        }
        Ok(())
    }

    /// Of the message without its header, as soon as it says so.
    fn length(&self) -> Result<Option<usize>, HelloError> {
        if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(HelloError::NotTls);
        }
        let Some([_, high, middle, low]) = self.message.first_chunk::<4>() else { return Ok(None) };
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        if length + 4 > LONGEST { Err(HelloError::TooLong) } else { Ok(Some(length)) }
    }
}

/// What the body of a ClientHello asks for.
fn asked(message: &[u8]) -> Result<HelloRequest, HelloError> {
    let mut rest = RestOfField(message);
    // The version, and the client's random bytes.
    rest.take(2 + 32)?;
    if rest.vector(1)?.0.len() > 32 {
        return Err(HelloError::Malformed("a session id that is too long"));
    }
    let ciphers = rest.vector(2)?.0.len();
    if ciphers == 0 || ciphers % 2 == 1 || rest.vector(1)?.0.is_empty() {
        return Err(HelloError::Malformed("no cipher suites or no compression methods"));
    }
    let mut asked = HelloRequest::default();
    if rest.0.is_empty() {
        return Ok(asked);
    }
    let mut extensions = rest.vector(2)?;
    rest.end()?;
    let mut named = false;
    let mut offered = false;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)? as u16;
        let content = extensions.vector(2)?;
        match kind {
            SERVER_NAME if !std::mem::replace(&mut named, true) => asked.name = Some(server_name(content)?),
            ALPN if !std::mem::replace(&mut offered, true) => asked.protocols = protocols(content)?,
            SERVER_NAME | ALPN => return Err(HelloError::Malformed("an extension that stands twice")),
            _ => {}
        }
    }
    Ok(asked)
}

/// Exactly one name, of the one kind that there is (RFC 6066 §3).
fn server_name(mut content: RestOfField<'_>) -> Result<String, HelloError> {
    let wrong = HelloError::Malformed("not one server name");
    let mut list = content.vector(2)?;
    content.end()?;
    if list.number(1)? != 0 {
        return Err(wrong);
    }
    let name = list.vector(2)?.0;
    list.end()?;
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return Err(wrong);
    }
    std::str::from_utf8(name).map(str::to_ascii_lowercase).map_err(|_| wrong)
}

fn protocols(mut content: RestOfField<'_>) -> Result<Vec<Vec<u8>>, HelloError> {
    let mut list = content.vector(2)?;
    content.end()?;
    let mut found = Vec::new();
    while !list.0.is_empty() {
        let name = list.vector(1)?.0;
        if name.is_empty() {
            return Err(HelloError::Malformed("a protocol without a name"));
        }
        found.push(name.to_vec());
    }
    if found.is_empty() { Err(HelloError::Malformed("no protocols offered")) } else { Ok(found) }
}

/// What is left to be read of a field.
struct RestOfField<'b>(&'b [u8]);

impl<'b> RestOfField<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], HelloError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(HelloError::Malformed("a field beyond its end"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of so many bytes, of three at most.
    fn number(&mut self, bytes: usize) -> Result<usize, HelloError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A field with its length before it, which takes so many bytes.
    fn vector(&mut self, bytes: usize) -> Result<RestOfField<'b>, HelloError> {
        let length = self.number(bytes)?;
        self.take(length).map(RestOfField)
    }

    fn end(&self) -> Result<(), HelloError> {
        if self.0.is_empty() { Ok(()) } else { Err(HelloError::Malformed("bytes behind a field")) }
    }
}
