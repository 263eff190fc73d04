//! `failover.fence`: what is run before another primary is followed.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::{FenceHook, HookAction, OnFenceFailure, Webhook};
use crate::config::named_files::NamedFiles;
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::{NodeId, shorten};
use crate::config::units::{without_login, write_time};

const EXEC: &str = "write `exec: [/usr/local/sbin/fence, --force]`";
const WEBHOOK: &str = "write `webhook: {url: https://fence.example.com/orders}`";
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(300);

pub(super) fn fence(diagnostics: &mut Diagnostics, item: &Spanned<schema::FenceHook>) -> Option<FenceHook> {
    let (at, typed) = item.found()?;
    let timeout = diagnostics.at_least(&typed.timeout, SHORTEST, defaults::FENCE_TIMEOUT);
    if let Some(at) = typed.timeout.at()
        && timeout > LONGEST
    {
        let what = format!("`{}` is too long: clients wait meanwhile", write_time(timeout));
        diagnostics.problem(at, what, format!("at most {}", write_time(LONGEST)));
    }
    let on_failure = match typed.on_failure.get() {
        None | Some(schema::OnFenceFailure::GoOn) => OnFenceFailure::GoOn,
        Some(schema::OnFenceFailure::Wait) => OnFenceFailure::Wait,
    };
    let action = action(diagnostics, at, typed)?;
    Some(FenceHook { action, timeout, on_failure })
}

fn action(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::FenceHook) -> Option<HookAction> {
    match (typed.exec.found(), typed.webhook.found()) {
        (Some(_), Some((at, _))) => {
            diagnostics.problem(at, "there is a program already", "keep `exec` or `webhook`");
            None
        }
        (Some((at, argv)), None) => program(diagnostics, at, argv).map(HookAction::Exec),
        (None, Some((at, typed))) => webhook(diagnostics, at, &typed.0).map(HookAction::Webhook),
        (None, None) => {
            if typed.exec.at().is_none() && typed.webhook.at().is_none() {
                let advice = format!("{EXEC}, or {}", WEBHOOK.trim_start_matches("write "));
                diagnostics.problem(at, "what is to be run is not said", advice);
            }
            None
        }
    }
}

/// A program by its whole path, and what it is given.
fn program(diagnostics: &mut Diagnostics, at: NodeId, argv: &[Spanned<String>]) -> Option<Vec<String>> {
    let Some(first) = argv.first() else {
        diagnostics.problem(at, "there is no program", EXEC);
        return None;
    };
    if let Some((at, program)) = first.found().filter(|(_, program)| !program.starts_with('/')) {
        let what = format!("`{}` is not the whole path of a program", shorten(program));
        diagnostics.problem(
            at,
            what,
            format!("{EXEC}: no shell looks for it, and each argument is an item of its own"),
        );
        return None;
    }
    if let Some((at, _)) = argv.iter().filter_map(Spanned::found).find(|(_, argument)| argument.contains('\0')) {
        diagnostics.problem(at, "no program takes a byte 0", "leave it out");
        return None;
    }
    argv.iter().map(|argument| argument.get().cloned()).collect()
}

fn webhook(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Webhook) -> Option<Webhook> {
    let url = diagnostics.required(&typed.url, at, "url", "url: https://fence.example.com/orders")?;
    let url_at = typed.url.at().unwrap_or(at);
    let is_https = match scheme(url) {
        Ok((is_https, is_here)) => {
            if !is_https && !is_here {
                let what = "in the clear, others on the way could say that the former primary is fenced";
                diagnostics.warning(url_at, what, "write `https`, with `ca` where the certificate is of your own");
            }
            is_https
        }
        Err(what) => {
            diagnostics.problem(url_at, what, WEBHOOK);
            return None;
        }
    };
    match (typed.ca.at(), diagnostics.named(&typed.ca)) {
        (Some(ca), _) if !is_https => diagnostics.warning(ca, "`ca` has no effect without https", "leave it out"),
        (_, Some(file)) => diagnostics.named.push(NamedFiles::Authorities { file, pins: true }),
        (_, None) => {}
    }
    let ca = typed.ca.get().map(|ca| diagnostics.path(ca));
    Some(Webhook { url: url.clone(), ca })
}

/// Is it `https`, and of this host? `Err`: it is no address to send to.
fn scheme(url: &str) -> Result<(bool, bool), String> {
    // (A name and a password are not repeated.)
    let no_url = || format!("`{}` is no URL", without_login(url));
    let parsed: Uri = url.parse().map_err(|_| no_url())?;
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else { return Err(no_url()) };
    if authority.as_str().contains('@') {
        return Err("a webhook is sent without a name and a password".to_owned());
    }
    if url.contains('#') || authority.host().is_empty() {
        return Err(no_url());
    }
    let host = authority.host().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    match scheme {
        "https" => Ok((true, is_here)),
        "http" => Ok((false, is_here)),
        _ => Err(no_url()),
    }
}
