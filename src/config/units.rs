//! The leaves of the schema: durations, sizes, shares, counts and other values with a notation of their own. A message's
//! second line is the advice.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::Bind;
use super::tree::shorten;

/// A duration: `500ms`, `2s`, `1h`, `1m 30s`; `0` needs no unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time(pub(super) Duration);

/// The longest duration. Beyond it arithmetic with moments could overflow, and nobody means it.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long something is waited for: `auto` (`None`), or a duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Delay(pub(super) Option<Duration>);

/// A size in bytes: `16KiB`, `1MiB`, `65536`; `0` or `off` for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bytes(pub(super) u64);

/// A share of a whole: `20%` or `0.2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(pub(super) f64);

/// A whole number in a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Count<const MIN: u64, const MAX: u64>(pub(super) u64);

/// An address with a port: `127.0.0.1:8080`, `[::1]:8080`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Address(pub(super) SocketAddr);

/// Where we listen: `127.0.0.1:8080`, `[::1]:8080`, `*:8080`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BindAddress(pub(super) Bind);

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Network(pub(super) IpNet);

/// `true` or `false`, or the word `required` alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Must(pub(super) bool);

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OnOff(pub(super) bool);

/// HTTP statuses: `200`, `200-299`, `2xx`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statuses(pub(super) u16, pub(super) u16);

/// Reads a text by `parse`.
struct FromText<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

impl<'de, T> Visitor<'de> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

macro_rules! from_text {
    ($($type:ty, $expected:literal, $parse:path;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText { expected: $expected, parse: $parse })
            }
        }
    )*};
}

from_text! {
    Time, "a duration such as `500ms`, `2s` or `1h`", time;
    Delay, "`auto`, `off` or a duration such as `500ms`", delay;
    Bytes, "a size such as `16KiB`", bytes;
    Share, "a share such as `20%`", share;
    Address, "an address with a port such as `127.0.0.1:8080`", address;
    BindAddress, "an address with a port such as `127.0.0.1:8080`", bind;
    Network, "a network such as `10.0.0.0/8`, or an address", network;
    Must, "`true` or `false`", must;
    OnOff, "`on` or `off`", on_off;
    Statuses, "a status such as `200`, `200-299` or `2xx`", statuses;
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText { expected: "a whole number", parse: count::<MIN, MAX> })
    }
}

fn count<const MIN: u64, const MAX: u64>(text: &str) -> Result<Count<MIN, MAX>, String> {
    let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match number {
        Some(number) if (MIN..=MAX).contains(&number) => Ok(Count(number)),
        _ => Err(format!("`{}` is not a whole number from {MIN} to {MAX}", shorten(text))),
    }
}

fn time(text: &str) -> Result<Time, String> {
    if text == "0" {
        return Ok(Time(Duration::ZERO));
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let text = shorten(text);
        return Err(format!("`{text}` has no unit\nwrite `{text}s` for seconds or `{text}ms` for milliseconds"));
    }
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(Time(time)),
        Ok(_) => Err(format!("`{}` is too long\nat most 365d", shorten(text))),
        Err(_) => {
            Err(format!("`{}` is not a duration\nwrite one such as `500ms`, `2s`, `1m 30s` or `1h`", shorten(text)))
        }
    }
}

fn delay(text: &str) -> Result<Delay, String> {
    match text {
        "auto" => Ok(Delay(None)),
        _ => time(text).map(|time| Delay(Some(time.0))).map_err(|error| format!("{error}, or `auto`, or `off`")),
    }
}

fn bytes(text: &str) -> Result<Bytes, String> {
    if text == "off" {
        return Ok(Bytes(0));
    }
    match text.parse::<bytesize::ByteSize>() {
        Ok(size) if size.as_u64() <= 1 << 40 => Ok(Bytes(size.as_u64())),
        Ok(_) => Err(format!("`{}` is too large\nat most 1TiB", shorten(text))),
        Err(_) => Err(format!("`{}` is not a size\nwrite bytes, or one such as `16KiB` or `1MiB`", shorten(text))),
    }
}

fn share(text: &str) -> Result<Share, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(Share(share)),
        Ok(_) if !text.ends_with('%') => {
            let text = shorten(text);
            Err(format!("`{text}` is not a share between 0 and 1\nwrite `{text}%` if you mean percent"))
        }
        _ => Err(format!("`{}` is not a share\nwrite one from `0%` to `100%`", shorten(text))),
    }
}

fn address(text: &str) -> Result<Address, String> {
    if let Ok(address) = text.parse() {
        return Ok(Address(address));
    }
    let shown = without_login(text);
    if let Some((what, advice)) = other_notation(text) {
        return Err(format!("`{}` is {what}\n{advice}", without_login(text)));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let advice = if scoped(host) {
        "write the interface by its number, such as `[fe80::1%2]:8080` (`ip link` shows the numbers)".to_owned()
    } else if text.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        format!("write `[{text}]:PORT`")
    } else if text.parse::<u16>().is_ok() {
        format!("write the server's address too: `127.0.0.1:{text}` is on this machine")
    } else if port.is_empty() {
        format!("add the port: `{}:PORT`", without_login(host))
    } else if matches!(host, "" | "*") && port.parse::<u16>().is_ok() {
        format!("write the server's address too: `127.0.0.1:{port}` is on this machine")
    } else if host.contains(|c: char| c.is_ascii_alphabetic()) && !host.contains(':') {
        format!("write an IP address and a port; only endpoints can be names: `{{dns: {shown}}}`")
    } else {
        "write one such as `127.0.0.1:8080` or `[::1]:8080`".into()
    };
    Err(format!("`{shown}` is not an address with a port\n{advice}"))
}

