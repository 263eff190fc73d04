//! The leaves of the schema: durations, sizes, shares, counts and other values with a notation of their own. A message's
//! second line is the advice.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::Bind;
use super::flow;
use super::model::is_dns_name;
use super::tree::shorten;

/// A duration: `500ms`, `2s`, `1h`, `1m 30s`; `0` needs no unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TypedDuration(pub(super) Duration);

/// The longest duration. Beyond it arithmetic with monotonic times could overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long something is waited for: `auto` (`None`), or a duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AutoOrDuration(pub(super) Option<Duration>);

/// A size in bytes: `16KiB`, `1MiB`, `65536`; `0` or `off` for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SizeInBytes(pub(super) u64);

/// A share of a whole: `20%` or `0.2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FractionOfOne(pub(super) f64);

/// A whole number in a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RangedCount<const MIN: u64, const MAX: u64>(pub(super) u64);

/// An address with a port: `127.0.0.1:8080`, `[::1]:8080`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct EndpointAddress(pub(super) SocketAddr);

/// The address of a DNS server: an address with a port.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Nameserver(pub(super) SocketAddr);

/// Where we listen: `127.0.0.1:8080`, `[::1]:8080`, `*:8080`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BindAddress(pub(super) Bind);

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NetworkPrefix(pub(super) IpNet);

/// `true` or `false`, or the word `required` alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RequiredFlag(pub(super) bool);

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OnOff(pub(super) bool);

/// Permissions of a file: `0660`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FileMode(pub(super) u32);

/// HTTP statuses: `200`, `200-299`, `2xx`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StatusRange(pub(super) u16, pub(super) u16);

/// Reads a text by `parse`.
pub(super) struct FromText<T> {
    pub(super) expected: &'static str,
    pub(super) parse: fn(&str) -> Result<T, String>,
}

impl<'de, T> Visitor<'de> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(|problem| match is_variable(text) {
            true => E::custom(format!("`{}` is a variable\n{VARIABLES}", without_login(text))),
            false => E::custom(problem),
        })
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
    TypedDuration, "a duration such as `500ms`, `2s` or `1h`", time;
    AutoOrDuration, "`auto`, `off` or a duration such as `500ms`", delay;
    SizeInBytes, "a size such as `16KiB`", bytes;
    FractionOfOne, "a share such as `20%`", share;
    EndpointAddress, "an address with a port such as `127.0.0.1:8080`", address;
    Nameserver, "an address with a port such as `127.0.0.1:53`", nameserver;
    BindAddress, "an address with a port such as `0.0.0.0:8080`", bind;
    NetworkPrefix, "a network such as `10.0.0.0/8`, or an address", network;
    RequiredFlag, "`true` or `false`", must;
    OnOff, "`on` or `off`", on_off;
    FileMode, "permissions such as `\"0660\"`", file_mode;
    StatusRange, "a status such as `200`, `200-299` or `2xx`", statuses;
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for RangedCount<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText { expected: "a whole number", parse: count::<MIN, MAX> })
    }
}

/// The advice for variables such as `${PORT}`.
pub(super) const VARIABLES: &str = "variables are not filled in: write the value itself, or fill the file in before it is read: \
                         `envsubst < template.yaml > standfast.yaml`";

fn is_variable(text: &str) -> bool {
    let named =
        text.strip_prefix('$').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    named || ["${", "$(", "{{", "<%"].iter().any(|mark| text.contains(mark))
}

