//! `endpoints:`: addresses, and names for DNS.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::diagnostics::Diagnostics;
use super::names::unused_name_advice;
use super::{address, tls};
use crate::config::defaults;
use crate::config::flow;
use crate::config::model::{Endpoint, Family, Name, NamedEndpoints, Question};
use crate::config::schema;
use crate::config::spanned::Spanned;
use crate::config::tree::{NodeId, shorten};
use crate::config::units::{AddressPurpose, other_notation, without_login};

/// What the endpoints of a service have taken, each with the pool that has it.
#[derive(Default)]
pub(super) struct TakenEndpoints {
    pub(super) addresses: HashMap<SocketAddr, Name>,
    pub(super) names: HashMap<Name, Name>,
}

impl TakenEndpoints {
    /// Two endpoints of one name could not be told apart.
    pub(super) fn name(
        &mut self,
        diagnostics: &mut Diagnostics,
        endpoint: &Endpoint,
        item: &Spanned<String>,
        pool: &Name,
    ) {
        if let (Some(name), Some(at)) = (&endpoint.name, item.at())
            && let Some(other) = self.names.insert(name.clone(), pool.clone())
        {
            let what = format!("a second endpoint of this service is called `{name}` (first in `{other}`)");
            let advice = unused_name_advice(name, |name| self.names.contains_key(name));
            diagnostics.problem(at, what, advice);
        }
    }
}

pub(super) fn endpoint(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Endpoint) -> Option<Endpoint> {
    if typed.dns.at().is_some() || typed.srv.at().is_some() {
        return None; // see `names`
    }
    if let Some(at) = typed.family.at() {
        diagnostics.problem(at, "`family` is about names", "leave it out: the address says it");
    }
    if diagnostics.is_supplied(at, &["dns", "srv"]) {
        return None;
    }
    let address = diagnostics.required(&typed.address, at, "address", "address: 127.0.0.1:3000")?.0;
    if address.port() == 0 {
        diagnostics.problem(
            typed.address.at().unwrap_or(at),
            "port 0 cannot be connected to",
            "write the endpoint's port",
        );
    }
    address::check(diagnostics, typed.address.at().unwrap_or(at), address, AddressPurpose::Connect);
    Some(Endpoint {
        address,
        name: typed.name.found().and_then(|(at, name)| diagnostics.name(at, name)),
        host: None,
        weight: typed.weight.get().map_or(defaults::WEIGHT, |weight| weight.0 as u32),
        max_connections: typed.max_connections.get().map(|n| n.0 as usize),
        check_port: typed.check_port.get().map(|port| port.0 as u16),
    })
}

/// The items of `endpoints:` that DNS names.
pub(super) fn names(diagnostics: &mut Diagnostics, typed: &schema::Pool) -> Vec<NamedEndpoints> {
    let mut found: Vec<NamedEndpoints> = Vec::new();
    let mut asked = HashSet::new();
    for (at, endpoint) in typed.endpoints.get().into_iter().flat_map(|list| &list.0).filter_map(Spanned::found) {
        let Some(name) = named(diagnostics, at, &endpoint.0) else { continue };
        if !asked.insert(name.question.clone()) {
            diagnostics.problem(at, format!("{} stands twice in this pool", name.question), "keep it once");
        }
        found.push(name);
    }
    found
}

/// `dns: app.internal:8080`, `srv: _http._tcp.app.internal`. `None`: it is an address, or wrong.
fn named(diagnostics: &mut Diagnostics, at: NodeId, typed: &schema::Endpoint) -> Option<NamedEndpoints> {
    let others = [&typed.address.at(), &typed.dns.at(), &typed.srv.at()].iter().filter(|at| at.is_some()).count();
    if others > 1 {
        diagnostics.problem(
            at,
            "an endpoint is an address, a name (`dns`) or a service name (`srv`)",
            "keep one of them",
        );
        return None;
    }
    if let (Some(at), true) = (typed.name.at(), others > typed.address.at().iter().count()) {
        diagnostics.problem(at, "`name` is for one address, and DNS may have several", "leave it out");
    }
    let family = match typed.family.get() {
        None => defaults::FAMILY,
        Some(schema::Family::Auto) => Family::Auto,
        Some(schema::Family::Ipv4) => Family::Ipv4,
        Some(schema::Family::Ipv6) => Family::Ipv6,
        Some(schema::Family::All) => Family::All,
    };
    let (name, port) = match (typed.dns.found(), typed.srv.found()) {
        (Some((at, text)), _) => {
            let (host, port) = host_and_port(diagnostics, at, text)?;
            (host, Some(port))
        }
        (None, Some((at, text))) => (service_name(diagnostics, at, text)?, None),
        (None, None) => return None,
    };
    Some(NamedEndpoints {
        question: Question { name: name.into(), port, family },
        weight: typed.weight.get().map(|weight| weight.0 as u32),
        max_connections: typed.max_connections.get().map(|n| n.0 as usize),
        check_port: typed.check_port.get().map(|port| port.0 as u16),
    })
}

fn host_and_port(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let address = text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok();
    match (tls::dns_name(host.strip_suffix('.').unwrap_or(host)), port.parse::<u16>()) {
        (Some(_), Ok(port)) if port > 0 => Some((host.to_ascii_lowercase(), port)),
        (name, _) => {
            if let Some((what, advice)) = other_notation(text, AddressPurpose::Connect) {
                diagnostics.problem(at, format!("`{}` is {what}", without_login(text)), advice);
                return None;
            }
            let advice = if address {
                match flow::endpoint(text) {
                    Some(endpoint) => format!("it is an address: write `{endpoint}` alone"),
                    None => format!("it is an address: write `{}:8080` alone", shorten(text)),
                }
            } else if name.is_some() && host.len() <= 200 {
                format!("add the port: `{host}:8080`; where SRV records say it, write `srv`")
            } else {
                "write a name and a port, such as `app.internal:8080`".to_owned()
            };
            diagnostics.problem(at, format!("`{}` is not a name with a port", without_login(text)), advice);
            None
        }
    }
}

fn service_name(diagnostics: &mut Diagnostics, at: NodeId, text: &str) -> Option<String> {
    if tls::dns_name(text.strip_suffix('.').unwrap_or(text)).is_some() {
        return Some(text.to_ascii_lowercase());
    }
    let what = other_notation(text, AddressPurpose::Connect).map_or("not a name with SRV records", |(what, _)| what);
    let what = format!("`{}` is {what}", without_login(text));
    diagnostics.problem(at, what, "write one such as `_http._tcp.app.internal`, without a port");
    None
}
