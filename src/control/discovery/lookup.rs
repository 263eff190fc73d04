//! One question to DNS and what came of it. Messages, `/etc/hosts` and `/etc/resolv.conf` are read, and
//! truncated answers asked for again, by hickory; here is what is asked of whom, and what an answer means: which records
//! count, and that an answer counts whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name as DnsName, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Remembered, questions};
use crate::config::{Config, Dns, Family, Name, Question, is_dns_name};
use crate::decision::Moment;
use crate::sys::clock;
use crate::text::shortened;

/// Endpoints that one name may stand for; what an answer has beyond them is left out, the same ones each time.
const MOST: usize = 1000;
/// Targets of SRV records that are looked up at once.
const AT_ONCE: usize = 16;
/// `/etc/resolv.conf` and `/etc/hosts` are read again when they were read so long ago.
const READ_AGAIN: Duration = Duration::from_secs(30);
/// Longest wait for the first good answers, of a start or of a reload: what starts together with us has a name soon.
/// Whoever has none by then is asked on.
const FIRST: Duration = Duration::from_secs(3);
/// Pause between two questions meanwhile.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How often each server is asked before a lookup has failed.
const ROUNDS: usize = 2;
/// Longest text about what went wrong, in characters.
const DETAIL: usize = 200;

/// Results of lookups as metric labels.
pub(in crate::control) const RESULTS: [&str; 3] = ["found", "nothing", "failed"];

/// One address that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::control) struct Found {
    /// With the port of the question or of the SRV record.
    pub(super) address: SocketAddr,
    /// The name that the configuration says, without what only says the service (`_http._tcp`).
    pub(super) host: Name,
    /// What the SRV record says, 1..=1000.
    pub(super) weight: Option<u32>,
}

/// How a lookup ended.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::control) enum Outcome {
    /// With at least one address, in their order.
    Found {
        /// The addresses, each once.
        found: Vec<Found>,
        /// How long DNS says that they are good for.
        ttl: Duration,
        /// A family whose lookup failed while the other one's was answered.
        missing: Option<Missing>,
    },
    /// With the answer that there is nothing: the name does not exist, or has no such records.
    Nothing(String),
    /// Without an answer, or without all of it.
    Failed(String),
}

/// One family of addresses could not be looked up.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::control) struct Missing {
    /// IPv4; else IPv6.
    v4: bool,
    /// What its lookup failed with.
    pub(super) trouble: String,
}

impl Missing {
    /// Is this address of the family that is missing?
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        address.is_ipv4() == self.v4
    }
}

impl Outcome {
    /// Its place in [`RESULTS`].
    pub(super) fn result(&self) -> usize {
        match self {
            Outcome::Found { .. } => 0,
            Outcome::Nothing(_) => 1,
            Outcome::Failed(_) => 2,
        }
    }
}

/// Why there are no addresses.
#[derive(Debug)]
enum Miss {
    Nothing(String),
    Failed(String),
}

impl From<NetError> for Miss {
    fn from(error: NetError) -> Miss {
        let text = |text: String| text.chars().take(DETAIL).collect();
        if error.is_nx_domain() {
            Miss::Nothing("the name does not exist (NXDOMAIN)".into())
        } else if error.is_no_records_found() {
            Miss::Nothing("the name has no such records".into())
        } else {
            Miss::Failed(text(error.to_string()))
        }
    }
}

/// Asks DNS, as the configuration and the system's files say.
#[derive(Debug)]
pub(super) struct Resolver {
    dns: Dns,
    /// The system's files, and when they were read.
    view: Mutex<Option<(Moment, Arc<View>)>>,
}

impl Resolver {
    pub(super) fn new(dns: Dns) -> Resolver {
        Resolver { dns, view: Mutex::new(None) }
    }

    /// Is this what it was made from?
    pub(super) fn asks_by(&self, dns: &Dns) -> bool {
        self.dns == *dns
    }

