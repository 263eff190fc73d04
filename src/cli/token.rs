//! `standfast token`: makes, lists and revokes bearer tokens in the tokens file. The proxy reads the file again when it changes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use standfast::access::tokens_file::{self, TokenEntry};
use standfast::access::{BearerToken, Grant, Role, ServiceScope};
use standfast::config;
use standfast::control::tokens::{self, ReadTokens};
use standfast::sys::clock;
use standfast::text::{printable, printable_lines};

use super::config_file::ConfigFile;
use super::exit::ExitReason;
use super::file_change::change_file;
use super::text_table::{TableCell, TextLayout, TextStyle, heads, layout};

const DAY: u64 = 24 * 3600;
/// Longest life of a token that ends: ten years.
const LONGEST: Duration = Duration::from_secs(3650 * DAY);

/// Make, list and revoke tokens for the admin port
///
/// The tokens file (`admin.tokens_file`) keeps a hash of each secret: a token that is lost cannot be shown again. A running proxy
/// reads the file within a second after it has changed.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum TokenCommand {
    /// Make a token: it is printed once, alone on standard output
    Create(CreateArgs),
    /// Show all tokens of the file; secrets are not in it
    List(TokensFileArgs),
    /// Take a token out of the file
    Revoke(RevokeArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct CreateArgs {
    /// Its owner, as the record will show it: a person or a program
    #[arg(long)]
    name: String,
    /// What it may do
    #[arg(long, value_parser = ["viewer", "drill", "operator", "admin"])]
    role: String,
    /// To which services: names, beginnings such as `pay-*`, or `*` for all, separated by commas
    #[arg(long, default_value = "*")]
    services: String,
    /// How long it is good; from a day on the last day is a whole one (UTC)
    #[arg(long = "for", value_name = "DURATION", default_value = "90d", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// It does not expire
    #[arg(long, conflicts_with = "lifetime")]
    never: bool,
    #[command(flatten)]
    file: TokensFileArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct RevokeArgs {
    /// Its id: the part between `sft_` and the secret
    id: String,
    #[command(flatten)]
    file: TokensFileArgs,
}

/// Which tokens file.
#[derive(Clone, Debug, clap::Args)]
struct TokensFileArgs {
    /// The tokens file [default: admin.tokens_file of the configuration]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The configuration [default: $STANDFAST_CONFIG, else /etc/standfast/standfast.yaml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "file", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
}

/// Why it was not done.
struct TokenFailure(ExitReason, String);

impl TokenFailure {
    fn no(text: impl Into<String>) -> TokenFailure {
        TokenFailure(ExitReason::No, text.into())
    }

    fn not_asked(text: impl Into<String>) -> TokenFailure {
        TokenFailure(ExitReason::NotAsked, text.into())
    }
}

/// Does it, and says in the exit code whether it was done.
pub fn run(args: &TokenArgs) -> ExitCode {
    let done = match &args.command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::List(args) => list(args),
        TokenCommand::Revoke(args) => revoke(args),
    };
    match done {
        Ok(()) => ExitReason::Done.into(),
        Err(TokenFailure(exit, text)) => {
            eprintln!("standfast token: {}", printable_lines(&text));
            exit.into()
        }
    }
}

fn create(args: &CreateArgs) -> Result<(), TokenFailure> {
    if !config::is_name(&args.name) {
        let name = printable(&args.name);
        let text =
            format!("`{name}` is no name: letters, digits, `-`, `_` and `.`, at most 64, a letter or digit first");
        return Err(TokenFailure::not_asked(text));
    }
    let role = Role::parse(&args.role).ok_or_else(|| TokenFailure::not_asked("there is no such role"))?;
    let services = ServiceScope::parse(args.services.split(','));
    let services = services.map_err(|error| TokenFailure::not_asked(error.to_string()))?;
    let created = clock::wall_time();
    let expires = if args.never { None } else { Some(end(created, args.lifetime)?) };
    let path = args.file.path()?;
    let token = BearerToken::generate().map_err(|error| TokenFailure::no(error.to_string()))?;
    let entry = TokenEntry {
        id: token.id().to_owned(),
        name: args.name.clone(),
        grant: Grant { role, services },
        created,
        expires,
        secret_hash: token.secret_hash(),
    };
    change_tokens(&path, |text| Ok(tokens_file::with(text, &entry)))?;
    // It is in the file before it is shown: what is shown works.
    let mut out = io::stdout().lock();
    writeln!(out, "{}", token.reveal()).and_then(|()| out.flush()).map_err(|error| {
        TokenFailure::no(format!(
            "the token could not be shown ({error}) and is lost: take it out with `standfast token revoke {}`",
            entry.id
        ))
    })?;
    let until = expires.map_or_else(|| "without end".to_owned(), |end| format!("until {}", entry_time(end)));
    eprintln!(
        "token {} for {}: {} on {}, {until}; its hash is in {}. Keep the token now: it cannot be shown again",
        entry.id,
        entry.name,
        entry.grant.role.as_str(),
        entry.grant.services,
        printable(&path.display().to_string())
    );
    if expires.is_none() {
        eprintln!("warning: it never expires: a copy of it can be used until it is revoked");
    }
    Ok(())
}

fn list(args: &TokensFileArgs) -> Result<(), TokenFailure> {
    let path = args.path()?;
    let ReadTokens { file, .. } = tokens::read(&path).map_err(|error| {
        let unreadable = matches!(error, tokens::TokensReadError::Unreadable { .. });
        let exit = if unreadable { ExitReason::NotAsked } else { ExitReason::No };
        TokenFailure(exit, format!("{error}\n{}", error.advice()))
    })?;
    let now = clock::wall_time();
    let mut rows = vec![heads(&["ID", "NAME", "ROLE", "SERVICES", "CREATED", "EXPIRES"])];
    rows.extend(file.entries().iter().map(|entry| row(entry, now)));
    let mut out = io::stdout().lock();
    let text = layout("", rows, TextLayout::of(&out));
    // A reader that has seen enough (`| head`) is no error.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

fn row(entry: &TokenEntry, now: SystemTime) -> Vec<TableCell> {
    let (expires, style) = match entry.expires {
        None => ("never".to_owned(), TextStyle::Warn),
        Some(end) if end <= now => (format!("{} (expired)", entry_time(end)), TextStyle::Bad),
        Some(end) => (entry_time(end), TextStyle::Plain),
    };
    let plain = |text: &str| (text.to_owned(), TextStyle::Plain);
    vec![
        plain(&entry.id),
        plain(&entry.name),
        plain(entry.grant.role.as_str()),
        plain(&entry.grant.services.to_string()),
        plain(&entry_time(entry.created)),
        (expires, style),
    ]
}

fn revoke(args: &RevokeArgs) -> Result<(), TokenFailure> {
    let path = args.file.path()?;
    // Also out of a file that is wrong elsewhere: a token that is known to others cannot wait.
    change_file(&path, |text| {
        tokens_file::without(text, &args.id).ok_or_else(|| {
            let (id, path) = (printable(&args.id), path.display());
            format!("{path} has no token {id}: `standfast token list` shows them")
        })
    })
    .map_err(TokenFailure::no)?;
    eprintln!("token {} is revoked: a running proxy refuses it within a second", printable(&args.id));
    Ok(())
}

/// Changes the file, unless it is wrong already.
fn change_tokens(path: &Path, change: impl FnOnce(&str) -> Result<String, String>) -> Result<(), TokenFailure> {
    if path.exists() {
        tokens::read(path).map_err(|error| TokenFailure::no(format!("{error}\n{}", error.advice())))?;
    }
    change_file(path, change).map_err(TokenFailure::no)
}

impl TokensFileArgs {
    fn path(&self) -> Result<PathBuf, TokenFailure> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let found = ConfigFile::named(self.config.clone()).find("token list --config");
        let loaded = found.and_then(|file| config::load(&file).map(|loaded| (file, loaded.config)));
        let (file, config) = loaded.map_err(|problems| {
            TokenFailure::not_asked(format!("{}name the tokens file with --file", problems.explain(false)))
        })?;
        config.admin.and_then(|admin| admin.tokens_file).ok_or_else(|| {
            let file = file.display();
            TokenFailure::not_asked(format!("{file} has no `admin.tokens_file`: add it, or name a file with --file"))
        })
    }
}

/// When a token ends that is good for so long from now on.
fn end(now: SystemTime, lifetime: Duration) -> Result<SystemTime, TokenFailure> {
    if lifetime.is_zero() || lifetime > LONGEST {
        return Err(TokenFailure::not_asked("--for is more than 0 and at most 3650d; --never is without end"));
    }
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_add(lifetime.as_secs().max(1));
    let whole = if lifetime.as_secs() >= DAY { since.div_ceil(DAY) * DAY } else { since };
    Ok(UNIX_EPOCH + Duration::from_secs(whole))
}

fn entry_time(time: SystemTime) -> String {
    tokens_file::written(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_at_least_as_long_as_was_said() {
        let now = UNIX_EPOCH + Duration::from_secs(20_000 * DAY + 3600);
        let lasts = |lifetime: u64| {
            let end = end(now, Duration::from_secs(lifetime)).unwrap_or_else(|failure| panic!("{}", failure.1));
            end.duration_since(now).unwrap().as_secs()
        };
        assert_eq!((lasts(1), lasts(3600)), (1, 3600));
        assert_eq!((lasts(DAY), lasts(90 * DAY)), (DAY + DAY - 3600, 91 * DAY - 3600));
        assert!(end(now, Duration::ZERO).is_err() && end(now, LONGEST + Duration::from_secs(1)).is_err());
    }
}
