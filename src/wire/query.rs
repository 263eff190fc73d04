//! Parameters of a query (`application/x-www-form-urlencoded`): one by its name.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// The value of the first parameter of this name, decoded: `%41` is `A` and `+` is a space, in names too; a `%` without two
/// hexadecimal digits behind it stands for itself. Without `=` the value is empty. Only a value that has to be decoded
/// costs an allocation.
pub fn query_parameter<'a>(query: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (found, value) = match memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        DecodedText(found).eq(name.bytes()).then(|| decode(value))
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    match memchr2(b'%', b'+', text) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(DecodedText(text).collect()),
    }
}

/// The bytes that an encoded text stands for.
struct DecodedText<'a>(&'a [u8]);

impl Iterator for DecodedText<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match self.0 {
            [] => return None,
            [b'+', rest @ ..] => (b' ', rest),
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (digit(*high) << 4 | digit(*low), rest)
            }
            [byte, rest @ ..] => (*byte, rest),
        };
        self.0 = rest;
        Some(byte)
    }
}

/// Of a hexadecimal digit.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(query: &str) -> Option<String> {
        let value = query_parameter(query.as_bytes(), "user id")?;
        Some(value.iter().map(|byte| char::from(*byte)).collect())
    }

    #[test]
    fn the_first_of_its_name_in_any_spelling() {
        for (query, expected) in [
            ("user+id=a", Some("a")),
            ("user%20id=a", Some("a")),
            ("%75ser%20i%64=a", Some("a")),
            ("x=1&user+id=a&user+id=b", Some("a")),
            ("&&x&user+id=a", Some("a")),
            ("user+id=", Some("")),
            ("user+id", Some("")),
            ("user+id=a=b", Some("a=b")),
            ("user+id=a%26b+c%2Bd%2b", Some("a&b c+d+")),
            ("user+id=100%&", Some("100%")),
            ("user+id=%zz%4", Some("%zz%4")),
            ("user+id=%ff%00", Some("\u{ff}\0")),
            ("USER+ID=a&xuser+id=b&user+idx=c&x=user+id=d", None),
            ("", None),
        ] {
            assert_eq!(user(query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn only_what_is_encoded_is_copied() {
        assert!(matches!(query_parameter(b"a=bc", "a"), Some(Cow::Borrowed(b"bc"))));
        assert!(matches!(query_parameter(b"a=b%63", "a"), Some(Cow::Owned(value)) if value == b"bc"));
    }
}
