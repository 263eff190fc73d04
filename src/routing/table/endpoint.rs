//! An endpoint of the published table.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Name;
use crate::decision::{Admission, EndpointId, Standing};
use crate::net::tls::ClientTls;
use crate::routing::stats::EndpointStats;
use crate::time::MonoTime;

/// An endpoint as the data plane sees it.
#[derive(Debug)]
pub struct EndpointView {
    /// The name that DNS resolved to it; `None` = the configuration says the address.
    pub host: Option<Name>,
    /// Its identity.
    pub id: EndpointId,
    /// Its address.
    pub address: SocketAddr,
    /// What people call it.
    pub name: Option<Name>,
    /// The epoch at which it came into its pool.
    pub member_since: u64,
    /// Its weight; 0 = nothing new (the core has closed it).
    pub weight: u32,
    /// Connections in use at once over all workers.
    pub max_connections: Option<usize>,
    /// State and reason.
    pub standing: Standing,
    /// What may be sent to it.
    pub admission: Admission,
    /// Where its slow start begins.
    pub joined: Option<MonoTime>,
    /// It is asked and says nothing: see [`EndpointRow::suspected`](crate::decision::EndpointRow::suspected).
    pub suspected: bool,
    /// Its good answers are counted by source: see [`EndpointRow::proving`](crate::decision::EndpointRow::proving).
    pub proving: bool,
    /// No session may be there: see [`EndpointRow::fenced`](crate::decision::EndpointRow::fenced).
    pub fenced: bool,
    /// How it is spoken to over TLS. Where the configuration wants it and it is missing, it is not dialled.
    pub tls: Option<Arc<ClientTls>>,
    /// Survives republishing.
    pub stats: Arc<EndpointStats>,
}

impl EndpointView {
    pub(super) fn is_condemned(&self) -> bool {
        self.standing.operational.has_fallen() && self.admission == Admission::Closed
    }
}
