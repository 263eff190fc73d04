//! Words that other programs have for a choice.

use super::{normal, says_off, says_on};

/// Other programs' names of a way to balance.
pub(super) fn balance(word: &str) -> Option<&'static str> {
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

/// Other programs' names of a log for people.
pub(super) fn is_human(word: &str) -> bool {
    matches!(word, "text" | "plain" | "pretty" | "console" | "logfmt")
}

/// What to write in the place of a word that `choice` (a type of the schema) does not have. `None`: nothing is known of it.
pub(in crate::config) fn word(choice: &str, word: &str) -> Option<String> {
    let word = normal(word);
    let (on, off) = (says_on(&word) || word == "1", says_off(&word));
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
        "BalancePolicy" => match balance(&word)? {
            "hash" => "write `{hash: source}`: by the client's address; by a cookie it is `{hash: {cookie: session}}`",
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
        "AuditFailurePolicy" if on || matches!(&*word, "refuse" | "fail" | "block" | "halt" | "stop") => {
            "write `refuse_acts`: an act that cannot be put on record is not carried out"
        }
        "AuditFailurePolicy" if off || matches!(&*word, "ignore" | "warn" | "log" | "allow") => {
            "write `continue`, which is the default: the act is carried out, and an error is logged"
        }
        "LogFormat" if is_human(&word) => "write `human`",
        "AccessFormat" => match &*word {
            "clf" | "ncsa" => "write `common`",
            "apache" | "nginx" => "write `combined`",
            _ => return None,
        },
        "Forwarded" if on => "write `replace`, which is the default. (`append` also passes on what the client claims)",
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
pub(in crate::config) fn word_without_value(choice: &str, word: &str) -> Option<&'static str> {
    match (choice, word) {
        ("HashBy", "cookie") => Some("write `hash: {cookie: session}` with the name of your cookie"),
        ("HashBy", "header") => Some("write `hash: {header: x-user}` with the name of your header"),
        ("HashBy", "query") => Some("write `hash: {query: user}` with the name of your parameter"),
        _ => None,
    }
}
