//! Checks that belong to no one protocol: `health_check.tcp`.

use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::tls;
use crate::config::model::{Secret, TcpCheck, Upstream, payload_bytes};
use crate::config::schema;
use crate::config::spanned::{OffOr, Spanned};

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

/// What a probe sends or expects: a text, or bytes behind `hex:`. `nothing`: what an empty one would mean.
fn payload<'a>(diagnostics: &mut Diagnostics, item: &'a Spanned<String>, nothing: &str) -> Option<&'a String> {
    let (at, text) = item.found()?;
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
