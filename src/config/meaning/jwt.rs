//! `admin.jwt`: issuers of JSON web tokens, and what their subjects may do.

use std::net::IpAddr;

use http::Uri;

use super::diagnostics::Diagnostics;
use super::role::admin_role;
use crate::config::defaults;
use crate::config::model::{AdminJwt, AdminJwtSubject, JwksSource, JwksUrl, SubjectPattern, is_name};
use crate::config::named_files::NamedFiles;
use crate::config::schema;
use crate::config::spanned::{OffOr, Spanned};
use crate::config::tree::{NodeId, shorten};
use crate::config::units::without_login;

/// Issuers of one file.
const MOST_ISSUERS: usize = 16;
/// Bytes of the longest issuer and audience.
const LONGEST: usize = 512;
const SOURCES: &str = "add `jwks_url: https://issuer.example.com/keys` or `jwks_file: /etc/standfast/issuer-keys.json`";
const SUBJECTS: &str = "subjects: {\"repo:acme/shop:ref:refs/heads/main\": {role: operator, services: [shop]}}";

pub(super) fn issuers(
    diagnostics: &mut Diagnostics,
    item: &Spanned<OffOr<Vec<Spanned<schema::AdminJwt>>>>,
) -> Vec<AdminJwt> {
    let Some((at, OffOr::Value(list))) = item.found() else { return Vec::new() };
    if list.is_empty() {
        diagnostics.problem(at, "`jwt` is empty", "write at least one issuer, or `jwt: off`");
    }
    if list.len() > MOST_ISSUERS {
        let what = format!("{} issuers, and {MOST_ISSUERS} at most are taken", list.len());
        diagnostics.problem(at, what, "leave out those that are not used");
    }
    let mut issuers: Vec<AdminJwt> = Vec::new();
    for (at, typed) in list.iter().take(MOST_ISSUERS).filter_map(Spanned::found) {
        let Some(issuer) = issuer(diagnostics, at, typed) else { continue };
        if issuers.iter().any(|other| other.issuer == issuer.issuer) {
            let what = format!("the issuer `{}` stands twice", shorten(&issuer.issuer));
            diagnostics.problem(typed.issuer.at().unwrap_or(at), what, "write all its subjects under one");
        } else {
            issuers.push(issuer);
        }
    }
    issuers
}

fn issuer(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::AdminJwt) -> Option<AdminJwt> {
    let issuer = diagnostics.required(&typed.issuer, at, "issuer", "issuer: https://issuer.example.com");
    let issuer = issuer.and_then(|text| claim(diagnostics, typed.issuer.at().unwrap_or(at), text));
    let audience = diagnostics.required(&typed.audience, at, "audience", "audience: standfast");
    let audience = audience.and_then(|text| claim(diagnostics, typed.audience.at().unwrap_or(at), text));
    let keys = keys(diagnostics, at, typed);
    let subjects = subjects(diagnostics, at, typed);
    Some(AdminJwt { issuer: issuer?, audience: audience?, keys: keys?, subjects })
}

/// `iss` and `aud` are compared byte by byte.
fn claim(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    let is_usable = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !is_usable {
        let what = format!("`{}` is no issuer and no audience", shorten(text));
        diagnostics.problem(at, what, "write it as the tokens have it: visible ASCII without spaces");
    }
    is_usable.then(|| text.to_owned())
}

