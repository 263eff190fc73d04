//! Endpoints that DNS names: what the names stand for now, and the configuration that follows from it.
//!
//! * `lookup`: one lookup. `servers` gives the records, `answers` turns them into addresses.
//! * `schedule`: when it is asked again; each question is a task of its own, as each check is.
//! * `Discovery` (here): the last good answers, and the *effective* configuration: the declared one with addresses in
//!   the place of names. Everything below the engine knows only that one; to the core an answer with another address is
//!   what a reload with another address is. What stays keeps its health and its identity, what is new begins in
//!   `checking`, what is gone gets nothing new and ends as `failover.sessions` says.
//!
//! Two rules keep DNS from being a cause of outages. An answer without addresses (NXDOMAIN, NODATA) and a lookup that fails
//! change nothing: which endpoints are well is for the checks to say. And an address that an answer no longer has stays while its pool
//! has too few other endpoints that are well, at most `OVERLAP`: the new ones are checked before the old ones go.

mod answers;
pub(super) mod lookup;
mod schedule;
mod servers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::answers::{FoundAddress, checked};
pub(super) use self::lookup::{LookupOutcome, first_answers, first_answers_blocking};
pub(super) use self::schedule::{News, RunningLookups};
use super::status::NameReport;
use crate::config::{Config, Endpoint, Family, Name, NamedEndpoints, Pool, PoolMembers, Question, Service};
use crate::decision::{Operational, Succession, Table};
use crate::sys::clock;
use crate::time::MonoTime;

/// How long an address that DNS no longer names may stand in for new ones that are not well yet.
pub(super) const OVERLAP: Duration = Duration::from_secs(10);
/// A name without a good answer for so long is reported: what is kept of it may belong to another host by now.
pub(super) const STALE: Duration = Duration::from_secs(5 * 60);

/// The last good answers, as they are kept over a restart.
pub(super) type Remembered = Vec<(Question, Vec<FoundAddress>)>;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    declared: Arc<Config>,
    known: BTreeMap<Question, KnownQuestion>,
    leaving: LeavingAddresses,
    /// Addresses that checks or traffic have condemned.
    condemned: HashSet<SocketAddr>,
}

/// What is known of one question.
#[derive(Clone, Debug, Default)]
struct KnownQuestion {
    /// The last good answer; empty = there was none yet.
    found: Vec<FoundAddress>,
    /// When that was, in milliseconds since the Unix epoch; 0 = never in this process.
    answered_unix_ms: u64,
    /// The same, or when it was first asked.
    since: MonoTime,
    /// What the last lookup failed with; `None` = it was good.
    trouble: Option<String>,
    /// The stale answer has been reported.
    told: bool,
    counts: [u64; lookup::RESULTS.len()],
}

/// An address that DNS no longer names, and that still stands in.
#[derive(Clone, Debug)]
struct LeavingAddress {
    endpoint: Endpoint,
    until: MonoTime,
}

/// By service, pool and address.
type LeavingAddresses = BTreeMap<(Name, Name, SocketAddr), LeavingAddress>;

/// What the outcome of a lookup changes for the engine.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DiscoveryChange {
    /// The effective configuration may be another.
    pub(super) changed: bool,
    /// The name has been without a good answer for [`STALE`] now, for the first time; the text says what is known.
    pub(super) stale: Option<String>,
}

impl Discovery {
    /// What `declared` names stands for what `first` found; where that has no good answer, for what an earlier process
    /// remembered.
    pub(super) fn new(
        declared: Arc<Config>,
        first: Vec<(Question, LookupOutcome)>,
        remembered: Remembered,
    ) -> Discovery {
        let now = clock::now();
        let mut known = BTreeMap::new();
        let mut remembered: BTreeMap<Question, Vec<FoundAddress>> = remembered.into_iter().rev().collect();
        for question in questions(&declared) {
            let found = remembered.remove(&question).unwrap_or_default();
            known.insert(question, KnownQuestion { found, since: now, ..KnownQuestion::default() });
        }
        let mut discovery = Discovery { declared, known, leaving: LeavingAddresses::new(), condemned: HashSet::new() };
        discovery.take_first(first, now);
        discovery
    }

