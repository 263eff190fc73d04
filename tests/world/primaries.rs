//! The simulated world of databases: servers with a history of their own, replicas that lag, postmasters that hang, promotions by right and
//! by mistake, workers that are late, and the decision core between them. What the servers' data truly is, the model knows by itself;
//! it is not taken from the code that is tested.
//!
//! `STANDFAST_SEED=17 cargo test --test world primaries -- --nocapture` replays one world.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use standfast::config::*;
use standfast::decision::*;
use standfast::time::MonoTime;

use super::fixture;

const SEEDS: u64 = 256;
const STEPS: u32 = 2000;

/// A branch of a history: it has all of its parent up to where it forked.
#[derive(Clone, Debug)]
struct Branch {
    parent: Option<usize>,
    system: u64,
    timeline: u32,
    /// When it was begun.
    born: u64,
}

#[derive(Clone, Debug)]
struct Server {
    address: SocketAddr,
    /// The postmaster takes connections.
    up: bool,
    /// It takes none, and its sessions go on.
    hangs: bool,
    /// All of it is stopped.
    frozen: bool,
    busy: bool,
    blind: bool,
    is_primary: bool,
    branch: usize,
    timeline: u32,
    lsn: u64,
    /// What `pg_last_wal_replay_lsn()` says of a primary.
    fork: Option<u64>,
    started: i64,
    next_probe: u64,
    /// What the core was last told: the role, and the branch at that time.
    told: Option<(bool, usize)>,
    /// Since when it has told that it is primary, in this branch.
    said_since: Option<(usize, u64)>,
}

#[derive(Clone, Debug)]
struct Session {
    server: SocketAddr,
    pool: usize,
    worker: usize,
    term: u64,
    generation: u64,
}

/// A fence hook that runs.
struct Hook {
    transition: TransitionId,
    from: Option<SocketAddr>,
    to: SocketAddr,
    /// When it answers, and what; `None` = never.
    answers: Option<(u64, bool)>,
}

struct Worker {
    /// The newest table that it has taken up.
    known: u64,
    takes_up: Option<u64>,
}

#[derive(Default)]
struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

struct Databases {
    rng: Rng,
    seed: u64,
    now: u64,
    core: Decision,
    config: Arc<Config>,
    table: Table,
    branches: Vec<Branch>,
    servers: Vec<Server>,
    workers: Vec<Worker>,
    sessions: Vec<Session>,
    /// Pools whose end of sessions is awaited, by the epoch that told it.
    fences: Vec<(Name, usize, u64)>,
    /// When sessions were last told to end.
    told_to_end: u64,
    hooks: Vec<Hook>,
    /// The former primary and the next one for which the last hook has said yes.
    agreed: Option<(Option<SocketAddr>, SocketAddr)>,
    is_calm: bool,
    /// The term of each pool: the epoch at which it began to serve in the place of another one.
    terms: Vec<u64>,
    served_last: Option<usize>,
    /// Counts the holders; of the sessions that are open none may be acknowledged after one of a later holder was.
    generation: u64,
    holder: Option<SocketAddr>,
    acknowledged: u64,
    /// The branch that was followed last.
    truth: Option<usize>,
    /// An operator has said something.
    accepted: bool,
    /// Since the holder last got new sessions another server has said that it is primary.
    is_in_doubt: bool,
    /// When the proxy was last started.
    restarted: u64,
    saved: Option<Saved>,
    acts: u128,
    seen: Seen,
    /// What happened last, for whoever reads of a failure.
    story: Vec<String>,
}

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + n as u8], 5432))
}