fn count<const MIN: u64, const MAX: u64>(text: &str) -> Result<RangedCount<MIN, MAX>, String> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let fits = |number: &u64| (MIN..=MAX).contains(number);
    if let Some(number) = number(text).filter(fits) {
        return Ok(RangedCount(number));
    }
    // Digits with something around them that does not change what was meant.
    let plain = text.trim().trim_end_matches('%').trim_end_matches(".0").replace(['_', ',', '\''], "");
    let thousands = plain.strip_suffix(['k', 'K']).and_then(number).and_then(|number| number.checked_mul(1000));
    let advice = match thousands.or_else(|| number(&plain).filter(|_| !plain.is_empty())).filter(fits) {
        Some(meant) => format!("\nwrite `{meant}`"),
        None if matches!(text, "unlimited" | "infinite" | "inf" | "none" | "off" | "max") && MAX >= 10_000_000 => {
            format!("\nwrite `{MAX}`, the most that there is")
        }
        None => match (number_word(&plain).filter(fits), number(&plain).filter(|_| !plain.is_empty())) {
            (Some(meant), _) => format!("\nwrite `{meant}`"),
            (None, Some(number)) if number < MIN => format!("\nthe least is `{MIN}`"),
            (None, Some(_)) => format!("\nthe most is `{MAX}`"),
            (None, None) if plain.strip_prefix('-').and_then(number).is_some() => format!("\nthe least is `{MIN}`"),
            (None, None) => {
                let sample = match MAX {
                    65_535 => 8080,
                    10_000.. => 1024,
                    _ => MIN.max(1),
                };
                format!("\nwrite digits, such as `{sample}`")
            }
        },
    };
    Err(format!("`{}` is not a whole number from {MIN} to {MAX}{advice}", shorten(text)))
}

fn file_mode(text: &str) -> Result<FileMode, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if is_octal && mode <= 0o777 => Ok(FileMode(mode)),
        _ => Err(format!("`{}` is no mode of a file\nwrite its octal digits, such as `\"0660\"`", shorten(text))),
    }
}

/// A number in words, as far as numbers of tries go.
fn number_word(text: &str) -> Option<u64> {
    const WORDS: [&str; 11] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let lower = text.to_ascii_lowercase();
    WORDS.iter().position(|word| *word == lower).map(|number| number as u64)
}

pub(super) fn time(text: &str) -> Result<TypedDuration, String> {
    if text == "0" {
        return Ok(TypedDuration(Duration::ZERO));
    }
    let parsed = |text: &str| humantime::parse_duration(text).ok().filter(|time| *time <= LONGEST);
    if let Some(time) = parsed(text) {
        return Ok(TypedDuration(time));
    }
    let shown = shorten(text);
    let (seconds, millis) = (format!("{text}s"), format!("{text}ms"));
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && parsed(&seconds).is_some() && text.len() <= 20 {
        let advice = match parsed(&millis) {
            Some(_) => format!("write `{seconds}` for seconds or `{millis}` for milliseconds"),
            None => format!("write `{seconds}` for seconds"),
        };
        return Err(format!("`{shown}` has no unit\n{advice}"));
    }
    let lower = text.trim().to_ascii_lowercase();
    if lower.len() <= 20 && parsed(&lower).is_some() {
        return Err(format!("`{shown}` is not a duration\nwrite `{lower}`"));
    }
    match (humantime::parse_duration(text), lower.as_str()) {
        (Ok(_), _) => Err(format!("`{shown}` is too long\nwrite at most `365d`")),
        (_, "infinite" | "infinity" | "inf" | "never" | "unlimited" | "forever") => {
            Err(format!("`{shown}` is not a duration\nthe longest is `365d`"))
        }
        _ => Err(format!("`{shown}` is not a duration\nwrite one such as `500ms`, `2s`, `1m 30s` or `1h`")),
    }
}

fn delay(text: &str) -> Result<AutoOrDuration, String> {
    match text {
        "auto" => Ok(AutoOrDuration(None)),
        _ => {
            time(text).map(|time| AutoOrDuration(Some(time.0))).map_err(|error| format!("{error}, or `auto`, or `off`"))
        }
    }
}

pub(super) fn bytes(text: &str) -> Result<SizeInBytes, String> {
    if text == "off" {
        return Ok(SizeInBytes(0));
    }
    match text.parse::<bytesize::ByteSize>() {
        Ok(size) if size.as_u64() <= 1 << 40 => Ok(SizeInBytes(size.as_u64())),
        Ok(_) => Err(format!("`{}` is too large\nat most `1TiB`", shorten(text))),
        Err(_) => Err(format!("`{}` is not a size\nwrite bytes, or one such as `16KiB` or `1MiB`", shorten(text))),
    }
}