    /// Another configuration is in force; `first` answers what only it asks.
    pub(super) fn declare(&mut self, declared: Arc<Config>, first: Vec<(Question, LookupOutcome)>) {
        let now = clock::now();
        self.follow_renames(&declared);
        self.declared = declared;
        let mut before = std::mem::take(&mut self.known);
        for question in questions(&self.declared) {
            // Questions stand in the order of their names: those about the same host stand together, with a dot at the end or not.
            let known = before.remove(&question).unwrap_or_else(|| KnownQuestion {
                found: about(&before, &question)
                    .find_map(|(other, known)| known.as_answer(other, &question))
                    .unwrap_or_default(),
                since: now,
                ..KnownQuestion::default()
            });
            self.known.insert(question, known);
        }
        self.take_first(first, now);
        self.stay();
    }

    /// Addresses that stand in do so for the same pool under its new name.
    fn follow_renames(&mut self, after: &Config) {
        if self.leaving.is_empty() {
            return;
        }
        let before = &self.declared;
        let succession =
            Succession::between((&before.listeners, &before.services), (&after.listeners, &after.services));
        let mut now_called = BTreeMap::new();
        for (index, service) in after.services.iter().enumerate() {
            let Some(past) = succession.service(index) else { continue };
            let old = &before.services[past.service];
            for (pool, old_pool) in service.pools.iter().zip(&past.pools) {
                let Some(old_pool) = old_pool.map(|old_pool| &old.pools[old_pool]) else { continue };
                now_called.insert((&old.name, &old_pool.name), (&service.name, &pool.name));
            }
        }
        let renamed = |((service, pool, address), leaving): (&(Name, Name, SocketAddr), &LeavingAddress)| {
            let (service, pool) = now_called.get(&(service, pool))?;
            Some((((*service).clone(), (*pool).clone(), *address), leaving.clone()))
        };
        self.leaving = self.leaving.iter().filter_map(renamed).collect();
    }

    fn take_first(&mut self, first: Vec<(Question, LookupOutcome)>, now: MonoTime) {
        for (question, outcome) in first {
            if let Some(known) = self.known.get_mut(&question) {
                known.take(&question, outcome, now);
            }
        }
    }

    /// Everything that DNS is asked.
    pub(super) fn questions(&self) -> impl Iterator<Item = &Question> {
        self.known.keys()
    }

    /// The last good answers.
    pub(super) fn remembered(&self) -> Remembered {
        let good = self.known.iter().filter(|(_, known)| !known.found.is_empty());
        good.map(|(question, known)| (question.clone(), known.found.clone())).collect()
    }

