//! Replies of Redis and Valkey ([RESP2](https://redis.io/docs/latest/develop/reference/protocol-spec/)), as far as checks need them:
//! status, error, number and text. A list or a form of RESP3 is none of them.

/// The longest line of a reply, without its end.
const LONGEST_LINE: usize = 4096;

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RespReply<'a> {
    /// `+OK`
    Status(&'a [u8]),
    /// `-ERR what is wrong`
    Error(&'a [u8]),
    /// `:7`
    Number(i64),
    /// `$5` and five bytes.
    Text(&'a [u8]),
    /// `$-1`: there is none.
    Null,
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// The first byte begins no reply that is known here.
    #[error("it does not begin like a reply")]
    Kind,
    /// A line has no end, or a wrong one.
    #[error("a line of a reply has no end")]
    Line,
    /// A number or length is none.
    #[error("a number in a reply is none")]
    Number,
    /// A text is longer than is taken.
    #[error("a text of {0} bytes, which is more than is taken")]
    TooLong(u64),
    /// Behind a text stands something else than its end.
    #[error("a text is longer than its length says")]
    TextEnd,
}

/// The reply at the beginning of these bytes, and how long it is. `Ok(None)`: more bytes are needed. `most`: bytes of the longest text.
///
/// # Errors
/// They are no reply, whatever follows.
pub fn parse(bytes: &[u8], most: usize) -> Result<Option<(RespReply<'_>, usize)>, RespError> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    if !matches!(kind, b'+' | b'-' | b':' | b'$') {
        return Err(RespError::Kind);
    }
    let Some(line) = line(rest)? else { return Ok(None) };
    let behind = 1 + line.len() + 2;
    let reply = match kind {
        b'+' => RespReply::Status(line),
        b'-' => RespReply::Error(line),
        b':' => RespReply::Number(number(line)?),
        _ => match number(line)? {
            -1 => RespReply::Null,
            length => return text(bytes, behind, length, most),
        },
    };
    Ok(Some((reply, behind)))
}

/// A line without its end.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, RespError> {
    match memchr::memchr(b'\r', &bytes[..bytes.len().min(LONGEST_LINE + 1)]) {
        None if bytes.len() > LONGEST_LINE => Err(RespError::Line),
        None => Ok(None),
        Some(end) => match bytes.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(&bytes[..end])),
            Some(_) => Err(RespError::Line),
        },
    }
}

fn number(line: &[u8]) -> Result<i64, RespError> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(RespError::Number)
}

fn text(bytes: &[u8], from: usize, length: i64, most: usize) -> Result<Option<(RespReply<'_>, usize)>, RespError> {
    let length = u64::try_from(length).map_err(|_| RespError::Number)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= most).ok_or(RespError::TooLong(length))?;
    let end = from + length;
    match bytes.get(end..end + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((RespReply::Text(&bytes[from..end]), end + 2))),
        Some(_) => Err(RespError::TextEnd),
    }
}

/// Appends a command: a list of texts, as a server takes it.
pub fn write_command(words: &[&[u8]], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        into.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        into.extend_from_slice(word);
        into.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 100;

    fn whole(bytes: &[u8]) -> (RespReply<'_>, usize) {
        parse(bytes, MOST).expect("a reply").expect("all of it")
    }

    #[test]
    fn replies_are_read_with_what_they_say() {
        assert_eq!(whole(b"+OK\r\nmore"), (RespReply::Status(b"OK"), 5));
        assert_eq!(
            whole(b"-NOAUTH Authentication required.\r\n").0,
            RespReply::Error(b"NOAUTH Authentication required.")
        );
        assert_eq!(whole(b":-7\r\n"), (RespReply::Number(-7), 5));
        assert_eq!(whole(b"$3\r\na\r\n\r\n"), (RespReply::Text(b"a\r\n"), 9));
        assert_eq!(whole(b"$0\r\n\r\n"), (RespReply::Text(b""), 6));
        assert_eq!(whole(b"$-1\r\n"), (RespReply::Null, 5));
    }

    #[test]
    fn what_is_no_reply_is_refused_as_soon_as_that_is_known() {
        for (bytes, error) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], RespError::Kind),
            (b"*1\r\n", RespError::Kind),
            (b"\x00", RespError::Kind),
            (b"+OK\rx", RespError::Line),
            (b":x\r\n", RespError::Number),
            (b":9223372036854775808\r\n", RespError::Number),
            (b"$-2\r\n", RespError::Number),
            (b"$101\r\n", RespError::TooLong(101)),
            (b"$9223372036854775807\r\n", RespError::TooLong(9_223_372_036_854_775_807)),
            (b"$1\r\nabc", RespError::TextEnd),
        ] {
            assert_eq!(parse(bytes, MOST), Err(error), "{:?}", String::from_utf8_lossy(bytes));
        }
        let endless = [&b"+"[..], &[b'a'; LONGEST_LINE + 1]].concat();
        assert_eq!(parse(&endless, MOST), Err(RespError::Line));
        assert_eq!(parse(&endless[..LONGEST_LINE], MOST), Ok(None));
    }

    #[test]
    fn a_command_says_how_long_its_words_are() {
        let mut bytes = Vec::new();
        write_command(&[b"AUTH", b"a b\r\n"], &mut bytes);
        assert_eq!(bytes, b"*2\r\n$4\r\nAUTH\r\n$5\r\na b\r\n\r\n");
    }

    proptest! {
        /// In pieces it is the same as at once, and nothing makes it panic.
        #[test]
        fn a_part_is_waited_for_or_refused_as_the_whole(bytes in prop::collection::vec(
            prop_oneof![Just(b'$'), Just(b'+'), Just(b'\r'), Just(b'\n'), Just(b'1'), any::<u8>()], 0..40)) {
            let at_once = parse(&bytes, 8);
            for end in 0..bytes.len() {
                match parse(&bytes[..end], 8) {
                    Ok(None) => {}
                    earlier => prop_assert_eq!(earlier, at_once),
                }
            }
            if let Ok(Some((_, length))) = at_once {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
