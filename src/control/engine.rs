//! The engine: the only owner of the [`Decision`]. It turns what happens into events, obeys the effects in their order,
//! and decides nothing itself.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::audit::AuditLog;
use super::confirm::ConnectSetup;
use super::decision_snapshot::DecisionSnapshot;
use super::discovery::{Discovery, News, RunningLookups};
use super::fences::FenceWatch;
use super::file_writer::FileWriter;
use super::handle::EngineCommand;
use super::hooks::{FenceRequest, RunningHooks};
use super::journal::JournalWriter;
use super::materials;
use super::places::{EndpointPlaces, places};
use super::probes::RunningProbes;
use super::pulse::EnginePulse;
use super::records::Records;
use super::records::notices::ControlTrouble;
use super::reload::FixedAtStart;
use super::state::StateWriter;
use super::status::{self, IncidentReport, ReloadStatus, ServiceReport, Status, WallClock};
use super::sweep::CounterSweep;
use super::troubles::StandingTroubles;
use crate::config::{Config, Service};
use crate::decision::{
    ConnectOutcome, Decision, Effect, EndpointId, Event, ServiceStatus, Serving, SessionAction, StandingChange,
    TransitionStage,
};
use crate::routing::{Published, RoutingTable, ServiceView, SocketMap, TlsAssets};
use crate::sys::clock;
use crate::time::MonoTime;

/// Events that may wait for the engine; beyond, probes wait with theirs.
pub(super) const MAILBOX: usize = 1024;
/// Events that are taken in before their effects are obeyed: many changes at once (a start, a lost rack) are one publish.
const BATCH: usize = 64;
/// Pause between two sweeps of what workers counted.
const SWEEP: Duration = Duration::from_millis(50);
/// How often the state is written though nothing has changed; a quarter of `max_age` where that is less.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest pause between two sweeps that workers asked for.
const URGENT_SWEEP: Duration = Duration::from_millis(1);
/// Pause between two looks at sessions that were told to end at once, and for how long they are looked at so often.
const FENCE_LOOK: Duration = Duration::from_millis(2);
const FENCE_LOOKS: Duration = Duration::from_millis(250);

/// See the module. Lives on the control thread.
pub(super) struct Engine {
    pub(super) decision: Decision,
    /// In force: the declared one with addresses in the place of names.
    pub(super) config: Arc<Config>,
    pub(super) discovery: Discovery,
    pub(super) fixed: FixedAtStart,
    pub(super) path: Option<Arc<PathBuf>>,
    pub(super) workers: usize,
    pub(super) published: Arc<Published>,
    pub(super) sockets: SocketMap,
    pub(super) materials: Arc<TlsAssets>,
    /// When certificates were last looked at.
    pub(super) warned_of_expiry: MonoTime,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) pulse: Arc<EnginePulse>,
    /// A configuration was put into force.
    pub(super) reloads: Arc<Notify>,
    pub(super) writer: Option<StateWriter>,
    /// When the state was last handed to the writer.
    pub(super) persisted: MonoTime,
    pub(super) journal: Option<JournalWriter>,
    /// Writes all files. Dropped after the journal, which hands over its last lines then.
    pub(super) files: FileWriter,
    pub(super) audit: Option<AuditLog>,
    pub(super) records: Records,
    pub(super) places: EndpointPlaces,
    pub(super) sweep: CounterSweep,
    pub(super) fences: FenceWatch,
    /// What the first configuration gave rise to, beside the table that is published already.
    pub(super) begun: Vec<Effect>,
    pub(super) started_unix_ms: u64,
    pub(super) last_reload: Option<ReloadStatus>,
    /// What was wrong at the start and still is.
    pub(super) troubles: Vec<String>,
    /// What other rooms find wrong.
    pub(super) standing: StandingTroubles,
    /// The first epoch under which every service had made its first choice.
    pub(super) chosen: Option<u64>,
}

