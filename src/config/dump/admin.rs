//! `admin:` and `metrics:`

use serde_yaml::Value;

use super::tls::admin_tls;
use super::written::{list, path, word};
use crate::config::defaults;
use crate::config::model::{Admin, AdminJwt, AdminJwtSubject, AdminSocket, Config, JwksSource};

pub(super) fn admin(admin: Option<&Admin>) -> Value {
    let Some(admin) = admin else { return "off".into() };
    let Admin { bind, socket, tokens_file, jwt, tls, hosts, anonymous_viewer, reasons } = admin;
    map! {
        "bind" => *bind,
        "socket" => socket.as_ref().map(admin_socket),
        "tokens_file" => tokens_file.as_deref().map(path),
        "jwt" => (!jwt.is_empty()).then(|| list(jwt, admin_jwt)),
        "tls" => tls.as_ref().map(admin_tls),
        "hosts" => (!hosts.is_empty()).then(|| list(hosts, |name| name.as_str().into())),
        "anonymous" => anonymous_viewer.then_some("viewer"),
        "reasons" => word(reasons),
    }
}

fn admin_socket(socket: &AdminSocket) -> Value {
    map! {
        "path" => path(&socket.path),
        "mode" => format!("{:04o}", socket.mode),
        "group" => socket.group.as_deref(),
        "role" => word(&socket.role),
    }
}

fn admin_jwt(jwt: &AdminJwt) -> Value {
    let AdminJwt { issuer, audience, keys, subjects } = jwt;
    let (file, url) = match keys {
        JwksSource::File(file) => (Some(file), None),
        JwksSource::Url(url) => (None, Some(url)),
    };
    let subjects = subjects.iter().map(|subject| (subject.subject.to_string().into(), jwt_subject(subject)));
    map! {
        "issuer" => issuer.as_str(),
        "audience" => audience.as_str(),
        "jwks_file" => file.map(|file| path(file)),
        "jwks_url" => url.map(|url| url.url.as_str()),
        "ca" => url.and_then(|url| url.ca.as_deref()).map(path),
        "subjects" => Value::Mapping(subjects.collect()),
    }
}

fn jwt_subject(subject: &AdminJwtSubject) -> Value {
    map! {
        "role" => word(&subject.role),
        "services" => list(&subject.services, |pattern| pattern.as_str().into()),
    }
}

pub(super) fn metrics(config: &Config) -> Option<Value> {
    let is_said = config.metrics.is_some() || config.metrics_detail != defaults::METRICS_DETAIL;
    is_said.then(|| map! { "bind" => config.metrics, "detail" => word(&config.metrics_detail) })
}
