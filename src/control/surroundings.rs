//! What a configuration means on this machine and in its network: what is worth a look.

use std::net::IpAddr;

use crate::config::{Config, OwnEndpoint, OwnPort, own_listeners};
use crate::net::is_own_address;

/// A line for each endpoint at an address of this machine where a listener takes every address, and one for an admin port that
/// others can read. What the configuration shows on any machine, its reader has said already.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut lines = told(config, is_own_address);
    lines.extend(open_admin_port(config));
    lines
}

/// An admin port off loopback that asks for no credential, where that is not said.
fn open_admin_port(config: &Config) -> Option<String> {
    let admin = config.admin.as_ref()?;
    let bind = admin.bind.filter(|bind| !bind.is_loopback())?;
    let is_meant = admin.tokens_file.is_some() || !admin.jwt.is_empty() || admin.anonymous_viewer;
    (!is_meant).then(|| {
        format!(
            "admin.bind: everybody who can reach {bind} may read the state: add `tokens_file` and `tls`, or say that it is meant: \
             `anonymous: viewer`"
        )
    })
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
    fn an_admin_port_that_is_open_to_others_is_told_of_unless_it_is_meant() {
        for (admin, is_told) in [
            ("0.0.0.0:9901", true),
            ("'*:9901'", true),
            ("127.0.0.1:9901", false),
            ("{bind: 0.0.0.0:9901, anonymous: viewer}", false),
            ("{socket: /run/standfast/admin.sock}", false),
            ("{bind: 0.0.0.0:9901, tokens_file: t, tls: {certificates: [{cert: c, key: k}]}}", false),
        ] {
            let text = format!(
                "admin: {admin}\nlisteners: [{{name: web, bind: 127.0.0.1:8080, service: app}}]\n\
                 services: {{app: {{pools: [{{name: main, endpoints: [10.1.2.3:80]}}]}}}}\n"
            );
            let config = crate::config::parse(&text, std::path::Path::new("")).unwrap().config;
            assert_eq!(warnings(&config).len(), usize::from(is_told), "{admin}");
        }
    }

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