    /// Ask once. Always ends. Cancel safe.
    pub(super) async fn ask(&self, question: &Question) -> Outcome {
        let view = match self.view() {
            Ok(view) => view,
            Err(text) => return Outcome::Failed(text),
        };
        // Names in the search list and targets of SRV records are asked one after another.
        let limit = self.dns.timeout.saturating_mul((4 * ROUNDS * view.servers.len()) as u32);
        #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for a whole lookup")]
        let answer = tokio::time::timeout(limit, view.answer(question)).await;
        match answer {
            Ok(Ok(Answer { mut found, ttl, missing })) => {
                found.sort_unstable();
                found.dedup_by_key(|found| found.address);
                found.truncate(MOST);
                Outcome::Found { found, ttl, missing }
            }
            Ok(Err(Miss::Nothing(text))) => Outcome::Nothing(text),
            Ok(Err(Miss::Failed(text))) => Outcome::Failed(text),
            Err(_) => Outcome::Failed(format!("no answer within {}", humantime::format_duration(limit))),
        }
    }

    fn view(&self) -> Result<Arc<View>, String> {
        let mut current = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((read, view)) if clock::now().since(*read) < READ_AGAIN => Ok(Arc::clone(view)),
            _ => {
                let view = Arc::new(View::read(&self.dns)?);
                *current = Some((clock::now(), Arc::clone(&view)));
                Ok(view)
            }
        }
    }
}

/// What a lookup gives: addresses, endpoints.
#[derive(Debug)]
struct Answer<T> {
    found: Vec<T>,
    ttl: Duration,
    missing: Option<Missing>,
}

impl<T> Answer<T> {
    fn without(self, v4: bool, trouble: String) -> Answer<T> {
        let family = if v4 { "IPv4" } else { "IPv6" };
        Answer { missing: Some(Missing { v4, trouble: format!("{family} addresses: {trouble}") }), ..self }
    }
}

/// One server.
#[derive(Debug)]
struct Server {
    /// Asked with EDNS (RFC 6891), so that long answers come in one packet.
    edns: TokioResolver,
    /// Asked without.
    plain: TokioResolver,
}

impl Server {
    fn new(server: NameServerConfig, options: &ResolverOpts, timeout: Duration) -> Result<Server, NetError> {
        let asking = |edns| asking(server.clone(), options.clone(), timeout, edns);
        Ok(Server { edns: asking(true)?, plain: asking(false)? })
    }

    /// Asks it, with EDNS unless the server has said that it takes none. Some servers and firewalls say nothing to a question
    /// with EDNS, or fail: `again`, the second time, it is asked without.
    async fn lookup(&self, name: &DnsName, kind: RecordType, again: bool) -> Result<Lookup, Miss> {
        if !again {
            match self.edns.lookup(name.clone(), kind).await {
                Err(error) if refuses_edns(&error) => {}
                answer => return answer.map_err(Miss::from),
            }
        }
        self.plain.lookup(name.clone(), kind).await.map_err(Miss::from)
    }
}

/// Does a server say that it does not understand the question (RFC 6891, section 7)?
fn refuses_edns(error: &NetError) -> bool {
    let NetError::Dns(DnsError::ResponseCode(code)) = error else { return false };
    matches!(code, ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS)
}

/// Whom we ask and for which names, as `resolv.conf(5)` has it.
#[derive(Debug)]
struct View {
    /// In their order; each is one server, since another one's word counts only when it has none.
    servers: Vec<Server>,
    hosts: Hosts,
    search: Vec<DnsName>,
    ndots: usize,
}

impl View {
    fn read(dns: &Dns) -> Result<View, String> {
        let (config, options) = match read_system_conf() {
            Ok(read) => read,
            Err(_) if !dns.servers.is_empty() => (ResolverConfig::default(), ResolverOpts::default()),
            Err(error) => return Err(format!("/etc/resolv.conf cannot be used: {error}")),
        };
        let (search, ndots) = (config.search().to_vec(), options.ndots);
        let servers = match dns.servers.is_empty() {
            true => config.name_servers().to_vec(),
            false => dns.servers.iter().map(|address| server(*address)).collect(),
        };
        let servers = servers.into_iter().map(|server| Server::new(server, &options, dns.timeout));
        let servers = servers.collect::<Result<_, _>>().map_err(|error| format!("DNS cannot be asked: {error}"))?;
        Ok(View { servers, hosts: Hosts::from_system().unwrap_or_default(), search, ndots })
    }

    async fn answer(self: Arc<Self>, question: &Question) -> Result<Answer<Found>, Miss> {
        let Some(port) = question.port else { return by_service(&self, question).await };
        let Answer { found: addresses, ttl, missing } = addresses(&self, &question.name, question.family).await?;
        let host = Name::from(question.host());
        let found = |ip| Found { address: SocketAddr::new(ip, port), host: host.clone(), weight: None };
        Ok(Answer { found: addresses.into_iter().map(found).collect(), ttl, missing })
    }

