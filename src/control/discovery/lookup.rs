//! One question to DNS and what came of it. Asking, search lists, `/etc/hosts`, truncated answers and retries are
//! hickory's; here is what an answer means: which records count, and that an answer counts whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Remembered, questions};
use crate::config::{Config, Dns, Family, Name, Question};
use crate::decision::Moment;
use crate::sys::clock;

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
/// Longest text about what went wrong, in characters.
const DETAIL: usize = 200;

/// Results of lookups as metric labels.
pub(in crate::control) const RESULTS: [&str; 3] = ["found", "nothing", "failed"];

/// One address that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::control) struct Found {
    /// With the port of the question or of the SRV record.
    pub(super) address: SocketAddr,
    /// The name that it is the address of: for SRV the target.
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
    },
    /// With the answer that there is nothing: the name does not exist, or has no such records.
    Nothing(String),
    /// Without an answer, or without all of it.
    Failed(String),
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
    /// The one in use, and when its files were read.
    current: Mutex<Option<(Moment, TokioResolver)>>,
}

impl Resolver {
    pub(super) fn new(dns: Dns) -> Resolver {
        Resolver { dns, current: Mutex::new(None) }
    }

    /// Ask once. Ends by itself after at most four times `dns.timeout`. Cancel safe.
    pub(super) async fn ask(&self, question: &Question) -> Outcome {
        let limit = self.dns.timeout.saturating_mul(4);
        #[allow(clippy::disallowed_methods, reason = "not on the data path: one timer for a whole lookup")]
        let answer = tokio::time::timeout(limit, self.look_up(question)).await;
        match answer {
            Ok(Ok((mut found, ttl))) => {
                found.sort_unstable();
                found.dedup_by_key(|found| found.address);
                found.truncate(MOST);
                Outcome::Found { found, ttl }
            }
            Ok(Err(Miss::Nothing(text))) => Outcome::Nothing(text),
            Ok(Err(Miss::Failed(text))) => Outcome::Failed(text),
            Err(_) => Outcome::Failed(format!("no answer within {}", humantime::format_duration(limit))),
        }
    }

    async fn look_up(&self, question: &Question) -> Result<(Vec<Found>, Duration), Miss> {
        let resolver = self.resolver()?;
        let Some(port) = question.port else { return by_service(&resolver, question).await };
        let (addresses, ttl) = addresses(&resolver, &question.name, question.family).await?;
        let host = Name::from(question.host());
        let found = |ip| Found { address: SocketAddr::new(ip, port), host: host.clone(), weight: None };
        Ok((addresses.into_iter().map(found).collect(), ttl))
    }

    fn resolver(&self) -> Result<TokioResolver, Miss> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((read, resolver)) if clock::now().since(*read) < READ_AGAIN => Ok(resolver.clone()),
            _ => {
                let resolver = build(&self.dns).map_err(Miss::Failed)?;
                *current = Some((clock::now(), resolver.clone()));
                Ok(resolver)
            }
        }
    }
}

fn build(dns: &Dns) -> Result<TokioResolver, String> {
    let system = read_system_conf().map_err(|error| format!("/etc/resolv.conf cannot be used: {error}"));
    let (config, mut options) = match (system, dns.servers.is_empty()) {
        (system, true) => system?,
        (system, false) => {
            let (config, options) = system.unwrap_or_else(|_| (ResolverConfig::default(), ResolverOpts::default()));
            let (domain, search, _) = config.into_parts();
            (ResolverConfig::from_parts(domain, search, dns.servers.iter().map(|at| server(*at)).collect()), options)
        }
    };
    options.timeout = dns.timeout;
    options.attempts = 2;
    options.cache_size = 0; // we ask when an answer has expired, and mean it
    options.edns0 = true;
    options.try_tcp_on_error = true;
    options.ip_strategy = LookupIpStrategy::Ipv4Only;
    options.use_hosts_file = ResolveHosts::Always;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().map_err(|error| format!("DNS cannot be asked: {error}"))
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = address.port());
    NameServerConfig::new(address.ip(), true, connections)
}

