//! What a [`Status`] says in words: the same sentences for `standfast status` and for the page of the admin port.
//!
//! Names and evidence in them are as they came: each reader makes them fit to be shown in its own way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::status::{EndpointReport, EvidenceReport, IncidentReport, ServiceReport, Status};
use crate::decision::{Administrative, Admission, FollowingStatus, HoldScope, Operational, Serving};

/// How good a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Neither.
    Plain,
    /// As it is meant to be.
    Good,
    /// It works, with less in reserve than planned.
    Warn,
    /// It does not work.
    Bad,
}

impl ServiceReport {
    /// The pool that serves, or the shares of those that do.
    pub fn active_text(&self) -> (String, Tone) {
        match (&self.serving, &self.active) {
            (Serving::Starting, _) => ("starting".to_owned(), Tone::Warn),
            (Serving::Down, _) => ("DOWN".to_owned(), Tone::Bad),
            (Serving::Shared(shares), _) => {
                let sharing = self.pools.iter().zip(shares).filter(|(_, share)| **share > 0);
                let names: Vec<_> = sharing.map(|(pool, share)| format!("{}:{share}", pool.name)).collect();
                (names.join(" "), Tone::Good)
            }
            (Serving::Active(index), name) => {
                let name = name.as_ref().or_else(|| self.pools.get(*index).map(|pool| &pool.name));
                let tone = match () {
                    () if !self.is_served() => Tone::Bad,
                    () if self.failing_open || *index > 0 => Tone::Warn,
                    () => Tone::Good,
                };
                (name.map_or("?".to_owned(), |name| name.to_string()), tone)
            }
        }
    }

    /// The kind of the last switch.
    pub fn why_text(&self) -> String {
        self.why.as_ref().map_or("first choice".to_owned(), label)
    }

