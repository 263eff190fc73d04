//! What TLS needs, read from files before anything is published: at the start, at every reload (whether the configuration
//! has changed or not), and by `standfast check`.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::audit::read_key;
use super::command;
use super::jwks;
use super::probes::{mysql, password};
use super::tokens::{self, TokensReadError};
use crate::config::{Config, LoadedConfig, NamedFile, NamedFiles, Problem, Problems, Severity, with_problems};
use crate::net::tls::{ClientTls, OwnCertificate, ServerTls, TlsAssetError, TlsFileLoader};
use crate::routing::TlsAssets;
use crate::routing::materials::{check_tls, service_alpn};
use crate::sys::clock;

/// A certificate with fewer days left is warned of.
pub const SOON: i64 = 14;

/// What was read, and what should be known of it.
#[derive(Debug)]
pub struct ReadMaterials {
    /// For the table.
    pub materials: TlsAssets,
    /// No errors, but worth a look: one text each.
    pub warnings: Vec<String>,
}

/// Reads all that `config` names; what says the same as in `before` is kept. Blocks on files. `Err`: every problem, with its
/// place in the configuration.
pub fn load(config: &Config, before: &TlsAssets) -> Result<ReadMaterials, Vec<String>> {
    let mut loader = TlsFileLoader::new(now());
    let mut materials = TlsAssets { tickets: Arc::clone(&before.tickets), ..TlsAssets::default() };
    let mut problems = Vec::new();
    let mut refuse = |place: String, error: TlsAssetError| problems.push(format!("{place}: {error}"));
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
    if let Some(tls) = config.admin.as_ref().and_then(|admin| admin.tls.as_ref()) {
        match ServerTls::load(tls, &materials.tickets, &mut loader) {
            Ok(tls) => {
                let kept = before.admin.as_ref().filter(|old| old.is_same(&tls)).cloned();
                materials.admin = Some(kept.unwrap_or_else(|| Arc::new(tls)));
            }
            Err(error) => refuse("admin.tls".to_owned(), error),
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
                    "services.{}.{place}.tls: insecure_skip_verify: certificates are NOT verified: any server that answers on \
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
    Ok(ReadMaterials { materials, warnings })
}

/// Looks at every file that a configuration names, be the rest of it right or wrong: what is wrong with one is told
/// among the other problems, at the first place that names it.
///
/// # Errors
/// What was refused before, or is refused because of a file.
pub fn examine(found: Result<LoadedConfig, Problems>, file: &Path) -> Result<LoadedConfig, Problems> {
    let named = match &found {
        Ok(loaded) => &loaded.files,
        Err(problems) => &problems.files,
    };
    let mut loader = TlsFileLoader::new(now());
    let mut told = Vec::new();
    for files in named {
        look(files, &mut loader, &mut told);
    }
    told.sort_by_key(|problem| (problem.line, problem.column));
    let mut seen = HashSet::new();
    told.retain(|problem: &Problem| seen.insert(problem.what.clone()));
    if let (Ok(loaded), true) = (&found, told.iter().all(|problem| problem.severity == Severity::Warning)) {
        // What is left is about more than one file. Its warnings are told above, or by the configuration's reader.
        let whole = load(&loaded.config, &TlsAssets::default()).err().unwrap_or_default();
        told.extend(whole.iter().map(|what| Problem::without_place(Severity::Error, "", what, "")));
    }
    with_problems(found, file, told)
}

fn look(files: &NamedFiles, loader: &mut TlsFileLoader, told: &mut Vec<Problem>) {
    let before = loader.warnings.len();
    let (first, second, errors) = match files {
        NamedFiles::Pair { certificate, key } => {
            let path = |file: &'_ Option<NamedFile>| file.as_ref().map(|file| file.path.clone());
            let (leaf, errors) = loader.check_pair(path(certificate).as_deref(), path(key).as_deref());
            if let (Some(certificate), Some(state)) = (certificate, leaf.and_then(|leaf| lifetime(&leaf, loader.now))) {
                let what = format!("{}: the certificate {state}", certificate.path.display());
                told.push(certificate.problem(Severity::Warning, &what, "renew it, then reload"));
            }
            (certificate.as_ref(), key.as_ref(), errors)
        }
        NamedFiles::CheckpointKey(file) => return told.extend(bad_key(file)),
        NamedFiles::Written { file, required } => return told.extend(without_folder(file, *required)),
        NamedFiles::Password(file) => return told.extend(bad_password(file)),
        NamedFiles::Program(file) => return told.extend(bad_program(file)),
        NamedFiles::ServerKey(file) => return told.extend(bad_server_key(file)),
        NamedFiles::KeySet(file) => return told.extend(key_set_problems(file)),
        NamedFiles::Tokens { file } => return told.extend(tokens_problems(file)),
        NamedFiles::Authorities { file, pins } => {
            (Some(file), None, loader.check_authorities(&file.path, *pins).into_iter().collect())
        }
    };
    let Some(any) = first.or(second) else { return };
    for error in errors {
        let by_path = |file: &&NamedFile| error.file() == Some(&file.path);
        let at = first.filter(by_path).or(second.filter(by_path)).unwrap_or(any);
        told.push(at.problem(Severity::Error, &error.what(), error.advice()));
    }
    told.extend(loader.warnings.drain(before..).map(|warning| any.problem(Severity::Warning, &warning, "")));
}

/// What is wrong with the password of a check. (It may be there later: the check is blind until then.)
fn bad_password(file: &NamedFile) -> Option<Problem> {
    let problem = password::from_file(&file.path).err()?;
    Some(file.problem(Severity::Warning, &problem, "write it there: until then the check is not let in"))
}

/// What is wrong with the program of a check. (It may be there later, too.)
fn bad_program(file: &NamedFile) -> Option<Problem> {
    let (problem, advice) = command::problem(&file.path)?;
    Some(file.problem(Severity::Warning, &format!("{}: {problem}", file.path.display()), advice))
}

/// What is wrong with the key of a server that a check logs in to. (The same holds for it.)
fn bad_server_key(file: &NamedFile) -> Option<Problem> {
    let problem = mysql::server_key(&file.path).err()?;
    Some(file.problem(Severity::Warning, &problem, "copy `public_key.pem` of the server there"))
}

/// What is wrong with a tokens file, one problem a line of it; or what should be known of one that is right.
fn tokens_problems(file: &NamedFile) -> Vec<Problem> {
    let path = file.path.display();
    match tokens::read(&file.path) {
        Ok(read) => {
            let now = clock::wall_time();
            let warning = |what: &String| file.problem(Severity::Warning, &format!("{path}: {what}"), "");
            read.file.warnings(now).iter().map(warning).collect()
        }
        Err(TokensReadError::Wrong { problems, .. }) => {
            let wrong = |(line, what): &(usize, String)| {
                file.problem(Severity::Error, &format!("{path}:{line}: {what}"), "correct the line, or take it out")
            };
            problems.0.iter().map(wrong).collect()
        }
        Err(error) => vec![file.problem(Severity::Error, &error.to_string(), &error.advice())],
    }
}

/// What is wrong with the keys of an issuer, or what should be known of them.
fn key_set_problems(file: &NamedFile) -> Vec<Problem> {
    match jwks::read(&file.path) {
        Ok(read) => {
            let warning = |what: &String| {
                let what = format!("{}: {what}", file.path.display());
                file.problem(Severity::Warning, &what, "tokens that are signed with it are refused")
            };
            read.keys.left_out().iter().map(warning).collect()
        }
        Err(error) => vec![file.problem(Severity::Error, &error.to_string(), &error.advice())],
    }
}

/// The key that signs checkpoints of the audit log.
fn bad_key(file: &NamedFile) -> Option<Problem> {
    match read_key("standfast", &file.path) {
        Ok(found) => found.warning.map(|warning| file.problem(Severity::Warning, &warning, "")),
        Err(problem) => Some(file.problem(Severity::Error, &problem, "")),
    }
}

/// A file can only be written in a folder that is there.
fn without_folder(file: &NamedFile, required: bool) -> Option<Problem> {
    let folder = file.path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())?;
    let severity = if required { Severity::Error } else { Severity::Warning };
    let folder = folder.display();
    let what = format!("{}: cannot be written: there is no folder {folder}", file.path.display());
    Some(file.problem(severity, &what, &format!("create it: `mkdir -p {folder}`")))
}

/// A line for each certificate that has expired or soon will.
pub(super) fn expiring(materials: &TlsAssets, config: &Config) -> Vec<String> {
    let now = now();
    materials.shown(config).filter_map(|shown| soon(shown.leaf, now, shown.by, shown.name)).collect()
}

fn soon(leaf: &OwnCertificate, now: i64, by: &str, name: &str) -> Option<String> {
    let file: &Path = &leaf.path;
    let state = lifetime(leaf, now)?;
    let by = if by == "admin" { "the admin port".to_owned() } else { format!("{by} {name}") };
    Some(format!("{}: the certificate of {by} {state}: renew it, then reload", file.display()))
}

/// What has to be said of its end: nothing while that is far away.
fn lifetime(leaf: &OwnCertificate, now: i64) -> Option<String> {
    match leaf.days_left(now) {
        SOON.. => None,
        1 => Some("expires in 1 day".to_owned()),
        days @ 0.. => Some(format!("expires in {days} days")),
        _ => Some("HAS EXPIRED".to_owned()),
    }
}

fn now() -> i64 {
    (clock::unix_millis() / 1000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_in_a_folder_that_is_there() {
        let text = |log: &str, state: &str| {
            format!(
                "access_log: {log}\nstate: {state}\nlisteners: [{{name: web, bind: 127.0.0.1:80, service: s}}]\n\
                 services: {{s: {{pools: [{{name: a, endpoints: [10.0.0.1:80]}}]}}}}\n"
            )
        };
        let file = Path::new("standfast.yaml");
        let folder = tempfile::tempdir().unwrap();
        let found = |log: &str, state: &str| examine(crate::config::parse(&text(log, state), folder.path()), file);
        assert_eq!(found("./access.log", "state.json").unwrap().warnings, []);
        let problems = found("no/such/access.log", "no/state.json").unwrap_err();
        let told: Vec<_> = problems.list.iter().map(|p| (p.line, p.column, p.severity, p.what.as_str())).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].0 == 1 && told[0].2 == Severity::Error && told[0].3.contains("there is no folder"), "{told:?}");
        assert!(told[1].0 == 2 && told[1].2 == Severity::Warning, "the state is written when it can be: {told:?}");
    }
}
