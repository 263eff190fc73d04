//! Services, their pools and endpoints.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::address::{self, Purpose};
use super::{Room, check, header, listener, policy, tls};
use crate::config::defaults;
use crate::config::hints;
use crate::config::item::{Entries, Item, Short, Switch};
use crate::config::model::{
    CrossPool, Endpoint, FailbackMode, Family, HealthCheck, Members, Mode, Name, NamedEndpoints, Objectives,
    OutlierDetection, Patience, Pool, Protocol, ProxyVersion, Question, Service, StaticResponse, Upstream,
    UpstreamProtocol, is_name,
};
use crate::config::objective;
use crate::config::schema;
use crate::config::tree::{NodeId, shorten};
use crate::config::typing::listed;
use crate::config::units::{other_notation, without_login};

/// A service that the file names, be it right or wrong: routes may point at it.
pub(super) struct Named {
    pub(super) name: Name,
    pub(super) protocol: Protocol,
    pub(super) meaning: Option<Service>,
}

/// All services that the file names, in its order, and by name.
#[derive(Default)]
pub(super) struct Services {
    pub(super) list: Vec<Named>,
    places: HashMap<Name, usize>,
    /// There are none in the file, and the advice on another key gives them: that a name is unknown need not be told too.
    pub(super) supplied: bool,
}

