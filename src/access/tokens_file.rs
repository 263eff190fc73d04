//! The file that lists bearer tokens: one line a token, comments with `#`. It is taken as a whole or not at all: with a line that
//! is wrong, the last good file stays in force.
//!
//! ```text
//! # id        name        role      services     created     expires     sha256 of the secret
//! 7k2m9qv4xd  ada         operator  shop,pay-*   2026-11-30  2027-02-28  9f86d081884c7d65…
//! 0s8w5n3hjr  ci-drills   drill     shop         2026-11-30  never       60303ae22b998861…
//! ```
//!
//! A time is a day (its first moment, UTC) or an RFC 3339 time with `Z`.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::permit::Grant;
use super::role::Role;
use super::scope::ServiceScope;
use super::token::{BearerToken, SecretHash, is_id};
use crate::config::is_name;
use crate::text::shortened;

/// The columns, as they stand above the lines of a new file.
pub const HEADING: &str = "# id        name        role      services     created     expires     sha256 of the secret";
/// Bytes of the largest file that is read.
pub const LARGEST_FILE: usize = 1 << 20;

/// A token of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEntry {
    /// The token's public part.
    pub id: String,
    /// Its owner: the name of the actor.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// When it was made.
    pub created: SystemTime,
    /// From this time on it is refused; `None` = it does not expire.
    pub expires: Option<SystemTime>,
    /// SHA-256 of its secret.
    pub secret_hash: SecretHash,
}

/// All tokens of a file that is right in every line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokensFile {
    entries: Vec<TokenEntry>,
    by_id: HashMap<String, usize>,
}

/// What a token that was shown comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenVerdict<'f> {
    /// It is one of the file.
    Good(&'f TokenEntry),
    /// Its id and secret are right, its time is over.
    Expired(&'f TokenEntry),
    /// There is no such token, or its secret is wrong: which of the two is not said.
    Unknown,
}

/// Every line that is wrong, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensFileError(pub Vec<(usize, String)>);

impl fmt::Display for TokensFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, problem)) in self.0.iter().enumerate() {
            write!(f, "{}line {line}: {problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for TokensFileError {}

impl TokensFile {
    /// Read a file's text.
    pub fn parse(text: &str) -> Result<TokensFile, TokensFileError> {
        let mut file = TokensFile::default();
        let mut numbers: Vec<usize> = Vec::new();
        let mut wrong = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match entry(line) {
                Err(problem) => wrong.push((number, problem)),
                Ok(entry) => match file.by_id.get(&entry.id) {
                    Some(first) => {
                        let first = numbers[*first];
                        wrong.push((number, format!("the id {} stands in line {first} already", entry.id)));
                    }
                    None => {
                        file.by_id.insert(entry.id.clone(), file.entries.len());
                        file.entries.push(entry);
                        numbers.push(number);
                    }
                },
            }
        }
        if wrong.is_empty() { Ok(file) } else { Err(TokensFileError(wrong)) }
    }

    /// The tokens, in the order of the file.
    pub fn entries(&self) -> &[TokenEntry] {
        &self.entries
    }

    /// Look at a token that was shown. The secret is compared in constant time, and also where the id is unknown.
    pub fn verify(&self, shown: &BearerToken, now: SystemTime) -> TokenVerdict<'_> {
        let entry = self.by_id.get(shown.id()).and_then(|index| self.entries.get(*index));
        let hash = shown.secret_hash();
        let is_same = entry.map_or(&hash, |entry| &entry.secret_hash).is_same(&hash);
        match entry.filter(|_| is_same) {
            None => TokenVerdict::Unknown,
            Some(entry) if entry.expires.is_some_and(|expires| expires <= now) => TokenVerdict::Expired(entry),
            Some(entry) => TokenVerdict::Good(entry),
        }
    }

    /// What an operator should know of a file that is right: expired tokens, and those that never expire.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let warning = |entry: &TokenEntry| match entry.expires {
            None => Some(format!("token {} ({}) never expires", entry.id, entry.name)),
            Some(expires) if expires <= now => Some(format!("token {} ({}) has expired", entry.id, entry.name)),
            Some(_) => None,
        };
        self.entries.iter().filter_map(warning).collect()
    }
}

impl TokenEntry {
    /// Its line in a file.
    pub fn line(&self) -> String {
        let expires = self.expires.map_or_else(|| "never".to_owned(), written);
        format!(
            "{:<10}  {:<10}  {:<8}  {:<11}  {}  {:<10}  {}",
            self.id,
            self.name,
            self.grant.role.as_str(),
            self.grant.services.to_string(),
            written(day(self.created)),
            expires,
            self.secret_hash.to_hex()
        )
    }
}

/// The text of a file without one token; comments and all other lines stay as they are. `None`: it has no such token.
pub fn without(text: &str, id: &str) -> Option<String> {
    let is_it = |line: &&str| line.split_whitespace().next() == Some(id);
    text.lines().find(is_it)?;
    Some(text.split_inclusive('\n').filter(|line| !is_it(line)).collect())
}

/// The text of a file with one more line at its end.
pub fn with(text: &str, entry: &TokenEntry) -> String {
    let mut out = if text.trim().is_empty() { format!("{HEADING}\n") } else { text.to_owned() };
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out + &entry.line() + "\n"
}

