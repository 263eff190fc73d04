//! What an answer of DNS means: which records count, and that an answer counts whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, RecordType};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::servers::{LookupError, NameServers};
use crate::config::{Family, Name, Question, is_dns_name};
use crate::text::shortened;

/// Endpoints that one name may stand for; what an answer has beyond them is left out, the same ones each time.
pub(super) const MOST: usize = 1000;
/// Targets of SRV records that are looked up at once.
const AT_ONCE: usize = 16;

/// One address that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::control) struct FoundAddress {
    /// With the port of the question or of the SRV record.
    pub(super) address: SocketAddr,
    /// The name that the configuration says, without what only says the service (`_http._tcp`).
    pub(super) host: Name,
    /// What the SRV record says, 1..=1000.
    pub(super) weight: Option<u32>,
}

/// One family of addresses could not be looked up.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::control) struct MissingFamily {
    /// IPv4; else IPv6.
    v4: bool,
    /// What its lookup failed with.
    pub(super) trouble: String,
}

impl MissingFamily {
    /// Is this address of the family that is missing?
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        address.is_ipv4() == self.v4
    }
}

/// What a lookup gives: addresses, endpoints.
#[derive(Debug)]
pub(super) struct LookupAnswer<T> {
    pub(super) found: Vec<T>,
    pub(super) ttl: Duration,
    pub(super) missing: Option<MissingFamily>,
}

impl<T> LookupAnswer<T> {
    fn without(self, v4: bool, trouble: String) -> LookupAnswer<T> {
        let family = if v4 { "IPv4" } else { "IPv6" };
        LookupAnswer { missing: Some(MissingFamily { v4, trouble: format!("{family} addresses: {trouble}") }), ..self }
    }
}

/// The endpoints that a question stands for.
pub(super) async fn answer(
    view: &Arc<NameServers>,
    question: &Question,
) -> Result<LookupAnswer<FoundAddress>, LookupError> {
    let Some(port) = question.port else { return by_service(view, question).await };
    let LookupAnswer { found: addresses, ttl, missing } = addresses(view, &question.name, question.family).await?;
    let host = Name::from(question.host());
    let found = |ip| FoundAddress { address: SocketAddr::new(ip, port), host: host.clone(), weight: None };
    Ok(LookupAnswer { found: addresses.into_iter().map(found).collect(), ttl, missing })
}

/// The addresses of a name. An answer for one family is none for the other: where only one of both is answered, the other is
/// noted as missing, so that what was known of it stays.
async fn addresses(view: &NameServers, name: &str, family: Family) -> Result<LookupAnswer<IpAddr>, LookupError> {
    let v4 = || of_kind(view, name, RecordType::A);
    let v6 = || of_kind(view, name, RecordType::AAAA);
    match family {
        Family::Ipv4 => v4().await,
        Family::Ipv6 => v6().await,
        Family::Auto => match v4().await {
            Err(LookupError::Nothing(_)) => v6().await,
            Err(LookupError::Failed(text)) => match v6().await {
                Ok(answer) => Ok(answer.without(true, text)),
                Err(_) => Err(LookupError::Failed(text)),
            },
            answer => answer,
        },
        Family::All => match tokio::join!(v4(), v6()) {
            (Ok(mut answer), Ok(other)) => {
                answer.found.extend(other.found);
                Ok(LookupAnswer { ttl: answer.ttl.min(other.ttl), ..answer })
            }
            (Ok(answer), Err(LookupError::Nothing(_))) | (Err(LookupError::Nothing(_)), Ok(answer)) => Ok(answer),
            (Ok(answer), Err(LookupError::Failed(text))) => Ok(answer.without(false, text)),
            (Err(LookupError::Failed(text)), Ok(answer)) => Ok(answer.without(true, text)),
            (Err(LookupError::Nothing(_)), Err(miss)) | (Err(miss), Err(_)) => Err(miss),
        },
    }
}

async fn of_kind(view: &NameServers, name: &str, kind: RecordType) -> Result<LookupAnswer<IpAddr>, LookupError> {
    let lookup = view.records(name, kind).await?;
    let address = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    let all = lookup.answers().iter().filter_map(|record| address(&record.data));
    let usable: Vec<IpAddr> = all.filter(|ip| is_host_address(*ip)).collect();
    if usable.is_empty() {
        return Err(LookupError::Nothing("the name has no address that a host could have".into()));
    }
    Ok(LookupAnswer { found: usable, ttl: ttl(&lookup), missing: None })
}

/// An address that one host can have: not unspecified (`0.0.0.0` is how a name is blocked, and a connect to it would reach
/// this process), no multicast group, no broadcast.
fn is_host_address(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

fn ttl(lookup: &Lookup) -> Duration {
    Duration::from_secs(lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0).into())
}