impl Services {
    fn of(list: Vec<Named>) -> Services {
        let places = list.iter().zip(0..).map(|(named, at)| (named.name.clone(), at)).collect();
        Services { list, places, supplied: false }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Named> {
        self.places.get(name).map(|at| &self.list[*at])
    }
}

/// `services:`
pub(super) fn services(
    room: &mut Room,
    root: NodeId,
    entries: &Item<Entries<schema::Service>>,
    drain_timeout: Duration,
) -> Services {
    let sample = "services: {web: {pools: [{name: main, endpoints: [127.0.0.1:3000]}]}}";
    let Some(entries) = room.required(entries, root, "services", sample) else {
        return Services { supplied: room.is_supplied(root, &["services"]), ..Services::default() };
    };
    if entries.0.is_empty() {
        room.problem(root, "`services` is empty", format!("add one: `{sample}`"));
    }
    let mut found = Vec::new();
    let wrong = room.faults.wrong_nodes();
    let wrong_before = |id: Option<NodeId>| id.map_or(wrong.len(), |end| wrong.partition_point(|id| id.0 < end.0));
    for (index, (key, value)) in entries.0.iter().enumerate() {
        let Some((key_at, text)) = key.found() else { continue };
        // Nodes are numbered in the order of the file: those of a service end where the next one begins.
        let end = entries.0.get(index + 1).and_then(|(key, _)| key.at());
        let is_typed = wrong_before(Some(key_at)) == wrong_before(end);
        let name = room.name(key_at, text);
        let protocol = value.get().map_or(defaults::PROTOCOL, |typed| listener::protocol(room, &typed.protocol));
        let name = name.unwrap_or_else(|| Name::from(text.as_str()));
        let meaning =
            value.found().and_then(|(at, typed)| service(room, at, &name, typed, protocol, drain_timeout, is_typed));
        found.push(Named { name, protocol, meaning });
    }
    Services::of(found)
}

fn service(
    room: &mut Room,
    at: NodeId,
    name: &Name,
    typed: &schema::Service,
    protocol: Protocol,
    drain_timeout: Duration,
    is_typed: bool,
) -> Option<Service> {
    let errors = room.faults.errors();
    let upstream = upstream(room, typed, protocol);
    let mode = match typed.mode.get() {
        None => defaults::MODE,
        Some(schema::Mode::ActivePassive) => Mode::ActivePassive,
        Some(schema::Mode::ActiveActive) => Mode::ActiveActive,
    };
    let objectives = Objectives {
        rto: typed
            .objectives
            .get()
            .map(|o| &o.rto)
            .filter(|rto| rto.at().is_some())
            .map(|rto| room.wait(rto, Duration::ZERO)),
    };
    let timeouts = policy::timeouts(room, &typed.timeouts, protocol);
    let health = check::health_check(room, &typed.health_check, None, &upstream);
    let outlier = check::outlier_detection(room, &typed.outlier_detection, Some(&check::outlier_defaults()));
    let hold_response = match protocol {
        Protocol::Http => policy::bytes(room, &typed.hold_response, defaults::HOLD_RESPONSE),
        Protocol::Tcp => 0,
    };
    without_effect(room, typed, protocol);
    let service = Service {
        name: name.clone(),
        protocol,
        mode,
        objectives,
        balance: policy::balance(room, &typed.balance, protocol),
        retry: policy::retry(room, &typed.retry, protocol, timeouts.response),
        limits: policy::limits(room, &typed.limits, timeouts.connect),
        timeouts,
        failover: policy::failover(room, &typed.failover, drain_timeout),
        slow_start: room.time_or_off(&typed.slow_start, defaults::SLOW_START),
        hold_requests: room.time_or_off(&typed.hold_requests, defaults::HOLD_REQUESTS),
        hold_response,
        pools: pools(
            room,
            at,
            typed,
            Inherited { protocol, mode, upstream: &upstream, health: health.as_ref(), outlier: outlier.as_ref() },
        ),
        upstream,
    };
    // Numbers are held against each other only where all of them are there: a default in the place of a typing error says
    // nothing.
    let is_whole = is_typed && room.faults.errors() == errors;
    consistency(room, at, typed, &service, is_whole);
    // (One without pools is a problem already: nothing further is to be found out about it.)
    Some(service).filter(|service| !service.pools.is_empty())
}

/// `upstream:`
fn upstream(room: &mut Room, typed: &schema::Service, protocol: Protocol) -> Upstream {
    let Some(typed) = typed.upstream.get() else { return Upstream::PLAIN };
    let version = match typed.protocol.found() {
        None | Some((_, schema::UpstreamProtocol::Http1)) => UpstreamProtocol::Http1,
        Some((at, other)) => {
            if protocol == Protocol::Tcp {
                room.problem(at, "a tcp service passes bytes through, whatever they are", "leave `protocol` out");
            }
            match other {
                schema::UpstreamProtocol::Http2 => UpstreamProtocol::Http2,
                _ => UpstreamProtocol::Auto,
            }
        }
    };
    let tls = match typed.tls.found() {
        Some((at, Switch::On(typed))) => tls::upstream(room, at, typed, None),
        _ => None,
    };
    if let (UpstreamProtocol::Auto, None, Some(at)) = (version, &tls, typed.protocol.at()) {
        let what = "in the clear nothing is negotiated: `auto` is HTTP/1.1 here";
        room.warning(at, what, "write `http1` or `http2`, or add `tls`");
    }
    let keepalive = keepalive(room, typed, protocol, version, tls.is_some());
    Upstream { protocol: version, keepalive, tls, proxy_protocol: proxy_version(&typed.proxy_protocol) }
}

/// `keepalive:`. Over HTTP/2 a connection is there to be shared.
fn keepalive(
    room: &mut Room,
    typed: &schema::Upstream,
    protocol: Protocol,
    version: UpstreamProtocol,
    secured: bool,
) -> bool {
    let Some((at, keepalive)) = typed.keepalive.found() else { return true };
    if protocol == Protocol::Tcp {
        room.warning(at, "`keepalive` has no effect on a tcp service", "leave it out: each session has its connection");
        return true;
    }
    let may_be_http2 = match version {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Auto => secured,
    };
    if !keepalive.0 && may_be_http2 {
        let what = "requests over HTTP/2 share connections, which are kept: `keepalive: off` is about HTTP/1";
        room.problem(at, what, "leave `keepalive` out, or write `protocol: http1`");
    }
    keepalive.0 || may_be_http2
}

/// `proxy_protocol:` of a service or of a check.
pub(super) fn proxy_version(item: &Item<Switch<schema::ProxyVersion>>) -> Option<ProxyVersion> {
    match item.get()? {
        Switch::Off => None,
        Switch::On(schema::ProxyVersion::V1) => Some(ProxyVersion::V1),
        Switch::On(schema::ProxyVersion::V2) => Some(ProxyVersion::V2),
    }
}

/// Keys of HTTP on a tcp service.
fn without_effect(room: &mut Room, typed: &schema::Service, protocol: Protocol) {
    if protocol == Protocol::Http {
        return;
    }
    if let Some((at, bytes)) = typed.hold_response.found()
        && bytes.0 > 0
    {
        room.warning(at, "`hold_response` has no effect on a tcp service", "leave it out");
    }
    if let Some((at, Switch::On(_))) = typed.timeouts.get().and_then(|timeouts| timeouts.stall.found()) {
        room.warning(at, "`stall` has no effect on a tcp service", "leave it out: a session may be silent");
    }
}

/// What the endpoints of a service have taken, each with the pool that has it.
#[derive(Default)]
struct Taken {
    addresses: HashMap<SocketAddr, Name>,
    names: HashMap<Name, Name>,
}

impl Taken {
    /// Two endpoints of one name could not be told apart.
    fn name(&mut self, room: &mut Room, endpoint: &Endpoint, item: &Item<String>, pool: &Name) {
        if let (Some(name), Some(at)) = (&endpoint.name, item.at())
            && let Some(other) = self.names.insert(name.clone(), pool.clone())
        {
            let what = format!("a second endpoint of this service is called `{name}` (first in `{other}`)");
            let advice = another_name(name, |name| self.names.contains_key(name));
            room.problem(at, what, advice);
        }
    }
}

/// What to write where a name is taken.
pub(super) fn another_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let other = (2..100).map(|n| format!("{name}-{n}")).find(|name| is_name(name) && !is_taken(name));
    other.map_or_else(|| "give each its own name".to_owned(), |name| format!("write another name, such as `{name}`"))
}

