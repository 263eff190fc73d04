//! What to write instead of what other programs take: their keys, their words, and values of another shape. Every answer
//! holds the text to write, in backquotes; what it says is accepted at that place.

use std::net::SocketAddr;

use super::model::{is_dns_name, is_name};
use super::tree::{Node, Tree, Value, shorten};
use super::units;

/// A file that works.
const WHOLE: &str = "{listeners: [{name: web, bind: 0.0.0.0:8080, service: web}], services: {web: {pools: [{name: main, endpoints: [10.0.0.1:8080]}]}}}";
const LISTENERS: &str = "listeners: [{name: web, bind: 0.0.0.0:8080, service: web}]";
const SERVICES: &str = "services: {web: {pools: [{name: main, endpoints: [10.0.0.1:8080]}]}}";
const CERTIFICATES: &str = "tls: {certificates: [{cert: fullchain.pem, key: key.pem}]}";

/// What a value alone means where a map may stand.
pub(super) enum Alone {
    /// It is the value of this key.
    Key(&'static str),
    /// It names a key, and nothing else is said.
    Word(&'static str),
    /// Nothing is said: everything has its default.
    Nothing,
    /// It cannot be told: what is wrong, and what to write.
    Wrong(String, String),
}

/// What `text` alone means; `short` is the short form of the map, see [`ShortForm`](super::item::ShortForm).
pub(super) fn alone(short: &'static str, text: &str, plain: bool) -> Alone {
    let wrong = |what: &str, advice: &str| Alone::Wrong(what.to_owned(), advice.to_owned());
    let on = plain && matches!(text, "on" | "true" | "yes" | "enabled");
    // (A name and a password, and what is behind `?`, are not repeated.)
    let shown = units::without_login(text.split_inclusive('?').next().unwrap_or_default());
    match short {
        "" => Alone::Nothing,
        "admin" if on => wrong(&format!("`{shown}` is no address"), "write `admin: 127.0.0.1:9901`"),
        "admin" => match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            Ok(port) if port > 0 => {
                let advice = format!("write `admin: 127.0.0.1:{port}` for this machine alone");
                Alone::Wrong(format!("`{shown}` is a port and no address"), advice)
            }
            _ => Alone::Key("bind"),
        },
        "metrics" if on => wrong(
            &format!("`{shown}` is no address"),
            "write `metrics: 0.0.0.0:9902`, or leave it out: the admin port has /metrics too",
        ),
        "metrics" => Alone::Key("bind"),
        "state" if on => {
            wrong(&format!("`{shown}` is no path of a file"), "write `state: /var/lib/standfast/state.json`")
        }
        "state" => Alone::Key("path"),
        "access_log" if on => Alone::Nothing,
        "access_log" if text.contains('/') => Alone::Key("path"),
        "access_log" if matches!(text, "json" | "common" | "combined") => {
            Alone::Wrong(format!("`{text}` is a format"), format!("write `access_log: {{format: {text}}}`"))
        }
        "access_log" => {
            let what = format!("`{shown}` is no path of a file");
            wrong(&what, "write `access_log: on` for standard output, or `access_log: /var/log/standfast/access.log`")
        }
        "health_check" if text.starts_with('/') => Alone::Key("http"),
        "health_check" => match text {
            "tcp" => Alone::Word("tcp"),
            "http" => Alone::Word("http"),
            "grpc" => Alone::Word("grpc"),
            _ => {
                let what = format!("`{shown}` is no kind of check");
                let advice = match url_path(text) {
                    Some(path) => format!("write `health_check: {path}`"),
                    None => "write `health_check: /healthz` for HTTP, `health_check: tcp` for a connection, or \
                             `health_check: grpc`"
                        .to_owned(),
                };
                Alone::Wrong(what, advice)
            }
        },
        "static_response" => match text {
            _ if on => wrong(&format!("`{shown}` is no text"), "write `static_response: {}`"),
            _ if text.len() == 3 && text.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)) => {
                Alone::Wrong(format!("`{text}` is a status"), format!("write `static_response: {{status: {text}}}`"))
            }
            _ if is_path(text) && [".html", ".htm", ".json", ".txt"].iter().any(|end| text.ends_with(end)) => {
                let advice = format!("write `static_response: {{body_file: {text}}}`");
                Alone::Wrong(format!("`{shown}` is the path of a file"), advice)
            }
            _ => Alone::Key("body"),
        },
        "http" if on => wrong(&format!("`{shown}` is not a path"), "write `http: /healthz`, or `http: {}`"),
        "http" => match url_path(text) {
            Some(path) => Alone::Wrong(format!("`{shown}` is a URL"), format!("write `http: {path}`")),
            None => Alone::Key("path"),
        },
        _ => Alone::Key(short),
    }
}

/// The path of a URL, when it can be shown: a query may hold a token.
fn url_path(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let path = rest.split(['?', '#']).next()?;
    let path = path.find('/').map_or("/", |at| &path[at..]);
    is_path(path).then(|| path.to_owned())
}

/// A path that needs no quotes.
fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~');
    !text.is_empty() && text.len() <= 100 && text.chars().all(plain)
}

/// A value that stands where another one belongs.
#[derive(Clone, Copy)]
pub(super) struct Found<'t> {
    pub(super) node: &'t Node,
    pub(super) tree: &'t Tree,
    /// The map that it stands in, for the value of an unknown key.
    pub(super) around: &'t [(Node, Node)],
}

