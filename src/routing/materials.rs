//! What TLS needs, as a table carries it: read from files by the control plane before it publishes, used by the workers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{CheckKind, Config, Listener, Name, Protocol, Service, UpstreamTls};
use crate::net::tls::{Alpn, ClientTls, OwnCertificate, ServerTls, TicketKeys};

/// All of a configuration. A reload whose files say the same keeps the `Arc`s.
#[derive(Debug, Default)]
pub struct TlsAssets {
    /// By listener.
    pub listeners: HashMap<Name, Arc<ServerTls>>,
    /// Of the admin port.
    pub admin: Option<Arc<ServerTls>>,
    /// By what the configuration says; services and checks that say the same share it.
    pub upstreams: HashMap<(UpstreamTls, Alpn), Arc<ClientTls>>,
    /// Survives reloads.
    pub tickets: Arc<TicketKeys>,
}

/// A certificate of ours and where it is shown.
#[derive(Clone, Copy, Debug)]
pub struct ShownCertificate<'a> {
    /// `listener`, `service` or `admin`.
    pub by: &'static str,
    /// Its name; `admin` for the admin port.
    pub name: &'a str,
    /// The certificate.
    pub leaf: &'a OwnCertificate,
}

impl TlsAssets {
    /// How endpoints of this service are spoken to.
    pub fn service(&self, service: &Service) -> Option<&Arc<ClientTls>> {
        self.upstream(service.upstream.tls.as_ref()?, service_alpn(service))
    }

    /// How an endpoint is spoken to by this check.
    pub fn check(&self, check: &CheckKind) -> Option<&Arc<ClientTls>> {
        let (tls, alpn) = check_tls(check)?;
        self.upstream(tls, alpn)
    }

    fn upstream(&self, tls: &UpstreamTls, alpn: Alpn) -> Option<&Arc<ClientTls>> {
        self.upstreams.get(&(tls.clone(), alpn))
    }

    /// How this listener speaks.
    pub fn listener(&self, listener: &Listener) -> Option<&Arc<ServerTls>> {
        listener.tls.as_ref().and_then(|_| self.listeners.get(&listener.name))
    }

    /// Every certificate of ours.
    pub fn shown<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = ShownCertificate<'a>> {
        let by_listeners = config.listeners.iter().flat_map(|listener| {
            let leaves = self.listener(listener).map_or(&[][..], |tls| tls.leaves());
            leaves.iter().map(|leaf| ShownCertificate { by: "listener", name: &listener.name, leaf })
        });
        let by_services = config.services.iter().filter_map(|service| {
            Some(ShownCertificate { by: "service", name: &service.name, leaf: self.service(service)?.leaf()? })
        });
        let admin = self.admin.iter().flat_map(|tls| tls.leaves());
        let by_admin = admin.map(|leaf| ShownCertificate { by: "admin", name: "admin", leaf });
        by_listeners.chain(by_services).chain(by_admin)
    }
}

/// What traffic of this service offers by ALPN.
pub fn service_alpn(service: &Service) -> Alpn {
    match service.protocol {
        Protocol::Http => service.upstream.protocol.into(),
        Protocol::Tcp => Alpn::None,
    }
}

/// What a check needs for TLS.
pub fn check_tls(check: &CheckKind) -> Option<(&UpstreamTls, Alpn)> {
    match check {
        CheckKind::Tcp(tcp) => tcp.tls.as_deref().map(|tls| (tls, Alpn::None)),
        CheckKind::Http(http) => http.tls.as_ref().map(|tls| (tls, http.protocol.into())),
        CheckKind::Grpc(grpc) => grpc.tls.as_ref().map(|tls| (tls, Alpn::Http2)),
        CheckKind::Postgres(postgres) => postgres.tls.as_ref().map(|tls| (tls, Alpn::None)),
        CheckKind::Mysql(mysql) => mysql.tls.as_ref().map(|tls| (tls, Alpn::None)),
        CheckKind::Redis(redis) => redis.tls.as_ref().map(|tls| (tls, Alpn::None)),
        CheckKind::Exec(_) | CheckKind::Agent(_) | CheckKind::Dns(_) | CheckKind::Udp(_) => None,
    }
}