/// What a pool takes over from its service.
#[derive(Clone, Copy)]
struct Inherited<'a> {
    protocol: Protocol,
    mode: Mode,
    upstream: &'a Upstream,
    health: Option<&'a HealthCheck>,
    outlier: Option<&'a OutlierDetection>,
}

/// `pools:`, in the order of their priority.
fn pools(room: &mut Room, at: NodeId, typed: &schema::Service, inherited: Inherited<'_>) -> Vec<Pool> {
    let sample = "pools: [{name: main, endpoints: [127.0.0.1:3000]}]";
    let Some(list) = room.required(&typed.pools, at, "pools", sample) else { return Vec::new() };
    if list.is_empty() {
        room.problem(typed.pools.at().unwrap_or(at), "the service has no pool", format!("add one: `{sample}`"));
    }
    let mut found: Vec<(u64, Pool)> = Vec::new();
    let (mut named, mut priorities) = (HashSet::new(), HashMap::new());
    let mut taken = Taken::default();
    for (index, item) in list.iter().enumerate() {
        let Some((at, typed)) = item.found() else { continue };
        let Some(pool) = pool(room, at, typed, inherited, &mut taken) else { continue };
        let priority = typed.priority.get().map_or(index as u64, |priority| priority.0);
        if !named.insert(pool.name.clone()) {
            let at = typed.name.at().unwrap_or(at);
            let advice = another_name(&pool.name, |name| named.contains(name));
            room.problem(at, format!("a second pool is called `{}`", pool.name), advice);
        }
        if let Some(other) = priorities.get(&priority) {
            let what = format!("`{other}` and `{}` both have priority {priority}", pool.name);
            let advice = "give each its own; left out it is the pool's place in the list, from 0";
            room.problem(typed.priority.at().unwrap_or(at), what, advice);
        } else {
            priorities.insert(priority, pool.name.clone());
        }
        found.push((priority, pool));
    }
    found.sort_by_key(|(priority, _)| *priority);
    found.into_iter().map(|(_, pool)| pool).collect()
}