impl<'t> Found<'t> {
    /// The text of a scalar that may be shown.
    fn text(self) -> Option<&'t str> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.value.is_null() && !self.tree.is_secret(self.node.id) => {
                Some(text)
            }
            _ => None,
        }
    }

    fn items(self) -> &'t [Node] {
        match &self.node.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self.node),
        }
    }

    fn of(self, node: &'t Node) -> Found<'t> {
        Found { node, ..self }
    }

    fn entry(self, key: &str) -> Option<Found<'t>> {
        let Value::Map(entries) = &self.node.value else { return None };
        let is = |node: &Node| matches!(&node.value, Value::Scalar { text, .. } if &**text == key);
        entries.iter().find(|(name, _)| is(name)).map(|(_, value)| self.of(value))
    }

    fn port(self) -> Option<u16> {
        self.text().and_then(|text| text.strip_prefix(':').unwrap_or(text).parse().ok()).filter(|port| *port > 0)
    }

    fn is_on(self) -> bool {
        matches!(self.text(), Some("on" | "true" | "yes" | "enabled"))
    }

    fn is_off(self) -> bool {
        matches!(self.text(), Some("off" | "false" | "no" | "none" | "never" | "disabled" | "0"))
    }

    fn number(self, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.text().and_then(|text| text.parse().ok()).filter(|number| range.contains(number))
    }

    /// A duration, with a unit where it was written without one.
    fn time(self) -> Option<String> {
        let text = self.text()?;
        [text.to_owned(), format!("{text}s")].into_iter().find(|text| humantime::parse_duration(text).is_ok())
    }

    fn name(self) -> Option<&'t str> {
        self.text().filter(|text| is_name(text))
    }

    fn path(self) -> Option<&'t str> {
        self.text().filter(|text| is_path(text))
    }

    /// Endpoints as a list to paste, when all of them are: `[10.0.0.1:80, {dns: app:80}]`.
    fn endpoints(self) -> Option<String> {
        /// Most that are repeated in an answer.
        const MOST: usize = 4;
        let texts: Option<Vec<&str>> = self.items().iter().map(|item| self.of(item).text()).collect();
        let parts: Vec<&str> =
            texts?.iter().flat_map(|text| text.split([',', ' '])).filter(|t| !t.is_empty()).collect();
        let parts: Option<Vec<String>> = parts.into_iter().map(endpoint).collect();
        let parts = parts.filter(|parts| !parts.is_empty() && parts.len() <= MOST)?;
        Some(format!("[{}]", parts.join(", ")))
    }

    /// The same, or a sample.
    fn endpoints_or_sample(self) -> String {
        self.endpoints().unwrap_or_else(|| "[10.0.0.1:8080]".to_owned())
    }

    /// The whole value in flow style, when it is short and may be shown.
    fn flow(self) -> Option<String> {
        const LONGEST: usize = 240;
        let text = match &self.node.value {
            _ if self.tree.is_secret(self.node.id) => return None,
            Value::Scalar { text, plain } => scalar(text, *plain)?,
            Value::List(items) if items.len() <= 8 => {
                let items: Option<Vec<_>> = items.iter().map(|item| self.of(item).flow()).collect();
                format!("[{}]", items?.join(", "))
            }
            Value::Map(entries) if entries.len() <= 8 => format!("{{{}}}", self.pairs(entries)?),
            _ => return None,
        };
        Some(text).filter(|text| text.len() <= LONGEST)
    }

    fn pairs(self, entries: &'t [(Node, Node)]) -> Option<String> {
        let pair =
            |(key, value): &'t (Node, Node)| Some(format!("{}: {}", self.of(key).flow()?, self.of(value).flow()?));
        let pairs: Option<Vec<_>> = entries.iter().map(pair).collect();
        pairs.map(|pairs| pairs.join(", "))
    }

    /// `{a: {…}, b: {…}}` as `[{name: a, …}, {name: b, …}]`.
    fn named_list(self) -> Option<String> {
        let Value::Map(entries) = &self.node.value else { return None };
        let item = |(key, value): &'t (Node, Node)| {
            let name = self.of(key).name()?;
            match &value.value {
                Value::Map(entries) if self.of(value).entry("name").is_none() && !entries.is_empty() => {
                    Some(format!("{{name: {name}, {}}}", self.pairs(entries)?))
                }
                _ => None,
            }
        };
        let items: Option<Vec<String>> = entries.iter().map(item).collect();
        let items = items.filter(|items| !items.is_empty() && items.len() <= 4)?;
        Some(format!("[{}]", items.join(", ")))
    }
}

/// An endpoint as it is written in a list.
pub(super) fn endpoint(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() > 0).then(|| flow_address(address));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    match host {
        "localhost" => Some(format!("127.0.0.1:{port}")),
        _ => (is_dns_name(host) && host.len() <= 60).then(|| format!("{{dns: {host}:{port}}}")),
    }
}

/// An address as it stands in a list: one of IPv6 in quotes.
pub(super) fn flow_address(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("\"{address}\"") } else { address.to_string() }
}

/// A scalar as it may stand in flow style.
fn scalar(text: &str, plain: bool) -> Option<String> {
    let safe = text.len() <= 80 && !text.contains(crate::text::is_command) && !text.contains('@');
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-%:*+ ".contains(c);
    let bare = plain
        && text.chars().all(harmless)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/.".contains(c))
        && !text.contains(": ")
        && !text.ends_with(':');
    safe.then(|| if bare { text.to_owned() } else { serde_json::Value::from(text).to_string() })
}

