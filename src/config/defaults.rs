//! Every default of the configuration, each with its reason. Nothing else in the project knows one.

use std::time::Duration;

use super::model::{
    AccessFormat, Balance, CrossPool, FailbackMode, Family, Forwarded, LogFormat, Mode, OnAllDown, OnRefused, Patience,
    Protocol, Sessions, TlsVersion, UnknownName,
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

// The process.

/// What is in flight at a stop, a reload or a switch gets as long as the response timeout lets one request live.
pub const DRAIN_TIMEOUT: Duration = s(30);
/// Decisions older than a day say nothing about today: a machine that was off over the weekend starts afresh.
pub const STATE_MAX_AGE: Duration = s(24 * HOUR);
/// State changes and everything worse; per-connection lines are for debugging.
pub const LOG_FILTER: &str = "info";
/// Read by people on a terminal and by machines elsewhere.
pub const LOG_FORMAT: LogFormat = LogFormat::Auto;
/// Carries tries, endpoint, pool, epoch and cause under names of their own.
pub const ACCESS_FORMAT: AccessFormat = AccessFormat::Json;

/// Of listeners and services: most are HTTP, and a TCP one must say so.
pub const PROTOCOL: Protocol = Protocol::Http;

/// Resolvers answer in milliseconds; the next one is asked after two lost packets.
pub const DNS_TIMEOUT: Duration = s(2);
/// A host with both families is one endpoint, not two that fall together.
pub const FAMILY: Family = Family::Auto;

// Towards the client.

/// A TLS handshake or PROXY header takes two round trips; ten seconds forgive a bad mobile network.
pub const HANDSHAKE: Duration = s(10);
/// A request head is one packet or a few; whoever needs longer holds the connection on purpose.
pub const HEADER: Duration = s(10);
/// Between two reads: an upload that says nothing for so long is gone.
pub const CLIENT_BODY: Duration = s(30);
/// Browsers reuse a connection within seconds; a parked one costs a socket.
pub const CLIENT_IDLE: Duration = s(60);
/// A bound that a flood cannot pass with common descriptor limits (two per connection), and ordinary traffic never meets.
pub const LISTENER_CONNECTIONS: usize = 10_000;
/// Larger than any browser's cookies, small enough to hold for every connection at once.
pub const HEADER_BYTES: usize = 64 << 10;
/// Browsers and gateways together send about thirty.
pub const HEADERS: usize = 100;
/// What a client says about itself is not believed. `append` is for listeners behind load balancers that set these fields.
pub const FORWARDED: Forwarded = Forwarded::Replace;

// Towards the upstream.

/// Inside a region a connect takes milliseconds; two seconds ride over one lost SYN (1 s) and not over a dead host.
pub const CONNECT: Duration = s(2);
/// The slowest page that is still of use to somebody.
pub const RESPONSE: Duration = s(30);
/// Between two reads or writes, as towards the client.
pub const UPSTREAM_BODY: Duration = s(30);
/// Database sessions and shells are silent for long; keep-alives of the kernel find the dead ones.
pub const TUNNEL: Duration = s(HOUR);
/// As towards the client. Most servers close after 60 to 75 s, and a close that crosses our request is retried.
pub const UPSTREAM_IDLE: Duration = s(60);
/// The promise of the project: exactly one pool serves.
pub const MODE: Mode = Mode::ActivePassive;
/// Two choices by requests in flight: near the best at any load, and a slow endpoint gets less by itself.
pub const BALANCE: Balance = Balance::LeastRequest;
/// The circuit breaker: more at once than one service with a handful of endpoints serves well.
pub const SERVICE_CONNECTIONS: usize = 1024;
/// As many may wait as may run: each waits about one service time.
pub const SERVICE_PENDING: usize = 1024;
/// Joining endpoints take their full share at once; who warms caches knows for how long.
pub const SLOW_START: Duration = Duration::ZERO;
/// With all pools down an immediate 503 is the honest answer; waiting is a promise that the service's owner makes.
pub const HOLD_REQUESTS: Duration = Duration::ZERO;
/// Most API answers fit, so that a cut one can be asked again; a download is streamed.
pub const HOLD_RESPONSE: usize = 16 << 10;
/// Endpoints and pools are equal unless said otherwise.
pub const WEIGHT: u32 = 1;
/// For an answer that is late, and for a hedge. Learned from the route's own answers: no number fits a cache and a report alike.
/// A TCP session may be silent for as long as it likes, and its bytes never go anywhere twice.
pub const fn patience(protocol: Protocol) -> Patience {
    match protocol {
        Protocol::Http => Patience::Auto,
        Protocol::Tcp => Patience::Off,
    }
}

// Retries.

/// The first try and one more: a third one rarely helps and doubles the load of a bad moment.
pub const ATTEMPTS: u32 = 2;
/// The gateway failures: the upstream did not do the work, or says that it cannot now.
pub const RETRY_STATUSES: (u16, u16) = (502, 504);
/// Enough for one dying pool's requests to move once, too little for a storm.
pub const BUDGET: f64 = 0.2;
/// Before the switch only what may be repeated anywhere leaves its pool; a TCP session's bytes never do.
pub const fn cross_pool(protocol: Protocol) -> CrossPool {
    match protocol {
        Protocol::Http => CrossPool::Safe,
        Protocol::Tcp => CrossPool::Never,
    }
}
/// Nearly all API requests; larger bodies are streamed and not repeated.
pub const REPLAY_BYTES: usize = 64 << 10;

// Checks.

/// One GET per endpoint every two seconds is invisible load, and finds a silent fault within ten.
pub const INTERVAL: Duration = s(2);
/// A health page that takes a second is not healthy.
pub const CHECK_TIMEOUT: Duration = s(1);
/// Doubt is settled quickly, in both directions.
pub const FAST_INTERVAL: Duration = ms(500);
/// Two lost probes happen on a good network; three do not.
pub const FALL: u32 = 3;
/// A server that is starting may answer once and fail again.
pub const RISE: u32 = 2;
/// Checks of many endpoints (and of many proxies) must not march in step.
pub const JITTER: f64 = 0.1;
/// Every service has it.
pub const CHECK_PATH: &str = "/";
/// Every server answers it, and it changes nothing.
pub const CHECK_METHOD: &str = "GET";
/// A redirect is usually the way to a login or a maintenance page, so it is not taken for health.
pub const CHECK_STATUS: (u16, u16) = (200, 299);
/// Off: a probe that makes no connection does not see an endpoint that takes no new one.
pub const CHECK_REUSE: Duration = Duration::ZERO;

// Outlier detection.

/// Five failures in a row do not happen to an endpoint that works, at any rate of requests.
pub const CONSECUTIVE_FAILURES: u32 = 5;
/// An endpoint that fails every second request is not worth its share, at any rate of requests.
pub const FAILURE_RATE: Option<f64> = Some(0.5);
/// Below it a rate over ten seconds is noise.
pub const MIN_REQUESTS: u32 = 20;
/// Long enough for a restart.
pub const BASE_EJECTION: Duration = s(30);
/// Ten times as long: then it is a matter for the checks.
pub const MAX_EJECTION: Duration = s(300);
/// The other half must carry the load of all; beyond it the load itself is the likely cause.
pub const MAX_EJECTED: f64 = 0.5;

// Failover.

/// One endpoint that works is better than a switch.
pub const MIN_HEALTHY: usize = 1;
/// A refusal is what a dead process says; waiting for checks would only lose requests.
pub const ON_REFUSED: OnRefused = OnRefused::Verdict;
/// A broken health page must not take down a service that answers. (Databases will fail closed.)
pub const ON_ALL_DOWN: OnAllDown = OnAllDown::FailOpen;
/// Requests in flight may end well; fencing is for databases.
pub const SESSIONS: Sessions = Sessions::Drain;
/// A switch home is as safe as the one away from it; who doubts it says `manual`.
pub const FAILBACK_MODE: FailbackMode = FailbackMode::Auto;
/// A minute of health is more than a crash loop's pause.
pub const HOLD_DOWN: Duration = s(MINUTE);
/// A failure so soon after coming home has the same cause as the last one.
pub const DAMPING: Duration = s(10 * MINUTE);
/// A third failover within ten minutes is a pattern that a human should see …
pub const MAX_FAILOVERS: u32 = 3;
/// … and after ten quiet minutes it is not one any more.
pub const MAX_FAILOVERS_PER: Duration = s(10 * MINUTE);
/// A pool that cannot carry the load shows it within half a minute.
pub const CONFIRM_WINDOW: Duration = s(30);

/// Older versions are broken, and every client of the last ten years speaks this one.
pub const TLS_VERSION: TlsVersion = TlsVersion::Tls12;
/// A client that asks for another name sees a certificate and can say what is wrong with it.
pub const UNKNOWN_NAME: UnknownName = UnknownName::First;
/// What browsers and gRPC clients expect at least (RFC 9113 §6.5.2 recommends 100 or more).
pub const STREAMS: u32 = 128;
/// What people expect to work; everything else has to be named.
pub const UPGRADES: &[&str] = &["websocket"];

/// Of a `static_response` whose `body_file` does not tell by its ending.
pub const CONTENT_TYPE: &str = "text/plain; charset=utf-8";
/// What a pool that says "not now" answers.
pub const STATIC_STATUS: u16 = 503;