fn pool(
    room: &mut Room,
    at: NodeId,
    typed: &schema::Pool,
    inherited: Inherited<'_>,
    taken: &mut Taken,
) -> Option<Pool> {
    let name = room
        .required(&typed.name, at, "name", "name: main")
        .and_then(|name| room.name(typed.name.at().unwrap_or(at), name));
    if let (Mode::ActivePassive, Some(at)) = (inherited.mode, typed.weight.at()) {
        room.warning(
            at,
            "a pool's weight has no effect in active_passive",
            "leave it out, or write `mode: active_active`",
        );
    }
    let health_check = check::health_check(room, &typed.health_check, inherited.health, inherited.upstream);
    let outlier_detection = check::outlier_detection(room, &typed.outlier_detection, inherited.outlier);
    let names = names(room, typed);
    let members = members(room, at, typed, inherited, name.as_ref(), taken)?;
    let is_static = matches!(members, Members::Static(_));
    Some(Pool {
        name: name?,
        weight: typed.weight.get().map_or(defaults::WEIGHT, |weight| weight.0 as u32),
        members,
        names,
        health_check: health_check.filter(|_| !is_static),
        outlier_detection: outlier_detection.filter(|_| !is_static),
    })
}

fn members(
    room: &mut Room,
    at: NodeId,
    typed: &schema::Pool,
    inherited: Inherited<'_>,
    pool: Option<&Name>,
    taken: &mut Taken,
) -> Option<Members> {
    match (typed.endpoints.at(), typed.static_response.at()) {
        (Some(_), Some(at)) => {
            room.problem(at, "a pool has endpoints or a static_response, not both", "make it two pools");
            None
        }
        (Some(place), None) => {
            let list = &typed.endpoints.get()?.0;
            if list.is_empty() {
                room.problem(place, "a pool without endpoints", "add one: `endpoints: [127.0.0.1:3000]`");
            }
            let found = list.iter().filter_map(Item::found).filter_map(|(at, endpoint)| {
                let item = &endpoint.0.name;
                let endpoint = self::endpoint(room, at, &endpoint.0)?;
                let pool = pool.cloned().unwrap_or_else(|| Name::from("?"));
                taken.name(room, &endpoint, item, &pool);
                match taken.addresses.insert(endpoint.address, pool) {
                    Some(other) => {
                        let what = format!("{} stands twice in this service (first in `{other}`)", endpoint.address);
                        room.problem(at, what, "keep it once; give it more weight if it should get more");
                        None
                    }
                    None => Some(endpoint),
                }
            });
            Some(Members::Endpoints(found.collect()))
        }
        (None, Some(place)) => {
            if inherited.protocol == Protocol::Tcp {
                room.problem(place, "a tcp service cannot answer by itself", "remove this pool");
            }
            if inherited.mode == Mode::ActiveActive {
                let advice = "write `mode: active_passive`, or remove this pool";
                room.later(place, "a static_response in active_active", advice);
            }
            static_response(room, &typed.static_response.get()?.0).map(|response| Members::Static(Arc::new(response)))
        }
        (None, None) => {
            if typed.discovery.at().is_none() && !room.is_supplied(at, &["endpoints", "static_response"]) {
                room.problem(at, "a pool without members", "add `endpoints: [127.0.0.1:3000]` or a `static_response`");
            }
            None
        }
    }
}

fn endpoint(room: &mut Room, at: NodeId, typed: &schema::Endpoint) -> Option<Endpoint> {
    if typed.dns.at().is_some() || typed.srv.at().is_some() {
        return None; // see `names`
    }
    if let Some(at) = typed.family.at() {
        room.problem(at, "`family` is about names", "leave it out: the address says it");
    }
    if room.is_supplied(at, &["dns", "srv"]) {
        return None;
    }
    let address = room.required(&typed.address, at, "address", "address: 127.0.0.1:3000")?.0;
    if address.port() == 0 {
        room.problem(typed.address.at().unwrap_or(at), "port 0 cannot be connected to", "write the endpoint's port");
    }
    address::check(room, typed.address.at().unwrap_or(at), address, Purpose::Connect);
    Some(Endpoint {
        address,
        name: typed.name.found().and_then(|(at, name)| room.name(at, name)),
        host: None,
        weight: typed.weight.get().map_or(defaults::WEIGHT, |weight| weight.0 as u32),
        max_connections: typed.max_connections.get().map(|n| n.0 as usize),
        check_port: typed.check_port.get().map(|port| port.0 as u16),
    })
}