/// What to write in the place of a key that `section` (a type of the schema) does not have. `None`: nothing is known of it.
pub(super) fn unknown_key(section: &str, key: &str, value: Found<'_>) -> Option<String> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let text = value.text();
    // Functions that other proxies have and this one has not.
    let function = match &*key {
        "redirect" | "redirects" | "redirect_to" | "https_redirect" | "ssl_redirect" | "return" => "redirects",
        "strip_prefix" | "strip_path" | "stripprefix" | "rewrite" | "rewrites" | "prefix_rewrite" | "path_rewrite"
        | "rewrite_path" | "replace_path" | "regex_rewrite" => "changing the path of a request",
        "rate_limit" | "ratelimit" | "rate_limits" | "limit_req" => "limiting the rate of requests",
        "cache" | "caching" | "proxy_cache" => "caching",
        "compress" | "compression" | "gzip" | "brotli" => "compression",
        "basic_auth" | "auth" | "auth_basic" | "jwt" | "oidc" => "checking users",
        "cors" => "CORS",
        "include" | "includes" | "import" => "reading further files",
        "acme" | "letsencrypt" | "auto_tls" | "autocert" => "getting certificates by ACME",
        "path_regex" | "regex" | "host_regex" => "matching by regular expressions",
        _ => "",
    };
    if !function.is_empty() {
        let key = shorten(&key);
        let instead = match function {
            "changing the path of a request" | "redirects" | "compression" | "CORS" | "checking users" => {
                "; the server behind this proxy can do that"
            }
            "matching by regular expressions" => "; write `match: {path_prefix: /api}`",
            "getting certificates by ACME" => "; write `tls: {certificates: [{cert: fullchain.pem, key: key.pem}]}`",
            _ => "",
        };
        return Some(format!("not supported yet ({function}): take `{key}` out{instead}"));
    }
    if let "sticky" | "stickiness" | "sticky_session" | "sticky_sessions" | "stick" | "stick_table" | "affinity"
    | "session_affinity" | "persistence" | "cookie" | "ip_hash" = &*key
    {
        let by_address =
            key == "ip_hash" || matches!(text, Some("ip" | "source" | "source_ip" | "client_ip" | "address"));
        let of = if section == "Service" { "write" } else { "of the service:" };
        return Some(match by_address {
            true => format!("{of} `balance: {{hash: source}}`: a client's address stays with one endpoint"),
            false => format!(
                "{of} `balance: {{hash: {{cookie: session}}}}` with the name of your cookie, or `balance: {{hash: source}}`"
            ),
        });
    }
    if let ("Pool" | "Endpoint" | "Service", "backup" | "standby" | "secondary" | "failover_to" | "fallback") =
        (section, &*key)
    {
        return Some(
            "a standby is a pool of its own, below the first: \
             `pools: [{name: main, endpoints: [10.0.0.1:8080]}, {name: standby, endpoints: [10.0.0.2:8080]}]`"
                .to_owned(),
        );
    }
    let advice = match section {
        "File" => in_file(&key, value)?,
        "Listener" => in_listener(&key, value)?,
        "Service" => in_service(&key, value)?,
        "Pool" => match &*key {
            "servers" | "server" | "backends" | "backend" | "hosts" | "members" | "targets" | "nodes" | "upstreams"
            | "addresses" | "address" | "dns" | "url" | "urls" => {
                let list = value.endpoints().or_else(|| {
                    let text = text.filter(|_| key == "dns").filter(|text| is_dns_name(text))?;
                    Some(format!("[{{dns: {text}:8080}}]"))
                });
                format!("write `endpoints: {}`", list.unwrap_or_else(|| "[10.0.0.1:8080]".to_owned()))
            }
            "balance" | "mode" | "failover" | "retry" | "upstream" | "protocol" | "timeouts" | "limits" => {
                format!("`{key}` belongs to the service: write it beside `pools`")
            }
            "tls" | "ssl" => "of the service, beside `pools`: `upstream: {tls: on}`".to_owned(),
            _ => return None,
        },
        "Endpoint" => match &*key {
            "url" | "uri" | "host" | "hostname" | "ip" | "server" | "target" | "addr" | "port" => {
                format!("write address and port together: `{{{}}}`", address_and_port(value))
            }
            "tls" | "ssl" | "https" | "protocol" | "scheme" => {
                "of the service, beside `pools`: `upstream: {tls: on}`".to_owned()
            }
            "disabled" | "down" | "drain" | "enabled" | "state" => "write `weight: 0`: it gets no new work".to_owned(),
            "maxconn" | "max_conns" => "write `max_connections: 512`".to_owned(),
            _ => return None,
        },
        "Route" => match &*key {
            "path" | "path_prefix" | "prefix" | "location" | "uri" => {
                let key = if key == "path" { "path" } else { "path_prefix" };
                let path = value.path().filter(|path| path.starts_with('/')).unwrap_or("/api");
                format!("write `match: {{{key}: {path}}}`")
            }
            "host" | "hosts" | "domain" | "server_name" | "hostname" => {
                let host = text.filter(|text| is_dns_name(text)).unwrap_or("shop.example.com");
                format!("write `match: {{host: {host}}}`")
            }
            "sni" => "write `match: {sni: shop.example.com}`".to_owned(),
            "method" | "methods" => "write `match: {method: GET}`".to_owned(),
            "headers" => "write `match: {headers: {x-env: canary}}`".to_owned(),
            "backend" | "upstream" | "to" | "target" | "pool" | "cluster" | "proxy_pass" | "use_backend" => {
                format!("write `service: {}`", value.name().unwrap_or("web"))
            }
            "timeout" => format!("write `timeouts: {{response: {}}}`", value.time().unwrap_or_else(|| "5s".into())),
            _ => return None,
        },
        "Match" => match &*key {
            "prefix" | "location" => {
                let path = value.path().filter(|path| path.starts_with('/')).unwrap_or("/api");
                format!("write `path_prefix: {path}`")
            }
            "hosts" | "domain" | "hostname" | "server_name" => "write `host: shop.example.com`".to_owned(),
            "methods" => "write `method: [GET, HEAD]`".to_owned(),
            _ => return None,
        },
        "ListenerTls" => match &*key {
            "cert"
            | "certificate"
            | "cert_file"
            | "crt"
            | "key"
            | "private_key"
            | "key_file"
            | "ssl_certificate"
            | "ssl_certificate_key" => {
                let is_key = key.contains("key");
                let path = value.path();
                let cert = path.filter(|_| !is_key).unwrap_or("fullchain.pem");
                let key = path.filter(|_| is_key).unwrap_or("key.pem");
                format!("write `certificates: [{{cert: {cert}, key: {key}}}]`")
            }
            "ca" | "client_ca" | "cafile" => {
                format!("write `client_auth: {{mode: required, ca: {}}}`", value.path().unwrap_or("clients-ca.pem"))
            }
            "versions" | "protocols" | "min_protocol" | "ssl_protocols" => "write `min_version: \"1.2\"`".to_owned(),
            "enabled" => "write `certificates: [{cert: fullchain.pem, key: key.pem}]`; `tls: off` is none".to_owned(),
            _ => return None,
        },
        "Certificate" => match &*key {
            "certificate" | "crt" | "chain" | "file" | "cert_file" => {
                format!("write `cert: {}`", value.path().unwrap_or("fullchain.pem"))
            }
            "private_key" | "key_file" => format!("write `key: {}`", value.path().unwrap_or("key.pem")),
            _ => return None,
        },
        "UpstreamTls" => match &*key {
            "cert" | "certificate" => format!("write `client_cert: {}`", value.path().unwrap_or("proxy.pem")),
            "key" => format!("write `client_key: {}`", value.path().unwrap_or("proxy-key.pem")),
            "server_name" | "servername" | "hostname" => {
                format!("write `sni: {}`", text.filter(|text| is_dns_name(text)).unwrap_or("shop.internal"))
            }
            "verify" | "insecure" | "skip_verify" | "insecure_skip_tls_verify" => {
                "write `ca: internal-ca.pem` to trust a CA; `insecure_skip_verify: true` trusts everybody".to_owned()
            }
            _ => return None,
        },
        "HealthCheck" => match &*key {
            "path" | "uri" | "url" | "endpoint" => {
                let path = text.and_then(url_path);
                let path = path.as_deref().or(value.path()).filter(|path| path.starts_with('/')).unwrap_or("/healthz");
                format!("write `http: {{path: {path}}}`")
            }
            "method" | "status" | "host" | "body" | "headers" | "json" | "expected_status" | "expect" => {
                let key = if key.starts_with("expect") { "status" } else { &key };
                format!(
                    "it belongs to the kind of check: write `http: {{path: /healthz, {}}}`",
                    match key {
                        "status" => "status: [200]",
                        "method" => "method: HEAD",
                        "host" => "host: shop.example.com",
                        "body" => "body: ok",
                        "json" => "json: {/status: ok}",
                        _ => "headers: {x-health: ok}",
                    }
                )
            }
            "port" => match value.port() {
                Some(port) => format!("write `http: {{path: /healthz, port: {port}}}` or `tcp: {{port: {port}}}`"),
                None => "write `http: {path: /healthz, port: 8088}` or `tcp: {port: 8088}`".to_owned(),
            },
            "type" | "kind" | "protocol" | "mode" => match text {
                Some("tcp") => "write `tcp: {}`".to_owned(),
                Some("grpc") => "write `grpc: {}`".to_owned(),
                _ => "write `http: {path: /healthz}`".to_owned(),
            },
            "retries" | "max_fails" | "failures" => {
                format!("write `fall: {}`", value.number(1..=100).unwrap_or(3))
            }
            "enabled" => "leave it out; a service without a check says `health_check: off`".to_owned(),
            _ => return None,
        },
        "HttpCheck" => match &*key {
            "uri" | "url" => "write `path: /healthz`".to_owned(),
            "expect" | "expected_status" | "codes" | "expected_codes" | "code" => "write `status: [200]`".to_owned(),
            "interval" | "timeout" | "fall" | "rise" => {
                format!(
                    "`{key}` stands beside `http`: write `health_check: {{http: {{path: /healthz}}, {}}}`",
                    match &*key {
                        "interval" => "interval: 2s",
                        "timeout" => "timeout: 1s",
                        "fall" => "fall: 3",
                        _ => "rise: 2",
                    }
                )
            }
            _ => return None,
        },
        "Log" => match &*key {
            "level" | "verbosity" | "severity" => {
                let level = text.and_then(|level| super::log_filter::understand(level).ok());
                format!("write `filter: {}`", level.filter(|level| is_name(level)).as_deref().unwrap_or("info"))
            }
            "path" | "file" | "output" => {
                "the log goes to standard error, which the service manager keeps: leave it out".to_owned()
            }
            _ => return None,
        },
        "AccessLog" => match &*key {
            "file" | "output" | "filename" => {
                format!("write `path: {}`", value.path().unwrap_or("/var/log/standfast/access.log"))
            }
            "enabled" => "leave it out; `access_log: off` is none".to_owned(),
            _ => return None,
        },
        "Admin" | "Metrics" => match &*key {
            "port" | "listen" | "address" | "addr" => {
                format!("write `bind: 127.0.0.1:{}`", value.port().unwrap_or(9901))
            }
            "enabled" => "write `bind: 127.0.0.1:9901`".to_owned(),
            _ => return None,
        },
        "Retry" => match &*key {
            "retries" | "num_retries" | "max_retries" | "count" => match value.number(0..=9) {
                Some(more) => format!("write `attempts: {}`: the first one counts", more + 1),
                None => "write `attempts: 2`: the first one counts".to_owned(),
            },
            "tries" | "max" | "max_attempts" => format!("write `attempts: {}`", value.number(1..=10).unwrap_or(2)),
            "timeout" => format!("write `per_try_timeout: {}`", value.time().unwrap_or_else(|| "1s".into())),
            _ => return None,
        },
        "StaticResponse" => match &*key {
            "code" | "status_code" => format!("write `status: {}`", value.number(200..=599).unwrap_or(503)),
            "text" | "content" | "message" => "write `body: \"Back soon.\\n\"`".to_owned(),
            "file" | "path" => format!("write `body_file: {}`", value.path().unwrap_or("sorry.html")),
            "location" => "redirects are not supported yet".to_owned(),
            _ => return None,
        },
        "Failover" => match &*key {
            "mode" | "auto_failback" | "preempt" | "nopreempt" => match value.is_off() || key == "nopreempt" {
                true => "write `failback: manual`".to_owned(),
                false => "write `failback: auto`".to_owned(),
            },
            "hold_down" | "delay" => {
                let time = value.time().unwrap_or_else(|| "30s".into());
                format!("write `failback: {{mode: auto, hold_down: {time}}}`")
            }
            _ => return None,
        },
        "Upstream" => match &*key {
            "servers" | "server" | "endpoints" | "hosts" | "address" => {
                let list = value.endpoints_or_sample();
                format!("servers stand beside `upstream`: `pools: [{{name: main, endpoints: {list}}}]`")
            }
            "ssl" | "https" => "write `tls: on`".to_owned(),
            "http2" | "h2" => "write `protocol: http2`".to_owned(),
            _ => return None,
        },
        "ServiceTimeouts" | "RouteTimeouts" => match &*key {
            "request" | "read" | "server" | "proxy_read" | "total" => {
                format!("write `response: {}`", value.time().unwrap_or_else(|| "30s".into()))
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(advice)
}

/// `address: 10.0.0.1:80` or `dns: app:80`, from the keys that other programs have for it.
fn address_and_port(value: Found<'_>) -> String {
    let beside = |keys: &[&str]| {
        let is = |node: &Node| matches!(&node.value, Value::Scalar { text, .. } if keys.contains(&&**text));
        value.around.iter().find(|(key, _)| is(key)).map(|(_, node)| value.of(node))
    };
    let host = beside(&["host", "hostname", "ip", "addr", "address", "server", "target", "url", "uri"]);
    let host = host.and_then(Found::text);
    let port = beside(&["port"]).and_then(Found::port).unwrap_or(8080);
    let whole = host.and_then(|host| {
        let ip = host.parse::<std::net::IpAddr>().ok().map(|ip| SocketAddr::new(ip, port).to_string());
        endpoint(&ip.unwrap_or_else(|| host.to_owned())).or_else(|| endpoint(&format!("{host}:{port}")))
    });
    let whole = whole.unwrap_or_else(|| format!("10.0.0.1:{port}"));
    match whole.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        Some(name) => name.to_owned(),
        None => format!("address: {whole}"),
    }
}

fn in_file(key: &str, value: Found<'_>) -> Option<String> {
    Some(match key {
        "servers" | "server" | "upstreams" | "upstream" | "backends" | "backend" | "clusters" | "cluster" | "pools"
        | "pool" | "endpoints" | "targets" | "http" | "tcp" | "stream" => {
            let (servers, listeners) = match value.endpoints() {
                Some(list) => (SERVICES.replace("[10.0.0.1:8080]", &list), LISTENERS),
                None => (SERVICES.to_owned(), LISTENERS),
            };
            format!("servers are written as `{servers}`, and what is listened on as `{listeners}`")
        }
        "frontends" | "frontend" | "entrypoints" | "entry_points" | "listen" | "bind" | "port" | "ports" => {
            match value.port() {
                Some(port) => format!("write `{}`", LISTENERS.replace(":8080", &format!(":{port}"))),
                None => format!("write `{LISTENERS}`"),
            }
        }
        "routes" | "route" | "rules" | "routers" => {
            "routes belong to a listener: `listeners: [{name: web, bind: 0.0.0.0:8080, routes: [{service: web}]}]`"
                .to_owned()
        }
        "log_level" | "loglevel" | "logging" | "logs" | "level" => {
            let level = value.text().and_then(|level| super::log_filter::understand(level).ok());
            format!("write `log: {}`", level.filter(|level| is_name(level)).as_deref().unwrap_or("info"))
        }
        "accesslog" | "access_logs" => "write `access_log: on`".to_owned(),
        "admin_port" | "admin_bind" | "stats" | "api" | "dashboard" => {
            format!("write `admin: 127.0.0.1:{}`", value.port().unwrap_or(9901))
        }
        "prometheus" | "metrics_port" => {
            format!("write `metrics: 0.0.0.0:{}`", value.port().unwrap_or(9902))
        }
        "tls" | "ssl" | "cert" | "certificates" => format!("of a listener: `{CERTIFICATES}`"),
        "health_check" | "healthcheck" | "health_checks" => "of a service: `health_check: /healthz`".to_owned(),
        "retry" | "retries" => "of a service: `retry: {attempts: 2}`".to_owned(),
        "threads" | "nbthread" | "worker_processes" => {
            format!("write `workers: {}`", value.number(1..=1024).unwrap_or(4))
        }
        "resolver" | "resolvers" | "nameservers" => "write `dns: {servers: [\"127.0.0.1:53\"]}`".to_owned(),
        "state_file" => format!("write `state: {}`", value.path().unwrap_or("/var/lib/standfast/state.json")),
        "version" => "leave it out: the file has no version".to_owned(),
        "timeout" | "timeouts" => "of a service: `timeouts: {response: 30s}`".to_owned(),
        _ => return None,
    })
}

fn in_listener(key: &str, value: Found<'_>) -> Option<String> {
    Some(match key {
        "port" | "listen" | "address" | "addr" | "ip" | "binds" => {
            let written = value.text().and_then(|text| text.parse::<super::Bind>().ok());
            match (value.port(), written) {
                (Some(port), _) => format!("write `bind: 0.0.0.0:{port}`"),
                (None, Some(super::Bind::Address(address))) if address.is_ipv4() => format!("write `bind: {address}`"),
                (None, Some(bind)) => format!("write `bind: \"{bind}\"`"),
                _ => "write `bind: 0.0.0.0:8080`".to_owned(),
            }
        }
        "cert"
        | "certificate"
        | "certificates"
        | "crt"
        | "key"
        | "private_key"
        | "ssl"
        | "https"
        | "ssl_certificate"
        | "ssl_certificate_key"
        | "cert_file"
        | "key_file" => {
            let is_key = key.contains("key");
            let path = value.path().filter(|_| !value.is_on());
            let cert = path.filter(|_| !is_key).unwrap_or("fullchain.pem");
            let key = path.filter(|_| is_key).unwrap_or("key.pem");
            format!("write `tls: {{certificates: [{{cert: {cert}, key: {key}}}]}}`")
        }
        "default_service" | "default_backend" | "backend" | "upstream" | "proxy_pass" | "target" | "pool"
        | "use_backend" | "cluster" | "forward_to" => format!("write `service: {}`", value.name().unwrap_or("web")),
        "servers" | "server" | "endpoints" | "pools" | "backends" | "upstreams" => {
            let services = SERVICES.replace("[10.0.0.1:8080]", &value.endpoints_or_sample());
            format!("servers stand in a service: write `service: web` here, and below `listeners`: `{services}`")
        }
        "mode" | "type" => match value.text() {
            Some("tcp" | "l4" | "stream" | "layer4") => "write `protocol: tcp`".to_owned(),
            _ => "write `protocol: http` or `protocol: tcp`".to_owned(),
        },
        "match" | "path" | "path_prefix" => {
            "write `routes: [{service: web, match: {path_prefix: /}}]` in the place of `service`".to_owned()
        }
        "host" | "hosts" | "hostname" | "server_name" | "domain" => {
            let host = value.text().filter(|text| is_dns_name(text)).unwrap_or("shop.example.com");
            format!("write `routes: [{{service: web, match: {{host: {host}}}}}]` in the place of `service`")
        }
        "timeout" | "idle_timeout" => {
            format!("write `timeouts: {{idle: {}}}`", value.time().unwrap_or_else(|| "60s".into()))
        }
        "max_connections" | "maxconn" => {
            format!("write `limits: {{max_connections: {}}}`", value.number(1..=10_000_000).unwrap_or(10_000))
        }
        "health_check" | "balance" | "retry" | "failover" | "upstreams_tls" => {
            format!("`{key}` belongs to the service: write it under `services`")
        }
        "accept_proxy" | "proxy" => "write `proxy_protocol: required`".to_owned(),
        "forwarded_for" | "forwardfor" | "x_forwarded_for" => "write `forwarded: append`".to_owned(),
        _ => return None,
    })
}

fn in_service(key: &str, value: Found<'_>) -> Option<String> {
    Some(match key {
        "servers" | "server" | "backends" | "backend" | "endpoints" | "upstreams" | "hosts" | "members" | "targets"
        | "nodes" | "addresses" | "loadbalancer" | "pool" | "url" | "address" => {
            format!("write `pools: [{{name: main, endpoints: {}}}]`", value.endpoints_or_sample())
        }
        "primary" | "active" => {
            let list = value.endpoints_or_sample();
            format!("write `pools: [{{name: main, endpoints: {list}}}, {{name: standby, endpoints: [10.0.0.2:8080]}}]`")
        }
        "retries" | "num_retries" | "max_retries" => match value.number(0..=9) {
            Some(more) => format!("write `retry: {{attempts: {}}}`: the first one counts", more + 1),
            None => "write `retry: {attempts: 2}`: the first one counts".to_owned(),
        },
        "algorithm" | "lb" | "load_balancing" | "lb_policy" | "policy" | "balancer" | "strategy" | "lb_algorithm"
        | "load_balancer" => {
            let word = value.text().map(|text| text.to_ascii_lowercase().replace('-', "_"));
            let known = word.as_deref().map(|word| balance(word).unwrap_or(word));
            let known = known.filter(|word| ["round_robin", "least_request", "random", "hash"].contains(word));
            format!("write `balance: {}`", known.unwrap_or("round_robin"))
        }
        "health" | "check" | "checks" | "probe" | "health_checks" | "livenessprobe" | "readinessprobe" => {
            let path = value.path().filter(|path| path.starts_with('/')).unwrap_or("/healthz");
            format!("write `health_check: {path}`")
        }
        "failback" => match (value.is_on(), value.is_off(), value.text()) {
            (_, true, _) | (_, _, Some("manual")) => "write `failover: {failback: manual}`".to_owned(),
            _ => "write `failover: {failback: auto}`".to_owned(),
        },
        "rto" | "objective" | "slo" => format!("write `objectives: {{rto: {}}}`", value.time().unwrap_or_else(|| "10s".into())),
        "timeout" | "response_timeout" | "read_timeout" | "request_timeout" | "proxy_read_timeout" => {
            format!("write `timeouts: {{response: {}}}`", value.time().unwrap_or_else(|| "30s".into()))
        }
        "connect_timeout" | "proxy_connect_timeout" => {
            format!("write `timeouts: {{connect: {}}}`", value.time().unwrap_or_else(|| "2s".into()))
        }
        "interval" | "fall" | "rise" => "write `health_check: {http: {path: /healthz}, interval: 2s, fall: 3, rise: 2}`".to_owned(),
        "max_connections" | "maxconn" => {
            format!("write `limits: {{max_connections: {}}}`", value.number(1..=10_000_000).unwrap_or(1024))
        }
        "tls" | "ssl" | "https" => match value.is_off() {
            true => "write `upstream: {tls: off}`".to_owned(),
            false => "towards the servers: `upstream: {tls: on}`; towards clients TLS belongs to the listener".to_owned(),
        },
        "proxy_protocol" | "send_proxy" => match (key, value.text()) {
            ("proxy_protocol", Some("v1")) => "write `upstream: {proxy_protocol: v1}`".to_owned(),
            _ => "write `upstream: {proxy_protocol: v2}`".to_owned(),
        },
        "keepalive" => match value.is_off() {
            true => "write `upstream: {keepalive: off}`".to_owned(),
            false => "write `upstream: {keepalive: on}`".to_owned(),
        },
        "http2" | "h2" => "write `upstream: {protocol: http2}`".to_owned(),
        "bind" | "listen" | "port" => format!("ports are listened on by a listener: `{LISTENERS}`"),
        "routes" | "match" | "path" | "path_prefix" | "host" => {
            "routes belong to a listener: `routes: [{service: web, match: {path_prefix: /api}}]`".to_owned()
        }
        "static_response" | "error_page" | "fallback_response" => {
            "it is a pool, the last one: `pools: [{name: main, endpoints: [10.0.0.1:8080]}, {name: sorry, static_response: \"Back soon.\\n\"}]`"
                .to_owned()
        }
        "passive_health_check" | "circuit_breaker" => "write `outlier_detection: {consecutive_failures: 5}`".to_owned(),
        _ => return None,
    })
}

/// Other programs' names of a way to balance.
fn balance(word: &str) -> Option<&'static str> {
    Some(match word {
        "roundrobin" | "rr" | "wrr" | "weighted" | "weighted_round_robin" | "static_rr" => "round_robin",
        "leastconn" | "least_conn" | "least_connections" | "leastconnections" | "least_requests" | "lc" | "ewma"
        | "p2c" | "peak_ewma" | "least_time" => "least_request",
        "rand" => "random",
        "source" | "ip_hash" | "iphash" | "source_hash" | "source_ip" | "client_ip" | "consistent_hash" | "maglev"
        | "ring_hash" | "sticky" => "hash",
        _ => return None,
    })
}

/// What to write in the place of a word that `choice` (a type of the schema) does not have. `None`: nothing is known of it.
pub(super) fn word(choice: &str, word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let on = matches!(&*word, "on" | "true" | "yes" | "enabled" | "1");
    let off = matches!(&*word, "off" | "false" | "no" | "none" | "never" | "disabled" | "0");
    let advice = match choice {
        "Mode" => match &*word {
            "active_standby" | "primary_standby" | "primary_backup" | "primary_secondary" | "master_slave"
            | "backup" | "failover" | "ha" | "hot_standby" | "priority" | "standby" => {
                "write `active_passive`: the first pool serves, the next one is its standby"
            }
            "active" | "multi_active" | "load_balance" | "load_balancing" | "loadbalance" => {
                "write `active_active`: all pools serve, by their weights"
            }
            "http" | "tcp" => return Some(format!("that is the protocol: write `protocol: {word}`")),
            _ => return None,
        },
        "Protocol" => match &*word {
            "https" | "ssl" | "tls" | "http+tls" => {
                "write `http`. TLS towards clients is `tls: {certificates: [{cert: fullchain.pem, key: key.pem}]}` of the \
                 listener; TLS towards servers is `upstream: {tls: on}` of the service"
            }
            "http1" | "http/1.1" | "http2" | "h2" | "h2c" | "grpc" | "grpcs" | "ws" | "wss" | "websocket" => {
                "write `http`: HTTP/1.1, HTTP/2, gRPC and WebSocket are all understood"
            }
            "postgres" | "postgresql" | "mysql" | "redis" | "raw" | "l4" | "stream" => "write `tcp`",
            _ => return None,
        },
        "Balance" => match balance(&word)? {
            "hash" => "write `hash`: by the client's address; by a cookie it is `balance: {hash: {cookie: session}}`",
            known => return Some(format!("write `{known}`")),
        },
        "HashBy" => match &*word {
            "ip" | "source_ip" | "client_ip" | "address" => "write `source`",
            _ => return None,
        },
        "FailbackMode" if on || matches!(&*word, "immediate" | "preempt" | "automatic") => "write `auto`",
        "FailbackMode" if off || word == "operator" => "write `manual`",
        "ProxyVersion" if on => "write `v2` (or `v1`, which is text)",
        "ProxyVersion" => match &*word {
            "2" => "write `v2`",
            "1" => "write `v1`",
            _ => return None,
        },
        "TlsVersion" => match word.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '_') {
            "1.3" | "1_3" => "write `\"1.3\"`",
            "1.2" | "1_2" => "write `\"1.2\"`",
            "1" | "1.0" | "1_0" | "1.1" | "1_1" | "2" | "3" => "write `\"1.2\"`: older versions are not spoken",
            _ => return None,
        },
        "UpstreamProtocol" => match &*word {
            "http" | "http/1.1" | "http/1" | "h1" => "write `http1`",
            "h2" | "h2c" | "http/2" | "grpc" => "write `http2`",
            "https" | "tls" => "write `auto`, and `tls: on` beside it",
            _ => return None,
        },
        "LogFormat" => match &*word {
            "text" | "plain" | "pretty" | "console" | "logfmt" => "write `human`",
            _ => return None,
        },
        "AccessFormat" => match &*word {
            "clf" | "ncsa" => "write `common`",
            "apache" | "nginx" => "write `combined`",
            _ => return None,
        },
        "Forwarded" if on => "write `append`",
        "Sessions" => match &*word {
            "cut" | "kill" | "reset" | "drop" | "terminate" => "write `close`",
            "keep" | "finish" | "graceful" => "write `drain`",
            _ => return None,
        },
        "ClientAuthMode" => match &*word {
            "require" | "on" | "true" | "verify" | "mandatory" => "write `required`",
            "request" | "want" => "write `optional`",
            _ => return None,
        },
        "CrossPool" if on => "write `safe`",
        "CrossPool" if off => "write `never`",
        "OnAllDown" => match &*word {
            "open" => "write `fail_open`",
            "closed" | "close" => "write `fail_closed`",
            _ => return None,
        },
        _ => return None,
    };
    Some(advice.to_owned())
}