fn config(servers: usize, rng: &mut Rng) -> Config {
    let endpoints: Vec<String> = (0..servers).map(|n| format!("'{}'", address(n))).collect();
    let pools = match rng.bool() {
        true => format!("{{name: all, endpoints: [{}]}}", endpoints.join(", ")),
        false => {
            let one = |(n, endpoint): (usize, &String)| format!("{{name: p{n}, endpoints: [{endpoint}]}}");
            endpoints.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
        }
    };
    let (rpo, hold) = match rng.u8(..6) {
        0 => ("rpo: 64", ""),
        1 => ("rpo: 64", "on_rpo_exceeded: hold, rpo_patience: 3s,"),
        2 => ("rpo: 2s", "on_rpo_exceeded: hold, rpo_patience: 3s,"),
        _ => ("", ""),
    };
    let fence = match rng.u8(..4) {
        0 => "fence: {exec: [/sbin/fence], timeout: 1s}",
        1 => "fence: {exec: [/sbin/fence], timeout: 1s, on_failure: wait}",
        _ => "",
    };
    let text = format!(
        "{{protocol: tcp, objectives: {{{rpo}}}, failover: {{{hold} {fence}}}, health_check: {{postgres: {{user: p, role: primary}}, interval: 1s, timeout: 900ms, fast_interval: 200ms}}, pools: [{pools}]}}"
    );
    fixture::with_services(vec![fixture::service("db", &text)])
}

impl Databases {
    fn new(seed: u64) -> Databases {
        let mut rng = Rng::with_seed(seed);
        let count = 2 + rng.usize(..3);
        let config = Arc::new(config(count, &mut rng));
        let server = |n: usize| Server {
            address: address(n),
            up: true,
            hangs: false,
            frozen: false,
            busy: false,
            blind: false,
            is_primary: n == 0,
            branch: 0,
            timeline: 1,
            lsn: 1000,
            fork: None,
            started: n as i64,
            next_probe: 0,
            told: None,
            said_since: None,
        };
        let core = Decision::new(None, MonoTime::from_micros(1_000_000));
        let mut world = Databases {
            seed,
            now: 1000,
            table: core.table(),
            core,
            branches: vec![Branch { parent: None, system: 7, timeline: 1, born: 0 }],
            servers: (0..count).map(server).collect(),
            workers: (0..2).map(|_| Worker { known: 0, takes_up: None }).collect(),
            sessions: Vec::new(),
            fences: Vec::new(),
            told_to_end: 0,
            hooks: Vec::new(),
            agreed: None,
            is_calm: false,
            terms: vec![0; config.services[0].pools.len()],
            config,
            served_last: None,
            generation: 0,
            holder: None,
            acknowledged: 0,
            truth: None,
            accepted: false,
            is_in_doubt: false,
            restarted: 0,
            saved: None,
            acts: 0,
            seen: Seen::default(),
            story: Vec::new(),
            rng,
        };
        world.tell(Event::Configured(Arc::clone(&world.config)));
        world
    }

    fn time(&self) -> MonoTime {
        MonoTime::from_micros(self.now * 1000)
    }

    fn is(&self, holds: bool, what: &str) {
        if holds {
            return;
        }
        let last = self.story.len().saturating_sub(40);
        let following = self.core.status(self.time()).remove(0).following;
        let servers: Vec<String> = self.servers.iter().map(|server| format!("{server:?}")).collect();
        let (story, servers) = (self.story[last..].join("\n"), servers.join("\n"));
        let (seed, now, truth, branches) = (self.seed, self.now, self.truth, &self.branches);
        panic!("seed {seed} at {now} ms: {what}\n{story}\n{servers}\n{following:?}, truth {truth:?}\n{branches:?}");
    }

    // ---- the core and what it publishes --------------------------------------------------------------------------

    fn tell(&mut self, event: Event) {
        self.core.handle(event, self.time());
        self.obey();
    }