    /// A lookup ended. `table` is what the core concludes; it is asked for only while an address stands in.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        outcome: LookupOutcome,
        table: impl FnOnce() -> Table,
        now: MonoTime,
    ) -> DiscoveryChange {
        let Some(known) = self.known.get_mut(question) else { return DiscoveryChange::default() };
        let Some(before) = known.take(question, outcome, now) else {
            return DiscoveryChange { changed: false, stale: known.stale(question, now) };
        };
        let changed = before != known.found;
        if changed {
            let gone: Vec<FoundAddress> = only(&before, &known.found).cloned().collect();
            self.leave(question, &gone, now);
            self.stay();
            let found: HashSet<SocketAddr> = self.known.values().flat_map(|k| addresses(&k.found)).collect();
            self.condemned.retain(|address| found.contains(address));
        }
        let released = self.is_overlapping() && self.release(&table(), now);
        DiscoveryChange { changed: changed || released, stale: None }
    }

    /// These addresses are named no more: they stand in until the others of their pools are well.
    fn leave(&mut self, question: &Question, gone: &[FoundAddress], now: MonoTime) {
        for (service, pool, named) in names(&self.declared).filter(|(_, _, named)| named.question == *question) {
            for found in gone {
                let place = (service.name.clone(), pool.name.clone(), found.address);
                let leaving = LeavingAddress { endpoint: endpoint(named, found), until: now.after(OVERLAP) };
                self.leaving.entry(place).or_insert(leaving);
            }
        }
    }

    /// An address that is named (again) does not leave.
    fn stay(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        for (service, pool, named) in names(&self.declared) {
            for found in self.known.get(&named.question).map_or(&[][..], |known| &known.found) {
                self.leaving.remove(&(service.name.clone(), pool.name.clone(), found.address));
            }
        }
    }

    /// Does an address stand in for others?
    pub(super) fn is_overlapping(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Removes the addresses that stand in and are needed no more. Returns whether there were any.
    pub(super) fn release(&mut self, table: &Table, now: MonoTime) -> bool {
        let before = self.leaving.len();
        let mut leaving = std::mem::take(&mut self.leaving);
        let mut needed = BTreeMap::new();
        for (service, pool, _) in leaving.keys() {
            let pool = (service.clone(), pool.clone());
            needed.entry(pool).or_insert_with_key(|pool| self.still_needed(pool, &leaving, table));
        }
        leaving.retain(|(service, pool, address), one| {
            let needed = needed.get(&(service.clone(), pool.clone()));
            one.until > now && needed.is_some_and(|needed| needed.contains(address))
        });
        self.leaving = leaving;
        self.leaving.len() != before
    }

    /// The leaving addresses of this pool that are well, if too few others are; else none.
    fn still_needed(&self, pool: &(Name, Name), leaving: &LeavingAddresses, table: &Table) -> HashSet<SocketAddr> {
        let service = self.declared.services.iter().find(|service| service.name == pool.0);
        let row = table.services.iter().find(|row| row.name == pool.0);
        let row = row.and_then(|row| row.pools.iter().find(|row| row.name == pool.1));
        let (Some(service), Some(row)) = (service, row) else { return HashSet::new() };
        let well =
            row.endpoints.iter().filter(|endpoint| endpoint.standing.is_usable()).map(|endpoint| endpoint.address);
        let leaves = |address: &SocketAddr| leaving.contains_key(&(pool.0.clone(), pool.1.clone(), *address));
        let (leaving, others): (HashSet<SocketAddr>, HashSet<SocketAddr>) = well.partition(leaves);
        if others.len() < service.failover.min_healthy.max(1) { leaving } else { HashSet::new() }
    }

    /// Has one of its addresses been condemned, so that it is to be asked often?
    pub(super) fn is_watched(&self, question: &Question) -> bool {
        let known = self.known.get(question);
        known.is_some_and(|known| addresses(&known.found).any(|address| self.condemned.contains(&address)))
    }

    /// Checks or traffic have found something about this endpoint: its name may stand for another one already. Returns
    /// the questions that it answers.
    pub(super) fn standing(&mut self, address: SocketAddr, operational: Operational) -> Vec<Question> {
        let about = |known: &KnownQuestion| addresses(&known.found).any(|found| found == address);
        let asked: Vec<Question> =
            self.known.iter().filter(|(_, known)| about(known)).map(|(q, _)| q.clone()).collect();
        if operational.has_fallen() && !self.known.is_empty() {
            self.condemned.insert(address);
        } else {
            self.condemned.remove(&address);
        }
        asked
    }

    /// The declared configuration with addresses in the place of names. Services that are the same as in `current` are
    /// the very same.
    pub(super) fn effective(&self, current: Option<&Config>) -> Arc<Config> {
        if self.known.is_empty() {
            return Arc::clone(&self.declared);
        }
        let current = current.map_or(&[][..], |current| &current.services);
        let current: HashMap<&Name, &Arc<Service>> = current.iter().map(|service| (&service.name, service)).collect();
        let same = |service: &Service| {
            let current = *current.get(&service.name)?;
            (**current == *service).then(|| Arc::clone(current))
        };
        let services = self.declared.services.iter().map(|service| {
            if service.pools.iter().all(|pool| pool.names.is_empty()) {
                return Arc::clone(service);
            }
            let resolved = self.resolved(service);
            same(&resolved).unwrap_or_else(|| Arc::new(resolved))
        });
        Arc::new(Config { services: services.collect(), ..Config::clone(&self.declared) })
    }

    /// An address stands once in a service: as the configuration says it, else in the first pool whose name has it, else
    /// where it is about to leave.
    fn resolved(&self, declared: &Service) -> Service {
        let mut service = declared.clone();
        let mut taken: BTreeSet<SocketAddr> =
            declared.pools.iter().flat_map(|pool| pool.members.endpoints()).map(|endpoint| endpoint.address).collect();
        for pool in &mut service.pools {
            let Pool { members: PoolMembers::Endpoints(endpoints), names, .. } = pool else { continue };
            for named in names {
                let found = self.known.get(&named.question).map_or(&[][..], |known| &known.found);
                endpoints.extend(found.iter().filter(|found| taken.insert(found.address)).map(|f| endpoint(named, f)));
            }
        }
        let first = (declared.name.clone(), Name::from(""), SocketAddr::from(([0, 0, 0, 0], 0)));
        let leaving = self.leaving.range(first..).take_while(|((service, ..), _)| *service == declared.name);
        for ((_, pool, _), one) in leaving {
            if let Some(pool) = service.pools.iter_mut().find(|other| other.name == *pool)
                && let PoolMembers::Endpoints(endpoints) = &mut pool.members
                && taken.insert(one.endpoint.address)
            {
                endpoints.push(one.endpoint.clone());
            }
        }
        service
    }

    /// For people and machines, in the order of the questions.
    pub(super) fn report(&self) -> Vec<NameReport> {
        let report = |(question, known): (&Question, &KnownQuestion)| NameReport {
            name: question.to_string(),
            addresses: addresses(&known.found).collect(),
            answered_unix_ms: known.answered_unix_ms,
            trouble: known.trouble.clone(),
            lookups: lookup::RESULTS
                .iter()
                .zip(known.counts)
                .map(|(result, count)| ((*result).into(), count))
                .collect(),
        };
        self.known.iter().map(report).collect()
    }
}

