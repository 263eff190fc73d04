//! Endpoints in YAML's flow style, for advice.

use std::net::SocketAddr;

use super::model::is_dns_name;

/// The standby of a pool.
pub(super) fn standby(address: &str) -> String {
    format!(
        "a standby is a pool of its own, below the first: \
         `pools: [{{name: main, endpoints: [10.0.0.1:8080]}}, {{name: standby, endpoints: [{address}]}}]`"
    )
}

/// An endpoint as it is written in a list.
pub(super) fn endpoint(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() > 0).then(|| flow_address(address));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    match host {
        "localhost" => Some(format!("127.0.0.1:{port}")),
        _ => (is_dns_name(host) && host.len() <= 60).then(|| format!("{{dns: {host}:{port}}}")),
    }
}

/// An address as it stands in a list: one of IPv6 in quotes.
pub(super) fn flow_address(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("\"{address}\"") } else { address.to_string() }
}
