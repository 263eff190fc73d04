//! What the readers of all sections have at hand: the problems found so far, and readers of common values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::suggested_name;
use crate::config::defaults;
use crate::config::diagnostic::{Diagnostic, DiagnosticList, SourceSpot};
use crate::config::model::{DelayThreshold, Name, Protocol, is_name};
use crate::config::named_files::{NamedFiles, TypedFile};
use crate::config::problems::MOST;
use crate::config::spanned::{OffOr, Spanned};
use crate::config::tree::{NodeId, shorten};
use crate::config::units::{AutoOrDuration, TypedDuration, write_time};

/// Collects diagnostics, and reads values that several sections have.
pub(super) struct Diagnostics<'a> {
    pub(super) found: &'a mut DiagnosticList,
    /// Files for TLS, to be looked at later.
    pub(super) named: &'a mut Vec<NamedFiles<TypedFile>>,
    /// Relative paths of the file count from here.
    pub(super) base_dir: &'a Path,
}

impl Diagnostics<'_> {
    pub(super) fn problem(&mut self, at: NodeId, what: impl Into<String>, advice: impl Into<String>) {
        self.found.push(Diagnostic::error(SourceSpot::Node(at), what, advice));
    }

    pub(super) fn warning(&mut self, at: NodeId, what: impl Into<String>, advice: impl Into<String>) {
        self.found.push(Diagnostic::warning(SourceSpot::Node(at), what, advice));
    }

    /// So much is wrong already that only a part of it will be told: advice that takes long to find is not looked for.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= 2 * MOST
    }

    /// A key whose value's function is not built yet.
    pub(super) fn not_supported(&mut self, at: NodeId, what: &str, now: &str) {
        self.problem(at, format!("{what} is not supported yet"), now);
    }

    /// A value that must be given; when it is absent that is noted at `owner`, unless the advice on another key gives it.
    pub(super) fn required<'i, T>(
        &mut self,
        item: &'i Spanned<T>,
        owner: NodeId,
        key: &'static str,
        sample: &str,
    ) -> Option<&'i T> {
        if item.at().is_none() && !self.is_supplied(owner, &[key]) {
            self.problem(owner, format!("`{key}` is missing"), format!("add `{sample}`"));
        }
        item.get()
    }

    /// Does the advice on another key of the map at `owner` give one of these?
    pub(super) fn is_supplied(&self, owner: NodeId, keys: &[&'static str]) -> bool {
        keys.iter().any(|key| self.found.is_supplied(owner, key))
    }

    /// A duration that may be zero.
    pub(super) fn time(&mut self, item: &Spanned<TypedDuration>, default: Duration) -> Duration {
        item.get().map_or(default, |time| time.0)
    }

    /// A duration that may be `off`.
    pub(super) fn time_or_off(&mut self, item: &Spanned<OffOr<TypedDuration>>, default: Duration) -> Duration {
        match item.get() {
            None => default,
            Some(OffOr::Off) => Duration::ZERO,
            Some(OffOr::Value(time)) => time.0,
        }
    }

    /// How long is waited before something is done; at `end` the waiting is over anyway. On a tcp service nothing ever is done.
    pub(super) fn patience(
        &mut self,
        item: &Spanned<OffOr<AutoOrDuration>>,
        key: &str,
        end: (&str, Duration),
        protocol: Protocol,
    ) -> DelayThreshold {
        match item.found().filter(|_| protocol == Protocol::Http) {
            None => defaults::patience(protocol),
            Some((_, OffOr::Off)) => DelayThreshold::Off,
            Some((_, OffOr::Value(AutoOrDuration(None)))) => DelayThreshold::Auto,
            Some((at, OffOr::Value(AutoOrDuration(Some(time))))) => {
                if *time < Duration::from_millis(1) {
                    let what = format!("`{}` is too short", write_time(*time));
                    self.problem(at, what, "at least 1ms; `off` is never");
                }
                self.before(at, key, *time, end);
                DelayThreshold::After(*time)
            }
        }
    }

    /// A time that means something only before the end that another key sets.
    pub(super) fn before(&mut self, at: NodeId, key: &str, time: Duration, (other, end): (&str, Duration)) {
        if time >= end {
            let what = format!("{key} {} is not shorter than {other} {}", write_time(time), write_time(end));
            self.warning(at, what, "it has no effect: make it shorter or leave it out");
        }
    }

    /// A deadline or a pause: at least a millisecond, which is the grain of our clocks.
    pub(super) fn wait(&mut self, item: &Spanned<TypedDuration>, default: Duration) -> Duration {
        self.at_least(item, Duration::from_millis(1), default)
    }

    pub(super) fn at_least(&mut self, item: &Spanned<TypedDuration>, least: Duration, default: Duration) -> Duration {
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
    pub(super) fn at_most_a_day(&mut self, item: &Spanned<TypedDuration>) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if let Some((at, time)) = item.found()
            && time.0 > DAY
        {
            let what = format!("`{}` is longer than a day", write_time(time.0));
            self.problem(at, what, "at most 1d");
        }
    }

    /// A name, see [`is_name`].
    pub(super) fn name(&mut self, at: NodeId, name: &str) -> Option<Name> {
        if is_name(name) {
            return Some(Name::from(name));
        }
        let advice = "a name starts with a letter or digit, goes on with letters, digits, `-`, `_`, `.`, and has at most 64 characters in all";
        let advice = match suggested_name(name) {
            Some(name) => format!("write `{name}`: {advice}"),
            None => advice.to_owned(),
        };
        self.problem(at, format!("`{}` is not a name", shorten(name)), advice);
        None
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    /// A file that is written is to be looked at.
    pub(super) fn names_written_file(&mut self, item: &Spanned<String>, required: bool) {
        if let Some(file) = self.named(item) {
            self.named.push(NamedFiles::Written { file, required });
        }
    }

    /// A file for TLS, with its place.
    pub(super) fn named(&self, item: &Spanned<String>) -> Option<TypedFile> {
        item.found().map(|(at, path)| (at, self.path(path)))
    }
}