    fn obey(&mut self) {
        let accepted = self.accepted;
        for effect in self.core.effects() {
            match effect {
                Effect::Publish => self.published(),
                Effect::Sessions { pool, epoch, .. } => {
                    let place = self.table.services[0].pools.iter().position(|row| row.name == pool).expect("a pool");
                    self.fences.retain(|(_, of, _)| *of != place);
                    self.fences.push((pool, place, epoch));
                    self.told_to_end = self.now;
                }
                Effect::Transition(record) if !matches!(record.stage, TransitionStage::Waiting { .. }) => {
                    self.hooks.retain(|hook| hook.transition != record.id);
                }
                Effect::RunFence { transition, from, to, .. } => self.run_hook(transition, from, to),
                Effect::Incident(incident) if incident.answered.is_none() => match incident.kind {
                    SwitchKind::Follow => {
                        self.seen.note("follow");
                        self.judge_loss(&incident, accepted);
                        self.judge_hook(&incident);
                    }
                    SwitchKind::Recovery => self.seen.note("recovery"),
                    _ => self.seen.note("failover"),
                },
                Effect::Condition(ConditionChange::Raised(open)) if open.kind == ConditionKind::BeyondRpo => {
                    self.seen.note("beyond the objective");
                }
                _ => {}
            }
        }
        self.saved = Some(self.core.saved(self.time()));
    }

    /// Everything that must hold of any table.
    fn published(&mut self) {
        let before = std::mem::replace(&mut self.table, self.core.table());
        let open = open_endpoints(&self.table);
        self.is(open.len() < 2, "two endpoints are open");
        let now = open.first().copied();
        let was = open_endpoints(&before).first().copied();
        if let (Some(was), Some(now)) = (was, now) {
            self.is(was == now, "between two holders there is a table without any");
        }
        self.is_in_doubt |= self.another_says_primary();
        if let Some(now) = now {
            self.is_in_doubt = self.another_says_primary();
            let server = self.server(now).clone();
            // (After a restart the holder before it is the holder still, where it lets no probe look.)
            let is_known = server.told.is_some_and(|(primary, _)| primary);
            let is_as_before = server.told.is_none() && self.holder == Some(now);
            self.is(is_known || is_as_before, "it did not say that it is primary");
            let branch = server.told.map_or(self.truth.unwrap_or(server.branch), |(_, branch)| branch);
            if let Some(truth) = self.truth.filter(|_| !self.accepted) {
                // (Equal numbers are told apart by what was seen of their promotions, and that is forgotten by a restart.)
                let is_alike = self.branches[branch].timeline == self.branches[truth].timeline;
                let is_forgotten = is_alike && self.branches[branch].born < self.restarted;
                self.is(is_forgotten || self.continues(branch, truth), "its data does not continue what was followed");
            }
            self.truth = Some(branch);
            if self.holder != Some(now) {
                self.holder = Some(now);
                self.generation += 1;
                self.accepted = false;
            }
        }
        let served = self.table.services[0].serving.active();
        if let Some(pool) = served.filter(|pool| self.served_last != Some(*pool)) {
            self.terms[pool] = self.table.epoch;
            self.served_last = Some(pool);
        }
        self.fences.retain(|(_, pool, epoch)| {
            let again = served == Some(*pool) && self.table.services[0].pools[*pool].sessions.present.is_none();
            !(again && self.table.epoch > *epoch)
        });
        for worker in &mut self.workers {
            let late = if self.rng.u8(..20) == 0 { self.rng.u64(..1500) } else { self.rng.u64(..150) };
            worker.takes_up.get_or_insert(self.now + late);
        }
    }

    /// A hook is run when no session is left at the former primary, or its worker had its time.
    fn run_hook(&mut self, transition: TransitionId, from: Option<SocketAddr>, to: SocketAddr) {
        self.seen.note("hook");
        let is_left = self.sessions.iter().any(|session| Some(session.server) == from);
        self.is(!is_left || self.now - self.told_to_end >= 2000, "the hook is run while sessions are left");
        self.is(self.hooks.is_empty(), "one hook runs at a time");
        self.agreed = None;
        let time = self.now + self.rng.u64(..1400);
        let answers = match self.rng.u8(..10) {
            _ if self.is_calm => Some((self.now, true)),
            0 => None,
            1..=3 => Some((time.min(self.now + 1000), false)),
            _ => Some((time.min(self.now + 1000), time < self.now + 1000)),
        };
        self.hooks.push(Hook { transition, from, to, answers });
    }

