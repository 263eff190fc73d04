//! What was typed → what is meant: defaults filled in, every value checked, problems collected. One file a part of the
//! configuration; what spans parts (names, addresses that meet) is in [`cross`].

mod address;
mod check;
mod cross;
mod files;
mod header;
mod listener;
mod own_listener;
mod policy;
mod service;
mod sni;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::address::Purpose;
use super::Bind;
use super::defaults;
use super::fault::{Fault, Faults, Spot};
use super::item::{Item, Switch};
use super::log_filter;
use super::model::{self, Config, Name, Patience, Protocol};
use super::named_files::{NamedFiles, TypedFile};
use super::problem::MOST;
use super::schema;
use super::tree::{NodeId, shorten};
use super::units::{Delay, Time, write_time};

/// The whole file. `None` when it is not even a map; otherwise a configuration that is to be used only if no fault
/// is an error.
pub(super) fn config(
    file: &Item<schema::File>,
    base_dir: &Path,
    path: &Path,
    faults: &mut Faults,
    named: &mut Vec<NamedFiles<TypedFile>>,
) -> Option<Config> {
    let (root, file) = file.found()?;
    let mut room = Room { faults, named, base_dir };
    let drain_timeout = room.time(&file.drain_timeout, defaults::DRAIN_TIMEOUT);
    let services = service::services(&mut room, root, &file.services, drain_timeout);
    let listeners = listener::listeners(&mut room, root, &file.listeners, &services);
    let config = Config {
        workers: file.workers.get().map(|count| count.0 as usize),
        drain_timeout,
        admin: admin(&mut room, &file.admin),
        metrics: metrics_bind(&mut room, &file.metrics),
        metrics_detail: metrics_detail(file.metrics.get()),
        state: state_file(&mut room, &file.state),
        log: log(&mut room, &file.log),
        access_log: access_log(&mut room, &file.access_log),
        listeners: listeners.into_iter().map(Arc::new).collect(),
        services: services.list.into_iter().filter_map(|service| service.meaning).map(Arc::new).collect(),
        dns: dns(&mut room, file.dns.get()),
    };
    files::check(&mut room, file, &config, path);
    cross::check(&mut room, file, &config);
    own_listener::check(&mut room, file, &config);
    Some(config)
}

fn dns(room: &mut Room, dns: Option<&schema::Dns>) -> model::Dns {
    let servers = dns.and_then(|dns| dns.servers.get()).map_or(&[][..], |servers| &servers.0);
    let mut wanted = Vec::new();
    for (at, server) in servers.iter().filter_map(Item::found) {
        if server.0.port() == 0 {
            room.problem(at, "port 0 cannot be connected to", "write the server's port; most use 53");
        }
        address::check(room, at, server.0, Purpose::Connect);
        wanted.push(server.0);
    }
    let timeout = dns.map_or(defaults::DNS_TIMEOUT, |dns| room.wait(&dns.timeout, defaults::DNS_TIMEOUT));
    if let Some(dns) = dns {
        room.at_most_a_day(&dns.timeout);
    }
    model::Dns { servers: wanted, timeout }
}

fn admin(room: &mut Room, admin: &Item<Switch<super::item::Short<schema::Admin>>>) -> Option<model::Admin> {
    match admin.found()? {
        (at, Switch::On(admin)) => room.bind(&admin.0.bind, at).map(|bind| model::Admin { bind }),
        (_, Switch::Off) => None,
    }
}

/// The port of its own; it may be left out where only the detail is meant.
fn metrics_bind(room: &mut Room, metrics: &Item<super::item::Short<schema::Metrics>>) -> Option<Bind> {
    let (at, metrics) = metrics.found()?;
    let only_detail = metrics.0.bind.at().is_none() && metrics.0.detail.at().is_some();
    if only_detail { None } else { room.bind(&metrics.0.bind, at) }
}

fn metrics_detail(metrics: Option<&super::item::Short<schema::Metrics>>) -> model::MetricsDetail {
    match metrics.and_then(|metrics| metrics.0.detail.get()) {
        None | Some(schema::MetricsDetail::Full) => model::MetricsDetail::Full,
        Some(schema::MetricsDetail::Lean) => model::MetricsDetail::Lean,
    }
}

fn state_file(room: &mut Room, state: &Item<Switch<super::item::Short<schema::State>>>) -> Option<model::StateFile> {
    let (at, state) = match state.found()? {
        (at, Switch::On(state)) => (at, &state.0),
        (_, Switch::Off) => return None,
    };
    let path = room.required(&state.path, at, "path", "path: /var/lib/standfast/state.json")?;
    room.written(&state.path, false);
    let max_age = room.wait(&state.max_age, defaults::STATE_MAX_AGE);
    Some(model::StateFile { path: room.base_dir.join(path), max_age })
}