/// The items of `endpoints:` that DNS names.
fn names(room: &mut Room, typed: &schema::Pool) -> Vec<NamedEndpoints> {
    let mut found: Vec<NamedEndpoints> = Vec::new();
    let mut asked = HashSet::new();
    for (at, endpoint) in typed.endpoints.get().into_iter().flat_map(|list| &list.0).filter_map(Item::found) {
        let Some(name) = named(room, at, &endpoint.0) else { continue };
        if !asked.insert(name.question.clone()) {
            room.problem(at, format!("{} stands twice in this pool", name.question), "keep it once");
        }
        found.push(name);
    }
    found
}

/// `dns: app.internal:8080`, `srv: _http._tcp.app.internal`. `None`: it is an address, or wrong.
fn named(room: &mut Room, at: NodeId, typed: &schema::Endpoint) -> Option<NamedEndpoints> {
    let others = [&typed.address.at(), &typed.dns.at(), &typed.srv.at()].iter().filter(|at| at.is_some()).count();
    if others > 1 {
        room.problem(at, "an endpoint is an address, a name (`dns`) or a service name (`srv`)", "keep one of them");
        return None;
    }
    if let (Some(at), true) = (typed.name.at(), others > typed.address.at().iter().count()) {
        room.problem(at, "`name` is for one address, and DNS may have several", "leave it out");
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
            let (host, port) = host_and_port(room, at, text)?;
            (host, Some(port))
        }
        (None, Some((at, text))) => (service_name(room, at, text)?, None),
        (None, None) => return None,
    };
    Some(NamedEndpoints {
        question: Question { name: name.into(), port, family },
        weight: typed.weight.get().map(|weight| weight.0 as u32),
        max_connections: typed.max_connections.get().map(|n| n.0 as usize),
        check_port: typed.check_port.get().map(|port| port.0 as u16),
    })
}

fn host_and_port(room: &mut Room, at: NodeId, text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let address = text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok();
    match (tls::dns_name(host.strip_suffix('.').unwrap_or(host)), port.parse::<u16>()) {
        (Some(_), Ok(port)) if port > 0 => Some((host.to_ascii_lowercase(), port)),
        (name, _) => {
            if let Some((what, advice)) = other_notation(text, Purpose::Connect) {
                room.problem(at, format!("`{}` is {what}", without_login(text)), advice);
                return None;
            }
            let advice = if address {
                match hints::endpoint(text) {
                    Some(endpoint) => format!("it is an address: write `{endpoint}` alone"),
                    None => format!("it is an address: write `{}:8080` alone", shorten(text)),
                }
            } else if name.is_some() && host.len() <= 200 {
                format!("add the port: `{host}:8080`; where SRV records say it, write `srv`")
            } else {
                "write a name and a port, such as `app.internal:8080`".to_owned()
            };
            room.problem(at, format!("`{}` is not a name with a port", without_login(text)), advice);
            None
        }
    }
}

fn service_name(room: &mut Room, at: NodeId, text: &str) -> Option<String> {
    if tls::dns_name(text.strip_suffix('.').unwrap_or(text)).is_some() {
        return Some(text.to_ascii_lowercase());
    }
    let what = other_notation(text, Purpose::Connect).map_or("not a name with SRV records", |(what, _)| what);
    let what = format!("`{}` is {what}", without_login(text));
    room.problem(at, what, "write one such as `_http._tcp.app.internal`, without a port");
    None
}

