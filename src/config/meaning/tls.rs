//! TLS towards clients and towards endpoints. Only names of files are read here: their content is loaded with the rest of
//! what a listener or a service needs, so that a certificate that was renewed needs no change of the configuration.

use std::collections::HashSet;

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::{
    Certificate, ClientAuth, HostMatch, ListenerTls, Protocol, TlsVersion, UnknownName, UpstreamTls, is_dns_name,
};
use crate::config::named_files::NamedFiles;
use crate::config::schema;
use crate::config::spanned::{OffOr, OnOr, Spanned};
use crate::config::tree::{NodeId, shorten};

/// What an http listener can speak.
const HTTP: [&str; 2] = ["h2", "http/1.1"];

/// `tls:` of a listener.
pub(super) fn listener(
    diagnostics: &mut Diagnostics,
    item: &Spanned<OffOr<schema::ListenerTls>>,
    protocol: Protocol,
) -> Option<ListenerTls> {
    let (at, OffOr::Value(typed)) = item.found()? else { return None };
    Some(ListenerTls {
        certificates: certificates(diagnostics, at, &typed.certificates),
        unknown_name: match typed.unknown_name.get() {
            None => defaults::UNKNOWN_NAME,
            Some(schema::UnknownName::First) => UnknownName::First,
            Some(schema::UnknownName::Refuse) => UnknownName::Refuse,
        },
        min_version: version(&typed.min_version),
        alpn: alpn(diagnostics, typed, protocol),
        client_auth: client_auth(diagnostics, &typed.client_auth),
    })
}

/// `admin.tls`. The admin port speaks HTTP/1.1, and is asked for by address as often as by name.
pub(super) fn admin(diagnostics: &mut Diagnostics, item: &Spanned<OffOr<schema::AdminTls>>) -> Option<ListenerTls> {
    let (at, OffOr::Value(typed)) = item.found()? else { return None };
    Some(ListenerTls {
        certificates: certificates(diagnostics, at, &typed.certificates),
        unknown_name: UnknownName::First,
        min_version: version(&typed.min_version),
        alpn: vec![HTTP[1].to_owned()],
        client_auth: client_auth(diagnostics, &typed.client_auth),
    })
}

fn certificates(
    diagnostics: &mut Diagnostics,
    owner: NodeId,
    typed: &Spanned<Vec<Spanned<schema::Certificate>>>,
) -> Vec<Certificate> {
    let sample = "certificates: [{cert: fullchain.pem, key: key.pem}]";
    let list = diagnostics.required(typed, owner, "certificates", sample).map_or(&[][..], |list| list);
    if typed.get().is_some_and(Vec::is_empty) {
        let at = typed.at().unwrap_or(owner);
        diagnostics.problem(at, "`certificates` is empty", format!("write at least one: `{sample}`"));
    }
    let certificates =
        list.iter().filter_map(Spanned::found).filter_map(|(at, typed)| certificate(diagnostics, at, typed));
    certificates.collect()
}

fn certificate(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Certificate) -> Option<Certificate> {
    let cert = diagnostics.required(&typed.cert, at, "cert", "cert: fullchain.pem").cloned();
    let key = diagnostics.required(&typed.key, at, "key", "key: key.pem").cloned();
    pair(diagnostics, &typed.cert, &typed.key);
    Some(Certificate { cert: diagnostics.path(&cert?), key: diagnostics.path(&key?) })
}

/// A certificate and its key are to be looked at.
fn pair(diagnostics: &mut Diagnostics, certificate: &Spanned<String>, key: &Spanned<String>) {
    let (certificate, key) = (diagnostics.named(certificate), diagnostics.named(key));
    if certificate.is_some() || key.is_some() {
        diagnostics.named.push(NamedFiles::Pair { certificate, key });
    }
}

/// A file of CAs is to be looked at.
fn authorities(diagnostics: &mut Diagnostics, file: &Spanned<String>, pins: bool) {
    if let Some(file) = diagnostics.named(file) {
        diagnostics.named.push(NamedFiles::Authorities { file, pins });
    }
}

fn version(item: &Spanned<schema::TlsVersion>) -> TlsVersion {
    match item.get() {
        None => defaults::TLS_VERSION,
        Some(schema::TlsVersion::Tls12) => TlsVersion::Tls12,
        Some(schema::TlsVersion::Tls13) => TlsVersion::Tls13,
    }
}

fn alpn(diagnostics: &mut Diagnostics, typed: &schema::ListenerTls, protocol: Protocol) -> Vec<String> {
    let Some(list) = typed.alpn.get() else {
        return match protocol {
            Protocol::Http => HTTP.map(str::to_owned).to_vec(),
            Protocol::Tcp => Vec::new(),
        };
    };
    let mut found: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for (at, text) in list.0.iter().filter_map(Spanned::found) {
        let Some(name) = protocol_name(diagnostics, at, text) else { continue };
        if protocol == Protocol::Http && !HTTP.contains(&name.as_str()) {
            let what = format!("an http listener does not speak `{}`", shorten(text));
            diagnostics.problem(at, what, "it speaks `h2` and `http/1.1`");
        } else if !seen.insert(name.clone()) {
            diagnostics.problem(at, format!("`{}` stands twice", shorten(text)), "keep it once");
        } else {
            found.push(name);
        }
    }
    found
}