fn bind(text: &str) -> Result<BindAddress, String> {
    if let Ok(bind) = text.parse() {
        return Ok(BindAddress(bind));
    }
    match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => Err(format!(
            "`{}` is not an address with a port\nwrite `\"*:{port}\"` for every address, `0.0.0.0:{port}` for every IPv4 \
             address, `[::]:{port}` for IPv6",
            shorten(text)
        )),
        Err(_) => address(text).map(|address| BindAddress(Bind::Address(address.0))),
    }
}

/// A notation that other programs take where an address stands: what it is, and what to write instead.
pub(super) fn other_notation(text: &str) -> Option<(&'static str, String)> {
    if text.starts_with('$') || ["${", "$(", "{{", "<%"].iter().any(|mark| text.contains(mark)) {
        let advice = "variables are not filled in: write the address itself, or fill the file in before it is read \
                      (`envsubst < template > standfast.yaml`)";
        return Some(("a variable, not an address", advice.to_owned()));
    }
    let lower = text.to_ascii_lowercase();
    let path = ["unix:", "fd@", "abns@"].iter().any(|mark| lower.starts_with(mark));
    if path || text.starts_with(['/', '@']) || text.starts_with("./") || text.starts_with("../") {
        let advice = "unix sockets are not supported: have the server listen on `127.0.0.1:PORT`, and write that";
        return Some(("a unix socket, not an address", advice.to_owned()));
    }
    let (scheme, rest) = lower.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (tls, port) = match scheme {
        "https" | "wss" | "grpcs" => (true, "443"),
        "tls" | "ssl" | "h2" => (true, "PORT"),
        "http" | "ws" => (false, "80"),
        _ => (false, "PORT"),
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { shorten(authority) } else { format!("{}:{port}", shorten(authority)) };
    let ip = address.replace("PORT", "1").parse::<SocketAddr>().is_ok();
    let mut advice = if ip || authority.is_empty() {
        format!("write `{}`", if authority.is_empty() { "127.0.0.1:8080" } else { &address })
    } else {
        format!("write an endpoint as `{{dns: {address}}}`, or an IP address with a port")
    };
    if tls {
        advice
            .push_str("; TLS is `upstream: {tls: on}` of the service, and `tls: {certificates: [...]}` of a listener");
    }
    if rest.split_once(['/', '?', '#']).is_some_and(|(_, path)| !path.is_empty()) {
        advice.push_str("; the path is what the client asks for, or `path` of a check");
    }
    Some(("a URL, not an address", advice))
}

/// A URL or an address to be shown: without the name and password that it may hold.
pub(super) fn without_login(text: &str) -> String {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + 3));
    let path = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..path].rfind('@').map_or(0, |at| at + 1);
    shorten(&format!("{scheme}{}", &rest[host..]))
}

/// An IPv6 address with the name of an interface: `[fe80::1%eth0]`.
fn scoped(host: &str) -> bool {
    let inside = host.trim_start_matches('[').trim_end_matches(']');
    inside.split_once('%').is_some_and(|(address, _)| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn network(text: &str) -> Result<Network, String> {
    let shown = shorten(text);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Network(IpNet::from(address)));
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(Network(network)),
        Ok(network) => {
            let whole = network.trunc();
            Err(format!(
                "`{shown}` names an address inside a network\nwrite `{whole}` for the network, or the address alone"
            ))
        }
        Err(_) => {
            Err(format!("`{shown}` is not a network\nwrite one such as `10.0.0.0/8` or `2001:db8::/32`, or an address"))
        }
    }
}

fn must(text: &str) -> Result<Must, String> {
    match text {
        "true" | "required" => Ok(Must(true)),
        "false" => Ok(Must(false)),
        _ => Err(format!("`{}` is not a choice here\nwrite `true` or `false`", shorten(text))),
    }
}

fn on_off(text: &str) -> Result<OnOff, String> {
    match text {
        "on" | "true" => Ok(OnOff(true)),
        "off" | "false" => Ok(OnOff(false)),
        _ => Err(format!("`{}` is not a choice here\nwrite `on` or `off`", shorten(text))),
    }
}

fn statuses(text: &str) -> Result<Statuses, String> {
    let one = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let found = match (text.split_once('-'), text.strip_suffix("xx")) {
        (Some((from, to)), _) => one(from).zip(one(to)).filter(|(from, to)| from <= to),
        (_, Some(class)) => one(&format!("{class}00")).map(|from| (from, from + 99)),
        _ => one(text).map(|status| (status, status)),
    };
    match found {
        Some((from, to)) => Ok(Statuses(from, to)),
        None => Err(format!("`{}` is not an HTTP status\nwrite one such as `200`, `200-299` or `2xx`", shorten(text))),
    }
}

/// Statuses from 400 to 599: `503`, `502-504`, `5xx`.
pub(super) fn error_statuses(text: &str) -> Option<(u16, u16)> {
    let Statuses(first, last) = statuses(text).ok()?;
    (first >= 400).then_some((first, last))
}

/// The same statuses as few ranges, in order: ranges that overlap or touch become one.
pub(super) fn merged(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// How a duration is written: exactly, and read back as the same.
pub(super) fn write_time(time: Duration) -> String {
    if time.is_zero() { "0s".into() } else { humantime::format_duration(time).to_string() }
}