/// What only exists on the control thread's runtime.
pub(super) struct EngineInputs {
    probes: RunningProbes,
    lookups: RunningLookups,
    events: mpsc::Sender<Event>,
    hooks: RunningHooks,
    /// The configuration whose checks are running.
    probed: Option<Arc<Config>>,
}

impl Engine {
    /// Work until it is told to stop, or until the last handle is gone.
    pub(super) async fn run(&mut self, commands: &mut mpsc::Receiver<EngineCommand>) {
        let (sender, mut events) = mpsc::channel(MAILBOX);
        let (found, mut lookups) = mpsc::channel(MAILBOX);
        let mut inputs = EngineInputs {
            probes: RunningProbes::new(sender.clone()),
            lookups: RunningLookups::new(found),
            events: sender,
            hooks: RunningHooks::default(),
            probed: None,
        };
        self.watch(&mut inputs);
        self.records.started(self.published.epoch());
        let begun = std::mem::take(&mut self.begun);
        self.carry_out(begun, &mut inputs);

        let mut sweeps = tokio::time::interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_sweep = Instant::now();
        let mut urgent = false;
        let mut batch = Vec::with_capacity(BATCH);
        let published = self.published.clone();
        loop {
            let due = self.decision.deadline();
            tokio::select! {
                // Once told, told: the wish stays in `urgent` until a sweep has fulfilled it.
                () = published.wait_urgent(), if !urgent => urgent = true,
                // (A switch may wait for the end of these sessions, and clients with it.)
                () = tokio::time::sleep(FENCE_LOOK), if self.fences.are_pressing(clock::now()) => {
                    let ended = self.fences.take(&self.published, &self.published.load(), clock::now());
                    self.take(ended, &mut inputs);
                }
                () = tokio::time::sleep_until(last_sweep + URGENT_SWEEP), if urgent => {
                    urgent = false;
                    self.sweep(&mut inputs);
                    last_sweep = Instant::now();
                }
                _ = sweeps.tick() => {
                    self.pulse.beat();
                    urgent = false;
                    self.sweep(&mut inputs);
                    self.release(&mut inputs);
                    self.tidy();
                    last_sweep = Instant::now();
                }
                () = until(due), if due.is_some() => self.tick(&mut inputs),
                _ = events.recv_many(&mut batch, BATCH) => self.take(batch.drain(..), &mut inputs),
                Some(news) = lookups.recv() => self.found(news, &mut inputs),
                command = commands.recv() => match command {
                    Some(EngineCommand::Stop(done)) => {
                        self.last_words();
                        commands.close();
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.answer(command, &mut inputs),
                    None => return,
                },
            }
        }
    }

    /// Events in, their effects obeyed.
    pub(super) fn take(&mut self, events: impl IntoIterator<Item = Event>, inputs: &mut EngineInputs) {
        for event in events {
            if let Event::Probed { endpoint, outcome, .. } = &event {
                self.records.probed(*endpoint, outcome, &self.places);
            }
            self.tell(event);
        }
        self.obey(inputs);
    }

    pub(super) fn tell(&mut self, event: Event) {
        let now = clock::now();
        if let Some(journal) = &mut self.journal {
            journal.record(Some(&event), now);
        }
        self.decision.handle(event, now);
    }

    /// The core's own deadline has come.
    fn tick(&mut self, inputs: &mut EngineInputs) {
        let now = clock::now();
        if let Some(journal) = &mut self.journal {
            journal.record(None, now);
        }
        self.decision.tick(now);
        self.obey(inputs);
    }

    /// What workers counted since the last time becomes events.
    fn sweep(&mut self, inputs: &mut EngineInputs) {
        let (table, now) = (self.published.load(), clock::now());
        let mut news = self.sweep.take(&table, now);
        news.extend(self.fences.take(&self.published, &table, now));
        self.take(news, inputs);
    }

    /// Do what the core says, in its order: publishing comes first.
    fn obey(&mut self, inputs: &mut EngineInputs) {
        let effects = self.decision.effects();
        self.carry_out(effects, inputs);
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>, inputs: &mut EngineInputs) {
        let confirmed = |endpoint, seen, outcome| Event::Confirmed { endpoint, seen, outcome };
        let reach_checked = |endpoint, seen, outcome| Event::ReachChecked { endpoint, seen, outcome };
        let mut persist = false;
        let before = self.published.load();
        for effect in effects {
            match effect {
                Effect::Publish => {
                    self.publish();
                    self.watch(inputs);
                }
                // The rule is published with the table: each worker judges its sessions by it before it acknowledges.
                Effect::Sessions { service, pool, epoch, action } => {
                    self.fences.begin((&before, &self.published.load()), &service, pool, epoch);
                    if action == SessionAction::Close {
                        self.fences.press_until(clock::now().after(FENCE_LOOKS));
                    }
                }
                // The answer is taken where the act is told.
                Effect::Acted { .. } => {}
                Effect::ConfirmConnect { endpoint } => self.open_one(endpoint, inputs, confirmed),
                Effect::CheckReach { endpoint } => self.open_one(endpoint, inputs, reach_checked),
                Effect::ProbeNow { endpoint } => inputs.probes.now(endpoint),
                Effect::ProbePace { endpoint, fast } => inputs.probes.pace(endpoint, fast),
                Effect::Standing(change) => {
                    self.ask_after(&change, inputs);
                    self.records.standing(change, &self.places);
                }
                Effect::Held { service, pool, address, reason, detail, .. } => {
                    self.records.held(&service, pool, address, reason, detail);
                }
                Effect::Incident(incident) => self.records.incident(&incident),
                Effect::Transition(record) => {
                    if !matches!(record.stage, TransitionStage::Waiting { .. }) {
                        inputs.hooks.end(record.id);
                    }
                    self.records.transition(&record);
                }
                Effect::RunFence { transition, service, from, to } => {
                    let instance = self.records.instance().to_string();
                    let wanted = self.config.services.iter().find(|configured| configured.name == service);
                    let hook = wanted.and_then(|service| service.failover.fence.clone());
                    let request = FenceRequest { transition, service, from, to, instance };
                    inputs.hooks.begin(hook, request, inputs.events.clone());
                }
                Effect::Condition(change) => self.records.condition(&change),
                Effect::Alert(alert) => self.records.alert(alert),
                Effect::Persist => persist = true,
            }
        }
        if persist {
            self.persist();
        }
    }

    /// The core's newest conclusions become the published table. (Those of several events at once are seen at
    /// once.)
    fn publish(&mut self) {
        let now = clock::now();
        let before = self.published.load();
        let conclusions = self.decision.table();
        if conclusions.epoch <= before.epoch {
            return;
        }
        let table = RoutingTable::build(
            &self.config,
            &conclusions,
            Some(&before),
            &self.sockets,
            &self.materials,
            self.workers,
            now,
        );
        self.published.publish(table);
        self.fences.published(&before, &self.published.load());
        if self.chosen.is_none() && !conclusions.services.iter().any(|row| row.serving == Serving::Starting) {
            self.chosen = Some(conclusions.epoch);
        }
    }

    /// A lookup ended.
    fn found(&mut self, (question, outcome): News, inputs: &mut EngineInputs) {
        let turn = self.discovery.answered(&question, outcome, || self.decision.table(), clock::now());
        if let Some(problem) = turn.stale {
            tracing::error!(%problem, "a name is not to be had");
            self.records.trouble(ControlTrouble::NameUnanswered(problem));
        }
        inputs.lookups.watchful(&question, self.discovery.is_watched(&question));
        if turn.changed {
            self.rediscover(inputs);
        }
    }

    /// Addresses that stood in for others are needed no more.
    fn release(&mut self, inputs: &mut EngineInputs) {
        if self.discovery.is_overlapping() && self.discovery.release(&self.decision.table(), clock::now()) {
            self.rediscover(inputs);
        }
    }

    /// Names stand for other addresses: to the core that is another configuration.
    fn rediscover(&mut self, inputs: &mut EngineInputs) {
        let config = self.discovery.effective(Some(&self.config));
        if config.services.iter().zip(&self.config.services).all(|(new, old)| Arc::ptr_eq(new, old)) {
            return;
        }
        self.config = config;
        self.take([Event::Configured(self.config.clone())], inputs);
    }

    /// An endpoint whose name DNS knows has fallen, or is well again: it may have moved.
    fn ask_after(&mut self, change: &StandingChange, inputs: &EngineInputs) {
        let Some(place) = self.places.get(&change.endpoint) else { return };
        let operational = change.to.operational;
        for question in self.discovery.standing(place.address, operational) {
            inputs.lookups.watchful(&question, self.discovery.is_watched(&question));
            if operational.has_fallen() {
                inputs.lookups.now(&question);
            }
        }
    }

    /// Run the checks of the configuration in force.
    fn watch(&mut self, inputs: &mut EngineInputs) {
        if inputs.probed.as_ref().is_some_and(|probed| Arc::ptr_eq(probed, &self.config)) {
            return;
        }
        let table = self.decision.table();
        inputs.probes.reconcile(&self.config, &table, &self.materials);
        inputs.lookups.reconcile(&self.discovery, &self.config.dns);
        let before = inputs.probed.replace(self.config.clone());
        self.records.configured(before.as_deref(), &self.config, &table);
        self.places = places(&self.config, &table);
        self.sweep.keep(&self.places, &self.config);
    }

    /// Opens one connection to this endpoint, as traffic does; how that ended is told by the event that `tell` makes of it.
    fn open_one(
        &self,
        endpoint: EndpointId,
        inputs: &EngineInputs,
        tell: fn(EndpointId, MonoTime, ConnectOutcome) -> Event,
    ) {
        let Some(place) = self.places.get(&endpoint) else { return };
        let table = self.published.load();
        let Some(opening) = table.service(&place.service).and_then(|service| ConnectSetup::of(service, endpoint))
        else {
            return;
        };
        let events = inputs.events.clone();
        tokio::spawn(async move {
            let outcome = opening.confirm().await;
            let _ = events.send(tell(endpoint, clock::now(), outcome)).await;
        });
    }

    fn persist(&mut self) {
        if let Some(writer) = &self.writer {
            self.persisted = clock::now();
            writer.write(self.decision.saved(self.persisted), self.discovery.remembered());
        }
    }

    /// The file's age says how long no process was at work, not how long nothing has changed: a sign of life now and then.
    fn sign_of_life(&mut self) {
        let Some(file) = &self.fixed.state else { return };
        if clock::now().since(self.persisted) >= SIGN_OF_LIFE.min(file.max_age / 4) {
            self.persist();
        }
    }

    /// Certificates that expire are told at every load, and once a day.
    fn look_at_certificates(&mut self) {
        let now = clock::now();
        if now.since(self.warned_of_expiry) >= A_DAY {
            self.warned_of_expiry = now;
            materials::expiring(&self.materials, &self.config).iter().for_each(|line| tracing::warn!("{line}"));
        }
    }

    /// Free tables that no worker uses any more, and see whether every worker is ready.
    fn tidy(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.round(&self.decision);
        }
        self.records.audited();
        self.published.reap();
        self.records.paused(clock::now());
        self.sign_of_life();
        self.look_at_certificates();
        let ready = self.chosen.is_some_and(|chosen| self.published.all_acknowledged(chosen));
        if ready && !self.ready.swap(true, Ordering::AcqRel) {
            tracing::info!(epoch = self.published.epoch(), "ready");
        }
    }