    /// What an operator should know of it, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.failing_open {
            notes.push("failing open: checks fail, nothing better is left".to_owned());
        }
        if self.isolated {
            notes.push("NOT SERVED: no pool can be reached from here".to_owned());
        }
        if self.shows_a_page() {
            notes.push("NOT SERVED: only a page answers".to_owned());
        }
        if let Some(following) = &self.following {
            notes.push(self.following_note(following));
        }
        notes.extend(self.leader.iter().map(|leader| format!("moves with {leader}")));
        for pool in self.pools.iter().filter(|pool| !pool.lacked_by.is_empty()) {
            notes.push(format!("{}: no endpoint of {} there", pool.name, pool.lacked_by.join(", ")));
        }
        if let Some(pool) = &self.pinned {
            let end = self.pinned_for_ms.map(|left| format!(" for {}", span(left))).unwrap_or_default();
            notes.push(format!("pinned to {pool}{end}"));
        }
        if let Some(hold) = &self.hold {
            let which = if hold.scope == HoldScope::All { "all switches" } else { "failback and rollback" };
            notes.push(format!("held for {}: {which}", span(hold.left_ms)));
        }
        for evacuation in &self.evacuated {
            notes.push(format!("zone {} evacuated for {}", evacuation.zone, span(evacuation.left_ms)));
        }
        notes.extend(self.way_home());
        if self.one_caller {
            notes.push(
                "all requests come from one address: a load balancer? then let it send a PROXY header".to_owned(),
            );
        }
        notes
    }

    /// The endpoint that it follows, and up to where.
    fn following_note(&self, following: &FollowingStatus) -> String {
        let serves = matches!(self.serving, Serving::Active(_));
        let Some(holder) = &following.holder else { return "no primary was followed yet".to_owned() };
        let place = following.followed.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
        match serves {
            true => format!("follows {holder}{place}"),
            false => format!("no primary; the last one was {holder}{place}"),
        }
    }

    /// What the way home waits for.
    pub fn way_home(&self) -> Option<String> {
        let well = self.hold_down_left_ms;
        let frozen = self.frozen_for_ms.map(|left| format!("failback and rollback frozen for {}", span(left)));
        if self.pinned.is_some() {
            return frozen;
        }
        match (well, frozen) {
            (Some(_), _) if self.waits_for_operator => Some("failback waits for an operator".to_owned()),
            (Some(left), Some(frozen)) if Some(left) > self.frozen_for_ms => {
                Some(format!("home in {} at the earliest; {frozen}", span(left)))
            }
            (_, Some(frozen)) => Some(frozen),
            (Some(left), None) if self.relapses > 0 => {
                let times = 1_u64 << self.relapses.min(63);
                let why = format!("(hold-down x{times}: it fell soon after a failback)");
                Some(format!("home in {} at the earliest {why}", span(left)))
            }
            (Some(left), None) => Some(format!("home in {} at the earliest", span(left))),
            (None, None) => None,
        }
    }

    /// What happens next by itself, in a sentence.
    pub fn what_follows(&self) -> String {
        if let Some(transition) = &self.transition {
            let to = transition.to.as_deref().unwrap_or("no pool");
            return format!("the switch to {to} waits for its gates, {} at most", span(transition.left_ms));
        }
        if let Some(leader) = &self.leader {
            return format!("it goes where {leader} goes");
        }
        if let Some(pool) = &self.pinned {
            let end = self.pinned_for_ms.map(|left| format!(", for {} at most", span(left))).unwrap_or_default();
            return format!("it stays on {pool} whatever happens, until unpin{end}");
        }
        if let Some(hold) = self.hold.as_ref().filter(|hold| hold.scope == HoldScope::All) {
            return format!(
                "no switch is made until release, for {} at most; what would be done is recorded",
                span(hold.left_ms)
            );
        }
        if self.isolated {
            return "it serves again as soon as an endpoint can be reached".to_owned();
        }
        match &self.serving {
            Serving::Starting => "it serves as soon as a pool has passed its first checks".to_owned(),
            Serving::Down if self.following.is_some() => {
                "it serves again as soon as the primary answers, or another one may be followed".to_owned()
            }
            Serving::Active(_) if self.following.is_some() => {
                "it goes where its primary is; when that is silent, it waits for it or for another one".to_owned()
            }
            Serving::Down => "it serves again as soon as a pool is available".to_owned(),
            Serving::Shared(_) => {
                let back = match (self.comes_home, &self.frozen_for_ms) {
                    (false, _) => "a lost share comes back by failback alone".to_owned(),
                    (true, Some(left)) => format!("no share comes back for {}: failback is frozen", span(*left)),
                    (true, None) => "shares follow the health of the pools".to_owned(),
                };
                format!("a pool that fails loses its share; {back}")
            }
            Serving::Active(active) if self.pools.get(*active).is_some_and(|pool| pool.page) => {
                let is_ordered = !self.comes_home && !self.shows_a_page();
                let back = if is_ordered { "until failback" } else { "until a pool with endpoints is available" };
                format!("the page answers {back}")
            }
            Serving::Active(active) => {
                let standby = self.pools.iter().enumerate().any(|(index, pool)| index != *active && pool.available);
                let fails = match standby {
                    true => "it fails over by itself when this pool fails",
                    false => "no other pool could take over now",
                };
                let home = match (self.comes_home, self.way_home()) {
                    _ if *active == 0 => String::new(),
                    (false, _) => "; no failback by itself until failback".to_owned(),
                    (true, _) if self.hold.is_some() => {
                        "; no failback until release, or the end of the hold".to_owned()
                    }
                    (true, Some(way)) => format!("; {way}"),
                    (true, None) if !self.evacuated.is_empty() => {
                        "; home again when the evacuation is over, or by return".to_owned()
                    }
                    (true, None) => "; failback follows when a better pool has proved itself".to_owned(),
                };
                format!("{fails}{home}")
            }
        }
    }

    /// What the pool at this place is to the service.
    pub fn pool_text(&self, index: usize) -> (&'static str, Tone) {
        match (self.serving.serves(index), self.pools.get(index).is_some_and(|pool| pool.available)) {
            (true, true) => ("active", Tone::Good),
            (true, false) => ("active, unavailable", Tone::Warn),
            (false, true) => ("standby", Tone::Plain),
            (false, false) => ("unavailable", Tone::Bad),
        }
    }
}

