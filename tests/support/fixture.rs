//! Parts of configurations for unit tests, integration tests and benches: each is read from YAML, with the defaults that
//! every user gets. A new key of the configuration changes nothing in here.
//!
//! The file is no part of the library: unit tests include it as `config::fixture`, all others by its path. What stands only
//! here is in no release.
#![allow(dead_code, missing_docs, reason = "every test binary uses another part of it")]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use standfast::config::{self, CheckKind, Config, HttpCheck, Listener, Pool, Route, Service, Target};

/// The configuration of a whole file.
#[track_caller]
pub fn config(yaml: &str) -> Config {
    match config::parse(yaml, Path::new(".")) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}\n{yaml}", problems.explain(false)),
    }
}

/// These services, without a listener; everything else has its default.
pub fn with_services(services: Vec<Service>) -> Config {
    static EMPTY: LazyLock<Config> = LazyLock::new(|| {
        let file = config(&file("", "s: {pools: [{name: p, endpoints: ['10.0.0.1:80']}]}"));
        Config { listeners: Vec::new(), services: Vec::new(), ..file }
    });
    Config { services: services.into_iter().map(Arc::new).collect(), ..EMPTY.clone() }
}

/// A service; `keys` is a map in flow style: `{balance: random, pools: [{name: main, endpoints: ['10.0.0.1:80']}]}`.
#[track_caller]
pub fn service(name: &str, keys: &str) -> Service {
    let config = config(&file("", &format!("{name}: {keys}")));
    let found = config.services.into_iter().find(|service| *service.name == *name);
    Service::clone(&found.expect("the service of the file"))
}

/// A pool of an http service that has no health check and the usual outlier detection.
#[track_caller]
pub fn pool(keys: &str) -> Pool {
    service("fixture", &format!("{{pools: [{keys}]}}")).pools.remove(0)
}

/// The check of an endpoint, from the keys of `health_check: {http: …}`.
#[track_caller]
pub fn http_check(keys: &str) -> HttpCheck {
    let keys = format!("{{name: p, endpoints: ['10.0.0.1:80'], health_check: {{http: {keys}}}}}");
    match pool(&keys).health_check.expect("a check").kind {
        CheckKind::Http(check) => HttpCheck::clone(&check),
        other => panic!("{other:?}"),
    }
}

/// A listener; there are two services that it may lead to: `http` and `tcp`.
#[track_caller]
pub fn listener(keys: &str) -> Listener {
    let config = config(&file(keys, "other: {pools: [{name: p, endpoints: ['10.0.0.1:80']}]}"));
    Listener::clone(&config.listeners[1])
}

/// A route of an http listener; it leads to `service: http`.
#[track_caller]
pub fn route(keys: &str) -> Route {
    let listener = listener(&format!("{{name: fixture, bind: '127.0.0.1:0', routes: [{keys}]}}"));
    match listener.target {
        Target::Routes(routes) => Route::clone(&routes[0]),
        other => panic!("{other:?}"),
    }
}

/// A file that is good whatever is added to it.
fn file(listener: &str, service: &str) -> String {
    format!(
        "listeners: [{{name: first, bind: '127.0.0.1:0', service: http}}, {listener}]\n\
         services:\n  http: {{pools: [{{name: p, endpoints: ['10.255.0.1:80']}}]}}\n  \
         tcp: {{protocol: tcp, pools: [{{name: p, endpoints: ['10.255.0.2:80']}}]}}\n  {service}\n"
    )
}
