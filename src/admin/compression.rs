//! Compressed answers, for clients that ask for them (RFC 9110 §12.5.3).

use std::io::{self, Write};

use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Does this client take gzip? (`*` is any coding that is not named.)
pub(super) fn accepts_gzip(fields: &HeaderMap) -> bool {
    let values = fields.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut named, mut any) = (None, None);
    for coding in values.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let is_taken = weight.is_none_or(|(_, weight)| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0));
        match name {
            "*" => any = Some(is_taken),
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => named = Some(is_taken),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

/// These bytes compressed: fast rather than small, since a scrape shrinks to a few percent at any level.
///
/// # Errors
/// None are known: it writes to memory.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 16), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn gzip_is_used_where_it_is_asked_for() {
        let accepts = |values: &[&str]| {
            let mut fields = HeaderMap::new();
            values.iter().for_each(|value| {
                fields.append(header::ACCEPT_ENCODING, value.parse().unwrap());
            });
            accepts_gzip(&fields)
        };
        for yes in [
            &["gzip"][..],
            &["br, GZIP;q=0.5"],
            &["identity", "x-gzip"],
            &["*"],
            &["deflate;q=1, *;q=0.1"],
            &["gzip ; q=0.001"],
        ] {
            assert!(accepts(yes), "{yes:?}");
        }
        for no in
            [&[][..], &[""], &["identity"], &["gzip;q=0"], &["*;q=0"], &["gzip;q=0, *"], &["gzip;q=x"], &["gzipp"]]
        {
            assert!(!accepts(no), "{no:?}");
        }
    }

    #[test]
    fn what_is_compressed_is_read_again() {
        let text = "standfast_ready 1\n".repeat(1000);
        let compressed = gzip(text.as_bytes()).unwrap();
        assert!(compressed.len() < text.len() / 20);
        let mut read = String::new();
        flate2::read::GzDecoder::new(&*compressed).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}