/// A word that needs a value behind it: `hash: cookie`.
pub(super) fn word_without_value(choice: &str, word: &str) -> Option<&'static str> {
    match (choice, word) {
        ("HashBy", "cookie") => Some("write `hash: {cookie: session}` with the name of your cookie"),
        ("HashBy", "header") => Some("write `hash: {header: x-user}` with the name of your header"),
        ("HashBy", "query") => Some("write `hash: {query: user}` with the name of your parameter"),
        _ => None,
    }
}

/// What to write where the map `section` (a type of the schema) belongs and something else stands.
pub(super) fn not_that_map(section: &str, found: Found<'_>, index: Option<usize>) -> Option<String> {
    let text = found.text();
    Some(match section {
        "File" => format!("a whole file is `{WHOLE}`"),
        "ListenerTls" => format!("write `{CERTIFICATES}`"),
        "ClientAuth" => "write `client_auth: {mode: required, ca: clients-ca.pem}`".to_owned(),
        "Certificate" => {
            format!("write `{{cert: {}, key: key.pem}}`", found.path().unwrap_or("fullchain.pem"))
        }
        "Retry" if found.is_off() => "write `retry: {attempts: 1, hedge: off}`".to_owned(),
        "Retry" => match found.number(1..=9) {
            Some(more) => format!("write `retry: {{attempts: {}}}`: the first try and {more} more", more + 1),
            None => "write `retry: {attempts: 2}`: the first try and one more".to_owned(),
        },
        "ServiceTimeouts" | "RouteTimeouts" => {
            format!("write `timeouts: {{response: {}}}`", found.time().unwrap_or_else(|| "30s".into()))
        }
        "ListenerTimeouts" => format!("write `timeouts: {{idle: {}}}`", found.time().unwrap_or_else(|| "60s".into())),
        "Objectives" => format!("write `objectives: {{rto: {}}}`", found.time().unwrap_or_else(|| "10s".into())),
        "Failover" => match found.is_off() || text == Some("manual") {
            true => "write `failover: {failback: manual}`".to_owned(),
            false => "write `failover: {failback: auto}`".to_owned(),
        },
        "MaxFailovers" => {
            format!("write `max_failovers: {{count: {}, per: 10m}}`", found.number(1..=1000).unwrap_or(3))
        }
        "ServiceLimits" | "ListenerLimits" => {
            format!("write `limits: {{max_connections: {}}}`", found.number(1..=10_000_000).unwrap_or(1024))
        }
        "Match" => match text {
            Some(path) if path.starts_with('/') && is_path(path) => format!("write `match: {{path_prefix: {path}}}`"),
            Some(host) if is_dns_name(host) => format!("write `match: {{host: {host}}}`"),
            _ => "write `match: {path_prefix: /api}`".to_owned(),
        },
        "Upstream" => match text {
            Some("http2" | "h2" | "h2c" | "grpc") => "write `upstream: {protocol: http2}`".to_owned(),
            Some("https" | "tls" | "ssl") => "write `upstream: {tls: on}`".to_owned(),
            _ => {
                let list = found.endpoints_or_sample();
                format!("servers stand beside it: `pools: [{{name: main, endpoints: {list}}}]`")
            }
        },
        "Pool" => {
            let name = pool_name(index);
            match (text.filter(|text| text.parse::<SocketAddr>().is_err() && is_name(text)), found.endpoints()) {
                (_, Some(list)) => format!("write `{{name: {name}, endpoints: {list}}}`"),
                (Some(name), None) => format!("write `{{name: {name}, endpoints: [10.0.0.1:8080]}}`"),
                _ => format!("write `{{name: {name}, endpoints: [10.0.0.1:8080]}}`"),
            }
        }
        "Listener" => {
            let port = found.items().first().and_then(|item| {
                let item = found.of(item);
                item.port().or_else(|| Some(item.text()?.parse::<super::Bind>().ok()?.port())).filter(|port| *port > 0)
            });
            format!("write `{{name: web, bind: 0.0.0.0:{}, service: web}}`", port.unwrap_or(8080))
        }
        "Service" => format!("write `{{pools: [{{name: main, endpoints: {}}}]}}`", found.endpoints_or_sample()),
        "Endpoint" => match found.endpoints() {
            Some(list) => format!("write each of them alone: `endpoints: {list}`"),
            None => "write `10.0.0.1:8080`, or `{address: 10.0.0.1:8080, weight: 1}`".to_owned(),
        },
        "HealthCheck" => "write `health_check: /healthz` for HTTP, or `health_check: tcp`".to_owned(),
        "TcpCheck" => match found.port() {
            Some(port) => format!("write `tcp: {{port: {port}}}`"),
            None => "write `tcp: {}`".to_owned(),
        },
        "GrpcCheck" => match text.filter(|text| is_name(text) && !found.is_on()) {
            Some(service) => format!("write `grpc: {{service: {service}}}`"),
            None => "write `grpc: {}`".to_owned(),
        },
        "HttpCheck" => "write `http: /healthz`, or `http: {path: /healthz, status: [200]}`".to_owned(),
        "OutlierDetection" => "leave it out: it is on; `outlier_detection: off` is none".to_owned(),
        "Dns" => match text.and_then(|text| text.parse::<std::net::IpAddr>().ok()) {
            Some(ip) => format!("write `dns: {{servers: [\"{}\"]}}`", SocketAddr::new(ip, 53)),
            None => "write `dns: {servers: [\"127.0.0.1:53\"]}`".to_owned(),
        },
        "StaticResponse" => "write `static_response: {status: 503, body: \"Back soon.\\n\"}`".to_owned(),
        "UpstreamTls" => "write `tls: on`, or `tls: {ca: internal-ca.pem, sni: shop.internal}`".to_owned(),
        "Route" => "write `{service: web, match: {path_prefix: /api}}`".to_owned(),
        "AccessLog" => "write `access_log: on`, or `access_log: {path: /var/log/standfast/access.log}`".to_owned(),
        _ => return None,
    })
}

