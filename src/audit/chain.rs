//! [`AuditChain`] writes lines, [`AuditLine`] reads one.

use std::fmt;

use serde_json::Value;

use crate::digest::{from_hex, hex, sha256};

/// What every hash begins with: a hash of this chain is none of another protocol.
const DOMAIN: &[u8] = b"standfast-audit-v1\n";
/// Bytes of the longest line, without its line feed.
pub const LONGEST_LINE: usize = 64 << 10;
const HEAD: &str = "{\"seq\":";
const BEFORE_PREV: &str = ",\"prev\":\"";
const BEHIND_PREV: &str = "\"";
const BEFORE_HASH: &str = ",\"hash\":\"";
const END: &str = "\"}";
/// Bytes from `,"hash"` to the end of a line: those that are not hashed.
const UNHASHED: usize = BEFORE_HASH.len() + 64 + END.len();
/// Bytes from `,"prev"` to the end of a line.
const TAIL: usize = BEFORE_PREV.len() + 64 + BEHIND_PREV.len() + UNHASHED;

/// SHA-256 of a record and everything before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AuditHash([u8; 32]);

impl AuditHash {
    /// What stands before the first record.
    pub const NONE: AuditHash = AuditHash([0; 32]);

    /// Read 64 hexadecimal digits, lower case.
    pub fn parse(text: &[u8]) -> Option<AuditHash> {
        from_hex(text).map(AuditHash)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Of a line's bytes before `,"hash"`, behind this record.
    fn then(&self, signed: &[u8]) -> AuditHash {
        AuditHash(sha256(&[DOMAIN, &self.0, signed]))
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a chain ends: the next record goes there. Known from elsewhere, it is a witness of the record with this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditChain {
    /// The number of the last record; 0 = there is none.
    pub seq: u64,
    /// Its hash.
    pub head: AuditHash,
}

/// A record whose line would be longer than [`LONGEST_LINE`]; the chain is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record would have {0} bytes; the longest line has {LONGEST_LINE}")]
pub struct RecordTooLong(pub usize);

impl AuditChain {
    /// Read `SEQ:HASH`.
    pub fn parse(text: &str) -> Option<AuditChain> {
        let (seq, hash) = text.split_once(':')?;
        Some(AuditChain { seq: seq.parse().ok()?, head: AuditHash::parse(hash.as_bytes())? })
    }

    /// The line of the next record, without a line feed. Each value is JSON in one line, as `Display` of a [`Value`] is. The names
    /// `seq`, `prev` and `hash` are the chain's: fields of these names are left out.
    pub fn append<N: AsRef<str>, V: fmt::Display>(
        &mut self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<String, RecordTooLong> {
        let seq = self.seq + 1;
        let mut line = format!("{HEAD}{seq}");
        let fields = fields.into_iter();
        for (name, value) in fields.filter(|(name, _)| !matches!(name.as_ref(), "seq" | "prev" | "hash")) {
            line.push_str(&format!(",{}:{value}", Value::from(name.as_ref())));
        }
        line.push_str(&format!("{BEFORE_PREV}{}{BEHIND_PREV}", self.head));
        let length = line.len() + UNHASHED;
        if length > LONGEST_LINE {
            return Err(RecordTooLong(length));
        }
        let head = self.head.then(line.as_bytes());
        line.push_str(&format!("{BEFORE_HASH}{head}{END}"));
        *self = AuditChain { seq, head };
        Ok(line)
    }
}

/// A line that has the form of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditLine<'l> {
    /// Its number.
    pub seq: u64,
    /// The hash of the record before, as it states it.
    pub prev: AuditHash,
    /// Its own hash, as it states it.
    pub hash: AuditHash,
    /// The whole line.
    pub text: &'l [u8],
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// It does not begin with a number and end with two hashes.
    #[error("it does not have the form of a record")]
    Malformed,
    /// It is longer than any record.
    #[error("it is longer than {LONGEST_LINE} bytes")]
    TooLong,
}

impl<'l> AuditLine<'l> {
    /// Read a line, without its line feed. The hash is not looked at: [`AuditLine::is_unedited`] does that.
    pub fn parse(text: &'l [u8]) -> Result<AuditLine<'l>, LineProblem> {
        if text.len() > LONGEST_LINE {
            return Err(LineProblem::TooLong);
        }
        Self::parts(text).ok_or(LineProblem::Malformed)
    }

    fn parts(text: &'l [u8]) -> Option<AuditLine<'l>> {
        let rest = text.strip_prefix(HEAD.as_bytes())?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(digits);
        let has_one_spelling = number.first().is_some_and(|first| *first != b'0');
        let seq = std::str::from_utf8(number).ok()?.parse().ok().filter(|_| has_one_spelling)?;
        let tail = rest.get(rest.len().checked_sub(TAIL)?..)?;
        let (prev, tail) = tail.strip_prefix(BEFORE_PREV.as_bytes())?.split_at_checked(64)?;
        let tail = tail.strip_prefix(BEHIND_PREV.as_bytes())?;
        let (hash, tail) = tail.strip_prefix(BEFORE_HASH.as_bytes())?.split_at_checked(64)?;
        let is_whole = tail == END.as_bytes() && rest.first() == Some(&b',');
        let (prev, hash) = (AuditHash::parse(prev)?, AuditHash::parse(hash)?);
        is_whole.then_some(AuditLine { seq, prev, hash, text })
    }

    /// Is its hash the one of its bytes?
    pub fn is_unedited(&self) -> bool {
        self.prev.then(&self.text[..self.text.len() - UNHASHED]) == self.hash
    }

    /// The end of the chain behind it.
    pub fn chain(&self) -> AuditChain {
        AuditChain { seq: self.seq, head: self.hash }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn fields(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("a map")
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let mut chain = AuditChain::default();
        for text in
            [r#"{"type":"act.asked","reason":"a\nb \"c\" \u2028"}"#, "{}", r#"{"seq":7,"hash":"x","a":[{"b":null}]}"#]
        {
            let before = chain;
            let line = chain.append(&fields(text)).expect("a line");
            let read = AuditLine::parse(line.as_bytes()).expect("a record");
            assert_eq!((read.seq, read.prev, read.chain()), (before.seq + 1, before.head, chain), "{line}");
            assert!(read.is_unedited() && !line.contains('\n'), "{line}");
            let value: Map<String, Value> = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["seq"], read.seq, "{line}");
        }
    }

    #[test]
    fn the_first_line_is_what_the_format_says() {
        let line = AuditChain::default().append(&fields(r#"{"type":"x"}"#)).expect("a line");
        let signed = format!("{{\"seq\":1,\"type\":\"x\",\"prev\":\"{}\"", "0".repeat(64));
        let mut bytes = b"standfast-audit-v1\n".to_vec();
        bytes.extend([0; 32]);
        bytes.extend(signed.as_bytes());
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line, format!("{signed},\"hash\":\"{hash}\"}}"));
    }

    #[test]
    fn a_changed_byte_anywhere_is_found() {
        let mut chain = AuditChain::default();
        let line = chain.append(&fields(r#"{"type":"act.done","service":"shop"}"#)).expect("a line");
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1;
            let found = AuditLine::parse(&bytes).map(|line| line.is_unedited() && line.chain() == chain);
            assert_ne!(found, Ok(true), "byte {at}");
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let mut chain = AuditChain::default();
        let line = chain.append(&fields(r#"{"a":1}"#)).expect("a line");
        for text in [
            String::new(),
            "{}".to_owned(),
            "\u{fffd}".repeat(100),
            line[1..].to_owned(),
            line[..line.len() - 1].to_owned(),
            format!("{line} "),
            line.replace("{\"seq\":1,", "{\"seq\":01,"),
            line.replace("{\"seq\":1,", "{\"seq\":99999999999999999999,"),
            line.replace("{\"seq\":1,", "{\"seq\":,"),
            line.replace(",\"prev\"", ",\"Prev\""),
        ] {
            assert_eq!(AuditLine::parse(text.as_bytes()), Err(LineProblem::Malformed), "{text}");
        }
    }

    #[test]
    fn a_record_that_is_too_long_leaves_the_chain_as_it_was() {
        let mut chain = AuditChain::default();
        let text = "x".repeat(LONGEST_LINE);
        let long: Map<String, Value> = [("reason".to_owned(), Value::from(text))].into_iter().collect();
        assert!(chain.append(&long).is_err());
        assert_eq!(chain, AuditChain::default());
        let fits = "x".repeat(LONGEST_LINE - "{\"seq\":1,\"r\":\"\"".len() - TAIL);
        let line = chain.append([("r", Value::from(fits))]).expect("it fits");
        assert_eq!(line.len(), LONGEST_LINE);
        assert!(AuditLine::parse(line.as_bytes()).expect("a record").is_unedited());
    }
}