fn static_response(room: &mut Room, typed: &schema::StaticResponse) -> Option<StaticResponse> {
    let headers = header::settable(room, &typed.headers);
    for (key, _) in typed.headers.get().map_or(&[][..], |entries| &entries.0) {
        if let Some((at, name)) = key.found()
            && name.eq_ignore_ascii_case("content-type")
        {
            room.problem(at, "the content type has a key of its own", "write it as `content_type`");
        }
    }
    let body = match (typed.body.found(), typed.body_file.found()) {
        (Some(_), Some((at, _))) => {
            room.problem(at, "`body` and `body_file` are both given", "keep one of them");
            None
        }
        (_, Some((at, file))) => body_file(room, at, file),
        (Some((_, text)), None) => Some(text.clone()),
        (None, None) => Some(String::new()),
    };
    let by_ending = match typed.body_file.get().and_then(|file| file.rsplit_once('.')) {
        Some((_, "html" | "htm")) => "text/html; charset=utf-8",
        Some((_, "json")) => "application/json",
        _ => defaults::CONTENT_TYPE,
    };
    let content_type = match typed.content_type.found() {
        Some((at, text)) => header::value(room, at, text)?,
        None => by_ending.into(),
    };
    let status = typed.status.get().map_or(defaults::STATIC_STATUS, |status| status.0 as u16);
    let body = body?;
    if let (204 | 304, false, Some(at)) = (status, body.is_empty(), typed.body.at().or(typed.body_file.at())) {
        room.problem(at, format!("an answer {status} has no body"), "leave it out");
    }
    Some(StaticResponse { status, content_type, headers, body })
}