    fn hooks_answer(&mut self) {
        let due = |hook: &mut Hook| hook.answers.is_some_and(|(at, _)| at <= self.now);
        let ended: Vec<Hook> = self.hooks.extract_if(.., due).collect();
        for hook in ended {
            let says_yes = hook.answers.is_some_and(|(_, yes)| yes);
            self.agreed = says_yes.then_some((hook.from, hook.to));
            let outcome = if says_yes { GateOutcome::Open } else { GateOutcome::Refused { detail: "1".into() } };
            let (transition, seen) = (hook.transition, self.time());
            self.tell(Event::GateAnswered { transition, seen, gate: Gate::FenceHook, outcome });
        }
    }

    /// Where the service waits for its hook, none is followed without its word, and the incident says what it was.
    fn judge_hook(&mut self, incident: &Incident) {
        let Some(hook) = self.config.services[0].failover.fence.clone() else { return };
        let record = incident.following.as_ref().expect("a record");
        let has_agreed = self.agreed == Some((record.from, record.to));
        let said = record.fence.as_ref().map(|fence| fence.outcome);
        self.is(said.is_some(), "the hook is run before another primary is followed");
        self.is((said == Some(FenceOutcome::Fenced)) == has_agreed, "the incident says what the hook has said");
        match hook.on_failure {
            OnFenceFailure::Wait => self.is(has_agreed, "it is not followed without the word of the hook"),
            OnFenceFailure::GoOn if !has_agreed => self.seen.note("went on without the hook"),
            OnFenceFailure::GoOn => {}
        }
    }

    /// What lacks more than the objective allows is followed by an operator's word, or when it has waited.
    fn judge_loss(&mut self, incident: &Incident, accepted: bool) {
        let rule = self.config.services[0].failover.following.expect("it follows");
        let Some(record) = incident.following.as_ref().filter(|record| record.missed_rpo) else { return };
        self.seen.note("missed its objective");
        if rule.on_rpo_exceeded == OnRpoExceeded::Hold && !accepted {
            let patience = rule.rpo_patience.expect("a patience").as_millis() as u64;
            let since = self.server(record.to).said_since.map(|(_, since)| since);
            // (A time grows while the sessions of the former holder are waited for.)
            let is_time = matches!(rule.rpo, Some(RecoveryPoint::Time(most)) if record.lost_ms.is_some_and(|lost| lost <= most.as_millis() as u64 + 2000));
            self.is(
                is_time || since.is_some_and(|since| self.now - since >= patience),
                "it was followed although it lacks too much",
            );
        }
    }

    fn another_says_primary(&self) -> bool {
        let others = self.servers.iter().filter(|server| Some(server.address) != self.holder);
        others.into_iter().any(|server| server.told.is_some_and(|(is_primary, _)| is_primary))
    }

    fn server(&self, address: SocketAddr) -> &Server {
        self.servers.iter().find(|server| server.address == address).expect("a server")
    }

    /// Has the first branch all that the second one had when it was left, but for what was lost by following it?
    fn continues(&self, branch: usize, of: usize) -> bool {
        let mut at = Some(branch);
        while let Some(here) = at {
            if here == of {
                return true;
            }
            at = self.branches[here].parent;
        }
        false
    }

    // ---- workers and clients -------------------------------------------------------------------------------------

    fn workers_look(&mut self) {
        for worker in 0..self.workers.len() {
            if self.workers[worker].takes_up.is_some_and(|at| at <= self.now) {
                self.workers[worker].takes_up = None;
                self.workers[worker].known = self.table.epoch;
                self.judge_sessions(worker);
            }
        }
        self.tell_ended();
    }

