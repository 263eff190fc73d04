//! Keys that other programs have.

use super::{CERTIFICATES, FoundValue, check_keys, file_keys, listener_keys, normal, service_keys};
use crate::config::flow::standby;
use crate::config::tree::shorten;

/// What to write in the place of a key that `section` (a type of the schema) does not have. `None`: nothing is known of it.
pub(in crate::config) fn unknown_key(section: &str, key: &str, value: FoundValue<'_>) -> Option<String> {
    let key = normal(key);
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
            "matching by regular expressions" if key == "host_regex" => {
                "; write a route for each host: `match: {host: shop.example.com}`"
            }
            "matching by regular expressions" => "; write `match: {path_prefix: /api}`",
            "getting certificates by ACME" => &format!("; write `{CERTIFICATES}`"),
            _ => "",
        };
        return Some(format!("not supported yet ({function}): take `{key}` out{instead}"));
    }
    if let "sticky" | "stickiness" | "sticky_session" | "sticky_sessions" | "stick" | "stick_table" | "affinity"
    | "session_affinity" | "persistence" | "cookie" | "ip_hash" = &*key
        && section != "RouteMatch"
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
        return Some(standby("10.0.0.2:8080"));
    }
    match section {
        "File" => file_keys::file(&key, value),
        "Log" => file_keys::log(&key, value),
        "AccessLog" => file_keys::access_log(&key, value),
        "Admin" => file_keys::admin(&key, value),
        "Metrics" => file_keys::port_of_its_own(&key, value),
        "Listener" => listener_keys::listener(&key, value),
        "ListenerTls" | "AdminTls" => listener_keys::tls(&key, value),
        "Certificate" => listener_keys::certificate(&key, value),
        "Route" => listener_keys::route(&key, value),
        "RouteMatch" => listener_keys::matches(&key, value),
        "Service" => service_keys::service(&key, value),
        "Pool" => service_keys::pool(&key, value),
        "Endpoint" => service_keys::endpoint_of_a_pool(&key, value),
        "StaticResponse" => service_keys::static_response(&key, value),
        "Retry" => service_keys::retry(&key, value),
        "Failover" => service_keys::failover(&key, value),
        "Upstream" => service_keys::upstream(&key, value),
        "UpstreamTls" => service_keys::upstream_tls(&key, value),
        "ServiceTimeouts" | "RouteTimeouts" => service_keys::timeouts(&key, value),
        "HealthCheck" => check_keys::health_check(&key, value),
        "HttpCheck" => check_keys::http(&key, value),
        "OutlierDetection" => check_keys::outlier_detection(&key, value),
        _ => None,
    }
}