/// Reads the body now, so that a missing file is a problem of the configuration and not of the first request.
fn body_file(room: &mut Room, at: NodeId, file: &str) -> Option<String> {
    const LARGEST: u64 = 1 << 20;
    let path = room.path(file);
    let wrong = match std::fs::metadata(&path) {
        Ok(found) if !found.is_file() => "it is not a file".to_owned(),
        Ok(found) if found.len() > LARGEST => format!("it has {} bytes: at most {LARGEST} are read", found.len()),
        Ok(_) => match std::fs::read(&path).map(String::from_utf8) {
            Ok(Ok(body)) => return Some(body),
            Ok(Err(_)) => "it is not UTF-8 text".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let what = format!("cannot read `{}`: {wrong}", shorten(file));
    room.problem(at, what, "a relative path counts from the folder of this file");
    None
}

/// What the parts of one service say about each other.
fn consistency(room: &mut Room, at: NodeId, typed: &schema::Service, service: &Service, is_whole: bool) {
    let failover = typed.failover.get();
    let pools = PoolsByName::of(typed);
    for (index, pool) in service.pools.iter().enumerate() {
        let endpoints = weighted(pool);
        let place = pools.find(&pool.name).and_then(Item::at).unwrap_or(at);
        if let Members::Static(_) = pool.members {
            if index + 1 < service.pools.len() {
                let what = format!(
                    "`{}` is a page: it serves only when no pool with endpoints is available, also none of those after it",
                    pool.name
                );
                room.warning(place, what, "make it the last one");
            }
            continue;
        }
        if !takes_work(pool) {
            let what = format!("pool `{}` takes no new work: all its endpoints have weight 0", pool.name);
            room.warning(place, what, "the service leaves it; if that is not meant, give one of them a weight");
            continue;
        }
        if !pool.names.is_empty() || !is_whole {
            continue; // how many there are is for DNS to say, or not known yet
        }
        if endpoints > 0 && service.failover.min_healthy > endpoints {
            let at = failover.and_then(|typed| typed.min_healthy.at()).unwrap_or(place);
            let (min, name) = (service.failover.min_healthy, &pool.name);
            let weighted = if endpoints < pool.members.endpoints().len() { " with a weight" } else { "" };
            let what = format!(
                "min_healthy {min} is more than pool `{name}` has{weighted} ({endpoints}): it is never available"
            );
            room.problem(at, what, format!("at most {endpoints}"));
        }
        let has_lower = index + 1 < service.pools.len();
        let typed_share = typed.outlier_detection.at();
        if let (Some(rule), Some(at), false) = (&pool.outlier_detection, typed_share, has_lower)
            && rule.max_ejected != defaults::MAX_EJECTED
            && (rule.max_ejected * endpoints as f64) < 1.0
        {
            let percent = rule.max_ejected * 100.0;
            let what = format!("max_ejected {percent}% of {endpoints} endpoint(s) in `{}` is less than one", pool.name);
            room.warning(at, what, "no endpoint of it can be ejected while no lower pool can serve: raise the share");
        }
    }
    if !service.pools.is_empty() && !service.pools.iter().any(takes_work) {
        let advice = "give one of them a weight, or add a pool with a `static_response` that says why";
        room.problem(at, "nothing takes work in this service: all endpoints have weight 0", advice);
    }
    if is_whole {
        hedges_go_somewhere(room, typed, service);
    }
    databases_are_left_alone(room, at, typed, service);
    let unwatched = unwatched(typed, &pools, service);
    check_ports_are_asked(room, &pools, &unwatched);
    if typed.objectives.get().is_none_or(|objectives| objectives.rto.at().is_none()) {
        standby_is_watched(room, at, typed, service, &unwatched);
    }
    objective_holds(room, at, typed, service, &unwatched, is_whole);
}

/// Endpoints that the configuration gives a share of new work.
fn weighted(pool: &Pool) -> usize {
    pool.members.endpoints().iter().filter(|endpoint| endpoint.weight > 0).count()
}

/// May new work go there at all? (A pool without endpoints is another problem.)
fn takes_work(pool: &Pool) -> bool {
    let named = pool.names.iter().any(|name| name.weight != Some(0));
    let empty = pool.members.endpoints().is_empty() && pool.names.is_empty();
    named || empty || weighted(pool) > 0
}

/// A proxy promotes no database: clients that are sent home by themselves meet a primary that is one no more.
fn databases_are_left_alone(room: &mut Room, at: NodeId, typed: &schema::Service, service: &Service) {
    let database = |endpoint: &Endpoint| match endpoint.address.port() {
        5432 => Some("PostgreSQL"),
        3306 => Some("MySQL"),
        6379 => Some("Redis"),
        _ => None,
    };
    let pools = || service.pools.iter().filter(|pool| !pool.is_static());
    let goes_home = service.mode == Mode::ActivePassive && service.failover.failback.mode == FailbackMode::Auto;
    if service.protocol != Protocol::Tcp || !goes_home || pools().count() < 2 {
        return;
    }
    let Some(name) = pools().flat_map(|pool| pool.members.endpoints()).find_map(database) else { return };
    let at = typed.failover.get().and_then(|failover| failover.failback.at()).unwrap_or(at);
    let what = format!(
        "this looks like {name}, and `failback: auto` would send its clients back to the old primary, which nothing here promotes"
    );
    room.warning(
        at,
        what,
        "write `failback: manual` under `failover`, and go home after the old primary was promoted again",
    );
}

/// A hedge after a time of its own needs a second endpoint: in the pool, or in another one that it may go to.
fn hedges_go_somewhere(room: &mut Room, typed: &schema::Service, service: &Service) {
    let Patience::After(_) = service.retry.hedge else { return };
    let Some(at) = typed.retry.get().and_then(|retry| retry.hedge.at()) else { return };
    // (A name may stand for several.)
    let most = |pool: &Pool| weighted(pool) + 2 * pool.names.len();
    let pools: Vec<usize> = service.pools.iter().map(most).filter(|n| *n > 0).collect();
    let inside = pools.iter().any(|endpoints| *endpoints > 1);
    let across = pools.len() > 1 && service.retry.cross_pool != CrossPool::Never;
    if !inside && !across {
        let what = if pools.len() > 1 {
            "`hedge` has no effect: no pool has a second endpoint, and `cross_pool: never` forbids the other pools"
        } else {
            "`hedge` has no effect: there is no second endpoint"
        };
        room.warning(at, what, "add an endpoint, or leave it out");
    }
}

/// `check_port` in a pool without a check.
fn check_ports_are_asked(room: &mut Room, pools: &PoolsByName<'_>, unwatched: &[Name]) {
    let pools = unwatched.iter().filter_map(|name| pools.find(name)?.get()?.endpoints.get());
    for at in pools.flat_map(|list| &list.0).filter_map(|endpoint| endpoint.get()?.0.check_port.at()) {
        let what = "`check_port` has no effect: the pool has no health check";
        room.warning(at, what, "add a `health_check`, or leave it out");
    }
}

/// Pools that have no check because none was asked for. (A check that was typed and refused is a problem already.)
fn unwatched(typed: &schema::Service, pools: &PoolsByName<'_>, service: &Service) -> Vec<Name> {
    let none_asked = |item: &Item<Switch<Short<schema::HealthCheck>>>| matches!(item.get(), Some(Switch::Off));
    let by_service = typed.health_check.at().is_none() || none_asked(&typed.health_check);
    let by_pool = |pool: &&Pool| match pools.find(&pool.name).and_then(Item::get).map(|pool| &pool.health_check) {
        Some(item) if item.at().is_some() => none_asked(item),
        _ => by_service,
    };
    let endpoints = |pool: &&Pool| !pool.is_static() && pool.health_check.is_none();
    service.pools.iter().filter(endpoints).filter(by_pool).map(|pool| pool.name.clone()).collect()
}

fn standby_is_watched(room: &mut Room, at: NodeId, typed: &schema::Service, service: &Service, unwatched: &[Name]) {
    let several = service.pools.iter().filter(|pool| !pool.is_static()).count() > 1;
    if !several || unwatched.is_empty() {
        return;
    }
    let what = format!("{} no health check", have(unwatched));
    let advice = "only failing requests show that it is down, and nothing shows that it is back: add \
                  `health_check: {http: {path: /healthz}}` or `{tcp: {}}`";
    room.warning(typed.health_check.at().unwrap_or(at), what, advice);
}

/// `objectives.rto` against the arithmetic of detection; pools with equal arithmetic are told together.
fn objective_holds(
    room: &mut Room,
    at: NodeId,
    typed: &schema::Service,
    service: &Service,
    unwatched: &[Name],
    is_whole: bool,
) {
    let Some(rto) = typed.objectives.get().and_then(|objectives| objectives.rto.at()) else { return };
    let mut late = objective::detections(service);
    late.retain(|detection| is_whole && !detection.holds() && detection.worst.is_some());
    for late in objective::by_sum(late) {
        let sum = &late[0];
        let pools: Vec<Name> = late.iter().map(|detection| detection.pool.clone()).collect();
        let parts = "interval × (1 + jitter) + fall × timeout + (fall − 1) × fast_interval";
        let what = format!("a silent fault can go unnoticed for {sum} ({})", listed(&pools).replace('`', ""));
        room.problem(rto, what, format!("the sum is {parts}: lower one of them, or promise less"));
    }
    if !unwatched.is_empty() {
        let what = format!("{} no health check: a silent fault has no bound", have(unwatched));
        let advice = "add `health_check: {http: {path: /healthz}}` or `{tcp: {}}`, or promise nothing";
        room.problem(typed.health_check.at().unwrap_or(at), what, advice);
    }
}

/// `pool `a` has`, `pools `a`, `b` have`
fn have(pools: &[Name]) -> String {
    let names = listed(pools);
    if pools.len() == 1 { format!("pool {names} has") } else { format!("pools {names} have") }
}

/// The services of a file as they were typed, by name; of several with one name the first.
pub(super) struct ServicesByName<'t>(HashMap<&'t str, &'t (Item<String>, Item<schema::Service>)>);

impl<'t> ServicesByName<'t> {
    pub(super) fn of(file: &'t schema::File) -> ServicesByName<'t> {
        let mut services = HashMap::new();
        for entry in file.services.get().map_or(&[][..], |services| &services.0) {
            if let Some(name) = entry.0.get() {
                services.entry(name.as_str()).or_insert(entry);
            }
        }
        ServicesByName(services)
    }

    pub(super) fn find(&self, name: &str) -> Option<&'t (Item<String>, Item<schema::Service>)> {
        self.0.get(name).copied()
    }
}

/// The pools of a service as they were typed, by name; of several with one name the first.
pub(super) struct PoolsByName<'t>(HashMap<&'t str, &'t Item<schema::Pool>>);

impl<'t> PoolsByName<'t> {
    pub(super) fn of(typed: &'t schema::Service) -> PoolsByName<'t> {
        let mut pools = HashMap::new();
        for item in typed.pools.get().into_iter().flatten() {
            if let Some(name) = item.get().and_then(|pool| pool.name.get()) {
                pools.entry(name.as_str()).or_insert(item);
            }
        }
        PoolsByName(pools)
    }

    pub(super) fn find(&self, name: &str) -> Option<&'t Item<schema::Pool>> {
        self.0.get(name).copied()
    }
}
