//! `host [":" port]`, as it stands in Host and in the authority of an absolute target.

use crate::wire::ascii;

/// Splits an authority into its host (brackets kept) and the length of the host; `None` when it is not valid.
///
/// Stricter than RFC 3986 on purpose: a registered name is letters, digits, `-`, `.`, `_` and `~`. No percent-encoding
/// and no sub-delimiters: no DNS name needs them, and two readers of `a,b` or `a%2eb` need not agree. User
/// information is refused.
pub(super) fn host_len(authority: &[u8]) -> Option<usize> {
    let host = match authority {
        [b'[', rest @ ..] => ip_literal(rest)? + 1,
        _ => ascii::host_name_len(authority),
    };
    let port = match &authority[host..] {
        [] => return (host > 0).then_some(host),
        [b':', port @ ..] => port,
        _ => return None,
    };
    (host > 0 && is_port(port)).then_some(host)
}

/// The length of an IPv6 address with its closing bracket.
fn ip_literal(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|&b| b == b']')?;
    let address = std::str::from_utf8(&text[..end]).ok()?;
    address.parse::<std::net::Ipv6Addr>().ok().map(|_| end + 1)
}

/// Empty (the scheme's default) or a number up to 65535.
fn is_port(text: &[u8]) -> bool {
    text.len() <= 5
        && text.iter().all(u8::is_ascii_digit)
        && text.iter().fold(0_u32, |n, &b| n * 10 + u32::from(b - b'0')) <= 65_535
}

#[cfg(test)]
mod tests {
    use super::host_len;

    #[test]
    fn hosts_with_and_without_port_are_taken() {
        for (authority, len) in [
            ("a", 1),
            ("example.com:80", 11),
            ("a_b.c-d.", 8),
            ("10.0.0.1:", 8),
            ("[::1]", 5),
            ("[2001:db8::1]:443", 13),
        ] {
            assert_eq!(host_len(authority.as_bytes()), Some(len), "{authority}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for authority in [
            "",
            ":80",
            "a:b",
            "a:65536",
            "a:000080",
            "a b",
            "a,b",
            "a/b",
            "u@a",
            "a%2eb",
            "[::1",
            "[::1]x",
            "[v1.a]",
            "[]",
            "a:80:80",
            "[fe80::1%25eth0]",
            "a\\b",
            "é",
            "a?b",
            "a#b",
            "http://a",
        ] {
            assert_eq!(host_len(authority.as_bytes()), None, "{authority}");
        }
    }
}
