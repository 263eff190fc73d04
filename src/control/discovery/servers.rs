//! The servers that answer questions to DNS, and the records that they give. Messages, `/etc/hosts` and `/etc/resolv.conf` are
//! read, and truncated answers asked for again, by hickory.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name as DnsName, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

use crate::config::Dns;

/// How often each server is asked before a lookup has failed.
pub(super) const ROUNDS: usize = 2;
/// Longest text about what went wrong, in characters.
const DETAIL: usize = 200;

/// Why there are no addresses.
#[derive(Debug)]
pub(super) enum LookupError {
    Nothing(String),
    Failed(String),
}

impl From<NetError> for LookupError {
    fn from(error: NetError) -> LookupError {
        let text = |text: String| text.chars().take(DETAIL).collect();
        if error.is_nx_domain() {
            LookupError::Nothing("the name does not exist (NXDOMAIN)".into())
        } else if error.is_no_records_found() {
            LookupError::Nothing("the name has no such records".into())
        } else {
            LookupError::Failed(text(error.to_string()))
        }
    }
}

/// One server.
#[derive(Debug)]
pub(super) struct NameServer {
    /// Asked with EDNS (RFC 6891), so that long answers come in one packet.
    edns: TokioResolver,
    /// Asked without.
    plain: TokioResolver,
}

impl NameServer {
    fn new(server: NameServerConfig, options: &ResolverOpts, timeout: Duration) -> Result<NameServer, NetError> {
        let asking = |edns| asking(server.clone(), options.clone(), timeout, edns);
        Ok(NameServer { edns: asking(true)?, plain: asking(false)? })
    }

    /// One query, with EDNS unless the server has refused it. Some servers and firewalls drop queries with EDNS, or fail:
    /// `again`, the second time, it is sent without.
    async fn lookup(&self, name: &DnsName, kind: RecordType, again: bool) -> Result<Lookup, LookupError> {
        if !again {
            match self.edns.lookup(name.clone(), kind).await {
                Err(error) if refuses_edns(&error) => {}
                answer => return answer.map_err(LookupError::from),
            }
        }
        self.plain.lookup(name.clone(), kind).await.map_err(LookupError::from)
    }
}

/// The response code of a server without EDNS (RFC 6891, section 7)?
fn refuses_edns(error: &NetError) -> bool {
    let NetError::Dns(DnsError::ResponseCode(code)) = error else { return false };
    matches!(code, ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS)
}

/// The servers, `/etc/hosts` and the search list, as `resolv.conf(5)` has it.
#[derive(Debug)]
pub(super) struct NameServers {
    /// In their order; each is one server, since the answer of another one counts only when it gives none.
    pub(super) servers: Vec<NameServer>,
    hosts: Hosts,
    search: Vec<DnsName>,
    ndots: usize,
}

impl NameServers {
    pub(super) fn read(dns: &Dns) -> Result<NameServers, String> {
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
        let servers = servers.into_iter().map(|server| NameServer::new(server, &options, dns.timeout));
        let servers = servers.collect::<Result<_, _>>().map_err(|error| format!("DNS cannot be asked: {error}"))?;
        Ok(NameServers { servers, hosts: Hosts::from_system().unwrap_or_default(), search, ndots })
    }

    /// The records of the first of the names that a name may stand for. Only the answer that there is nothing leads to
    /// the next one: a server that does not answer must not let another name's answer in.
    pub(super) async fn records(&self, name: &str, kind: RecordType) -> Result<Lookup, LookupError> {
        let mut nothing = LookupError::Nothing("the name is none".into());
        for candidate in self.candidates(name) {
            match self.records_of(&candidate, kind).await {
                Err(LookupError::Nothing(text)) => nothing = LookupError::Nothing(text),
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
        // (`localhost` is no subdomain of the search list.)
        let place = if dots >= self.ndots || complete.is_localhost() { 0 } else { names.len() };
        names.insert(place, complete);
        names
    }

    /// The records of a complete name: `/etc/hosts`, then the first server that answers.
    pub(super) async fn records_of(&self, name: &DnsName, kind: RecordType) -> Result<Lookup, LookupError> {
        if let Some(lookup) = self.hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
            return Ok(lookup);
        }
        let mut failed = LookupError::Failed("there is no server to ask".into());
        for round in 0..ROUNDS {
            for server in &self.servers {
                match server.lookup(name, kind, round > 0).await {
                    Err(LookupError::Failed(text)) => failed = LookupError::Failed(text),
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
