//! The chunked coding on its way in: exact sizes, CRLF only, bounded extensions and trailers.

use memchr::memchr;

use super::Error;
use super::head::{HeadLines, Piece, field_line};
use crate::wire::ascii;
use crate::wire::{Fields, Known};

/// Hex digits of a chunk size; leading zeros count.
const MAX_DIGITS: u8 = 16;
/// Bytes of extensions over all chunks of a body. No honest client uses them; they are dropped.
const MAX_EXTENSIONS: u32 = 4096;
/// Bytes and fields of trailers, dropped ones included.
const MAX_TRAILER_BYTES: usize = 16 * 1024;
pub(in crate::wire) const MAX_TRAILERS: u32 = 64;

/// Where in the chunks we are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkReader {
    at: ChunkPart,
    /// The size while it is read, then what is left of the chunk's data.
    size: u64,
    digits: u8,
    extensions: u32,
    lines: HeadLines,
    trailer_bytes: usize,
    trailer_count: u32,
    /// Spaces may stand behind a size.
    padded: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkPart {
    #[default]
    Size,
    Extension(ChunkExtension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkExtension {
    /// After the size or a complete extension, with space: `;` must come.
    BeforeSemicolon,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Token,
    Quoted,
    Escaped,
    AfterQuoted,
}

impl ChunkReader {
    /// Of a reply: some servers pad each size with spaces (`5  \r\n`), and every client reads them. It cannot be
    /// misread later, since the body is framed again for the client. In a request it stays refused: what is before us may read
    /// it otherwise, and no client that is one writes it.
    pub(super) fn of_a_reply() -> ChunkReader {
        ChunkReader { padded: true, ..ChunkReader::default() }
    }

    /// The next stretch of data; see [`super::BodyDecoder::decode`].
    pub(super) fn decode(&mut self, input: &[u8], trailers: &mut Fields) -> Result<Piece, Error> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.at {
                ChunkPart::Data => return Ok(self.data(at, input.len())),
                ChunkPart::Trailers => {
                    let (taken, done) = self.trailers(&input[at..], trailers)?;
                    at += taken;
                    if done {
                        return Ok(Piece { taken: at, data: 0..0, done: true });
                    }
                    continue;
                }
                ChunkPart::Size => self.size_byte(byte)?,
                ChunkPart::Extension(place) => self.extension_byte(place, byte)?,
                ChunkPart::SizeLf if byte == b'\n' => self.size_complete(),
                ChunkPart::SizeLf => return Err(Error::ChunkSize),
                ChunkPart::DataCr if byte == b'\r' => self.at = ChunkPart::DataLf,
                ChunkPart::DataLf if byte == b'\n' => self.next_chunk(),
                ChunkPart::DataCr | ChunkPart::DataLf => return Err(Error::ChunkEnd),
            }
            at += 1;
        }
        Ok(Piece { taken: at, data: 0..0, done: false })
    }

    fn data(&mut self, from: usize, len: usize) -> Piece {
        let data = usize::try_from(self.size).unwrap_or(usize::MAX).min(len - from);
        self.size -= data as u64;
        if self.size == 0 {
            self.at = ChunkPart::DataCr;
        }
        Piece { taken: from + data, data: from..from + data, done: false }
    }

    fn next_chunk(&mut self) {
        (self.at, self.size, self.digits) = (ChunkPart::Size, 0, 0);
    }

    fn size_byte(&mut self, byte: u8) -> Result<(), Error> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            self.digits += 1;
            self.size = self.size.wrapping_shl(4) | u64::from(digit);
            let fits = self.digits <= MAX_DIGITS && self.size <= i64::MAX as u64;
            return if fits { Ok(()) } else { Err(Error::ChunkSize) };
        }
        if self.digits == 0 {
            return Err(Error::ChunkSize);
        }
        match byte {
            b'\r' => self.at = ChunkPart::SizeLf,
            b';' => self.extension_at(ChunkExtension::BeforeName)?,
            b' ' | b'\t' => self.extension_at(ChunkExtension::BeforeSemicolon)?,
            _ => return Err(Error::ChunkSize),
        }
        Ok(())
    }

    fn size_complete(&mut self) {
        self.at = if self.size == 0 { ChunkPart::Trailers } else { ChunkPart::Data };
    }

    fn extension_at(&mut self, place: ChunkExtension) -> Result<(), Error> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err(Error::ChunkExtensionsTooLong);
        }
        self.at = ChunkPart::Extension(place);
        Ok(())
    }

    fn extension_byte(&mut self, place: ChunkExtension, byte: u8) -> Result<(), Error> {
        use ChunkExtension::*;
        let next = match (place, byte) {
            (Name | AfterName | Token | AfterQuoted, b'\r') => {
                self.at = ChunkPart::SizeLf;
                return Ok(());
            }
            (BeforeSemicolon, b'\r') if self.padded => {
                self.at = ChunkPart::SizeLf;
                return Ok(());
            }
            (BeforeSemicolon, b' ' | b'\t') => BeforeSemicolon,
            (BeforeSemicolon | Name | AfterName | Token | AfterQuoted, b';') => BeforeName,
            (BeforeName, b' ' | b'\t') => BeforeName,
            (BeforeName | Name, b) if ascii::is_token_byte(b) => Name,
            (Name | AfterName, b' ' | b'\t') => AfterName,
            (Name | AfterName, b'=') => BeforeValue,
            (BeforeValue, b' ' | b'\t') => BeforeValue,
            (BeforeValue | Token, b) if ascii::is_token_byte(b) => Token,
            (BeforeValue, b'"') => Quoted,
            (Token | AfterQuoted, b' ' | b'\t') => BeforeSemicolon,
            (Quoted, b'"') => AfterQuoted,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, b) if ascii::is_field_value(&[b]) => Quoted,
            _ => return Err(Error::ChunkExtension),
        };
        self.extension_at(next)
    }

    /// Takes trailer lines; how much of the input was used, and whether the empty line was among it.
    fn trailers(&mut self, input: &[u8], trailers: &mut Fields) -> Result<(usize, bool), Error> {
        let found = memchr(b'\n', input);
        let end = found.map_or(input.len(), |at| at + 1);
        self.trailer_bytes += end;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(Error::TrailersTooLarge);
        }
        let new = trailers.text().len();
        trailers.append(&input[..end]);
        let Some(line) = self.lines.next(trailers.text(), new)? else {
            return Ok((end, false));
        };
        if line.is_empty() {
            trailers.truncate(line.start);
            return Ok((end, true));
        }
        self.trailer_count += 1;
        if self.trailer_count > MAX_TRAILERS {
            return Err(Error::TrailersTooLarge);
        }
        field_line(trailers, line)?;
        if trailers.iter().last().is_some_and(|field| is_forbidden(field.known, field.name)) {
            trailers.drop_last();
            self.lines.line = trailers.text().len();
        }
        Ok((end, false))
    }
}

/// May a field of this name not stand in trailers (RFC 9110 §6.5.1): framing, routing, what we vouch for, authentication,
/// request modifiers, and what says how to read the content. Such trailers are dropped, like HAProxy's and nginx's do.
pub(in crate::wire) fn is_forbidden(known: Known, name: &[u8]) -> bool {
    const NAMES: [&[u8]; 31] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expires",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"location",
        b"max-forwards",
        b"origin",
        b"pragma",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"range",
        b"referer",
        b"retry-after",
        b"set-cookie",
        b"set-cookie2",
        b"status",
        b"vary",
        b"via",
        b"warning",
        b"www-authenticate",
        b"x-http-method-override",
    ];
    known != Known::Other || NAMES.iter().any(|n| n.eq_ignore_ascii_case(name))
}
