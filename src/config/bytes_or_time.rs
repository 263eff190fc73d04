//! [`BytesOrTime`]: how much of some data, as a size or as the time in which it was written.

use std::time::Duration;

use serde::Deserialize;
use serde::de::Deserializer;

use super::tree::shorten;
use super::units::{FromText, bytes, time};

/// How much may be lost: a size or a time, `16MiB` or `5s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BytesOrTime {
    Bytes(u64),
    Time(Duration),
}

impl<'de> Deserialize<'de> for BytesOrTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a size such as `16MiB` or a duration such as `5s`";
        deserializer.deserialize_str(FromText { expected, parse: bytes_or_time })
    }
}

fn bytes_or_time(text: &str) -> Result<BytesOrTime, String> {
    // (`m` is a minute, and `M` or `MiB` a size; `0` is the same in both.)
    let is_unit = |letter: char| letter.is_ascii_lowercase() && !matches!(letter, 'b' | 'k');
    let is_time = text.chars().any(is_unit) && text.chars().all(|letter| !letter.is_alphabetic() || is_unit(letter));
    let shown = shorten(text);
    match is_time {
        _ if text == "off" => Err("`off` is not a loss that may be\nleave it out".to_owned()),
        true => time(text).map(|time| BytesOrTime::Time(time.0)),
        false => {
            bytes(text).map(|size| BytesOrTime::Bytes(size.0)).map_err(|error| match error.contains("too large") {
                true => error,
                false => format!("`{shown}` is neither a size nor a duration\nwrite one such as `16MiB` or `5s`"),
            })
        }
    }
}
