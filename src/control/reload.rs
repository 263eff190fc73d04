//! A configuration in place of another: what needs new sockets, and what needs a restart.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Admin, AuditFile, Bind, Config, JournalFile, LogFormat, Name, StateFile};
use crate::net::{self, BindError};
use crate::routing::{BoundSocket, ListenerSockets, SocketMap};

/// The sockets of every listener of `config`: those we hold already for the same address, the rest bound now. Fails
/// before anything has changed; the text says what to do.
pub(super) fn sockets(config: &Config, held: &SocketMap, workers: usize) -> Result<SocketMap, String> {
    bind(config, held, workers).map_err(|error| explain(&error, held))
}

/// The same at the start, when nothing is held.
pub(super) fn bind(config: &Config, held: &SocketMap, workers: usize) -> Result<SocketMap, BindError> {
    let mut free: HashMap<Bind, Vec<Arc<BoundSocket>>> = HashMap::new();
    let mut owners: HashMap<*const BoundSocket, &Name> = HashMap::new();
    for (name, sockets) in held {
        for bound in sockets.bound() {
            free.entry(bound.requested).or_default().push(Arc::clone(bound));
            owners.insert(Arc::as_ptr(bound), name);
        }
    }
    let mut wanted: Vec<(&Name, Bind, Option<Arc<BoundSocket>>)> = Vec::new();
    for listener in &config.listeners {
        wanted.extend(listener.bind.iter().map(|bind| (&listener.name, *bind, None)));
    }
    // A listener keeps its own sockets first (several may have asked for port 0); a renamed one takes what is left.
    for (name, bind, bound) in &mut wanted {
        let free = free.get_mut(bind);
        *bound = free.and_then(|free| take(free, |b| owners.get(&Arc::as_ptr(b)) == Some(name)));
    }
    let mut sockets: HashMap<&Name, Vec<Arc<BoundSocket>>> = HashMap::new();
    for (name, bind, bound) in wanted {
        let bound = match bound.or_else(|| free.get_mut(&bind)?.pop()) {
            Some(bound) => bound,
            None => Arc::new(BoundSocket::new(bind, net::bind(bind, workers)?)),
        };
        sockets.entry(name).or_default().push(bound);
    }
    Ok(sockets.into_iter().map(|(name, bound)| (name.clone(), Arc::new(ListenerSockets::new(bound)))).collect())
}

fn take(free: &mut Vec<Arc<BoundSocket>>, fits: impl Fn(&Arc<BoundSocket>) -> bool) -> Option<Arc<BoundSocket>> {
    free.iter().position(fits).map(|at| free.swap_remove(at))
}

/// An address that we ourselves hold in another form is not another process's.
fn explain(error: &BindError, held: &SocketMap) -> String {
    let mut ours = held.values().flat_map(|sockets| sockets.bound());
    match error {
        BindError::InUse { bind } => match ours.find(|bound| bound.local.port() == bind.port()) {
            Some(bound) => format!(
                "{bind} cannot be bound while this process listens on {}: take the port away in one reload and bind \
                 it anew in the next, or restart",
                bound.listens()
            ),
            None => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// Keys whose values stay until a restart, whatever a reload asks for.
pub const NEED_RESTART: [&str; 8] =
    ["instance", "workers", "admin", "metrics", "state", "journal", "audit", "log.format"];

/// What was fixed when the process started.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FixedAtStart {
    instance: Option<Name>,
    workers: Option<usize>,
    /// Its certificates are no part of it: they are read at every reload.
    admin: Option<(Admin, bool)>,
    metrics: Option<Bind>,
    /// Where the state is written, whatever a reload asks for.
    pub(super) state: Option<StateFile>,
    journal: Option<JournalFile>,
    audit: Option<AuditFile>,
    log_format: LogFormat,
}

impl FixedAtStart {
    /// As this configuration fixes it.
    pub(super) fn of(config: &Config) -> FixedAtStart {
        FixedAtStart {
            instance: config.instance.clone(),
            workers: config.workers,
            admin: config.admin.clone().map(|admin| (Admin { tls: None, ..admin.clone() }, admin.tls.is_some())),
            metrics: config.metrics,
            state: config.state.clone(),
            journal: config.journal.clone(),
            audit: config.audit.clone(),
            log_format: config.log.format,
        }
    }

    /// One line for each thing that a reload asks for and only a restart can give.
    pub(super) fn warnings(&self, config: &Config) -> Vec<String> {
        let wanted = FixedAtStart::of(config);
        // In the order of the keys.
        let changed = [
            self.instance != wanted.instance,
            self.workers != wanted.workers,
            self.admin != wanted.admin,
            self.metrics != wanted.metrics,
            self.state != wanted.state,
            self.journal != wanted.journal,
            self.audit != wanted.audit,
            self.log_format != wanted.log_format,
        ];
        NEED_RESTART
            .into_iter()
            .zip(changed)
            .filter(|(_, changed)| *changed)
            .map(|(key, _)| {
                format!("`{key}` changed: it takes effect at the next restart, the old value stays in force")
            })
            .collect()
    }
}
