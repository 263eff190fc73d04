//! An item of `routes:`

use crate::config::item::{Entries, Many, Short, Switch};
use crate::config::units::{Delay, Time};

map! { /// An item of `routes:`
Route = "service" {
    #[serde(rename = "match")]
    matches: Match,
    service: String,
    request_headers: HeaderChanges,
    response_headers: HeaderChanges,
    timeouts: RouteTimeouts,
    upgrades: Switch<Many<String>>,
}}

map! { /// `match:`
Match {
    host: String,
    path: String,
    path_prefix: String,
    method: Many<String>,
    headers: Entries<Short<HeaderMatch>>,
    sni: String,
    alpn: Many<String>,
}}

map! { /// A value under `match.headers`
HeaderMatch = "exact" {
    exact: String,
    present: bool,
}}

map! { /// `request_headers:` and `response_headers:`
HeaderChanges {
    set: Entries<String>,
    add: Entries<String>,
    remove: Many<String>,
}}

map! { /// `timeouts:` of a route
RouteTimeouts {
    response: Time,
    stall: Switch<Delay>,
}}
