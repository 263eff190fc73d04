//! `tls:` of a listener, of `upstream:` and of a check.

use serde_yaml::Value;

use super::written::{list, path, word};
use crate::config::model::{Certificate, ClientAuth, ListenerTls, UpstreamTls};

pub(super) fn listener_tls(tls: &ListenerTls) -> Value {
    let ListenerTls { certificates: own, unknown_name, min_version, alpn, client_auth: auth } = tls;
    map! {
        "certificates" => certificates(own),
        "unknown_name" => word(unknown_name),
        "min_version" => word(min_version),
        "alpn" => list(alpn, |name| name.as_str().into()),
        "client_auth" => client_auth(auth.as_ref()),
    }
}

/// What the admin port speaks and shows to unknown names is fixed.
pub(super) fn admin_tls(tls: &ListenerTls) -> Value {
    map! {
        "certificates" => certificates(&tls.certificates),
        "min_version" => word(&tls.min_version),
        "client_auth" => client_auth(tls.client_auth.as_ref()),
    }
}

fn certificates(own: &[Certificate]) -> Value {
    list(own, |one| map! { "cert" => path(&one.cert), "key" => path(&one.key) })
}

fn client_auth(auth: Option<&ClientAuth>) -> Value {
    auth.map_or("off".into(), |auth| {
        map! {
            "mode" => if auth.required { "required" } else { "optional" },
            "ca" => path(&auth.ca),
        }
    })
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