impl KnownQuestion {
    /// Take in what a lookup found. `Some` = a good answer, with what was known before it.
    fn take(&mut self, question: &Question, outcome: LookupOutcome, now: MonoTime) -> Option<Vec<FoundAddress>> {
        self.counts[outcome.result()] += 1;
        match self.completed(question, outcome) {
            LookupOutcome::FoundAddress { found, missing, .. } => {
                match missing {
                    Some(missing) => self.warn_of_half(question, missing.trouble),
                    None if self.trouble.take().is_some() => tracing::info!(name = %question, "DNS answers again"),
                    None => {}
                }
                (self.since, self.answered_unix_ms, self.told) = (now, clock::unix_millis(), false);
                let before = std::mem::replace(&mut self.found, found);
                if before != self.found {
                    say_change(question, &before, &self.found);
                }
                Some(before)
            }
            LookupOutcome::Nothing(trouble) | LookupOutcome::Failed(trouble) => {
                if self.trouble.is_none() {
                    let kept = self.found.len();
                    tracing::warn!(name = %question, %trouble, kept, "DNS gives no address: the last ones stay");
                }
                self.trouble = Some(trouble);
                None
            }
        }
    }

    /// Half an answer, with what was known of the other half: an address must not go because its lookup failed. Where one
    /// family alone is wanted the known one stays, and half an answer of the other is none.
    fn completed(&self, question: &Question, outcome: LookupOutcome) -> LookupOutcome {
        let LookupOutcome::FoundAddress { mut found, ttl, missing: Some(missing) } = outcome else { return outcome };
        if question.family == Family::Auto && self.found.iter().any(|known| missing.has(known.address)) {
            return LookupOutcome::Failed(missing.trouble);
        }
        let kept: Vec<FoundAddress> =
            only(&self.found, &found).filter(|known| missing.has(known.address)).cloned().collect();
        found.extend(kept);
        found.sort_unstable();
        LookupOutcome::FoundAddress { found, ttl, missing: Some(missing) }
    }

