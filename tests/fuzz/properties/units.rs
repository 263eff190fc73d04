//! Values with a notation of their own: durations, sizes, shares, counts, addresses, networks. The input is the value.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use standfast::config::{self, Config};

use super::tools::bounded;

pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // What a quoted scalar of YAML cannot hold as it is, or folds.
    if text.chars().any(|c| {
        c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    }) {
        return;
    }
    bounded((1 << 20) + 2000 * text.len(), || {
        duration(text);
        size(text);
        share(text);
        count(text);
        address(text);
    });
}

/// The configuration with this value, or the first thing that is wrong with it.
fn with(top: &str, retry: &str, text: &str) -> Result<Config, String> {
    let value = serde_json::to_string(text).expect("a text");
    let (top, retry) = (top.replace('@', &value), retry.replace('@', &value));
    let text = format!(
        "{top}\nlisteners: [{{name: w, bind: 127.0.0.1:80, service: s}}]\n\
         services: {{s: {{retry: {{{retry}}}, pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}}}\n"
    );
    config::parse(&text, Path::new("/")).map(|loaded| loaded.config).map_err(|problems| problems.list[0].what.clone())
}

fn duration(text: &str) {
    let found = with("drain_timeout: @", "", text).map(|config| config.drain_timeout);
    match nanoseconds(text) {
        // A year is the longest.
        Some(wanted) if wanted <= 365 * 86_400 * 1_000_000_000 => {
            // Fractions of many digits are refused, although they come out even.
            if text.contains('.') && found.is_err() {
                return;
            }
            assert_eq!(found, Ok(Duration::from_nanos(wanted as u64)), "{text:?}");
            let time = found.unwrap_or_default();
            let written = config::dump(&with("drain_timeout: @", "", text).expect("it was read"));
            let line = written.lines().find_map(|line| line.strip_prefix("drain_timeout: ")).expect("a line");
            let again = with("drain_timeout: @", "", line.trim_matches(['"', '\'']));
            assert_eq!(again.map(|config| config.drain_timeout), Ok(time), "{text:?} as {line}");
        }
        _ => assert!(found.is_err(), "{text:?} is read as {found:?}"),
    }
}

/// `0`, or numbers with units; spaces mean nothing. Fractions must come out even.
fn nanoseconds(text: &str) -> Option<u128> {
    if text == "0" {
        return Some(0);
    }
    let unit = |word: &str| {
        Some(match word {
            "nanos" | "nsec" | "ns" => 1,
            "usec" | "us" | "µs" => 1_000,
            "millis" | "msec" | "ms" => 1_000_000,
            "seconds" | "second" | "secs" | "sec" | "s" => 1_000_000_000,
            "minutes" | "minute" | "min" | "mins" | "m" => 60_000_000_000,
            "hours" | "hour" | "hrs" | "hr" | "h" => 3_600_000_000_000,
            "days" | "day" | "d" => 86_400_000_000_000,
            "weeks" | "week" | "wks" | "wk" | "w" => 604_800_000_000_000,
            "months" | "month" | "M" => 2_630_016_000_000_000,
            "years" | "year" | "yrs" | "yr" | "y" => 31_557_600_000_000_000_u128,
            _ => return None,
        })
    };
    let letter = |c: char| c.is_ascii_alphabetic() || c == 'µ';
    let (mut rest, mut sum) = (text.trim(), 0_u128);
    while !rest.is_empty() {
        let end = rest.find(letter)?;
        let number: String = rest[..end].chars().filter(|c| !c.is_whitespace()).collect();
        rest = &rest[end..];
        let end = rest.find(|c| !letter(c)).unwrap_or(rest.len());
        let unit = unit(&rest[..end])?;
        rest = rest[end..].trim_start();
        let (whole, part) = number.split_once('.').unwrap_or((&number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) {
            return None;
        }
        let tens = 10_u128.checked_pow(part.len() as u32)?;
        let part = part.parse::<u128>().ok()?.checked_mul(unit)?;
        if part % tens != 0 {
            return None;
        }
        sum = whole.parse::<u128>().ok()?.checked_mul(unit)?.checked_add(part / tens)?.checked_add(sum)?;
    }
    (!text.trim().is_empty()).then_some(sum)
}

fn size(text: &str) {
    let found = with("", "replay_bytes: @", text).map(|config| config.services[0].retry.replay_bytes as u128);
    match bytes(text) {
        Some((least, most)) if most <= 1 << 40 => match found {
            Ok(found) => assert!((least..=most).contains(&found), "{text:?} is read as {found}"),
            // A request may not hold that much.
            Err(what) => assert!(what.contains("bytes are too many") && most > 1 << 20, "{text:?}: {what}"),
        },
        Some((least, _)) if least <= 1 << 40 => {}
        _ => assert!(found.is_err(), "{text:?} is read as {found:?}"),
    }
}

/// Bytes, exactly, or between two numbers where the fraction does not come out even.
fn bytes(text: &str) -> Option<(u128, u128)> {
    if text == "off" {
        return Some((0, 0));
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(bytes) = plain.parse::<u64>() {
        return text.parse::<u64>().ok().map(|_| (u128::from(bytes), u128::from(bytes)));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start().to_ascii_lowercase());
    let power = |letter: &str| {
        ["", "k", "m", "g", "t", "p", "e"].iter().position(|other| *other == letter).map(|power| power as u32)
    };
    let factor = match (unit.strip_suffix("ib"), unit.strip_suffix('i')) {
        _ if unit.is_empty() => return None,
        (Some(letter), _) if !letter.is_empty() => 1024_u128.pow(power(letter)?),
        (_, Some(letter)) if !letter.is_empty() => 1024_u128.pow(power(letter)?),
        _ => 1000_u128.pow(power(unit.strip_suffix('b').unwrap_or(&unit))?),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || part.contains('.') || whole.is_empty() && part.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()? };
    // A number that long is beyond every bound, or finer than a byte.
    let part = &part[..part.len().min(18)];
    let fine = if part.is_empty() { 0 } else { part.parse::<u128>().ok()? };
    let sum = whole.checked_mul(factor)?.checked_add(fine * factor / 10_u128.pow(part.len() as u32))?;
    let slack = u128::from(number.contains('.')) * (1 + (sum >> 52));
    Some((sum.saturating_sub(slack), sum + slack))
}

fn share(text: &str) {
    let found = with("", "budget: @", text).map(|config| config.services[0].retry.budget);
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
        None => text.parse::<f64>().ok(),
    };
    match number {
        Some(number) if (0.0..=1.0).contains(&number) => assert_eq!(found, Ok(number), "{text:?}"),
        _ => assert!(found.is_err(), "{text:?} is read as {found:?}"),
    }
}

fn count(text: &str) {
    let found = with("workers: @", "", text).map(|config| config.workers);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<usize>() {
        Ok(number) if digits && (1..=1024).contains(&number) => assert_eq!(found, Ok(Some(number)), "{text:?}"),
        _ => assert!(found.is_err(), "{text:?} is read as {found:?}"),
    }
}

fn address(text: &str) {
    let found = with("admin: {bind: @}", "", text);
    let every = text
        .strip_prefix("*:")
        .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    if text.parse::<SocketAddr>().is_err() && !every {
        assert!(found.is_err(), "{text:?} is an address");
    }
}