    /// What the newest table says of each session of this worker.
    fn judge_sessions(&mut self, worker: usize) {
        let row = self.table.services[0].clone();
        let ended: Vec<Session> = self
            .sessions
            .extract_if(.., |session| {
                let pool = &row.pools[session.pool];
                let endpoint = pool.endpoints.iter().find(|endpoint| endpoint.address == session.server);
                let present = self.terms[session.pool] == session.term;
                let told = if present { pool.sessions.present } else { pool.sessions.earlier };
                session.worker == worker && (endpoint.is_none_or(|endpoint| endpoint.fenced) || told.is_some())
            })
            .collect();
        for session in ended {
            self.seen.note("cut");
            self.is(self.may_cut(session.server), "a session was cut without a reason");
        }
    }

    /// It said that it is no primary, its data is another one, or another server says that it is primary too.
    fn may_cut(&self, server: SocketAddr) -> bool {
        let of = self.server(server);
        let states =
            of.told.is_some_and(|(primary, branch)| !primary || self.truth.is_some_and(|truth| truth != branch));
        states || self.is_in_doubt || self.another_says_primary() || self.accepted || self.holder != Some(server)
    }

    fn tell_ended(&mut self) {
        let known = self.workers.iter().map(|worker| worker.known).min().unwrap_or(0);
        let (ended, open) = std::mem::take(&mut self.fences).into_iter().partition::<Vec<_>, _>(|(_, pool, epoch)| {
            known >= *epoch && !self.sessions.iter().any(|session| session.pool == *pool)
        });
        self.fences = open;
        for (pool, _, epoch) in ended {
            self.seen.note("fence acknowledged");
            self.tell(Event::SessionsEnded { service: "db".into(), pool, epoch, seen: self.time() });
        }
    }

    fn clients(&mut self) {
        // Those that have a session write, and are answered where the server lives and is primary.
        let answered = |server: &Server| !server.frozen && server.is_primary && (server.up || server.hangs);
        let newest = self.sessions.iter().filter(|s| answered(self.server(s.server))).map(|s| s.generation).max();
        for session in &self.sessions {
            if answered(self.server(session.server)) {
                self.is(
                    session.generation >= self.acknowledged,
                    "an acknowledgement of a former holder after one of the next",
                );
            }
        }
        self.acknowledged = self.acknowledged.max(newest.unwrap_or(0));
        // A new one goes where the newest table says: it is looked at again before the first byte.
        let Some(open) = open_endpoints(&self.table).first().copied() else { return };
        let server = self.server(open).clone();
        if self.rng.bool() && server.up && !server.hangs && !server.frozen && !server.busy {
            let pool = self.table.services[0].serving.active().expect("a pool");
            let worker = self.rng.usize(..self.workers.len());
            // (A session is registered under the newest table, so its worker has taken it up.)
            self.workers[worker].takes_up = Some(self.now);
            self.workers_look();
            if open_endpoints(&self.table).first() == Some(&open) {
                let (term, generation) = (self.terms[pool], self.generation);
                self.sessions.push(Session { server: open, pool, worker, term, generation });
                self.seen.note("session");
            }
        }
        if self.sessions.len() > 40 {
            let over = self.rng.usize(..self.sessions.len());
            self.sessions.swap_remove(over);
        }
    }

    // ---- servers -------------------------------------------------------------------------------------------------

    fn data_moves(&mut self) {
        let writes = self.rng.u64(..40);
        for server in &mut self.servers {
            if server.is_primary && server.up && !server.frozen {
                server.lsn += writes;
            }
        }
        for n in 0..self.servers.len() {
            let replica = &self.servers[n];
            if replica.is_primary || !replica.up || replica.frozen || self.rng.u8(..3) == 0 {
                continue;
            }
            let source = self
                .servers
                .iter()
                .find(|source| source.is_primary && source.up && !source.frozen && source.branch == replica.branch);
            if let Some(to) = source.map(|source| source.lsn) {
                let lag = self.rng.u64(..30);
                let replica = &mut self.servers[n];
                replica.lsn = replica.lsn.max(to.saturating_sub(lag));
            }
        }
    }

