//! Checks of connections, datagrams, DNS, agents and programs.

use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::tls;
use crate::config::model::{
    AgentCheck, DNS_RCODES, DNS_TYPES, DnsCheck, EXEC_PLACEHOLDERS, ExecCheck, Secret, TcpCheck, UdpCheck,
    UdpExpectation, Upstream, is_dns_name, payload_bytes,
};
use crate::config::named_files::NamedFiles;
use crate::config::schema;
use crate::config::spanned::{NamedEntries, OffOr, Spanned};
use crate::config::tree::{NodeId, shorten};

/// Bytes of the longest payload that is sent or expected.
const LONGEST_PAYLOAD: usize = 4096;

pub(super) fn tcp(diagnostics: &mut Diagnostics, typed: &schema::TcpCheck, upstream: &Upstream) -> TcpCheck {
    // Bytes that are passed through say nothing about TLS: only when it is asked for.
    let tls = match typed.tls.found() {
        Some((at, OffOr::Value(typed))) => tls::upstream(diagnostics, at, typed, upstream.tls.as_ref()),
        _ => None,
    };
    let send = payload(diagnostics, &typed.send, "nothing would be sent").map(|text| Secret::from(text.clone()));
    let expect = payload(diagnostics, &typed.expect, "every answer contains nothing").cloned();
    if let (Some(at), Some(_), None) = (typed.send.at(), &send, typed.expect.at()) {
        let what = "what is answered is not looked at";
        diagnostics.warning(at, what, "add what a healthy answer contains, such as `expect: \"+PONG\"`");
    }
    TcpCheck { port: typed.port.get().map(|port| port.0 as u16), tls: tls.map(Arc::new), send, expect }
}

pub(super) fn exec(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::ExecCheck) -> Option<ExecCheck> {
    const SAMPLE: &str = r#"command: ["/usr/local/bin/check-app", "{address}", "{port}"]"#;
    let words = diagnostics.required(&typed.command, at, "command", SAMPLE)?;
    let place = typed.command.at().unwrap_or(at);
    let mut texts = Vec::new();
    for (at, text) in words.0.iter().filter_map(Spanned::found) {
        if text.contains('\0') {
            diagnostics.problem(at, "no program takes a byte 0 in an argument", "leave it out");
        }
        if let Some(name) = unknown_placeholder(text) {
            let known = EXEC_PLACEHOLDERS.map(|known| format!("`{known}`")).join(", ");
            let what = format!("`{name}` stands for nothing and is passed on as it is");
            diagnostics.warning(at, what, format!("known here: {known}"));
        }
        texts.push((at, text));
    }
    let Some(((first, program), arguments)) = texts.split_first().map(|(first, rest)| (*first, rest)) else {
        diagnostics.problem(place, "the command has no program", format!("write `{SAMPLE}`"));
        return None;
    };
    if !program.contains('/') {
        let what = format!("`{}` is no path of a program", shorten(program));
        let advice = match program.contains(' ') {
            true => "no shell reads it: write each word as an item of a list, the program by its whole path",
            false => "write its whole path, such as `/usr/bin/pg_isready`: it is not searched for",
        };
        diagnostics.problem(first, what, advice);
        return None;
    }
    diagnostics.named.push(NamedFiles::Program((first, diagnostics.path(program))));
    Some(ExecCheck {
        program: diagnostics.path(program),
        arguments: arguments.iter().map(|(_, text)| (*text).clone()).collect(),
        environment: environment(diagnostics, &typed.environment),
        port: typed.port.get().map(|port| port.0 as u16),
    })
}

pub(super) fn agent(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::AgentCheck) -> Option<AgentCheck> {
    let send = payload(diagnostics, &typed.send, "nothing would be sent").map(|text| Secret::from(text.clone()));
    let port = diagnostics.required(&typed.port, at, "port", "port: 9777")?;
    Some(AgentCheck { port: port.0 as u16, send })
}

pub(super) fn udp(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::UdpCheck) -> Option<UdpCheck> {
    let expect = match typed.expect.found() {
        None => UdpExpectation::Any,
        Some((_, OffOr::Off)) => UdpExpectation::Nothing,
        Some((at, OffOr::Value(text))) => {
            UdpExpectation::Contains(good_payload(diagnostics, at, text, "every answer contains nothing")?.clone())
        }
    };
    diagnostics.required(&typed.send, at, "send", "send: ping")?;
    let send = payload(diagnostics, &typed.send, "nothing would be sent")?;
    Some(UdpCheck { send: Secret::from(send.clone()), expect, port: typed.port.get().map(|port| port.0 as u16) })
}

