//! A leaf of the schema: how far behind a replica may be.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::tree::shorten;
use super::units::{FromText, bytes, time};

/// How far behind something may be: a duration, or a size in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LagLimit {
    Time(Duration),
    Bytes(u64),
}

impl<'de> Deserialize<'de> for LagLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration such as `5s`, or a size such as `16MiB`";
        deserializer.deserialize_str(FromText { expected, parse: lag })
    }
}

/// The longest lag that can be meant.
const LONGEST_LAG: Duration = Duration::from_secs(24 * 3600);

fn lag(text: &str) -> Result<LagLimit, String> {
    // (A number without a unit could be both.)
    let is_unitless = text.bytes().all(|byte| byte.is_ascii_digit());
    match (time(text), bytes(text)) {
        // (`5M` is a month of humantime.)
        (Ok(time), _) if !time.0.is_zero() && time.0 <= LONGEST_LAG => Ok(LagLimit::Time(time.0)),
        (_, Ok(size)) if !is_unitless && size.0 > 0 => Ok(LagLimit::Bytes(size.0)),
        _ => {
            let advice = "write one such as `5s` or `16MiB`; without it any lag will do";
            Err(format!("`{}` is neither a duration nor a size\n{advice}", shorten(text)))
        }
    }
}