    /// The last thing before a wanted end.
    fn last_words(&mut self) {
        self.records.stopping(self.published.epoch());
        self.persist();
        if let Some(journal) = &mut self.journal {
            journal.flush();
        }
        for file in self.files.finish() {
            tracing::error!(file, "the last {file} could not be written");
        }
        if self.audit.as_ref().is_some_and(|audit| !audit.finish()) {
            tracing::error!("the last records of the audit log could not be written");
        }
    }

    fn answer(&mut self, command: EngineCommand, inputs: &mut EngineInputs) {
        // A caller that no longer waits gets no answer.
        match command {
            EngineCommand::Reload(order, reply) => {
                let answer = self.reload(*order, inputs);
                self.answer_change(reply, answer);
            }
            EngineCommand::Act(order, reply) => {
                if let Some(answer) = self.act(*order, inputs) {
                    self.answer_change(reply, answer);
                }
            }
            EngineCommand::Status(reply) => drop(reply.send(self.status())),
            // (No copy is made for a caller that is gone.)
            EngineCommand::Decision(reply) if reply.is_closed() => {}
            EngineCommand::Decision(reply) => drop(reply.send(Box::new(DecisionSnapshot::of(&self.decision)))),
            EngineCommand::Tally(reply) => {
                self.records.tally.pauses = clock::pauses();
                self.records.tally.audit = self.audit.as_ref().map(|audit| audit.handle().counts());
                self.records.tally.journal = self.journal.as_ref().map(JournalWriter::counts);
                self.records.tally.writes(self.writer.as_ref().map_or((0, 0), StateWriter::counts));
                drop(reply.send(self.records.tally.clone()));
            }
            EngineCommand::Stop(_) => {}
        }
    }