/// The name of a protocol in ALPN: compared byte by byte.
pub(super) fn protocol_name(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    if text.is_empty() || text.len() > 255 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        let what = format!("`{}` is not the name of a protocol", shorten(text));
        diagnostics.problem(at, what, "write one such as `h2`, `http/1.1` or `imap`");
        return None;
    }
    Some(text.to_owned())
}

fn client_auth(diagnostics: &mut Diagnostics, item: &Spanned<OffOr<schema::ClientAuth>>) -> Option<ClientAuth> {
    let (at, OffOr::Value(typed)) = item.found()? else { return None };
    let required = match typed.mode.get() {
        // With an authority and no mode, certificates are required.
        None | Some(schema::ClientAuthMode::Required) => true,
        Some(schema::ClientAuthMode::Optional) => false,
        Some(schema::ClientAuthMode::Off) => return None,
    };
    authorities(diagnostics, &typed.ca, false);
    let ca = diagnostics.required(&typed.ca, at, "ca", "ca: clients-ca.pem")?;
    Some(ClientAuth { required, ca: diagnostics.path(ca) })
}

/// `tls:` towards endpoints. `on` is `by_on`, or the system's roots.
pub(super) fn upstream(
    diagnostics: &mut Diagnostics,
    at: NodeId,
    typed: &OnOr<schema::UpstreamTls>,
    by_on: Option<&UpstreamTls>,
) -> Option<UpstreamTls> {
    let empty = schema::UpstreamTls::default();
    let typed = match (typed, by_on) {
        (OnOr::Value(typed), _) => typed,
        (OnOr::On, Some(tls)) => return Some(tls.clone()),
        (OnOr::On, None) => &empty,
    };
    let identity = match (typed.client_cert.found(), typed.client_key.found()) {
        (Some((_, cert)), Some((_, key))) => {
            Some(Certificate { cert: diagnostics.path(cert), key: diagnostics.path(key) })
        }
        (Some((at, _)), None) if typed.client_key.at().is_none() => {
            diagnostics.problem(at, "`client_cert` without its key", "add `client_key: key.pem`");
            None
        }
        (None, Some((at, _))) if typed.client_cert.at().is_none() => {
            diagnostics.problem(at, "`client_key` without its certificate", "add `client_cert: cert.pem`");
            None
        }
        _ => None,
    };
    let verify = match typed.insecure_skip_verify.found() {
        Some((at, true)) => {
            let what = "certificates are NOT verified: whoever answers at the endpoint's address is believed";
            diagnostics.warning(at, what, "take `insecure_skip_verify` away, and name who signs them: `ca: FILE`");
            false
        }
        _ => true,
    };
    if verify && typed.sni.at().is_none() {
        let what = "no `sni`: the certificate of each endpoint must be valid for its IP address";
        diagnostics.warning(at, what, "add the name that stands in the certificates: `sni: shop.internal`");
    }
    if let (false, Some(at)) = (verify, typed.ca.at()) {
        diagnostics.warning(at, "`ca` has no effect where nothing is verified", "take `insecure_skip_verify` away");
    }
    pair(diagnostics, &typed.client_cert, &typed.client_key);
    if verify {
        authorities(diagnostics, &typed.ca, true);
    }
    Some(UpstreamTls {
        ca: typed.ca.get().map(|file| diagnostics.path(file)),
        sni: typed.sni.found().and_then(|(at, text)| server_name(diagnostics, at, text)),
        identity,
        min_version: version(&typed.min_version),
        verify,
    })
}

/// A name that is asked for: a DNS name and nothing else.
fn server_name(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    if let Some(name) = dns_name(text) {
        return Some(name);
    }
    let advice = if text.parse::<std::net::IpAddr>().is_ok() {
        "leave it out: then the certificate is verified for the endpoint's address"
    } else if text.contains('*') {
        "write one name that the certificate is valid for"
    } else {
        "write a name such as `shop.internal`, without a port"
    };
    diagnostics.problem(at, format!("`{}` is not a DNS name", shorten(text)), advice);
    None
}

/// `match.sni` of a passed-through listener: `shop.example.com` or `*.example.com`.
pub(super) fn asked_name(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<HostMatch> {
    let found = match text.strip_prefix("*.") {
        Some(rest) => dns_name(rest).map(|rest| HostMatch::Wildcard(format!(".{rest}"))),
        None => dns_name(text).map(HostMatch::Exact),
    };
    if found.is_none() {
        let advice = if text == "*" {
            "leave `sni` out: then every name matches, and none too"
        } else if text.parse::<std::net::IpAddr>().is_ok() {
            "clients never ask for an address by SNI: leave `sni` out"
        } else if text.contains('*') {
            "a `*` stands for the first labels only: `*.example.com`"
        } else {
            "write a name such as `shop.example.com` or `*.example.com`; names beyond ASCII in their `xn--` form"
        };
        diagnostics.problem(at, format!("`{}` is not a name to ask for", shorten(text)), advice);
    }
    found
}

/// In lower case, when it is a DNS name: no address, no port, no dot at its end.
pub(super) fn dns_name(text: &str) -> Option<String> {
    is_dns_name(text).then(|| text.to_ascii_lowercase())
}