    fn probe(&mut self) {
        for n in 0..self.servers.len() {
            if self.servers[n].next_probe > self.now {
                continue;
            }
            self.servers[n].next_probe = self.now + 200 + self.rng.u64(..200);
            let address = self.servers[n].address;
            let rows = self.table.services[0].pools.iter().flat_map(|pool| &pool.endpoints);
            let Some(endpoint) = rows.filter(|row| row.address == address).map(|row| row.id).next() else { continue };
            let server = &mut self.servers[n];
            let outcome = match () {
                () if !server.up => fails(ProbeFailure::Refused),
                () if server.hangs || server.frozen => fails(ProbeFailure::Timeout),
                () if server.busy => ProbeOutcome::Busy { detail: "53300".into() },
                () if server.blind => ProbeOutcome::Blind { detail: "28P01".into() },
                () => {
                    server.told = Some((server.is_primary, server.branch));
                    let said = server.said_since.filter(|(branch, _)| *branch == server.branch);
                    server.said_since = server.is_primary.then(|| said.unwrap_or((server.branch, self.now)));
                    let system = self.branches[server.branch].system;
                    ProbeOutcome::Pass { latency: Duration::ZERO, reading: Some(reading(server, system)) }
                }
            };
            let (seen, states) = (self.time(), matches!(outcome, ProbeOutcome::Pass { .. }));
            self.tell(Event::Probed { endpoint, seen, began: Some(seen), outcome });
            if states && !self.servers[n].is_primary {
                self.is(!open_endpoints(&self.table).contains(&address), "a statement is in force at once");
            }
        }
    }

    fn something_happens(&mut self) {
        let n = self.rng.usize(..self.servers.len());
        let now = self.now as i64;
        let what = self.rng.u8(..22);
        let holder = self.holder.map(|holder| holder.to_string()).unwrap_or_default();
        self.story.push(format!("{} ms: {what} to {n}, {holder} holds", self.now));
        match what {
            0 | 1 => self.die(n, true),
            2 => self.servers[n].hangs = true,
            3 => self.servers[n].frozen = true,
            4 => self.servers[n].busy = true,
            5 => self.servers[n].blind = true,
            6..=10 => {
                let server = &mut self.servers[n];
                (server.hangs, server.frozen, server.busy, server.blind) = (false, false, false, false);
                if !server.up {
                    (server.up, server.started) = (true, now);
                    // (What its recovery says is the end of that recovery, or nothing after a clean stop.)
                    // (A clean stop of one that is not followed would hide that it was promoted by itself.)
                    let is_clean = self.rng.bool() && Some(server.branch) == self.truth;
                    server.fork = Some(server.lsn).filter(|_| server.is_primary && !is_clean);
                }
            }
            11..=13 => self.promote_the_best(),
            14 => self.promote(n), // by mistake
            15..=17 => self.rejoin(n),
            18 => {
                // A process of it crashed: it recovers without a new postmaster.
                let server = &mut self.servers[n];
                server.fork = Some(server.lsn).filter(|_| server.is_primary);
                self.sessions.retain(|session| session.server != address(n));
            }
            19 if self.rng.u8(..10) == 0 => {
                let system = 100 + self.branches.len() as u64;
                self.branches.push(Branch { parent: None, system, timeline: 1, born: self.now });
                self.die(n, true);
                let server = &mut self.servers[n];
                (server.branch, server.timeline, server.lsn) = (self.branches.len() - 1, 1, 500);
                (server.is_primary, server.fork, server.up) = (true, None, true);
                self.seen.note("another cluster");
            }
            20 => self.accept(n),
            21 => self.restart(),
            _ => {}
        }
    }