    /// The answer to a change. The change is counted first: whatever is read after the answer sees it.
    fn answer_change<T>(&self, reply: oneshot::Sender<T>, answer: T) {
        self.pulse.changed();
        drop(reply.send(answer));
    }

    /// What is wrong with the instance itself.
    fn troubles(&self) -> Vec<String> {
        let audit = self.audit.as_ref().and_then(|audit| audit.handle().trouble());
        let audit = audit.map(|problem| format!("the audit log cannot be written: {problem}"));
        self.troubles.iter().cloned().chain(audit).chain(self.standing.lines()).collect()
    }

    /// What the core says of services, and what stands beside it.
    fn reports(&self, states: Vec<ServiceStatus>, table: &RoutingTable, wall: &WallClock) -> Vec<ServiceReport> {
        let views: HashMap<&str, &Arc<ServiceView>> = table.services.iter().map(|s| (&*s.config.name, s)).collect();
        let configs: HashMap<&str, &Arc<Service>> = self.config.services.iter().map(|s| (&*s.name, s)).collect();
        let report = |state: ServiceStatus| {
            let mark = self.mark(&state).to_string();
            let (config, view) = (configs.get(&*state.name), views.get(&*state.name));
            let report = status::service_report(state, config.map(|c| &***c), view.map(|view| &***view), wall);
            ServiceReport { mark, ..report }
        };
        states.into_iter().map(report).collect()
    }

    fn status(&self) -> Status {
        let wall = WallClock::now();
        let (now, now_unix_ms) = (wall.now, wall.unix_ms);
        let table = self.published.load();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            config_path: self.path.as_deref().cloned(),
            started_unix_ms: self.started_unix_ms,
            uptime_ms: now_unix_ms.saturating_sub(self.started_unix_ms),
            now_unix_ms,
            ready: self.ready.load(Ordering::Acquire),
            epoch: table.epoch,
            acknowledged: (0..self.published.workers()).map(|worker| self.published.acknowledged(worker)).collect(),
            generation: self.records.tally.generation,
            loaded_unix_ms: self.records.tally.loaded_unix_ms,
            last_reload: self.last_reload.clone(),
            troubles: self.troubles(),
            listeners: status::listeners(&table),
            services: self.reports(self.decision.status(now), &table, &wall),
            names: self.discovery.report(),
            incidents: self
                .decision
                .incidents()
                .map(|incident| IncidentReport::told_by(incident, &wall, self.records.instance()))
                .collect(),
        }
    }
}

/// Sleep until this moment; forever when there is none.
async fn until(due: Option<MonoTime>) {
    match due {
        Some(due) => clock::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
