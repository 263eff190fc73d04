//! `health_check:`

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exchange_check::{AgentCheck, DnsCheck, ExecCheck, TcpCheck, UdpCheck};
use super::failover::{FollowedRole, ReplicaCheck};
use super::secret::Secret;
use super::tls::UpstreamTls;
use super::upstream::{ProxyVersion, UpstreamProtocol};

/// An out-of-band probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What it asks.
    pub kind: CheckKind,
    /// The probe begins with a PROXY header that says it speaks for itself (default: as the service's traffic).
    pub proxy_protocol: Option<ProxyVersion>,
    /// Pause between two probes of an endpoint in a settled state.
    pub interval: Duration,
    /// Deadline of one probe.
    pub timeout: Duration,
    /// Pause while the endpoint is in transition.
    pub fast_interval: Duration,
    /// Bad probes in a row that make it unhealthy.
    pub fall: u32,
    /// Good probes in a row that make it healthy again (its first good probe is enough at the start).
    pub rise: u32,
    /// Random share by which each interval is stretched or shortened (0.1 = ± 10 %).
    pub jitter: f64,
}

/// The kind of a probe. Pools share what their service says, and tasks what their pool says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// A connect, and what is sent and expected then.
    Tcp(Arc<TcpCheck>),
    /// One HTTP request.
    Http(Arc<HttpCheck>),
    /// `grpc.health.v1.Health/Check`.
    Grpc(Arc<GrpcCheck>),
    /// A login at PostgreSQL, and a question.
    Postgres(Arc<PostgresCheck>),
    /// A login at MySQL or MariaDB, and questions.
    Mysql(Arc<MysqlCheck>),
    /// A login at Redis or Valkey, and a question.
    Redis(Arc<RedisCheck>),
    /// A program, and its exit code.
    Exec(Arc<ExecCheck>),
    /// A line of an agent beside the endpoint.
    Agent(Arc<AgentCheck>),
    /// A question to DNS.
    Dns(Arc<DnsCheck>),
    /// A datagram, and its answer.
    Udp(Arc<UdpCheck>),
}

impl CheckKind {
    /// Its name, as the configuration has it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            CheckKind::Tcp(_) => "tcp",
            CheckKind::Http(_) => "http",
            CheckKind::Grpc(_) => "grpc",
            CheckKind::Postgres(_) => "postgres",
            CheckKind::Mysql(_) => "mysql",
            CheckKind::Redis(_) => "redis",
            CheckKind::Exec(_) => "exec",
            CheckKind::Agent(_) => "agent",
            CheckKind::Dns(_) => "dns",
            CheckKind::Udp(_) => "udp",
        }
    }

    /// What it reads of an endpoint's data, and at which port: two checks with the same source read the same.
    pub fn source(&self) -> (&'static str, Option<u16>) {
        let port = match self {
            CheckKind::Tcp(check) => check.port,
            CheckKind::Http(check) => check.port,
            CheckKind::Grpc(check) => check.port,
            CheckKind::Postgres(check) => check.port,
            CheckKind::Redis(check) => check.port,
            CheckKind::Mysql(check) => check.port,
            CheckKind::Exec(check) => check.port,
            CheckKind::Agent(check) => Some(check.port),
            CheckKind::Dns(check) => check.port,
            CheckKind::Udp(check) => check.port,
        };
        (self.as_str(), port)
    }

    /// The role that it asks for.
    pub fn role(&self) -> Option<FollowedRole> {
        match self {
            CheckKind::Postgres(check) => check.role,
            CheckKind::Mysql(check) => check.role,
            CheckKind::Redis(check) => check.role,
            _ => None,
        }
    }

    /// What it asks of replicas, where it asks for them.
    pub fn replica(&self) -> Option<ReplicaCheck> {
        match self {
            CheckKind::Postgres(check) => check.replica,
            CheckKind::Redis(check) => check.replica,
            _ => None,
        }
    }
}

/// A probe that logs in at PostgreSQL and asks for its role and position. Any role passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostgresCheck {
    /// Who logs in. It needs no right but to log in.
    pub login: CheckLogin,
    /// The database that it logs in to.
    pub database: String,
    /// The weakest way of giving the password that is taken.
    pub weakest: PasswordMethod,
    /// The service follows the endpoint that has this role; `None` = any role will do.
    pub role: Option<FollowedRole>,
    /// The service reads at the endpoints that are replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaCheck>,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// Over TLS, asked for by an SSLRequest.
    pub tls: Option<UpstreamTls>,
}

