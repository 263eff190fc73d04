//! The demo for people: the screen of a terminal, or line by line where there is none.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use standfast::control::status_text::millis;
use standfast::control::{IncidentReport, ServiceReport, Status};
use standfast::decision::IncidentId;
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::command::{self, DemoCommand, HELP};
use super::configuration::POLICY;
use super::load::{self, LoadOutcome, LoadPlan};
use super::screen::{self, ScreenView, ShownCounters};
use super::tally::{CounterRates, LoadTally};
use super::terminal::{self, FramePainter, Keyboard, TypedInput, TypedLine};
use super::{Demo, EVERYTHING, POOLS, SHOP, UpstreamBehaviour, fail, tell};
use crate::cli::status;
use crate::cli::text_table::{TextLayout, TextStyle};
use crate::signals::Signals;

/// One in twenty is a POST.
const PLAN: LoadPlan = LoadPlan { rate: 200, post_every: 20, missed: MissedTickBehavior::Skip };
/// The screen is painted so often.
const FRAME: Duration = Duration::from_millis(250);
/// Without a screen the counters are told so often.
const COUNTERS: Duration = Duration::from_secs(10);
/// A switch is told with its first answer, or after this time without one.
const ANSWERED: Duration = Duration::from_secs(2);
/// Events that are kept.
const EVENTS: usize = 100;

/// Runs until a person or a signal ends it.
pub async fn run(demo: Demo, with_load: bool, signals: &mut Signals) -> ExitCode {
    let ready = tokio::select! {
        biased;
        _ = signals.end() => None,
        ready = demo.is_ready() => Some(ready),
    };
    if ready != Some(true) {
        demo.server.stop(signals).await;
        return ready.map_or(ExitCode::SUCCESS, |_| fail("an upstream of the demo did not pass its first checks"));
    }
    let painter = terminal::is_paintable().then(FramePainter::start).and_then(Result::ok);
    let keyboard = painter.as_ref().and_then(|_| Keyboard::take());
    let mut typed = terminal::read(keyboard.is_some());
    let mut show = WatchedDemo::new(demo, with_load, painter, keyboard.is_some());
    show.begin();
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut more = true;
    loop {
        tokio::select! {
            biased;
            _ = signals.end() => break,
            key = typed.recv(), if more => match key {
                Some(TypedInput::Editing(line)) => show.editing = line,
                Some(TypedInput::Line(line)) => if show.obey(&line).await { break },
                Some(TypedInput::End) => break,
                // Standard input has ended, as in a container without one.
                None => { more = false; continue }
            },
            Some(outcome) = show.next_outcome() => { show.count(outcome); continue }
            _ = frames.tick() => {}
        }
        show.refresh().await;
    }
    drop(keyboard);
    show.end(signals).await
}

/// The built-in clients.
struct DemoClients {
    tally: LoadTally,
    outcomes: Receiver<LoadOutcome>,
    stop: watch::Sender<bool>,
    sending: JoinHandle<()>,
}

/// What covers the usual screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScreenCover {
    Status,
    Help,
}

struct WatchedDemo {
    demo: Demo,
    started: Instant,
    clients: Option<DemoClients>,
    painter: Option<FramePainter>,
    prompt: bool,
    editing: String,
    cover: Option<ScreenCover>,
    rates: CounterRates,
    events: VecDeque<String>,
    /// The newest switch that was told.
    told: Option<IncidentId>,
    /// It was told without its first answer.
    unanswered: bool,
    /// What the last command came to.
    answer: String,
    counted: Instant,
}

impl WatchedDemo {
    fn new(demo: Demo, with_load: bool, painter: Option<FramePainter>, prompt: bool) -> WatchedDemo {
        let now = Instant::now();
        let clients = with_load.then(|| {
            let ((stop, stopped), (outcome, outcomes)) = (watch::channel(false), mpsc::channel(load::QUEUE));
            let sending = tokio::spawn(load::run(demo.reachable(), PLAN, stopped, outcome));
            DemoClients { tally: LoadTally::default(), outcomes, stop, sending }
        });
        WatchedDemo {
            demo,
            started: now,
            clients,
            painter,
            prompt,
            editing: String::new(),
            cover: None,
            rates: CounterRates::new(now),
            events: VecDeque::new(),
            told: None,
            unanswered: false,
            answer: String::new(),
            counted: now,
        }
    }

    /// Pending without clients. Cancel safe.
    async fn next_outcome(&mut self) -> Option<LoadOutcome> {
        match &mut self.clients {
            Some(clients) => clients.outcomes.recv().await,
            None => std::future::pending().await,
        }
    }

    fn count(&mut self, outcome: LoadOutcome) {
        if let Some(clients) = &mut self.clients {
            clients.tally.add(outcome);
        }
    }