fn log(room: &mut Room, log: &Item<super::item::Short<schema::Log>>) -> model::Log {
    let empty = schema::Log::default();
    let log = log.get().map_or(&empty, |log| &log.0);
    let filter = log.filter.found().and_then(|(at, filter)| match log_filter::understand(filter) {
        Ok(filter) => Some(filter),
        Err((what, advice)) => {
            room.problem(at, what, advice);
            None
        }
    });
    model::Log {
        filter: filter.unwrap_or_else(|| defaults::LOG_FILTER.into()),
        format: match log.format.get() {
            None => defaults::LOG_FORMAT,
            Some(schema::LogFormat::Auto) => model::LogFormat::Auto,
            Some(schema::LogFormat::Human) => model::LogFormat::Human,
            Some(schema::LogFormat::Json) => model::LogFormat::Json,
        },
    }
}

fn access_log(room: &mut Room, log: &Item<Switch<super::item::Short<schema::AccessLog>>>) -> Option<model::AccessLog> {
    let Switch::On(log) = log.get()? else { return None };
    let log = &log.0;
    room.written(&log.path, true);
    let format = match log.format.get() {
        None => defaults::ACCESS_FORMAT,
        Some(schema::AccessFormat::Json) => model::AccessFormat::Json,
        Some(schema::AccessFormat::Common) => model::AccessFormat::Common,
        Some(schema::AccessFormat::Combined) => model::AccessFormat::Combined,
    };
    Some(model::AccessLog { path: log.path.get().map(|path| room.base_dir.join(path)), format })
}

/// What every reader of a part has at hand.
struct Room<'a> {
    faults: &'a mut Faults,
    /// Files for TLS, to be looked at later.
    named: &'a mut Vec<NamedFiles<TypedFile>>,
    /// Relative paths of the file count from here.
    base_dir: &'a Path,
}

