//! The log's lines about listeners: one for each at the start, and for each that a reload opens, changes or closes.

use std::sync::Arc;

use crate::config::{Listener, Protocol, Target};
use crate::routing::{ListenerView, RoutingTable};

/// A listener as the log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListeningLine {
    name: String,
    /// Its addresses, with the ports that it really has.
    on: String,
    protocol: &'static str,
    tls: Option<&'static str>,
}

/// The listeners of a table, in their order.
pub(super) fn lines(table: &RoutingTable) -> Vec<ListeningLine> {
    let line = |view: &Arc<ListenerView>| {
        let on: Vec<_> = view.sockets.bound().iter().map(|bound| bound.listens().to_string()).collect();
        ListeningLine {
            name: view.config.name.to_string(),
            on: on.join(", "),
            protocol: match view.config.protocol {
                Protocol::Http => "http",
                Protocol::Tcp => "tcp",
            },
            tls: tls(&view.config),
        }
    };
    table.listeners.iter().map(line).collect()
}

/// What becomes of TLS on this listener. `None`: connections are in the clear, or their bytes are passed on unread.
fn tls(listener: &Listener) -> Option<&'static str> {
    match listener.target {
        _ if listener.tls.is_some() => Some("terminated"),
        Target::Sni(_) => Some("passed through"),
        _ => None,
    }
}

/// Logs what is new in `now`, and what of `before` is gone.
pub(super) fn report(before: &[ListeningLine], now: &[ListeningLine]) {
    for ListeningLine { name, on, protocol, .. } in before.iter().filter(|line| !now.contains(line)) {
        if !now.iter().any(|line| line.name == *name) {
            tracing::info!(%name, %on, protocol = %protocol, "no longer listening");
        }
    }
    for ListeningLine { name, on, protocol, tls } in now.iter().filter(|line| !before.contains(line)) {
        tracing::info!(%name, %on, protocol = %protocol, tls = tls.map(tracing::field::display), "listening");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn it_is_told_whether_tls_ends_here() {
        let text = "\
listeners:
  - {name: a, bind: 127.0.0.1:1, service: h}
  - {name: b, bind: 127.0.0.1:2, service: h, tls: {certificates: [{cert: c.pem, key: k.pem}]}}
  - {name: c, bind: 127.0.0.1:3, protocol: tcp, service: t}
  - {name: d, bind: 127.0.0.1:4, protocol: tcp, routes: [{service: t}]}
services:
  h: {pools: [{name: p, endpoints: [10.0.0.1:80]}]}
  t: {protocol: tcp, pools: [{name: p, endpoints: [10.0.0.1:80]}]}
";
        let config = crate::config::parse(text, Path::new(".")).unwrap_or_else(|problems| panic!("{problems}")).config;
        let told: Vec<_> = config.listeners.iter().map(|listener| tls(listener)).collect();
        assert_eq!(told, [None, Some("terminated"), None, Some("passed through")]);
    }
}