impl EndpointReport {
    /// The address, and the name where it has one.
    pub fn address_text(&self) -> String {
        let address = self.state.address;
        self.name.as_ref().map_or_else(|| address.to_string(), |name| format!("{address} {name}"))
    }

    /// State and reason, and what else keeps work from it.
    pub fn standing_text(&self) -> (String, Tone) {
        let standing = &self.state.standing;
        let tone = match (standing.operational, standing.administrative) {
            (Operational::Healthy, _) if self.state.suspected => Tone::Warn,
            (Operational::Healthy, Administrative::Ready) => Tone::Good,
            (Operational::Checking | Operational::Healthy, _) => Tone::Warn,
            (Operational::Unhealthy | Operational::Ejected, _) => Tone::Bad,
        };
        let mut text = format!("{} ({})", label(&standing.operational), label(&standing.cause));
        if standing.administrative != Administrative::Ready {
            text.push_str(&format!(", {}", label(&standing.administrative)));
        }
        match &self.state.weight_order {
            Some(order) => {
                let end = order.left_ms.map(|left| format!(" for {}", span(left))).unwrap_or_default();
                text.push_str(&format!(", weight {} by order{end}", order.weight));
            }
            None if self.weight == 0 => text.push_str(", weight 0"),
            None => {}
        }
        if let Some(replica) = self.state.replica.as_ref().filter(|replica| replica.verdict.is_some()) {
            text.push_str(&format!(", {}", replica.text));
        }
        if self.state.suspected {
            text.push_str(", suspected");
        }
        if self.state.admission == Admission::Trial {
            text.push_str(", on trial");
        }
        (text, tone)
    }
}

impl Status {
    /// The measured recovery time of this service's last answered switch, in milliseconds.
    pub fn last_recovery_ms(&self, service: &ServiceReport) -> Option<f64> {
        self.incidents.iter().rev().filter(|incident| incident.service == service.name).find_map(|i| i.rto_ms)
    }
}

impl IncidentReport {
    /// What it rests on, the first of it: `10.0.0.1:80 refused: connect refused`. Empty where an operator ordered it.
    pub fn evidence_text(&self) -> String {
        let text = |first: &EvidenceReport| format!("{} {}: {}", first.address, label(&first.cause), first.detail);
        self.evidence.first().map(text).unwrap_or_default()
    }
}

/// A time since the fault: `+51ms`.
pub fn since_fault(ms: Option<f64>) -> String {
    ms.map_or("not yet".to_owned(), |ms| format!("+{}", millis(ms)))
}

/// The name that JSON knows a value of an enum by, in words.
pub fn label<T: Serialize>(value: &T) -> String {
    json_name(value).map_or("?".to_owned(), |name| name.replace('_', " "))
}

/// The same as it stands in JSON: one spelling everywhere.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    json_name(value).unwrap_or_default()
}

fn json_name<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Some(name),
        _ => None,
    }
}

/// A time that a calendar has; `None` = it is after the year 9999, which RFC 3339 cannot write.
pub fn calendar_time(unix_ms: u64) -> Option<SystemTime> {
    const YEAR_10000: u64 = 253_402_300_800_000;
    (unix_ms < YEAR_10000).then(|| UNIX_EPOCH + Duration::from_millis(unix_ms))
}

/// Milliseconds in the two largest units that matter.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A measured time, as exact as it is worth.
pub fn millis(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1}ms")
    } else if ms < 1000.0 {
        format!("{ms:.0}ms")
    } else {
        format!("{:.2}s", ms / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_ends_with_the_year_9999() {
        let last = calendar_time(253_402_300_799_999).map(|time| humantime::format_rfc3339_millis(time).to_string());
        assert_eq!(last.as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!(calendar_time(253_402_300_800_000), None);
    }

    #[test]
    fn spans_are_told_in_the_two_units_that_matter() {
        let told: Vec<_> = [0, 999, 59_999, 60_000, 3_599_000, 90_061_000].into_iter().map(span).collect();
        assert_eq!(told, ["0ms", "999ms", "59s", "1m 0s", "59m 59s", "1d 1h"]);
    }
}