    /// The records of the first of the names that a name may stand for. Only the word that there is nothing leads to the
    /// next one: a server that is silent must not let another name's answer in.
    async fn records(&self, name: &str, kind: RecordType) -> Result<Lookup, Miss> {
        let mut nothing = Miss::Nothing("the name is none".into());
        for candidate in self.candidates(name) {
            match self.records_of(&candidate, kind).await {
                Err(Miss::Nothing(text)) => nothing = Miss::Nothing(text),
                answer => return answer,
            }
        }
        Err(nothing)
    }

    fn candidates(&self, name: &str) -> Vec<DnsName> {
        let Ok(relative) = DnsName::from_ascii(name) else { return Vec::new() };
        let mut complete = relative.clone();
        complete.set_fqdn(true);
        if relative.is_fqdn() {
            return vec![complete];
        }
        let mut names: Vec<DnsName> =
            self.search.iter().filter_map(|search| relative.clone().append_domain(search).ok()).collect();
        names.iter_mut().for_each(|name| name.set_fqdn(true));
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        // (`localhost` is never somebody's subdomain.)
        let place = if dots >= self.ndots || complete.is_localhost() { 0 } else { names.len() };
        names.insert(place, complete);
        names
    }

    /// The records of a complete name: `/etc/hosts`, then the first server that says anything.
    async fn records_of(&self, name: &DnsName, kind: RecordType) -> Result<Lookup, Miss> {
        if let Some(lookup) = self.hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
            return Ok(lookup);
        }
        let mut failed = Miss::Failed("there is no server to ask".into());
        for round in 0..ROUNDS {
            for server in &self.servers {
                match server.lookup(name, kind, round > 0).await {
                    Err(Miss::Failed(text)) => failed = Miss::Failed(text),
                    answer => return answer,
                }
            }
        }
        Err(failed)
    }
}

fn asking(
    server: NameServerConfig,
    mut options: ResolverOpts,
    timeout: Duration,
    edns: bool,
) -> Result<TokioResolver, NetError> {
    options.timeout = timeout;
    options.attempts = 0; // we go on with the next server instead
    options.cache_size = 0; // we ask when an answer has expired, and mean it
    options.edns0 = edns;
    options.try_tcp_on_error = true;
    options.use_hosts_file = ResolveHosts::Never;
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = address.port());
    NameServerConfig::new(address.ip(), true, connections)
}

/// The addresses of a name. An answer for one family is none for the other: where only one of both is answered, the other is
/// noted as missing, so that what was known of it stays.
async fn addresses(view: &View, name: &str, family: Family) -> Result<Answer<IpAddr>, Miss> {
    let v4 = || of_kind(view, name, RecordType::A);
    let v6 = || of_kind(view, name, RecordType::AAAA);
    match family {
        Family::Ipv4 => v4().await,
        Family::Ipv6 => v6().await,
        Family::Auto => match v4().await {
            Err(Miss::Nothing(_)) => v6().await,
            Err(Miss::Failed(text)) => match v6().await {
                Ok(answer) => Ok(answer.without(true, text)),
                Err(_) => Err(Miss::Failed(text)),
            },
            answer => answer,
        },
        Family::All => match tokio::join!(v4(), v6()) {
            (Ok(mut answer), Ok(other)) => {
                answer.found.extend(other.found);
                Ok(Answer { ttl: answer.ttl.min(other.ttl), ..answer })
            }
            (Ok(answer), Err(Miss::Nothing(_))) | (Err(Miss::Nothing(_)), Ok(answer)) => Ok(answer),
            (Ok(answer), Err(Miss::Failed(text))) => Ok(answer.without(false, text)),
            (Err(Miss::Failed(text)), Ok(answer)) => Ok(answer.without(true, text)),
            (Err(Miss::Nothing(_)), Err(miss)) | (Err(miss), Err(_)) => Err(miss),
        },
    }
}

async fn of_kind(view: &View, name: &str, kind: RecordType) -> Result<Answer<IpAddr>, Miss> {
    let lookup = view.records(name, kind).await?;
    let address = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    let all = lookup.answers().iter().filter_map(|record| address(&record.data));
    let usable: Vec<IpAddr> = all.filter(|ip| is_somebody(*ip)).collect();
    if usable.is_empty() {
        return Err(Miss::Nothing("the name has no address that a host could have".into()));
    }
    Ok(Answer { found: usable, ttl: ttl(&lookup), missing: None })
}

