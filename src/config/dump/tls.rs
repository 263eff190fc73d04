//! `tls:` of a listener, of `upstream:` and of a check.

use serde_yaml::Value;

use super::written::{list, path, word};
use crate::config::model::{ListenerTls, UpstreamTls};

pub(super) fn listener_tls(tls: &ListenerTls) -> Value {
    let ListenerTls { certificates, unknown_name, min_version, alpn, client_auth } = tls;
    map! {
        "certificates" => list(certificates, |one| map! { "cert" => path(&one.cert), "key" => path(&one.key) }),
        "unknown_name" => word(unknown_name),
        "min_version" => word(min_version),
        "alpn" => list(alpn, |name| name.as_str().into()),
        "client_auth" => client_auth.as_ref().map_or("off".into(), |auth| map! {
            "mode" => if auth.required { "required" } else { "optional" },
            "ca" => path(&auth.ca),
        }),
    }
}

/// `off` and not absent: what is absent of a check is its service's.
pub(super) fn upstream_tls(tls: Option<&UpstreamTls>) -> Value {
    tls.map_or("off".into(), |tls| {
        map! {
            "ca" => tls.ca.as_deref().map(path),
            "sni" => tls.sni.as_deref(),
            "client_cert" => tls.identity.as_ref().map(|identity| path(&identity.cert)),
            "client_key" => tls.identity.as_ref().map(|identity| path(&identity.key)),
            "min_version" => word(&tls.min_version),
            "insecure_skip_verify" => (!tls.verify).then_some(true),
        }
    })
}