fn keys(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::AdminJwt) -> Option<JwksSource> {
    if let Some(file) = diagnostics.named(&typed.jwks_file) {
        diagnostics.named.push(NamedFiles::KeySet(file));
    }
    match (typed.jwks_file.at(), typed.jwks_url.at()) {
        (None, None) => {
            diagnostics.problem(at, "where the keys of the issuer are is not said", SOURCES);
            None
        }
        (Some(_), Some(url)) => {
            diagnostics.problem(url, "the keys are in a file already", "keep `jwks_file` or `jwks_url`");
            None
        }
        (Some(_), None) => {
            if let Some(ca) = typed.ca.at() {
                diagnostics.warning(ca, "`ca` has no effect on a file", "leave it out");
            }
            typed.jwks_file.get().map(|path| JwksSource::File(diagnostics.path(path)))
        }
        (None, Some(url_at)) => {
            let url = typed.jwks_url.get()?;
            let is_https = match scheme(url) {
                Ok(is_https) => is_https,
                Err((what, advice)) => {
                    diagnostics.problem(url_at, what, advice);
                    return None;
                }
            };
            match (typed.ca.at(), diagnostics.named(&typed.ca)) {
                (Some(ca), _) if !is_https => {
                    diagnostics.warning(ca, "`ca` has no effect without https", "leave it out");
                }
                (_, Some(file)) => diagnostics.named.push(NamedFiles::Authorities { file, pins: true }),
                (_, None) => {}
            }
            let ca = typed.ca.get().map(|ca| diagnostics.path(ca));
            Some(JwksSource::Url(JwksUrl { url: url.clone(), ca }))
        }
    }
}

/// Is it `https`? `Err`: it is no address that keys may come from.
fn scheme(url: &str) -> Result<bool, (String, &'static str)> {
    const WRITE: &str = "write `jwks_url: https://issuer.example.com/keys`";
    // (A name and a password are not repeated.)
    let no_url = || (format!("`{}` is no URL", without_login(url)), WRITE);
    let parsed: Uri = url.parse().map_err(|_| no_url())?;
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else { return Err(no_url()) };
    if authority.as_str().contains('@') {
        return Err(("keys are asked for without a name and a password".to_owned(), WRITE));
    }
    if url.contains('#') || authority.host().is_empty() {
        return Err(no_url());
    }
    let host = authority.host().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    match scheme {
        "https" => Ok(true),
        "http" if is_here => Ok(false),
        "http" => Err(("keys that come in the clear could be those of others".to_owned(), WRITE)),
        _ => Err(no_url()),
    }
}

fn subjects(diagnostics: &mut Diagnostics, owner: NodeId, typed: &schema::AdminJwt) -> Vec<AdminJwtSubject> {
    let list = diagnostics.required(&typed.subjects, owner, "subjects", SUBJECTS).map_or(&[][..], |list| &list.0);
    if typed.subjects.get().is_some_and(|list| list.0.is_empty()) {
        let at = typed.subjects.at().unwrap_or(owner);
        diagnostics.problem(at, "`subjects` is empty: no token could do anything", format!("write `{SUBJECTS}`"));
    }
    list.iter().filter_map(|(key, value)| subject(diagnostics, key, value)).collect()
}

fn subject(
    diagnostics: &mut Diagnostics,
    key: &Spanned<String>,
    value: &Spanned<schema::AdminJwtSubject>,
) -> Option<AdminJwtSubject> {
    let ((at, text), (value_at, typed)) = (key.found()?, value.found()?);
    let pattern = SubjectPattern::parse(text);
    if pattern.is_none() {
        let what = format!("`{}` is no subject", shorten(text));
        let advice = "write it whole, or its beginning of two parts up to a `:` or `/`, as \
                      `\"repo:acme/shop:*\"`";
        diagnostics.problem(at, what, advice);
    }
    let role = diagnostics.required(&typed.role, value_at, "role", "role: operator").map(|typed| admin_role(*typed));
    let services = match typed.services.get() {
        None => vec![defaults::JWT_SERVICES.to_owned()],
        Some(list) => {
            let list = list.0.iter().filter_map(Spanned::found);
            list.filter_map(|(at, text)| service_pattern(diagnostics, at, text)).collect()
        }
    };
    Some(AdminJwtSubject { subject: pattern?, role: role?, services })
}

/// A name, the beginning of names, or `*`.
fn service_pattern(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    let is_usable = text == "*" || is_name(text.strip_suffix('*').unwrap_or(text));
    if !is_usable {
        let what = format!("`{}` is no pattern of services", shorten(text));
        diagnostics.problem(at, what, "write a name, the beginning of names as `shop-*`, or `*` for all");
    }
    is_usable.then(|| text.to_owned())
}