    fn addresses(&self) -> String {
        let admin =
            self.demo.server.app.admin_address().map_or_else(String::new, |admin| format!("  admin http://{admin}"));
        format!("http://{}{admin}", self.demo.http)
    }

    /// Where there is no screen: what this is and what can be done.
    fn begin(&mut self) {
        if self.painter.is_some() {
            return;
        }
        let (http, tcp): (SocketAddr, SocketAddr) = (self.demo.http, self.demo.tcp);
        tell(&format!(
            "Standfast demo: {}  tcp {tcp}\nTwo pools of two upstreams: {} and {}. {POLICY}\n\n\
             Elsewhere: curl http://{http}/   Here, a command and Enter:\n\n{HELP}\n",
            self.addresses(),
            POOLS[0],
            POOLS[1],
        ));
    }

    /// Notes what happened.
    fn say(&mut self, what: &str) {
        let event = format!("{} {what}", screen::clock(self.started.elapsed()));
        if self.painter.is_none() {
            tell(&event);
        }
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Notes what a command came to.
    fn answer(&mut self, what: &str) {
        self.say(what);
        self.answer = self.events.back().cloned().unwrap_or_default();
    }

    /// Obeys a line that was typed; whether it ends the demo.
    async fn obey(&mut self, line: &str) -> bool {
        self.editing.clear();
        self.answer.clear();
        self.cover = None;
        match command::parse(line) {
            Ok(None) => {}
            Ok(Some(DemoCommand::Quit)) => return true,
            Ok(Some(DemoCommand::Help)) if self.painter.is_some() => self.cover = Some(ScreenCover::Help),
            Ok(Some(DemoCommand::Status)) if self.painter.is_some() => self.cover = Some(ScreenCover::Status),
            Ok(Some(DemoCommand::Help)) => tell(HELP),
            Ok(Some(DemoCommand::Status)) => {
                if let Ok(status) = self.demo.server.app.control().status().await {
                    tell(&status::tables(&status, TextLayout::PLAIN));
                }
            }
            Ok(Some(DemoCommand::DemoUpstreams { behaviour, target })) => self.change(behaviour, target).await,
            Err(problem) => self.answer(&problem),
        }
        false
    }

    async fn change(&mut self, behaviour: UpstreamBehaviour, target: Option<String>) {
        let target = match target {
            Some(target) => target,
            None if behaviour == UpstreamBehaviour::Running => EVERYTHING.to_owned(),
            None => self.serving().await,
        };
        let changed = self.demo.upstreams.become_all(&target, behaviour).join(", ");
        if changed.is_empty() {
            let known: Vec<_> = self.demo.upstreams.all().map(|(_, name, _)| name.to_owned()).collect();
            return self.answer(&format!(
                "there is no `{target}` here, but {}, {}",
                POOLS.join(", "),
                known.join(", ")
            ));
        }
        self.answer(&format!("{changed}: {}", does(behaviour)));
    }

    /// The pool with upstreams that serves, else the first one.
    async fn serving(&self) -> String {
        let service = self.demo.server.app.control().status().await.ok().and_then(shop);
        let active = service.and_then(|(service, _)| service.active);
        active.filter(|pool| POOLS.contains(&&**pool)).map_or(POOLS[0].to_owned(), |pool| pool.to_string())
    }

    /// Looks at the proxy, tells what is new and paints.
    async fn refresh(&mut self) {
        let Ok(status) = self.demo.server.app.control().status().await else { return };
        let (width, height) = terminal::size();
        let look = TextLayout { colour: false, width: Some(width) };
        let tables = (self.cover == Some(ScreenCover::Status)).then(|| status::overview(&status, look));
        let Some((service, incidents)) = shop(status) else { return };
        self.tell(&incidents);
        let counters = self.counters();
        if self.painter.is_none() {
            if self.counted.elapsed() >= COUNTERS {
                self.counted = Instant::now();
                tell(&format!("{} {}", screen::clock(self.started.elapsed()), counters.summary()));
            }
            return;
        }
        let height = height.saturating_sub(usize::from(self.prompt));
        let lines = match self.cover {
            Some(ScreenCover::Help) => cover(HELP, width, height),
            Some(ScreenCover::Status) => cover(tables.as_deref().unwrap_or_default(), width, height),
            None => {
                let view = self.view(service, incidents, counters);
                screen::lines(&view, width, height)
            }
        };
        if let Some(painter) = &self.painter {
            painter.paint(&lines, self.prompt.then(|| cut_to(&self.editing, width)));
        }
    }

    fn view(
        &mut self,
        service: ServiceReport,
        mut incidents: Vec<IncidentReport>,
        counters: ShownCounters,
    ) -> ScreenView {
        let behaviours =
            self.demo.upstreams.all().map(|(_, name, upstream)| (name.to_owned(), does(upstream.behaviour())));
        ScreenView {
            addresses: self.addresses(),
            behaviours: behaviours.collect(),
            rates: self.rates.take(counters.answered(), Instant::now()).clone(),
            counters,
            service,
            incident: incidents.pop(),
            events: self.events.clone(),
            answer: self.answer.clone(),
        }
    }

    fn counters(&self) -> ShownCounters {
        match &self.clients {
            Some(clients) => ShownCounters::DemoLoad {
                tally: clients.tally.clone(),
                rate: PLAN.rate,
                repeated: self.demo.executions.repeated(),
            },
            None => self.proxy_counters(),
        }
    }

    fn proxy_counters(&self) -> ShownCounters {
        let table = self.demo.server.app.control().published().load();
        let Some(service) = table.service(SHOP) else {
            return ShownCounters::Proxy { requests: 0, failed: 0, answered: BTreeMap::new() };
        };
        let responses = service.stats.responses();
        let endpoints = service.pools.iter().flat_map(|pool| &pool.endpoints);
        let answered = endpoints.filter_map(|endpoint| {
            let name = endpoint.name.as_deref()?.to_owned();
            Some((name, endpoint.stats.totals().responses.iter().sum()))
        });
        let (none, server_errors) = (responses[0], responses[5]);
        ShownCounters::Proxy {
            requests: responses.iter().sum(),
            failed: none + server_errors,
            answered: answered.collect(),
        }
    }

    /// Tells of switches, once each.
    fn tell(&mut self, incidents: &[IncidentReport]) {
        let told = self.told;
        let late = incidents.iter().find(|incident| self.unanswered && Some(incident.id) == told);
        if let Some(rto) = late.and_then(|incident| incident.rto_ms) {
            self.unanswered = false;
            self.say(&format!("first answer after {}", millis(rto)));
        }
        let new = incidents.iter().filter(|incident| told.is_none_or(|told| incident.id > told));
        for incident in new {
            let waits = incident.rto_ms.is_none() && u128::from(incident.age_ms) < ANSWERED.as_millis();
            if waits && incidents.last() == Some(incident) {
                return;
            }
            let answered =
                incident.rto_ms.map_or("no answer yet".to_owned(), |rto| format!("first answer after {}", millis(rto)));
            let why = incident.evidence.first().map_or_else(String::new, |first| format!(" ({})", first.detail));
            self.say(&format!("{}: {answered}{why}", screen::route(incident)));
            self.told = Some(incident.id);
            self.unanswered = incident.rto_ms.is_none();
        }
    }

    /// Leaves the terminal as it was, with a summary.
    async fn end(mut self, signals: &mut Signals) -> ExitCode {
        let painted = self.painter.take().map(FramePainter::end);
        if let Some(clients) = &self.clients {
            clients.stop.send_replace(true);
            clients.sending.abort();
        }
        if painted == Some(true) {
            tell(&format!("Standfast demo  {}", self.addresses()));
            self.events.iter().for_each(|event| tell(event));
        }
        if painted != Some(false) {
            tell(&self.counters().summary());
        }
        self.demo.server.stop(signals).await;
        ExitCode::SUCCESS
    }
}

/// The service and its switches, oldest first.
fn shop(status: Status) -> Option<(ServiceReport, Vec<IncidentReport>)> {
    let service = status.services.into_iter().find(|service| &*service.name == SHOP)?;
    let incidents = status.incidents.into_iter().filter(|incident| &*incident.service == SHOP);
    Some((service, incidents.collect()))
}

/// In one word.
fn does(behaviour: UpstreamBehaviour) -> &'static str {
    match behaviour {
        UpstreamBehaviour::Running => "running",
        UpstreamBehaviour::Crashed => "crashed",
        UpstreamBehaviour::Frozen => "frozen",
        UpstreamBehaviour::Slow => "slow",
        UpstreamBehaviour::Erring => "errors",
        UpstreamBehaviour::Leaving => "leaving",
    }
}

/// A text over the whole screen, until Enter.
fn cover(text: &str, width: usize, height: usize) -> Vec<TypedLine> {
    let room = height.saturating_sub(2);
    let mut lines: Vec<TypedLine> = text.lines().flat_map(|line| screen::folded(line, width)).take(room).collect();
    lines.push(Vec::new());
    lines.extend(screen::plain("Enter: back", width, TextStyle::Head));
    lines.truncate(height);
    lines
}

/// The end of what is typed, where it is wider than the terminal.
fn cut_to(line: &str, width: usize) -> &str {
    let room = width.saturating_sub(3);
    line.get(line.len().saturating_sub(room)..).unwrap_or_default()
}