fn share(text: &str) -> Result<FractionOfOne, String> {
    let parsed = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    match parsed {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(FractionOfOne(share)),
        Ok(share) if !text.ends_with('%') && share > 1.0 && share <= 100.0 => {
            let text = shorten(text);
            Err(format!("`{text}` is not a share between 0 and 1\nwrite `{text}%` if you mean percent"))
        }
        _ => Err(format!("`{}` is not a share\nwrite one from `0%` to `100%`", shorten(text))),
    }
}

/// A port that can be connected to.
fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

fn address(text: &str) -> Result<EndpointAddress, String> {
    if let Ok(address) = text.parse() {
        return Ok(EndpointAddress(address));
    }
    let shown = without_login(text);
    if let Some((what, advice)) = other_notation(text, AddressPurpose::Connect) {
        return Err(format!("`{shown}` is {what}\n{advice}"));
    }
    let parts: Vec<&str> = text.split([',', ' ', ';']).filter(|part| !part.is_empty()).collect();
    let several: Option<Vec<String>> = parts.iter().map(|part| flow::endpoint(part)).collect();
    let several = several.filter(|list| list.len() > 1 && list.len() <= 8).map(|list| list.join(", "));
    let first = parts.iter().find_map(|part| part.parse::<SocketAddr>().ok()).filter(|_| parts.len() < 8);
    let (host, end) = text.rsplit_once(':').unwrap_or((text, ""));
    let advice = if let Some(several) = several {
        format!("write a list: `[{several}]`")
    } else if let Some(first) = first {
        behind_an_address(&flow::flow_address(first), &parts)
    } else if scoped(host) {
        "write the interface by its number, such as `\"[fe80::1%2]:8080\"` (`ip link` shows the numbers)".to_owned()
    } else if let Some(advice) = unbracketed(text) {
        advice
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("add the port, such as `\"[{text}]:8080\"`")
    } else if text.parse::<std::net::Ipv4Addr>().is_ok() {
        format!("add the port, such as `{text}:8080`")
    } else if let Some(port) = port(text).or(port(end).filter(|_| matches!(host, "" | "*" | "localhost"))) {
        format!("write the server's address too: `127.0.0.1:{port}` is on this machine")
    } else if text == "localhost" {
        "write the address and the port, such as `127.0.0.1:3000`".to_owned()
    } else if let Some(endpoint) = flow::endpoint(text).filter(|_| has_letter(host)) {
        format!("it is a name: write `{endpoint}`")
    } else if is_dns_name(text) && has_letter(text) && text.len() <= 100 {
        format!("it is a name: write it with its port, such as `{{dns: {text}:8080}}`")
    } else if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) {
        format!("a port is a number from 1 to 65535: write one such as `{host}:8080`")
    } else {
        "write one such as `127.0.0.1:3000` or `\"[::1]:3000\"`".to_owned()
    };
    Err(format!("`{shown}` is not an address with a port\n{advice}"))
}

/// What to write for an address with words behind it, as `server 10.0.0.1:80 weight=5 backup` has them.
fn behind_an_address(address: &str, parts: &[&str]) -> String {
    let has = |word: &str| parts.iter().any(|part| part.trim_end_matches(';').eq_ignore_ascii_case(word));
    let weight = |part: &str| part.trim_end_matches(';').parse::<u16>().ok().filter(|weight| *weight <= 1000);
    let named = parts.iter().find_map(|part| weight(part.strip_prefix("weight=")?));
    let apart = || parts.windows(2).find(|pair| pair[0] == "weight").and_then(|pair| weight(pair[1]));
    if has("backup") {
        return flow::standby(address);
    }
    if has("down") || has("disabled") {
        return format!("write `{{address: {address}, weight: 0}}`: it gets no new work");
    }
    match named.or_else(apart) {
        Some(weight) => format!("write `{{address: {address}, weight: {weight}}}`"),
        None => format!("write `{address}`"),
    }
}

