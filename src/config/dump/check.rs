//! `health_check:`

use serde_yaml::{Mapping, Value};

use super::tls::upstream_tls;
use super::upstream::proxy_version;
use super::written::{DumpValue, list, pairs, word};
use crate::config::model::{
    CheckKind, CheckLogin, CheckPassword, DNS_RCODES, FollowedRole, HealthCheck, HttpCheck, MaxLag, ReplicaCheck,
    Secret, UdpExpectation,
};

pub(super) fn health_check(check: &HealthCheck) -> Value {
    let kind = match &check.kind {
        CheckKind::Tcp(tcp) => map! {
            "send" => tcp.send.as_ref().map(Secret::hidden),
            "expect" => tcp.expect.as_deref(),
            "port" => tcp.port,
            "tls" => upstream_tls(tcp.tls.as_deref()),
        },
        CheckKind::Http(http) => http_check(http),
        CheckKind::Grpc(grpc) => map! {
            "service" => grpc.service.as_str(),
            "port" => grpc.port,
            "host" => grpc.host.as_deref(),
            "reuse" => grpc.reuse,
            "tls" => upstream_tls(grpc.tls.as_ref()),
        },
        CheckKind::Exec(exec) => {
            let program = Value::from(exec.program.display().to_string());
            let arguments = exec.arguments.iter().map(|argument| Value::from(argument.as_str()));
            let hidden = |(name, value): &(String, Secret)| (Value::from(name.as_str()), Value::from(value.hidden()));
            map! {
                "command" => Value::Sequence(std::iter::once(program).chain(arguments).collect()),
                "environment" => Value::Mapping(exec.environment.iter().map(hidden).collect()),
                "port" => exec.port,
            }
        }
        CheckKind::Agent(agent) => map! { "port" => agent.port, "send" => agent.send.as_ref().map(Secret::hidden) },
        CheckKind::Dns(dns) => map! {
            "name" => dns.name.as_str(),
            "type" => dns.record.as_str(),
            "rcode" => DNS_RCODES.iter().find(|(_, code)| *code == dns.rcode).map(|(name, _)| *name),
            "answer" => dns.answer.as_deref(),
            "tcp" => dns.tcp,
            "port" => dns.port,
        },
        CheckKind::Udp(udp) => map! {
            "send" => udp.send.hidden(),
            "expect" => match &udp.expect {
                UdpExpectation::Any => None,
                UdpExpectation::Contains(text) => Some(text.as_str()),
                UdpExpectation::Nothing => Some("off"),
            },
            "port" => udp.port,
        },
        CheckKind::Postgres(postgres) => {
            let (password, password_file) = password(&postgres.login);
            map! {
                "user" => postgres.login.user.as_str(),
                "password" => password,
                "password_file" => password_file,
                "database" => postgres.database.as_str(),
                "auth" => postgres.weakest.as_str(),
                "role" => role(postgres.role, postgres.replica),
                "max_lag" => max_lag(postgres.replica),
                "port" => postgres.port,
                "tls" => upstream_tls(postgres.tls.as_ref()),
            }
        }
        CheckKind::Mysql(mysql) => {
            let (password, password_file) = password(&mysql.login);
            map! {
                "user" => mysql.login.user.as_str(),
                "password" => password,
                "password_file" => password_file,
                "database" => mysql.database.as_deref(),
                "auth" => mysql.weakest.as_str(),
                "role" => mysql.role.as_ref().map(word),
                "server_key_file" => mysql.server_key.as_ref().map(|path| path.display().to_string()),
                "port" => mysql.port,
                "tls" => upstream_tls(mysql.tls.as_ref()),
            }
        }
        CheckKind::Redis(redis) => {
            let (password, password_file) = password(&redis.login);
            map! {
                "user" => Some(redis.login.user.as_str()).filter(|user| !user.is_empty()),
                "password" => password,
                "password_file" => password_file,
                "role" => role(redis.role, redis.replica),
                "max_lag" => max_lag(redis.replica),
                "port" => redis.port,
                "tls" => upstream_tls(redis.tls.as_ref()),
            }
        }
    };
    let rest = map! {
        "interval" => check.interval,
        "timeout" => check.timeout,
        "fast_interval" => check.fast_interval,
        "fall" => check.fall,
        "rise" => check.rise,
        "jitter" => check.jitter,
        "proxy_protocol" => proxy_version(check.proxy_protocol),
    };
    let mut written = Mapping::from_iter([(Value::from(check.kind.as_str()), kind)]);
    written.extend(rest.as_mapping().cloned().unwrap_or_default());
    Value::Mapping(written)
}

fn role(followed: Option<FollowedRole>, replica: Option<ReplicaCheck>) -> Option<Value> {
    followed.as_ref().map(word).or_else(|| replica.map(|_| "replica".into()))
}

fn max_lag(replica: Option<ReplicaCheck>) -> DumpValue {
    match replica.and_then(|replica| replica.max_lag) {
        Some(MaxLag::Time(time)) => time.into(),
        Some(MaxLag::Bytes(bytes)) => format!("{bytes}B").into(),
        None => DumpValue::from(None::<Value>),
    }
}

/// `password` and `password_file`.
fn password(login: &CheckLogin) -> (Option<&'static str>, Option<String>) {
    match &login.password {
        None => (None, None),
        Some(CheckPassword::Text(text)) => (Some(text.hidden()), None),
        Some(CheckPassword::File(path)) => (None, Some(path.display().to_string())),
    }
}

fn http_check(check: &HttpCheck) -> Value {
    let json = |(pointer, value): &(String, serde_json::Value)| (Value::from(pointer.as_str()), word(value));
    map! {
        "path" => check.path.as_str(),
        "method" => check.method.as_str(),
        "port" => check.port,
        "host" => check.host.as_deref(),
        "address" => check.address.map(|address| address.to_string()),
        "request_headers" => Value::Mapping(
            check.request_headers.iter().map(|(name, _)| (name.as_str().into(), Secret::HIDDEN.into())).collect(),
        ),
        "request_body" => check.request_body.as_ref().map(Secret::hidden),
        "status" => list(&check.status, |(from, to)| format!("{from}-{to}").into()),
        "headers" => pairs(&check.headers),
        "body" => check.body.as_deref(),
        "json" => Value::Mapping(check.json.iter().map(json).collect()),
        "reuse" => check.reuse,
        "tls" => upstream_tls(check.tls.as_ref()),
    }
}