/// A probe that logs in at MySQL or MariaDB and asks for its role and position, and for its part in a cluster. Any role passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MysqlCheck {
    /// The user and its password.
    pub login: CheckLogin,
    /// The database that it logs in to; `None` = none.
    pub database: Option<String>,
    /// The weakest way of giving the password that is taken.
    pub weakest: MysqlMethod,
    /// The server's RSA key, as a PEM file that is read for each probe that needs it: what encrypts the password where there is no TLS.
    pub server_key: Option<PathBuf>,
    /// The service follows the endpoint that has this role; `None` = any role will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<FollowedRole>,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// Over TLS, asked for by an SSLRequest.
    pub tls: Option<UpstreamTls>,
}

/// A probe that logs in at Redis or Valkey, pings, and asks for its role and offset. Any role passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedisCheck {
    /// The user and its password; an empty user is the default one, and without a password there is no login.
    pub login: CheckLogin,
    /// The service follows the endpoint that has this role; `None` = any role will do.
    pub role: Option<FollowedRole>,
    /// The service reads at the endpoints that are replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaCheck>,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// Over TLS.
    pub tls: Option<UpstreamTls>,
}

/// Who a probe logs in as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckLogin {
    /// The user.
    pub user: String,
    /// The password; `None` = without one.
    pub password: Option<CheckPassword>,
}

/// Where the password of a probe is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckPassword {
    /// In the configuration.
    Text(Secret),
    /// In this file, which is read for each probe; a line feed at its end does not belong to it.
    File(PathBuf),
}

/// A way to give a password, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordMethod {
    /// SCRAM-SHA-256 (RFC 7677): the server proves that it knows the password, and does not get it.
    Scram,
    /// A salted MD5: who reads it can log in, and may find the password.
    Md5,
    /// The password itself.
    Cleartext,
}

impl PasswordMethod {
    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            PasswordMethod::Scram => "scram",
            PasswordMethod::Md5 => "md5",
            PasswordMethod::Cleartext => "cleartext",
        }
    }
}

/// A way to give a password to MySQL or MariaDB, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MysqlMethod {
    /// `caching_sha2_password`: a salted SHA-256. When the server does not have the user in its cache it wants the password itself,
    /// which it gets over TLS, or encrypted for its own key.
    CachingSha2,
    /// `mysql_native_password`: a salted SHA-1.
    Native,
    /// `mysql_clear_password`: the password itself.
    Cleartext,
}

impl MysqlMethod {
    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            MysqlMethod::CachingSha2 => "caching_sha2",
            MysqlMethod::Native => "native",
            MysqlMethod::Cleartext => "cleartext",
        }
    }
}

/// A probe by the gRPC health checking protocol: good is `SERVING`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrpcCheck {
    /// The service asked for; empty = the server as a whole.
    pub service: String,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// Value of `:authority`; default: the address and port that are probed.
    pub host: Option<String>,
    /// How long probes may reuse one connection; zero = each makes its own.
    pub reuse: Duration,
    /// Over TLS (default: as the service's traffic).
    pub tls: Option<UpstreamTls>,
}

/// An HTTP probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// The method of each request: any token but `CONNECT`.
    pub method: String,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    /// Value of `Host`; default: the address and port that are probed.
    pub host: Option<String>,
    /// Another address than the endpoint's (rarely needed; the port rule is the same).
    pub address: Option<IpAddr>,
    /// Header fields that each probe sends.
    pub request_headers: Vec<(String, Secret)>,
    /// The body that each probe sends; `None` or empty = none.
    pub request_body: Option<Secret>,
    /// Inclusive ranges of good statuses.
    pub status: Vec<(u16, u16)>,
    /// Header fields that must be present with this value (name in lower case).
    pub headers: Vec<(String, String)>,
    /// The first 64 KiB of the body must contain this.
    pub body: Option<String>,
    /// The body is JSON and each pointer (RFC 6901) has this value.
    pub json: Vec<(String, serde_json::Value)>,
    /// How long probes may reuse one connection; zero = each makes its own.
    pub reuse: Duration,
    /// The version of HTTP (default: as the service's traffic).
    pub protocol: UpstreamProtocol,
    /// Over TLS (default: as the service's traffic).
    pub tls: Option<UpstreamTls>,
}