/// SRV records and the addresses of their targets (RFC 2782). Of several priorities the best one counts: the others
/// are another pool's matter. That a target has no address is an answer; that it cannot be looked up makes the whole
/// one void.
async fn by_service(view: &Arc<NameServers>, question: &Question) -> Result<LookupAnswer<FoundAddress>, LookupError> {
    let lookup = services(view, &question.name).await?;
    let mut ttl = ttl(&lookup);
    let mut missing = None;
    let mut services: Vec<&SRV> = lookup.answers().iter().filter_map(|record| service(&record.data)).collect();
    let best = services.iter().map(|srv| srv.priority).min();
    services.retain(|srv| Some(srv.priority) == best);
    services.sort_unstable_by(|a, b| (&a.target, a.port).cmp(&(&b.target, b.port)));
    services.truncate(MOST);
    let heaviest = services.iter().map(|srv| srv.weight).max().unwrap_or(0);
    let mut targets: BTreeMap<String, Vec<(u16, u32)>> = BTreeMap::new();
    for srv in services {
        let mut target = srv.target.to_ascii().to_ascii_lowercase();
        if !target.ends_with('.') {
            target.push('.');
        }
        targets.entry(target).or_default().push((srv.port, scaled(srv.weight, heaviest)));
    }
    let host = Name::from(domain_of(question.host()));
    let mut found = Vec::new();
    let names: Vec<&String> = targets.keys().collect();
    for some in names.chunks(AT_ONCE) {
        for (target, answer) in all_addresses(view, some, question.family).await {
            let addresses = match answer {
                Ok(answer) => {
                    ttl = ttl.min(answer.ttl);
                    missing = missing.or(answer.missing);
                    answer.found
                }
                Err(LookupError::Nothing(_)) => continue,
                Err(LookupError::Failed(text)) => return Err(LookupError::Failed(format!("{target}: {text}"))),
            };
            for (port, weight) in targets.get(&target).into_iter().flatten() {
                let one = |ip| FoundAddress {
                    address: SocketAddr::new(ip, *port),
                    host: host.clone(),
                    weight: Some(*weight),
                };
                found.extend(addresses.iter().copied().map(one));
            }
        }
    }
    if found.is_empty() {
        return Err(LookupError::Nothing("no SRV record has a target with an address".into()));
    }
    Ok(LookupAnswer { found, ttl, missing })
}

/// SRV records of a name, or of the one that it is an alias of.
async fn services(view: &NameServers, name: &str) -> Result<Lookup, LookupError> {
    match view.records(name, RecordType::SRV).await {
        Ok(lookup) if lookup.answers().iter().any(|record| service(&record.data).is_some()) => Ok(lookup),
        Err(miss @ LookupError::Failed(_)) => Err(miss),
        _ => {
            let alias = view.records(name, RecordType::CNAME).await;
            let nothing = || LookupError::Nothing("the name has no SRV records".into());
            let alias = match alias {
                Err(miss @ LookupError::Failed(_)) => return Err(miss),
                alias => alias.map_err(|_| nothing())?,
            };
            let target = |data: &RData| match data {
                RData::CNAME(alias) => Some(alias.0.clone()),
                _ => None,
            };
            let target = alias.answers().iter().find_map(|record| target(&record.data)).ok_or_else(nothing)?;
            view.records_of(&target, RecordType::SRV).await
        }
    }
}

/// An SRV record with a target. (`.` as the target says that there is no such service.)
fn service(data: &RData) -> Option<&SRV> {
    match data {
        RData::SRV(srv) if !srv.target.is_root() && srv.port > 0 => Some(srv),
        _ => None,
    }
}

/// What a state file says that a name stood for, as far as a lookup could have found it; `None`: nothing of it. The host is what the
/// question says, or it goes to no endpoint.
pub(in crate::control) fn checked(
    question: Question,
    found: Vec<FoundAddress>,
    left_out: &mut Vec<String>,
) -> Option<(Question, Vec<FoundAddress>)> {
    let name = shortened(&question.name, 60);
    let host = match question.port {
        Some(_) => question.host(),
        None => domain_of(question.host()),
    };
    if !is_dns_name(question.host()) || question.name.bytes().any(|b| b.is_ascii_uppercase()) {
        left_out.push(format!("name `{name}`: this is not a name"));
        return None;
    }
    let mut good = Vec::new();
    let mut known = BTreeSet::new();
    for one in found {
        let address = one.address;
        let is_port = address.port() > 0 && question.port.is_none_or(|port| port == address.port());
        let problem = match one.weight {
            _ if *one.host != *host => format!("`{}` is not its host", shortened(&one.host, 60)),
            _ if !is_host_address(address.ip()) || !is_port => format!("{address} is not an address of this name"),
            Some(weight) if !(1..=1000).contains(&weight) => format!("weight {weight} is not from 1 to 1000"),
            _ if !known.insert(address) => "it stands there twice".into(),
            _ if good.len() == MOST => format!("there are more than {MOST}"),
            _ => {
                good.push(one);
                continue;
            }
        };
        left_out.push(format!("name {name}: {address}: {problem}"));
    }
    good.sort_unstable();
    (!good.is_empty()).then_some((question, good))
}

/// `_http._tcp.app.internal` → `app.internal`: the name that a certificate must have (RFC 9525, section 6.1). The targets' names come
/// from DNS, which is not signed.
fn domain_of(name: &str) -> &str {
    let mut domain = name;
    while let Some((label, rest)) = domain.split_once('.')
        && label.starts_with('_')
    {
        domain = rest;
    }
    domain
}

type LookupAnswers = Vec<(String, Result<LookupAnswer<IpAddr>, LookupError>)>;

async fn all_addresses(view: &Arc<NameServers>, names: &[&String], family: Family) -> LookupAnswers {
    let mut asked = JoinSet::new();
    for name in names {
        let (view, name) = (Arc::clone(view), (*name).clone());
        asked.spawn(async move {
            let answer = addresses(&view, &name, family).await;
            (name, answer)
        });
    }
    asked.join_all().await
}

/// A weight of 0..=65535 as one of 1..=1000, in proportion. (0 is "rarely": the least that we have.)
fn scaled(weight: u16, heaviest: u16) -> u32 {
    match heaviest {
        0..=1000 => u32::from(weight).max(1),
        _ => (u32::from(weight) * 1000 / u32::from(heaviest)).max(1),
    }
}