pub(super) fn dns(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::DnsCheck) -> Option<DnsCheck> {
    let name = diagnostics.required(&typed.name, at, "name", "name: app.internal")?;
    if name != "." && !is_dns_name(name.strip_suffix('.').unwrap_or(name)) {
        let what = format!("`{}` is not a name", shorten(name));
        diagnostics.problem(
            typed.name.at().unwrap_or(at),
            what,
            "write a name such as `app.internal`, or `.` for the root",
        );
    }
    let names: Vec<&str> = DNS_RCODES.iter().map(|(name, _)| *name).collect();
    let record = one_of(diagnostics, &typed.r#type, &DNS_TYPES, "A");
    let code = one_of(diagnostics, &typed.rcode, &names, "NOERROR");
    let rcode = DNS_RCODES.iter().find(|(name, _)| *name == code).map_or(0, |(_, number)| *number);
    let answer = typed.answer.found().and_then(|(at, text)| {
        let problem = match text.trim().is_empty() {
            true => "no record is empty",
            false if rcode != 0 => "an error has no records",
            false => return Some(text.clone()),
        };
        diagnostics.problem(at, problem, "leave it out, or write a record such as `10.0.0.1`");
        None
    });
    Some(DnsCheck {
        name: name.clone(),
        record: record.to_owned(),
        rcode,
        answer,
        tcp: typed.tcp.get().is_some_and(|tcp| tcp.0),
        port: typed.port.get().map(|port| port.0 as u16),
    })
}

/// One of these words, in upper or lower case.
fn one_of<'a>(diagnostics: &mut Diagnostics, item: &Spanned<String>, known: &[&'a str], default: &'a str) -> &'a str {
    let Some((at, text)) = item.found() else { return default };
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(text));
    if found.is_none() {
        let advice = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
        diagnostics.problem(at, format!("`{}` is not a choice here", shorten(text)), format!("known here: {advice}"));
    }
    found.copied().unwrap_or(default)
}

/// A word in braces that is no placeholder of ours, but looks like one.
fn unknown_placeholder(text: &str) -> Option<&str> {
    let from = text.find('{')?;
    let length = text[from..].find('}')? + 1;
    let name = &text[from..from + length];
    let is_word = name.len() > 2 && name[1..length - 1].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match is_word && !EXEC_PLACEHOLDERS.contains(&name) {
        true => Some(name),
        false => unknown_placeholder(&text[from + 1..]),
    }
}

/// Variables for a program, beside those that say what is checked.
fn environment(diagnostics: &mut Diagnostics, item: &Spanned<NamedEntries<String>>) -> Vec<(String, Secret)> {
    let mut variables = Vec::new();
    for (key, value) in item.get().map_or(&[][..], |entries| &entries.0) {
        let (Some((at, name)), Some((value_at, value))) = (key.found(), value.found()) else { continue };
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        };
        if !is_name(name) {
            let what = format!("`{}` is no name of a variable", shorten(name));
            diagnostics.problem(at, what, "write letters, digits and `_`, such as `APP_TOKEN`");
        } else if name.starts_with("STANDFAST_") {
            let what = format!("`{}` is ours to set", shorten(name));
            diagnostics.problem(at, what, "write a name that does not begin with `STANDFAST_`");
        } else if value.contains('\0') {
            diagnostics.problem(value_at, "no program takes a byte 0 in a variable", "leave it out");
        } else {
            variables.push((name.clone(), Secret::from(value.clone())));
        }
    }
    variables
}

/// What a probe sends or expects: a text, or bytes behind `hex:`. `nothing`: what an empty one would mean.
fn payload<'a>(diagnostics: &mut Diagnostics, item: &'a Spanned<String>, nothing: &str) -> Option<&'a String> {
    let (at, text) = item.found()?;
    good_payload(diagnostics, at, text, nothing)
}

fn good_payload<'a>(diagnostics: &mut Diagnostics, at: NodeId, text: &'a String, nothing: &str) -> Option<&'a String> {
    let problem = match payload_bytes(text) {
        Ok(bytes) if bytes.is_empty() => nothing.to_owned(),
        Ok(bytes) if bytes.len() > LONGEST_PAYLOAD => format!("{} bytes are more than 4 KiB", bytes.len()),
        Ok(_) => return Some(text),
        Err(problem) => problem.to_owned(),
    };
    let advice =
        "write a text such as `\"PING\\r\\n\"`, or bytes such as `\"hex: 50 49 4e 47 0d 0a\"`, or leave it out";
    diagnostics.problem(at, problem, advice);
    None
}