fn pool_name(index: Option<usize>) -> String {
    match index {
        None | Some(0) => "main".to_owned(),
        Some(1) => "standby".to_owned(),
        Some(more) => format!("standby-{more}"),
    }
}

/// What to write where the list of `key` belongs and something else stands.
pub(super) fn not_a_list(key: &str, found: Found<'_>) -> String {
    let alone = found.flow().filter(|_| matches!(found.node.value, Value::Map(_)));
    let is_one = |key: &str| found.entry(key).is_some();
    match key {
        "pools" => {
            let Value::Map(entries) = &found.node.value else {
                return format!("write `pools: [{{name: main, endpoints: {}}}]`", found.endpoints_or_sample());
            };
            if let (true, Some(alone)) = (is_one("endpoints") || is_one("static_response"), alone) {
                let name = if is_one("name") { "" } else { "name: main, " };
                return format!("write `pools: [{{{name}{}]`", &alone[1..]);
            }
            let pool = |(key, value): &'_ (Node, Node)| {
                let name = found.of(key).name()?;
                Some(format!("{{name: {name}, endpoints: {}}}", found.of(value).endpoints()?))
            };
            let pools: Option<Vec<String>> = entries.iter().map(pool).collect();
            let pools =
                pools.filter(|pools| !pools.is_empty() && pools.len() <= 4).map(|p| format!("[{}]", p.join(", ")));
            let pools = pools.or_else(|| found.named_list());
            format!(
                "write a list: `pools: {}`",
                pools.unwrap_or_else(|| "[{name: main, endpoints: [10.0.0.1:8080]}]".into())
            )
        }
        "listeners" => {
            let one = alone.filter(|_| is_one("bind") && is_one("name")).map(|one| format!("[{one}]"));
            match one.or_else(|| found.named_list()) {
                Some(list) => format!("write a list: `listeners: {list}`"),
                None => format!("write a list: `{LISTENERS}`"),
            }
        }
        "routes" => match (found.name(), alone.filter(|_| is_one("service"))) {
            (Some(name), _) => format!("write `routes: [{{service: {name}}}]`"),
            (None, Some(one)) => format!("write a list: `routes: [{one}]`"),
            _ => "write a list: `routes: [{service: web}]`".to_owned(),
        },
        "certificates" => match (found.path(), alone.filter(|_| is_one("cert") && is_one("key"))) {
            (Some(cert), _) => format!("write `certificates: [{{cert: {cert}, key: key.pem}}]`"),
            (None, Some(one)) => format!("write a list: `certificates: [{one}]`"),
            _ => "write `certificates: [{cert: fullchain.pem, key: key.pem}]`".to_owned(),
        },
        _ => "write `[a, b]`, or one `- item` a line".to_owned(),
    }
}

/// What to write where the map of `key` with free names belongs and something else stands.
pub(super) fn not_a_map(key: &str, found: Found<'_>) -> String {
    if key != "services" {
        return "write `{key: value}`, or one indented `key: value` a line".to_owned();
    }
    let service = |item: &'_ Node| {
        let Value::Map(entries) = &item.value else { return None };
        let name = found.of(item).entry("name")?.name()?;
        let rest: Option<Vec<String>> = entries
            .iter()
            .filter(|(key, _)| found.of(key).text() != Some("name"))
            .map(|(key, value)| Some(format!("{}: {}", found.of(key).flow()?, found.of(value).flow()?)))
            .collect();
        Some(format!("{name}: {{{}}}", rest?.join(", ")))
    };
    let services = match &found.node.value {
        Value::List(items) if !items.is_empty() && items.len() <= 4 => {
            items.iter().map(service).collect::<Option<Vec<_>>>().map(|list| list.join(", "))
        }
        _ => None,
    };
    match services {
        Some(services) => format!("the name is the key: `services: {{{services}}}`"),
        None => format!("write `{SERVICES}`"),
    }
}