    /// An operator has restored this one, and says so. (Another primary is stopped first: it would have to be told apart for ever.)
    fn accept(&mut self, n: usize) {
        let is_known = self.servers[n].told == Some((true, self.servers[n].branch));
        let others = self.servers.iter().filter(|server| server.is_primary).count();
        if !is_known || others > 1 {
            return;
        }
        self.acts += 1;
        let command = ActCommand::Accept { service: "db".into(), address: self.servers[n].address };
        self.accepted = true;
        let act = Act::new(ActId(self.acts), Actor::local("ada"), command);
        self.tell(Event::Ordered { seen: self.time(), act });
        // (It may be silent by now: then it is not accepted.)
        let status = self.core.status(self.time()).remove(0).following;
        let is_pending = status.is_some_and(|following| following.accepted.is_some());
        self.accepted = is_pending;
        self.seen.note("accept");
    }

    fn die(&mut self, n: usize, sessions_too: bool) {
        self.servers[n].up = false;
        self.servers[n].hangs = false;
        self.servers[n].frozen = false;
        if sessions_too {
            self.sessions.retain(|session| session.server != address(n));
        }
    }

    /// An orchestrator promotes the replica that has most of the branch whose primary is gone.
    fn promote_the_best(&mut self) {
        let alive = |server: &Server| server.up && !server.frozen && !server.hangs;
        if self.servers.iter().any(|server| server.is_primary && alive(server)) {
            return;
        }
        let branch = self.truth.unwrap_or(0);
        let best = (0..self.servers.len())
            .filter(|n| alive(&self.servers[*n]) && !self.servers[*n].is_primary && self.servers[*n].branch == branch)
            .max_by_key(|n| self.servers[*n].lsn);
        if let Some(best) = best {
            self.promote(best);
        }
    }

    fn promote(&mut self, n: usize) {
        let server = &mut self.servers[n];
        if server.is_primary || !server.up || server.frozen {
            return;
        }
        let (parent, timeline, born) = (server.branch, server.timeline + 1, self.now);
        self.branches.push(Branch { parent: Some(parent), system: self.branches[parent].system, timeline, born });
        (server.branch, server.is_primary) = (self.branches.len() - 1, true);
        (server.timeline, server.fork) = (server.timeline + 1, Some(server.lsn));
        self.seen.note("promotion");
    }

    /// Its data is made that of the primary that is followed, and it follows it.
    fn rejoin(&mut self, n: usize) {
        let source = self.holder.map(|holder| self.server(holder).clone());
        let Some(source) = source.filter(|source| source.is_primary && source.up && !source.frozen) else { return };
        if source.address == self.servers[n].address || Some(source.branch) != self.truth {
            return;
        }
        self.die(n, true);
        let server = &mut self.servers[n];
        (server.up, server.is_primary, server.fork, server.started) = (true, false, None, self.now as i64);
        (server.branch, server.timeline, server.lsn) = (source.branch, source.timeline, source.lsn);
        self.seen.note("rejoin");
    }

    /// The proxy itself is killed and started again: its sessions are gone, and it knows what was saved.
    fn restart(&mut self) {
        self.seen.note("restart");
        self.restarted = self.now;
        let saved = self.saved.take();
        self.core = Decision::new(saved, self.time());
        self.table = self.core.table();
        self.sessions.clear();
        self.fences.clear();
        self.hooks.clear();
        self.agreed = None;
        self.served_last = None;
        for worker in &mut self.workers {
            (worker.known, worker.takes_up) = (0, None);
        }
        for server in &mut self.servers {
            server.told = None;
        }
        self.tell(Event::Configured(Arc::clone(&self.config)));
    }

    // ---- the run -------------------------------------------------------------------------------------------------