impl Room<'_> {
    fn problem(&mut self, at: NodeId, what: impl Into<String>, advice: impl Into<String>) {
        self.faults.push(Fault::error(Spot::Node(at), what, advice));
    }

    fn warning(&mut self, at: NodeId, what: impl Into<String>, advice: impl Into<String>) {
        self.faults.push(Fault::warning(Spot::Node(at), what, advice));
    }

    /// So much is wrong already that only a part of it will be told: advice that takes long to find is not looked for.
    fn is_full(&self) -> bool {
        self.faults.len() >= 2 * MOST
    }

    /// A key whose value's function is not built yet.
    fn later(&mut self, at: NodeId, what: &str, now: &str) {
        self.problem(at, format!("{what} is not supported yet"), now);
    }

    /// A value that must be given; when it is absent that is noted at `owner`, unless the advice on another key gives it.
    fn required<'i, T>(&mut self, item: &'i Item<T>, owner: NodeId, key: &'static str, sample: &str) -> Option<&'i T> {
        if item.at().is_none() && !self.is_supplied(owner, &[key]) {
            self.problem(owner, format!("`{key}` is missing"), format!("add `{sample}`"));
        }
        item.get()
    }

    /// Does the advice on another key of the map at `owner` give one of these?
    fn is_supplied(&self, owner: NodeId, keys: &[&'static str]) -> bool {
        keys.iter().any(|key| self.faults.is_supplied(owner, key))
    }

    /// A duration that may be zero.
    fn time(&mut self, item: &Item<Time>, default: Duration) -> Duration {
        item.get().map_or(default, |time| time.0)
    }

    /// A duration that may be `off`.
    fn time_or_off(&mut self, item: &Item<Switch<Time>>, default: Duration) -> Duration {
        match item.get() {
            None => default,
            Some(Switch::Off) => Duration::ZERO,
            Some(Switch::On(time)) => time.0,
        }
    }

    /// How long is waited before something is done; at `end` the waiting is over anyway. On a tcp service nothing ever is done.
    fn patience(
        &mut self,
        item: &Item<Switch<Delay>>,
        key: &str,
        end: (&str, Duration),
        protocol: Protocol,
    ) -> Patience {
        match item.found().filter(|_| protocol == Protocol::Http) {
            None => defaults::patience(protocol),
            Some((_, Switch::Off)) => Patience::Off,
            Some((_, Switch::On(Delay(None)))) => Patience::Auto,
            Some((at, Switch::On(Delay(Some(time))))) => {
                if *time < Duration::from_millis(1) {
                    let what = format!("`{}` is too short", write_time(*time));
                    self.problem(at, what, "at least 1ms; `off` is never");
                }
                self.before(at, key, *time, end);
                Patience::After(*time)
            }
        }
    }

    /// A time that means something only before the end that another key sets.
    fn before(&mut self, at: NodeId, key: &str, time: Duration, (other, end): (&str, Duration)) {
        if time >= end {
            let what = format!("{key} {} is not shorter than {other} {}", write_time(time), write_time(end));
            self.warning(at, what, "it has no effect: make it shorter or leave it out");
        }
    }

    /// A deadline or a pause: at least a millisecond, which is the grain of our clocks.
    fn wait(&mut self, item: &Item<Time>, default: Duration) -> Duration {
        self.at_least(item, Duration::from_millis(1), default)
    }

    fn at_least(&mut self, item: &Item<Time>, least: Duration, default: Duration) -> Duration {
        match item.found() {
            Some((at, time)) if time.0 < least => {
                let what = format!("`{}` is too short", write_time(time.0));
                let (least, default) = (write_time(least), write_time(default));
                self.problem(at, what, format!("at least {least}; left out it is {default}"));
                time.0
            }
            Some((_, time)) => time.0,
            None => default,
        }
    }

    /// Notes a pace that is slower than once a day: a typing error, or a check that checks nothing.
    fn at_most_a_day(&mut self, item: &Item<Time>) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if let Some((at, time)) = item.found()
            && time.0 > DAY
        {
            let what = format!("`{}` is longer than a day", write_time(time.0));
            self.problem(at, what, "at most 1d");
        }
    }

    /// A `bind:` that must be given.
    fn bind(&mut self, item: &Item<super::units::BindAddress>, owner: NodeId) -> Option<Bind> {
        let bind = self.required(item, owner, "bind", "bind: 127.0.0.1:9901").map(|bind| bind.0)?;
        address::check_bind(self, item.at().unwrap_or(owner), bind);
        Some(bind)
    }

    /// A name, see [`model::is_name`].
    fn name(&mut self, at: NodeId, name: &str) -> Option<Name> {
        if model::is_name(name) {
            return Some(Name::from(name));
        }
        let advice = "a name starts with a letter or digit, goes on with letters, digits, `-`, `_`, `.`, and has at most 64 characters in all";
        let advice = match alike(name) {
            Some(name) => format!("write `{name}`: {advice}"),
            None => advice.to_owned(),
        };
        self.problem(at, format!("`{}` is not a name", shorten(name)), advice);
        None
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    /// A file that is written is to be looked at.
    fn written(&mut self, item: &Item<String>, required: bool) {
        if let Some(file) = self.named(item) {
            self.named.push(NamedFiles::Written { file, required });
        }
    }

    /// A file for TLS, with its place.
    fn named(&self, item: &Item<String>) -> Option<TypedFile> {
        item.found().map(|(at, path)| (at, self.path(path)))
    }
}

/// A name made of what was meant as one.
fn alike(text: &str) -> Option<String> {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = text.trim().chars().take(64).map(kept).collect();
    let name = name.trim_matches(['-', '_', '.']).to_owned();
    model::is_name(&name).then_some(name)
}

/// A path of a route, a check or a probe: it starts with `/` and has nothing that a request line could not carry. What to
/// write instead. (What is behind `?` may be a token: it is not repeated.)
fn path_fault(path: &str, query: bool) -> Option<String> {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let alone = &path[..end];
    let is_plain = |path: &str| path.len() <= 60 && path.bytes().all(|b| b.is_ascii_graphic() && b != b'`');
    let written = |path: &str, why: &str| match is_plain(path) {
        true => format!("write `{path}`: {why}"),
        false => why.to_owned(),
    };
    if let Some((_, rest)) = alone.split_once("://") {
        let path = rest.find('/').map_or("/", |at| &rest[at..]);
        return Some(written(path, "a path, without scheme and host"));
    }
    if alone.starts_with(['^', '~', '(']) || alone.contains(".*") {
        return Some("regular expressions are not supported yet; write `path_prefix: /api`".to_owned());
    }
    if !path.starts_with('/') {
        return Some(written(&format!("/{}", alone.trim_start()), "a path starts with `/`"));
    }
    if path.contains('#') || (!query && path.contains('?')) {
        return Some(written(alone, "the path alone, without query and fragment"));
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) {
        let encoded = alone.replace(' ', "%20");
        return Some(written(&encoded, "spaces and what is not ASCII are percent-encoded"));
    }
    None
}