/// The addresses of a name. An answer for one family is none for the other: where both are asked both must answer,
/// since an address must not go because its server was slow.
async fn addresses(resolver: &TokioResolver, name: &str, family: Family) -> Result<(Vec<IpAddr>, Duration), Miss> {
    let v4 = || records(resolver, name, RecordType::A);
    let v6 = || records(resolver, name, RecordType::AAAA);
    match family {
        Family::Ipv4 => v4().await,
        Family::Ipv6 => v6().await,
        Family::Auto => match v4().await {
            Err(Miss::Nothing(_)) => v6().await,
            answer => answer,
        },
        Family::All => match tokio::join!(v4(), v6()) {
            (Ok((mut addresses, ttl)), Ok((more, other))) => {
                addresses.extend(more);
                Ok((addresses, ttl.min(other)))
            }
            (Ok(answer), Err(Miss::Nothing(_))) | (Err(Miss::Nothing(_)), Ok(answer)) => Ok(answer),
            (Err(Miss::Nothing(_)), Err(miss)) | (Err(miss), _) | (_, Err(miss)) => Err(miss),
        },
    }
}

async fn records(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<(Vec<IpAddr>, Duration), Miss> {
    let lookup = resolver.lookup(name, kind).await?;
    let address = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    let all = lookup.answers().iter().filter_map(|record| address(&record.data));
    let usable: Vec<IpAddr> = all.filter(|ip| is_somebody(*ip)).collect();
    if usable.is_empty() {
        return Err(Miss::Nothing("the name has no address that could be somebody's".into()));
    }
    Ok((usable, ttl(&lookup)))
}

/// Not "nobody" (`0.0.0.0` is how a name is blocked, and a connect to it would reach ourselves) nor a group.
fn is_somebody(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

fn ttl(lookup: &Lookup) -> Duration {
    Duration::from_secs(lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0).into())
}

/// SRV records and the addresses of their targets (RFC 2782). Of several priorities the best one counts: the others
/// are another pool's matter.
async fn by_service(resolver: &TokioResolver, question: &Question) -> Result<(Vec<Found>, Duration), Miss> {
    let lookup = resolver.lookup(&*question.name, RecordType::SRV).await?;
    let mut ttl = ttl(&lookup);
    let services: Vec<SRV> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) if !srv.target.is_root() && srv.port > 0 => Some(srv.clone()),
            _ => None,
        })
        .collect();
    let best = services.iter().map(|srv| srv.priority).min();
    let heaviest = services.iter().map(|srv| srv.weight).max().unwrap_or(0);
    let mut targets: BTreeMap<String, Vec<(u16, u32)>> = BTreeMap::new();
    for srv in services.iter().filter(|srv| Some(srv.priority) == best).take(MOST) {
        let target = srv.target.to_string().to_ascii_lowercase();
        targets.entry(target).or_default().push((srv.port, scaled(srv.weight, heaviest)));
    }
    let mut found = Vec::new();
    let names: Vec<&String> = targets.keys().collect();
    for some in names.chunks(AT_ONCE) {
        for (target, answer) in all_addresses(resolver, some, question.family).await {
            let (addresses, good_for) = match answer {
                Ok(answer) => answer,
                Err(Miss::Nothing(_)) => continue,
                Err(Miss::Failed(text)) => return Err(Miss::Failed(format!("{target}: {text}"))),
            };
            ttl = ttl.min(good_for);
            let host = Name::from(target.trim_end_matches('.'));
            for (port, weight) in targets.get(&target).into_iter().flatten() {
                let one = |ip| Found { address: SocketAddr::new(ip, *port), host: host.clone(), weight: Some(*weight) };
                found.extend(addresses.iter().copied().map(one));
            }
        }
    }
    if found.is_empty() {
        return Err(Miss::Nothing("no SRV record has a target with an address".into()));
    }
    Ok((found, ttl))
}

type Answers = Vec<(String, Result<(Vec<IpAddr>, Duration), Miss>)>;

async fn all_addresses(resolver: &TokioResolver, names: &[&String], family: Family) -> Answers {
    let mut asked = JoinSet::new();
    for name in names {
        let (resolver, name) = (resolver.clone(), (*name).clone());
        asked.spawn(async move {
            let answer = addresses(&resolver, &name, family).await;
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
    remembered: &[Question],
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
    let remembered: Vec<Question> = remembered.iter().map(|(question, _)| question.clone()).collect();
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(first_answers(config, &BTreeSet::new(), &remembered)))
    };
    std::thread::scope(|scope| scope.spawn(ask).join()).unwrap_or_else(|_| Ok(Vec::new()))
}
