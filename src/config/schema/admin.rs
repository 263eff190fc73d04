//! `admin:` and `metrics:`

use super::tls::{Certificate, ClientAuth, TlsVersion};
use crate::config::spanned::{NamedEntries, OffOr, OneOrMany, ShorthandMap, Spanned};
use crate::config::units::{BindAddress, FileMode};

map! { /// `admin:`
Admin = "admin" {
    bind: BindAddress,
    socket: OffOr<ShorthandMap<AdminSocket>>,
    tokens_file: String,
    jwt: OffOr<Vec<Spanned<AdminJwt>>>,
    tls: OffOr<AdminTls>,
    hosts: OneOrMany<String>,
    anonymous: OffOr<AnonymousRole>,
    reasons: Reasons,
}}

map! { /// `admin.socket`
AdminSocket = "admin_socket" {
    path: String,
    mode: FileMode,
    group: String,
    role: AdminRole,
}}

map! { /// An item of `admin.jwt`
AdminJwt {
    issuer: String,
    audience: String,
    jwks_file: String,
    jwks_url: String,
    ca: String,
    subjects: NamedEntries<AdminJwtSubject>,
}}

map! { /// `admin.jwt[].subjects.*`
AdminJwtSubject {
    role: AdminRole,
    services: OneOrMany<String>,
}}

map! { /// `admin.tls`
AdminTls {
    certificates: Vec<Spanned<Certificate>>,
    min_version: TlsVersion,
    client_auth: OffOr<ClientAuth>,
}}

words! { /// `admin.socket.role`
AdminRole { Viewer, Drill, Operator, Admin, }}

words! { /// `admin.anonymous`
AnonymousRole { Viewer, }}

words! { /// `admin.reasons`
Reasons { Required, Optional, }}

map! { /// `metrics:`
Metrics = "metrics" {
    bind: BindAddress,
    detail: MetricsDetail,
}}

words! { /// `metrics.detail`
MetricsDetail { Full, Lean, }}
