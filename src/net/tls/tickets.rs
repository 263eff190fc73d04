//! Session resumption of all listeners, kept over reloads.
//!
//! A ticket carries what the client proved when it was given, and nothing asks again when it is used. So tickets are only
//! good among listeners that ask for the same proof: those without client certificates share one set of keys, and each
//! demand for client certificates (the same CA, required or not) has its own. A server name that differs never resumes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

/// TLS 1.2 sessions kept for clients that know no tickets.
const SESSIONS: usize = 1024;

/// What a client has to prove before it gets a ticket: `None` = nothing.
pub(super) type TicketDemand = Option<(bool, Vec<u8>)>;

/// The keys of all tickets.
#[derive(Debug, Default)]
pub struct TicketKeys {
    kept: Mutex<HashMap<TicketDemand, Weak<DemandKeys>>>,
}

/// Of listeners with the same demand.
#[derive(Debug)]
pub(super) struct DemandKeys {
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl TicketKeys {
    /// Those of this demand: as long as they are in use, they stay the same.
    pub(super) fn of(&self, demand: TicketDemand) -> Result<Arc<DemandKeys>, rustls::Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, keys| keys.strong_count() > 0);
        if let Some(keys) = kept.get(&demand).and_then(Weak::upgrade) {
            return Ok(keys);
        }
        let keys =
            Arc::new(DemandKeys { ticketer: Ticketer::new()?, sessions: ServerSessionMemoryCache::new(SESSIONS) });
        kept.insert(demand, Arc::downgrade(&keys));
        Ok(keys)
    }
}

impl DemandKeys {
    /// This configuration gives and takes these tickets: one a handshake is enough, each use of it gives the next.
    pub(super) fn install(&self, config: &mut ServerConfig) {
        config.ticketer = Arc::clone(&self.ticketer);
        config.session_storage = Arc::clone(&self.sessions);
        config.send_tls13_tickets = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_demand_has_its_own_keys_for_as_long_as_they_are_used() {
        let tickets = TicketKeys::default();
        let open = tickets.of(None).unwrap();
        assert!(Arc::ptr_eq(&open, &tickets.of(None).unwrap()));
        let required = tickets.of(Some((true, b"ca".to_vec()))).unwrap();
        let optional = tickets.of(Some((false, b"ca".to_vec()))).unwrap();
        let other = tickets.of(Some((true, b"other".to_vec()))).unwrap();
        let all = [&open, &required, &optional, &other];
        assert!((0..4).all(|a| (0..a).all(|b| !Arc::ptr_eq(all[a], all[b]))));
        assert!(Arc::ptr_eq(&required, &tickets.of(Some((true, b"ca".to_vec()))).unwrap()));
        drop((required, optional, other));
        tickets.of(None).unwrap();
        assert_eq!(tickets.kept.lock().unwrap().len(), 1);
    }
}