fn entry(line: &str) -> Result<TokenEntry, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [id, name, role, services, created, expires, hash] = fields[..] else {
        let count = fields.len();
        return Err(format!("{count} fields instead of 7: id, name, role, services, created, expires, sha256"));
    };
    let shown = |text: &str| shortened(text, 80);
    if !is_id(id) {
        return Err(format!("`{}` is no id of a token: `standfast token create` makes them", shown(id)));
    }
    if !is_name(name) {
        return Err(format!("`{}` is no name: letters, digits, `-`, `_` and `.`, at most 64", shown(name)));
    }
    let role = Role::parse(role).ok_or_else(|| {
        let known = Role::ALL.map(Role::as_str).join(", ");
        format!("`{}` is no role: there are {known}", shown(role))
    })?;
    let services = ServiceScope::parse(services.split(',')).map_err(|error| error.to_string())?;
    let secret_hash =
        SecretHash::parse(hash).ok_or("the last field is no SHA-256: 64 hexadecimal digits".to_owned())?;
    let time =
        |text: &str| time(text).ok_or_else(|| format!("`{}` is no day and no time: write 2027-02-28", shown(text)));
    let expires = if expires == "never" { None } else { Some(time(expires)?) };
    let (id, name, created) = (id.to_owned(), name.to_owned(), time(created)?);
    Ok(TokenEntry { id, name, grant: Grant { role, services }, created, expires, secret_hash })
}

fn time(text: &str) -> Option<SystemTime> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    humantime::parse_rfc3339(&whole).ok()
}

/// A time as a line has it: a day (UTC), or with its hour where it is not the day's first moment.
pub fn written(time: SystemTime) -> String {
    // Times beyond the year 9999 cannot be written.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let text = humantime::format_rfc3339_seconds(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string();
    text.strip_suffix("T00:00:00Z").map_or_else(|| text.clone(), str::to_owned)
}

/// The first moment of its day (UTC).
fn day(time: SystemTime) -> SystemTime {
    const DAY: u64 = 24 * 3600;
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds / DAY * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn token() -> BearerToken {
        BearerToken::parse(&format!("sft_0123456789_{}", "a".repeat(52))).expect("a token")
    }

    fn entry(expires: &str) -> String {
        format!("0123456789 ada operator shop,pay-* 2026-11-30 {expires} {}", token().secret_hash().to_hex())
    }

    fn at(text: &str) -> SystemTime {
        time(text).expect("a time")
    }

    #[test]
    fn a_token_of_the_file_is_good_until_it_expires() {
        let text = format!("# owners\n\n{}\n", entry("2027-02-28"));
        let file = TokensFile::parse(&text).expect("a file");
        let before = at("2027-02-27T23:59:59Z");
        assert!(matches!(file.verify(&token(), before), TokenVerdict::Good(entry) if entry.name == "ada"));
        assert!(matches!(file.verify(&token(), at("2027-02-28")), TokenVerdict::Expired(_)));
        assert!(file.warnings(before).is_empty() && file.warnings(before + DAY)[0].ends_with("has expired"));
    }

    #[test]
    fn a_wrong_secret_and_an_unknown_id_are_the_same() {
        let file = TokensFile::parse(&entry("never")).expect("a file");
        for text in [format!("sft_0123456789_{}", "b".repeat(52)), format!("sft_9123456789_{}", "a".repeat(52))] {
            let shown = BearerToken::parse(&text).expect("a token");
            assert_eq!(file.verify(&shown, at("2026-12-01")), TokenVerdict::Unknown, "{text}");
        }
        assert!(file.warnings(at("2026-12-01"))[0].ends_with("never expires"));
    }

    #[test]
    fn every_wrong_line_is_named_and_nothing_of_the_file_is_taken() {
        let good = entry("never");
        let lines = [
            good.clone(),
            good.clone(),
            good.replace("0123456789", "short"),
            good.replace("operator", "root").replace("0123456789", "1123456789"),
            good.replace("shop,pay-*", "sh*op").replace("0123456789", "2123456789"),
            good.replace("2026-11-30", "30.11.2026").replace("0123456789", "3123456789"),
            good.replace("never", "soon").replace("0123456789", "4123456789"),
            format!("{good}0").replace("0123456789", "5123456789"),
            "0123456789 ada".to_owned(),
            good.replace("ada", "a/d").replace("0123456789", "6123456789"),
        ];
        let error = TokensFile::parse(&lines.join("\n")).expect_err("wrong lines");
        let numbers: Vec<usize> = error.0.iter().map(|(line, _)| *line).collect();
        assert_eq!(numbers, (2..=10).collect::<Vec<_>>(), "{error}");
        assert!(
            error.to_string().starts_with("line 2: the id 0123456789 stands in line 1 already\nline 3: "),
            "{error}"
        );
    }

    #[test]
    fn lines_are_written_as_they_are_read_and_comments_stay() {
        let text = "# of the team\n";
        let parsed = TokensFile::parse(&entry("2027-02-28")).expect("a file");
        let entry = &parsed.entries()[0];
        let more = with(text, entry);
        assert_eq!(TokensFile::parse(&more).expect("written").entries(), parsed.entries());
        assert_eq!(without(&more, "0123456789").as_deref(), Some(text));
        assert_eq!(without(&more, "9123456789"), None);
        assert!(with("", entry).starts_with(HEADING));
        let hours = TokenEntry {
            expires: Some(at("2026-11-30T12:30:00Z")),
            created: at("2026-11-30T01:00:00Z"),
            ..entry.clone()
        };
        let read = TokensFile::parse(&hours.line()).expect("a line").entries()[0].clone();
        assert_eq!((read.expires, read.created), (hours.expires, at("2026-11-30")), "{}", hours.line());
    }
}
