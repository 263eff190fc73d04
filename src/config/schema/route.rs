//! An item of `routes:`

use crate::config::spanned::{NamedEntries, OffOr, OneOrMany, ShorthandMap};
use crate::config::units::{AutoOrDuration, TypedDuration};

map! { /// An item of `routes:`
Route = "service" {
    #[serde(rename = "match")]
    matches: RouteMatch,
    service: String,
    request_headers: HeaderChanges,
    response_headers: HeaderChanges,
    timeouts: RouteTimeouts,
    upgrades: OffOr<OneOrMany<String>>,
}}

map! { /// `match:`
RouteMatch {
    host: String,
    path: String,
    path_prefix: String,
    method: OneOrMany<String>,
    headers: NamedEntries<ShorthandMap<HeaderMatch>>,
    sni: String,
    alpn: OneOrMany<String>,
}}

map! { /// A value under `match.headers`
HeaderMatch = "exact" {
    exact: String,
    present: bool,
}}

map! { /// `request_headers:` and `response_headers:`
HeaderChanges {
    set: NamedEntries<String>,
    add: NamedEntries<String>,
    remove: OneOrMany<String>,
}}

map! { /// `timeouts:` of a route
RouteTimeouts {
    response: TypedDuration,
    stall: OffOr<AutoOrDuration>,
}}