/// An IPv6 address without brackets that ends in what may be a port: `::1:3000`.
fn unbracketed(text: &str) -> Option<String> {
    let (host, end) = text.rsplit_once(':')?;
    let ip = host.parse::<std::net::Ipv6Addr>().ok()?;
    let port = port(end).filter(|port| *port >= 80)?;
    Some(format!(
        "write the address in brackets: `\"[{ip}]:{port}\"`; if all of it is the address: `\"[{text}]:8080\"`"
    ))
}

fn has_letter(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_alphabetic())
}

fn nameserver(text: &str) -> Result<Nameserver, String> {
    if let Ok(address) = text.parse() {
        return Ok(Nameserver(address));
    }
    let shown = without_login(text);
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest.split('/').next().unwrap_or_default());
    let address = bare.parse::<SocketAddr>().or_else(|_| bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
    let advice = match address {
        Ok(address) => format!("write `\"{address}\"`"),
        Err(_) => "write an IP address and a port, such as `127.0.0.1:53`".to_owned(),
    };
    Err(format!("`{shown}` is not an address with a port\n{advice}"))
}

fn bind(text: &str) -> Result<BindAddress, String> {
    if let Ok(bind) = text.parse() {
        return Ok(BindAddress(bind));
    }
    let shown = without_login(text);
    if let Some((what, advice)) = other_notation(text, AddressPurpose::Bind) {
        return Err(format!("`{shown}` is {what}\n{advice}"));
    }
    let (host, end) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = port(text).or(port(end));
    let sample = port.unwrap_or(8080);
    let advice = match (text.parse::<IpAddr>(), host) {
        _ if unbracketed(text).is_some() => unbracketed(text).unwrap_or_default(),
        (Ok(IpAddr::V6(ip)), _) => format!("add the port, such as `\"[{ip}]:8080\"`"),
        (Ok(IpAddr::V4(ip)), _) => format!("add the port, such as `{ip}:8080`"),
        _ if scoped(host) => {
            "write the interface by its number, such as `\"[fe80::1%2]:8080\"` (`ip link` shows the numbers)".to_owned()
        }
        (_, "localhost") => format!("write `127.0.0.1:{sample}` for this machine alone"),
        (_, "") if port.is_some() => every(sample),
        _ if port.is_some() && !text.contains(':') => every(sample),
        _ if host.parse::<IpAddr>().is_ok() && !end.is_empty() => {
            format!("a port is a number from 1 to 65535: write one such as `{host}:8080`")
        }
        _ if has_letter(host) && is_dns_name(host) && host.contains('.') => {
            format!("a name is not listened on: {}", every(sample))
        }
        _ => every(sample),
    };
    Err(format!("`{shown}` is not an address with a port\n{advice}"))
}