/// Not "nobody" (`0.0.0.0` is how a name is blocked, and a connect to it would reach ourselves) nor a group.
fn is_somebody(ip: IpAddr) -> bool {
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
async fn by_service(view: &Arc<View>, question: &Question) -> Result<Answer<Found>, Miss> {
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
                Err(Miss::Nothing(_)) => continue,
                Err(Miss::Failed(text)) => return Err(Miss::Failed(format!("{target}: {text}"))),
            };
            for (port, weight) in targets.get(&target).into_iter().flatten() {
                let one = |ip| Found { address: SocketAddr::new(ip, *port), host: host.clone(), weight: Some(*weight) };
                found.extend(addresses.iter().copied().map(one));
            }
        }
    }
    if found.is_empty() {
        return Err(Miss::Nothing("no SRV record has a target with an address".into()));
    }
    Ok(Answer { found, ttl, missing })
}

/// SRV records of a name, or of the one that it is an alias of.
async fn services(view: &View, name: &str) -> Result<Lookup, Miss> {
    match view.records(name, RecordType::SRV).await {
        Ok(lookup) if lookup.answers().iter().any(|record| service(&record.data).is_some()) => Ok(lookup),
        Err(miss @ Miss::Failed(_)) => Err(miss),
        _ => {
            let alias = view.records(name, RecordType::CNAME).await;
            let nothing = || Miss::Nothing("the name has no SRV records".into());
            let alias = match alias {
                Err(miss @ Miss::Failed(_)) => return Err(miss),
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

/// A record of somebody. (`.` as the target says that there is nobody.)
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
    found: Vec<Found>,
    left_out: &mut Vec<String>,
) -> Option<(Question, Vec<Found>)> {
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
            _ if !is_somebody(address.ip()) || !is_port => format!("{address} is not an address of this name"),
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

/// `_http._tcp.app.internal` → `app.internal`: whom a certificate must be for (RFC 9525, section 6.1). The targets' names come
/// from DNS, which nobody has signed.
fn domain_of(name: &str) -> &str {
    let mut domain = name;
    while let Some((label, rest)) = domain.split_once('.')
        && label.starts_with('_')
    {
        domain = rest;
    }
    domain
}

type Answers = Vec<(String, Result<Answer<IpAddr>, Miss>)>;

async fn all_addresses(view: &Arc<View>, names: &[&String], family: Family) -> Answers {
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

/// What `config` asks, asked now, all at once and within [`FIRST`]; but nothing that is `known`.
pub(in crate::control) async fn first_answers(
    config: &Config,
    known: &BTreeSet<Question>,
    remembered: &BTreeSet<Question>,
) -> Vec<(Question, Outcome)> {
    let resolver = Arc::new(Resolver::new(config.dns.clone()));
    let mut asked = JoinSet::new();
    for question in questions(config).into_iter().filter(|question| !known.contains(question)) {
        let resolver = Arc::clone(&resolver);
        // What an earlier process knew is good enough not to wait for.
        let patient = !remembered.contains(&question);
        asked.spawn(async move {
            let outcome = first_answer(&resolver, &question, patient).await;
            (question, outcome)
        });
    }
    asked.join_all().await
}

/// The first good answer, or the last other one.
async fn first_answer(resolver: &Resolver, question: &Question, patient: bool) -> Outcome {
    let mut last = Outcome::Failed("no answer yet".into());
    let asking = async {
        loop {
            last = resolver.ask(question).await;
            if !patient || matches!(last, Outcome::Found { .. }) {
                return;
            }
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    };
    #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for a whole start")]
    let _ = tokio::time::timeout(FIRST, asking).await;
    last
}

/// The same where nothing runs yet, on a thread of its own.
pub(in crate::control) fn first_answers_blocking(
    config: &Config,
    remembered: &Remembered,
) -> std::io::Result<Vec<(Question, Outcome)>> {
    if questions(config).is_empty() {
        return Ok(Vec::new());
    }
    let remembered: BTreeSet<Question> = remembered.iter().map(|(question, _)| question.clone()).collect();
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(first_answers(config, &BTreeSet::new(), &remembered)))
    };
    std::thread::scope(|scope| scope.spawn(ask).join()).unwrap_or_else(|_| Ok(Vec::new()))
}
