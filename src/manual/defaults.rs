//! Chapter 11: the defaults that are decisions, each with its reason.
//!
//! The values are in `config/defaults/`, and nowhere else. Each constant there has a short reason;
//! `config/reference.yaml` shows all of them to users. This table has those that decide how a service behaves in a
//! fault, and what they depend on. A change of a value changes its row.
//!
//! # Detection
//!
//! | key | default | reason |
//! |---|---|---|
//! | `interval` | 2 s | one request per endpoint and two seconds is no load. A silent fault without traffic is found within 2 s × 1.1 + 3 × 1 s + 2 × 500 ms = 6.2 s |
//! | `timeout` of a check | 1 s | below `interval`, so probes do not pile up. A health page that takes a second is not healthy |
//! | `fast_interval` | 500 ms | doubt is settled quickly in both directions, without a fast rhythm all the time |
//! | `fall`, `rise` | 3, 2 | two lost probes happen on a good network. A server that starts may answer once and fail again |
//! | `jitter` | 10 % | checks of many endpoints, and of many proxies, must not march in step |
//! | `reuse` of a check's connection | off | a probe that makes no connection does not notice an endpoint that takes no new ones |
//! | status of a check | 200–299 | a redirect is often the way to a login or a maintenance page |
//! | `consecutive_failures` | 5 | with corroboration it is a floor and not the whole rule: see [health](super::health) |
//! | `failure_rate`, `min_requests` | 50 %, 20 | an endpoint that fails every second request never has a long streak. A rate of fewer exchanges is noise |
//! | `evidence` | `corroborated` | one client with a broken request must not move a service |
//! | `base_ejection`, `max_ejection` | 30 s, 300 s | long enough for a restart; ten times as long is a matter for the checks |
//! | `max_ejected` | 50 % | only while no other pool can serve. The other half has to carry everything; beyond it the load is the likely cause |
//! | `on_refused` | `verdict` | a refusal is what a dead process says. Waiting for checks would only lose requests |
//! | `stall`, `hedge` | `auto`; `off` for TCP | learned from the route: no number fits a cache and a report alike. A TCP session may be silent |
//!
//! # Failover
//!
//! | key | default | reason |
//! |---|---|---|
//! | `mode` | `active_passive` | exactly one pool serves: no mixed traffic |
//! | `min_healthy` | 1 | one endpoint that works is better than a switch |
//! | `on_all_down` | `fail_open` | a broken health page must not take down a service that answers |
//! | `sessions` | `drain` | requests in flight may end well. Fencing (`close`) is for pools where two writers would do harm |
//! | `failback` | `auto` | a switch home is as safe as the one away |
//! | `hold_down` | 60 s | longer than the pause of a crash loop |
//! | `damping` | 10 min | a fault so soon after coming home has the same cause |
//! | `max_failovers` | 3 per 10 min | a fourth outage within ten minutes is a pattern that a person should see |
//! | `confirm_window` | 30 s | a pool that cannot carry the load shows it within half a minute |
//! | `slow_start` | 0 | only the owner knows how long caches take to warm |
//! | `drain_timeout` | 30 s | as long as `timeouts.response` lets one request live |
//! | `state.max_age` | 24 h | decisions of the day before yesterday say nothing about today |
//! | `journal.max_bytes` | 64 MiB | a busy endpoint writes at most 20 digests a second, of 0.3 KB each: an hour or two of a busy instance, days of a quiet one |
//! | `audit.on_error` | `continue` | in an outage the operator's act is worth more than its record. The failure is logged, counted, and a trouble of `/status` |
//! | `audit.checkpoint` | 1000 records, 60 s | so much can be cut off at the end without a trace, unless the log or a metric elsewhere is a witness |
//!
//! # Requests
//!
//! | key | default | reason |
//! |---|---|---|
//! | `attempts` | 2 | a third try rarely helps, and doubles the load of a bad moment |
//! | `retry.on` | reset, 502–504 | the upstream did not do the work, or says so. No `timeout`: it may still be working |
//! | `cross_pool` | `safe`; `never` for TCP | before the switch only what may be executed anywhere leaves its pool |
//! | `budget` | 20 % + 12 per 10 s | enough for one dying pool's requests to move once, too little for a storm |
//! | `replay_bytes` | 64 KiB | nearly all API requests fit; larger bodies are streamed |
//! | `hold_response` | 16 KiB | most API answers fit, so a cut one can be asked for again; a download is streamed |
//! | `hold_requests` | 0 | with all pools down an immediate 503 is honest. Waiting is a promise of the service's owner |
//! | `timeouts.connect` | 2 s | one lost SYN (1 s) is survived, a dead host is not waited for |
//! | `timeouts.response` | 30 s | the slowest page that is still of use |
//! | `timeouts.body` | 30 s | between two reads: a transfer that is silent for so long is gone |
//! | `timeouts.idle` | 60 s | most servers close later; a close that crosses a request is retried |
//! | `timeouts.tunnel` | 1 h | database sessions and shells are silent for long |
//! | `max_connections`, `max_pending` | 1024, 1024 | a circuit breaker; as many may wait as may run, so each waits about one service time |
//! | `release` | 64 | a database accepts so many connections in milliseconds, and no listen queue is shorter |
//! | `refusals` | `native` with a check of a database | a driver shows the error and knows that it may connect again; a reset could be anything |
//! | `balance` | `least_request` | two random choices by requests in flight: near the best at any load, and a slow endpoint gets less |
//!
//! # Towards clients
//!
//! | key | default | reason |
//! |---|---|---|
//! | `forwarded` | `replace` | what a client says about itself is not believed. `append` is for listeners behind a load balancer that sets these fields |
//! | `handshake`, `header` | 10 s | two round trips on a bad mobile network; a slower client holds the connection on purpose |
//! | listener `max_connections` | 10 000 | ordinary traffic never meets it |
//! | `header_bytes`, `headers` | 64 KiB, 100 | larger than any browser's cookies; browsers and gateways send about thirty fields |
//! | TLS `min_version` | 1.2 | older ones are broken |
//! | unknown name (SNI) | first certificate | the client sees a certificate and can say what is wrong with it |
//! | HTTP/2 streams | 128 | RFC 9113 recommends 100 or more |
//! | upgrades | `websocket` | what people expect to work; everything else is named |
//!
//! # Fixed values
//!
//! Values without a key are constants beside their rule. They are fixed because a wrong value breaks a relation to
//! another one:
//!
//! | value | relation |
//! |---|---|
//! | confirming connect 900 ms (`control/confirm.rs`) | below the 1 s that the core waits (`CONFIRM_WITHIN`) |
//! | requests wait 1 s and 1.5 s for a verdict (`routing/tries.rs`) | above the time of a confirming connect |
//! | first choice 900 ms (`decision/reload.rs`) | below the 1 s that requests wait for it |
//! | second confirming connect after 50 ms (`decision/endpoint/refusal.rs`) | longer than most listeners need to be there again |
//! | 16 connects at once for each millisecond of the round trip (`proxy/upstream/dial_gate.rs`) | about what a worker can make beside its exchanges |
//! | clock sign 25 ms, pause 100 ms (`sys/running.rs`) | several signs, so a late thread is no pause |