fn every(port: u16) -> String {
    format!(
        "write `\"*:{port}\"` for every address, `0.0.0.0:{port}` for every IPv4 address, `127.0.0.1:{port}` for this machine \
         alone"
    )
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressPurpose {
    /// Sockets of ours listen there.
    Bind,
    /// We connect to it.
    Connect,
}

/// A notation that other programs take where an address stands: what it is, and what to write instead.
pub(super) fn other_notation(text: &str, purpose: AddressPurpose) -> Option<(&'static str, String)> {
    if is_variable(text) {
        return Some(("a variable, not an address", VARIABLES.to_owned()));
    }
    let lower = text.to_ascii_lowercase();
    let path = ["unix:", "fd@", "abns@"].iter().any(|mark| lower.starts_with(mark));
    if path || text.starts_with(['/', '@']) || text.starts_with("./") || text.starts_with("../") {
        let advice = match purpose {
            AddressPurpose::Bind => "unix sockets are not supported yet: write `127.0.0.1:8080`",
            AddressPurpose::Connect => {
                "unix sockets are not supported yet: have the server listen on TCP, and write `127.0.0.1:3000`"
            }
        };
        return Some(("a unix socket, not an address", advice.to_owned()));
    }
    let (scheme, rest) = lower.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (tls, usual) = match scheme {
        "https" | "wss" | "grpcs" => (true, 443),
        "tls" | "ssl" | "h2" => (true, 443),
        _ => (false, 80),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, end)) if port(end).is_some() => (host, port(end).unwrap_or(usual)),
        _ => (authority, usual),
    };
    let bare = host.trim_matches(['[', ']']);
    let mut advice = match (bare.parse::<IpAddr>(), purpose) {
        (Ok(ip), _) => format!("write `{}`", flow::flow_address(SocketAddr::new(ip, port))),
        (Err(_), AddressPurpose::Bind) if host == "localhost" => format!("write `127.0.0.1:{port}`"),
        (Err(_), AddressPurpose::Bind) => every(port),
        (Err(_), AddressPurpose::Connect) => match flow::endpoint(&format!("{host}:{port}")) {
            Some(endpoint) => format!("write `{endpoint}`"),
            None => "write one such as `127.0.0.1:3000`".to_owned(),
        },
    };
    if tls {
        advice.push_str(match purpose {
            AddressPurpose::Connect => "; TLS is `upstream: {tls: on}` of the service",
            AddressPurpose::Bind => {
                "; TLS is `tls: {certificates: [{cert: fullchain.pem, key: key.pem}]}` of the listener"
            }
        });
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

fn network(text: &str) -> Result<NetworkPrefix, String> {
    let shown = shorten(text);
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(NetworkPrefix(IpNet::from(address)));
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Ok(NetworkPrefix(network)),
        Ok(network) => {
            let whole = network.trunc();
            Err(format!(
                "`{shown}` names an address inside a network\nwrite `{whole}` for the network, or the address alone"
            ))
        }
        Err(_) if matches!(text, "*" | "all" | "any" | "0.0.0.0" | "everything") => {
            Err(format!("`{shown}` is not a network\nfor every address write `[0.0.0.0/0, \"::/0\"]`"))
        }
        Err(_) => {
            Err(format!("`{shown}` is not a network\nwrite one such as `10.0.0.0/8` or `2001:db8::/32`, or an address"))
        }
    }
}

fn must(text: &str) -> Result<RequiredFlag, String> {
    match text {
        "true" | "required" => Ok(RequiredFlag(true)),
        "false" => Ok(RequiredFlag(false)),
        "on" | "yes" => Err(format!("`{text}` is not a choice here\nwrite `required`")),
        _ => Err(format!("`{}` is not a choice here\nwrite `required`, or `false`", shorten(text))),
    }
}

fn on_off(text: &str) -> Result<OnOff, String> {
    match text {
        "on" | "true" => Ok(OnOff(true)),
        "off" | "false" => Ok(OnOff(false)),
        "yes" | "1" | "enabled" => Err(format!("`{text}` is not a choice here\nwrite `on`")),
        "no" | "0" | "disabled" | "none" => Err(format!("`{text}` is not a choice here\nwrite `off`")),
        _ => Err(format!("`{}` is not a choice here\nwrite `on` or `off`", shorten(text))),
    }
}

pub(super) fn statuses(text: &str) -> Result<StatusRange, String> {
    let one = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let found = match (text.split_once('-'), text.strip_suffix("xx")) {
        (Some((from, to)), _) => one(from).zip(one(to)).filter(|(from, to)| from <= to),
        (_, Some(class)) => one(&format!("{class}00")).map(|from| (from, from + 99)),
        _ => one(text).map(|status| (status, status)),
    };
    match found {
        Some((from, to)) => Ok(StatusRange(from, to)),
        None => Err(format!("`{}` is not an HTTP status\nwrite one such as `200`, `200-299` or `2xx`", shorten(text))),
    }
}

/// Statuses from 400 to 599: `503`, `502-504`, `5xx`.
pub(super) fn error_statuses(text: &str) -> Option<(u16, u16)> {
    let StatusRange(first, last) = statuses(text).ok()?;
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