    fn warn_of_half(&mut self, question: &Question, trouble: String) {
        if self.trouble.is_none() {
            tracing::warn!(name = %question, %trouble, "DNS gives half an answer: what was known of the other half stays");
        }
        self.trouble = Some(trouble);
    }

    /// What an answer to `asked` says about `question`, which differs in its port or family only. Rather that than
    /// nothing, where DNS is silent.
    fn as_answer(&self, asked: &Question, question: &Question) -> Option<Vec<FoundAddress>> {
        let port = question.port.filter(|_| asked.port.is_some() && asked.host() == question.host())?;
        let counts = |found: &&FoundAddress| match question.family {
            Family::Ipv4 => found.address.is_ipv4(),
            Family::Ipv6 => found.address.is_ipv6(),
            Family::Auto | Family::All => true,
        };
        let one =
            |found: &FoundAddress| FoundAddress { address: SocketAddr::new(found.address.ip(), port), ..found.clone() };
        Some(self.found.iter().filter(counts).map(one).collect())
    }

    fn stale(&mut self, question: &Question, now: MonoTime) -> Option<String> {
        if self.told || now.since(self.since) < STALE {
            return None;
        }
        self.told = true;
        let trouble = self.trouble.as_deref().unwrap_or("no answer");
        let kept = self.found.len();
        Some(format!("{question} has had no good answer for 5 minutes ({trouble}): {kept} address(es) of before stay"))
    }
}

/// What is known of questions about the host of this one: as it is written here, without and with a dot at its end.
fn about<'a>(
    known: &'a BTreeMap<Question, KnownQuestion>,
    question: &Question,
) -> impl Iterator<Item = (&'a Question, &'a KnownQuestion)> + use<'a> {
    let host = question.host();
    [Name::from(host), Name::from(format!("{host}."))].into_iter().flat_map(|name| {
        let first = Question { name: name.clone(), port: None, family: Family::Auto };
        known.range(first..).take_while(move |(other, _)| other.name == name)
    })
}

/// Every question of a configuration.
pub(super) fn questions(config: &Config) -> BTreeSet<Question> {
    names(config).map(|(_, _, named)| named.question.clone()).collect()
}

fn names(config: &Config) -> impl Iterator<Item = (&Service, &Pool, &NamedEndpoints)> {
    let pools = config.services.iter().flat_map(|service| service.pools.iter().map(move |pool| (&**service, pool)));
    pools.flat_map(|(service, pool)| pool.names.iter().map(move |named| (service, pool, named)))
}

fn endpoint(named: &NamedEndpoints, found: &FoundAddress) -> Endpoint {
    Endpoint {
        address: found.address,
        name: None,
        host: Some(found.host.clone()),
        weight: named.weight.or(found.weight).unwrap_or(1),
        max_connections: named.max_connections,
        check_port: named.check_port,
    }
}

fn addresses(found: &[FoundAddress]) -> impl Iterator<Item = SocketAddr> {
    found.iter().map(|found| found.address)
}

/// Those of `these` whose address is not among `those`.
fn only<'a>(these: &'a [FoundAddress], those: &[FoundAddress]) -> impl Iterator<Item = &'a FoundAddress> + use<'a> {
    let known: HashSet<SocketAddr> = addresses(those).collect();
    these.iter().filter(move |found| !known.contains(&found.address))
}

fn say_change(question: &Question, before: &[FoundAddress], after: &[FoundAddress]) {
    let listed = |these: &[FoundAddress], those: &[FoundAddress]| {
        only(these, those).map(|found| found.address.to_string()).collect::<Vec<_>>().join(" ")
    };
    let (added, removed) = (listed(after, before), listed(before, after));
    if !added.is_empty() || !removed.is_empty() {
        tracing::info!(name = %question, added, removed, "DNS has another answer");
    }
}
