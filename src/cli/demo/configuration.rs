//! The configuration of the demo: what a user would write, with shorter times.

use std::net::SocketAddr;

use super::{DemoAddresses, DemoUpstreams, SHOP};
use crate::cli::embedded::{self, EmbeddedUpstream};

/// How the demo differs from the defaults, for its screen.
pub const POLICY: &str = "Here: failback after 3 s, never frozen (default: 60 s, frozen by a 4th outage).";

/// The page of the last pool.
const SORRY: &str = "Both pools are down: this page comes from Standfast itself. Type <code>revive</code> in the demo's \
                     terminal.";

/// The whole file.
pub fn text(listen: &DemoAddresses, upstreams: &DemoUpstreams) -> String {
    let pools = |address: fn(&EmbeddedUpstream) -> Option<SocketAddr>| {
        let endpoint = |(name, upstream): &(String, EmbeddedUpstream)| {
            Some(format!("{{name: {name}, address: \"{}\"}}", address(upstream)?))
        };
        let pool = |(name, members): &(&str, Vec<(String, EmbeddedUpstream)>)| {
            let endpoints: Vec<_> = members.iter().filter_map(endpoint).collect();
            format!("{{name: {name}, endpoints: [{}]}}", endpoints.join(", "))
        };
        upstreams.pools.iter().map(pool).collect::<Vec<_>>().join(", ")
    };
    let policy = "failback: {mode: auto, hold_down: 3s}, damping: off, confirm_window: 1s, max_failovers: {count: 1000, per: 1m}";
    format!(
        r#"
admin: {{bind: "{admin}"}}
log: {{filter: error, format: human}}
listeners:
  - {{name: web, bind: "{http}", protocol: http, limits: {{max_connections: 2000}}, routes: [{{service: {SHOP}}}]}}
  - {{name: lines, bind: "{tcp}", protocol: tcp, limits: {{max_connections: 2000}}, service: lines}}
services:
  {SHOP}:
    objectives: {{rto: 5s}}
    health_check: {{http: {{path: /healthz}}, interval: 500ms, timeout: 250ms, fast_interval: 200ms, fall: 2, rise: 2}}
    outlier_detection: {{base_ejection: 2s, max_ejection: 4s}}
    timeouts: {{response: 5s}}
    failover: {{{policy}}}
    pools: [{http_pools}, {{name: sorry, static_response: {{content_type: "text/html; charset=utf-8", body: {sorry}}}}}]
  lines:
    protocol: tcp
    health_check: {{tcp: {{}}, interval: 500ms, timeout: 250ms, fast_interval: 200ms, fall: 2, rise: 2}}
    failover: {{{policy}, sessions: close}}
    pools: [{tcp_pools}]
"#,
        admin = listen.admin,
        http = listen.http,
        tcp = listen.tcp,
        http_pools = pools(|upstream| upstream.http),
        tcp_pools = pools(|upstream| upstream.tcp),
        sorry = serde_json::Value::from(embedded::html("both pools are down", "no pool answers", SORRY)),
    )
}
