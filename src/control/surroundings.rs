//! What a configuration means on this machine, and only here: what is worth a look.

use std::net::IpAddr;

use crate::config::{Config, OwnEndpoint, OwnPort, own_listeners};
use crate::net::is_own_address;

/// A line for each endpoint at an address of this machine where a listener takes every address. What the configuration shows
/// on any machine, its reader has said already.
pub fn warnings(config: &Config) -> Vec<String> {
    told(config, is_own_address)
}

fn told(config: &Config, is_ours: impl Fn(IpAddr) -> bool) -> Vec<String> {
    let found = own_listeners(config, is_ours);
    let here = found.iter().filter(|own| own.only_here);
    here.filter_map(|own| {
        let (OwnEndpoint::Address(address), OwnPort::Listener(listener)) = (&own.endpoint, &own.by) else {
            return None;
        };
        let consequence = if own.circle {
            "requests would go round in a circle and end with 508"
        } else {
            "requests pass through this proxy twice"
        };
        Some(format!(
            "services.{}.pools.{}: {address} is an address of this machine, where our own listener `{listener}` takes \
             every address: {consequence}; write the address of the server behind this proxy",
            own.service, own.pool
        ))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_told_of_where_a_listener_takes_every_address() {
        let text = "listeners: [{name: web, bind: 0.0.0.0:8080, service: app}]\n\
                    services: {app: {pools: [{name: main, endpoints: [10.1.2.3:8080, 10.1.2.3:81, 10.1.2.4:8080]}]}}\n";
        let config = crate::config::parse(text, std::path::Path::new("")).unwrap().config;
        let lines = told(&config, |ip| ip == IpAddr::from([10, 1, 2, 3]));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("services.app.pools.main: 10.1.2.3:8080 is an address of this machine"),
            "{lines:?}"
        );
        assert_eq!(told(&config, |_| false), Vec::<String>::new());
    }
}