    fn advance(&mut self, by: u64) {
        let end = self.now + by;
        while self.now < end {
            let due = self.core.deadline().map_or(end, |due| due.as_micros().div_ceil(1000).max(self.now + 1));
            self.now = due.min(end).min(self.now + 20);
            self.core.tick(self.time());
            self.obey();
            self.hooks_answer();
            self.workers_look();
        }
    }

    fn step(&mut self) {
        let pause = 10 + self.rng.u64(..60);
        self.advance(pause);
        self.data_moves();
        self.probe();
        self.clients();
        if self.rng.u8(..12) == 0 {
            self.something_happens();
        }
    }

    /// All faults end. Where one primary is left, and its data continues what was followed, it is the holder soon.
    fn calm(&mut self) {
        for server in &mut self.servers {
            (server.hangs, server.frozen, server.busy, server.blind) = (false, false, false, false);
            server.up = true;
        }
        self.is_calm = true;
        for _ in 0..300 {
            self.advance(50);
            self.probe();
            self.clients();
        }
        let primaries: Vec<&Server> = self.servers.iter().filter(|server| server.is_primary).collect();
        let [only] = primaries[..] else { return };
        if self.truth.is_none_or(|truth| self.continues(only.branch, truth)) && !self.accepted {
            self.is(self.holder == Some(only.address), "the only primary is followed");
            self.is(open_endpoints(&self.table) == [only.address], "it has the traffic");
            self.seen.note("calm");
        }
    }
}

fn fails(kind: ProbeFailure) -> ProbeOutcome {
    ProbeOutcome::Fail { kind, detail: String::new() }
}

fn reading(server: &Server, system: u64) -> Reading {
    let position = PostgresPosition {
        system: SystemId(system),
        timeline: server.timeline,
        lsn: Lsn(server.lsn),
        recovered: server.fork.filter(|_| server.is_primary).map(Lsn),
        fork: None,
        started: Some(server.started),
    };
    let role = if server.is_primary { DataRole::Primary } else { DataRole::Replica };
    Reading { role, writable: Some(server.is_primary), position: Some(DataPosition::Postgres(position)), applied: None }
}

/// Endpoints to which new connections go.
fn open_endpoints(table: &Table) -> Vec<SocketAddr> {
    let Some(row) = table.services.first() else { return Vec::new() };
    let pools = row.pools.iter().enumerate().filter(|(n, _)| row.serving.serves(*n));
    let open = pools.flat_map(|(_, pool)| &pool.endpoints).filter(|row| row.admission == Admission::Open);
    open.map(|row| row.address).collect()
}

fn run(seed: u64) -> Seen {
    let mut world = Databases::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.calm();
    world.seen
}

#[test]
fn one_primary_is_followed_and_no_other() {
    if let Ok(seed) = std::env::var("STANDFAST_SEED") {
        run(seed.parse().expect("a number"));
        return;
    }
    let half = |from: u64| move || (from..SEEDS).step_by(2).map(run).collect::<Vec<_>>();
    let other = std::thread::spawn(half(1));
    let mut all = half(0)();
    all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, count) in all.into_iter().flat_map(|one| one.0) {
        *seen.entry(what).or_default() += count;
    }
    println!("{seen:?}");
    let wanted = [
        ("follow", 400),
        ("recovery", 500),
        ("failover", 800),
        ("session", 50_000),
        ("cut", 3000),
        ("fence acknowledged", 500),
        ("promotion", 500),
        ("rejoin", 1000),
        ("restart", 500),
        ("accept", 100),
        ("another cluster", 80),
        ("calm", 40),
        ("beyond the objective", 20),
        ("hook", 200),
        ("went on without the hook", 40),
        ("missed its objective", 20),
    ];
    for (what, least) in wanted {
        assert!(seen.get(what).is_some_and(|count| *count >= least), "{what} was seen too seldom: {seen:?}");
    }
}
