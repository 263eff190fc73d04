//! What TLS needs, read from files before anything is published: at the start, at every reload (whether the configuration
//! has changed or not), and by `standfast check`.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::net::tls::{ClientTls, Leaf, Loader, MaterialError, ServerTls};
use crate::routing::Materials;
use crate::routing::materials::{check_tls, service_alpn};
use crate::sys::clock;

/// A certificate with fewer days left is warned of.
pub const SOON: i64 = 14;

/// What was read, and what should be known of it.
#[derive(Debug)]
pub struct Read {
    /// For the table.
    pub materials: Materials,
    /// No errors, but worth a look: one text each.
    pub warnings: Vec<String>,
}

/// Reads all that `config` names; what says the same as in `before` is kept. Blocks on files. `Err`: every problem, with its
/// place in the configuration.
pub fn load(config: &Config, before: &Materials) -> Result<Read, Vec<String>> {
    let mut loader = Loader::new(now());
    let mut materials = Materials { tickets: Arc::clone(&before.tickets), ..Materials::default() };
    let mut problems = Vec::new();
    let mut refuse = |place: String, error: MaterialError| problems.push(format!("{place}: {error}"));
    for listener in &config.listeners {
        let Some(tls) = &listener.tls else { continue };
        match ServerTls::load(tls, &materials.tickets, &mut loader) {
            Ok(tls) => {
                let kept = before.listeners.get(&listener.name).filter(|old| old.is_same(&tls)).cloned();
                materials.listeners.insert(listener.name.clone(), kept.unwrap_or_else(|| Arc::new(tls)));
            }
            Err(error) => refuse(format!("listeners.{}.tls", listener.name), error),
        }
    }
    for service in &config.services {
        let traffic = service.upstream.tls.as_ref().map(|tls| (tls, service_alpn(service)));
        let checks = service.pools.iter().filter_map(|pool| check_tls(&pool.health_check.as_ref()?.kind));
        let wanted = traffic.map(|wanted| ("upstream", wanted)).into_iter();
        for (place, (tls, alpn)) in wanted.chain(checks.map(|wanted| ("health_check", wanted))) {
            let key = (tls.clone(), alpn);
            if materials.upstreams.contains_key(&key) {
                continue;
            }
            if !tls.verify {
                loader.warnings.push(format!(
                    "services.{}.{place}.tls: insecure_skip_verify: certificates are NOT verified: whoever can answer on \
                     that address is believed",
                    service.name
                ));
            }
            match ClientTls::load(tls, alpn, &mut loader) {
                Ok(tls) => {
                    let kept = before.upstreams.get(&key).filter(|old| old.is_same(&tls)).cloned();
                    materials.upstreams.insert(key, kept.unwrap_or_else(|| Arc::new(tls)));
                }
                Err(error) => refuse(format!("services.{}.{place}.tls", service.name), error),
            }
        }
    }
    if !problems.is_empty() {
        problems.dedup();
        return Err(problems);
    }
    let mut warnings = loader.warnings;
    warnings.extend(expiring(&materials, config));
    Ok(Read { materials, warnings })
}

/// A line for each certificate that has expired or soon will.
pub(super) fn expiring(materials: &Materials, config: &Config) -> Vec<String> {
    let now = now();
    materials.shown(config).filter_map(|shown| soon(shown.leaf, now, shown.by, shown.name)).collect()
}

fn soon(leaf: &Leaf, now: i64, by: &str, name: &str) -> Option<String> {
    let file: &Path = &leaf.path;
    let days = leaf.days_left(now);
    let state = match days {
        SOON.. => return None,
        0.. => format!("expires in {days} {}", if days == 1 { "day" } else { "days" }),
        _ => "HAS EXPIRED".to_owned(),
    };
    Some(format!("{}: the certificate of {by} {name} {state}: renew it, then reload", file.display()))
}

fn now() -> i64 {
    (clock::unix_millis() / 1000) as i64
}
