//! What to write instead of what other programs take: their keys, their words, and values of another shape. Every answer
//! holds the text to write, in backquotes; what it says is accepted at that place.

mod check_keys;
mod file_keys;
mod keys;
mod listener_keys;
mod service_keys;
mod shapes;
mod words;

pub(super) use self::keys::unknown_key;
pub(super) use self::shapes::{not_a_list, not_a_map, not_a_text, not_that_map};
pub(super) use self::words::{word, word_without_value};

use super::flow::endpoint;
use super::model::{is_dns_name, is_name};
use super::tree::{SpannedTree, TreeNode, TreeValue};
use super::units;

/// A file that works.
const WHOLE: &str = "{listeners: [{name: web, bind: 0.0.0.0:8080, service: web}], services: {web: {pools: [{name: main, endpoints: [10.0.0.1:8080]}]}}}";
const LISTENERS: &str = "listeners: [{name: web, bind: 0.0.0.0:8080, service: web}]";
const SERVICES: &str = "services: {web: {pools: [{name: main, endpoints: [10.0.0.1:8080]}]}}";
const CERTIFICATES: &str = "tls: {certificates: [{cert: fullchain.pem, key: key.pem}]}";

/// What a value alone means where a map may stand.
pub(super) enum ShorthandMeaning {
    /// It is the value of this key.
    Key(&'static str),
    /// It names a key, and nothing else is said.
    Word(&'static str),
    /// Nothing is said: everything has its default.
    Nothing,
    /// It cannot be told: what is wrong, and what to write.
    Wrong(String, String),
}

/// What `text` alone means; `short` is the short form of the map, see [`ShortForm`](super::spanned::ShortForm).
pub(super) fn shorthand_meaning(short: &'static str, text: &str, plain: bool) -> ShorthandMeaning {
    let wrong = |what: &str, advice: &str| ShorthandMeaning::Wrong(what.to_owned(), advice.to_owned());
    let on = plain && says_on(text);
    // (A name and a password, and what is behind `?`, are not repeated.)
    let shown = units::without_login(text.split_inclusive('?').next().unwrap_or_default());
    match short {
        "" => ShorthandMeaning::Nothing,
        "admin" if on => wrong(&format!("`{shown}` is no address"), "write `admin: 127.0.0.1:9901`"),
        "admin" => match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            Ok(port) if port > 0 => {
                let advice = format!("write `admin: 127.0.0.1:{port}` for this machine alone");
                ShorthandMeaning::Wrong(format!("`{shown}` is a port and no address"), advice)
            }
            _ => ShorthandMeaning::Key("bind"),
        },
        "admin_socket" if text.contains('/') && !text.contains(':') => ShorthandMeaning::Key("path"),
        "admin_socket" => {
            wrong(&format!("`{shown}` is no path of a socket"), "write `socket: /run/standfast/admin.sock`")
        }
        "metrics" if on => wrong(
            &format!("`{shown}` is no address"),
            "write `metrics: 0.0.0.0:9902`, or leave it out: the admin port has /metrics too",
        ),
        "metrics" => ShorthandMeaning::Key("bind"),
        "state" if on => {
            wrong(&format!("`{shown}` is no path of a file"), "write `state: /var/lib/standfast/state.json`")
        }
        "state" => ShorthandMeaning::Key("path"),
        "journal" if on => ShorthandMeaning::Nothing,
        "journal" if text.contains('/') => ShorthandMeaning::Key("path"),
        "journal" => wrong(
            &format!("`{shown}` is no path of a file"),
            "write `journal: on` for one beside the state file, or `journal: /var/lib/standfast/journal`",
        ),
        "audit" if text.contains('/') => ShorthandMeaning::Key("path"),
        "audit" => wrong(&format!("`{shown}` is no path of a file"), "write `audit: /var/log/standfast/audit.jsonl`"),
        "access_log" if on => ShorthandMeaning::Nothing,
        "access_log" if text.contains('/') => ShorthandMeaning::Key("path"),
        "access_log" if matches!(text, "json" | "common" | "combined") => {
            ShorthandMeaning::Wrong(format!("`{text}` is a format"), format!("write `access_log: {{format: {text}}}`"))
        }
        "access_log" => {
            let what = format!("`{shown}` is no path of a file");
            wrong(&what, "write `access_log: on` for standard output, or `access_log: /var/log/standfast/access.log`")
        }
        "health_check" if text.starts_with('/') => ShorthandMeaning::Key("http"),
        "health_check" => match text {
            "tcp" => ShorthandMeaning::Word("tcp"),
            "http" => ShorthandMeaning::Word("http"),
            "grpc" => ShorthandMeaning::Word("grpc"),
            "redis" => ShorthandMeaning::Word("redis"),
            _ => {
                let what = format!("`{shown}` is no kind of check");
                let advice = match url_path(text) {
                    Some(path) => format!("write `health_check: {path}`"),
                    None => "write `health_check: /healthz` for HTTP, `health_check: tcp` for a connection, or \
                             `health_check: grpc`"
                        .to_owned(),
                };
                ShorthandMeaning::Wrong(what, advice)
            }
        },
        "static_response" => match text {
            _ if on => wrong(&format!("`{shown}` is no text"), "write `static_response: {}`"),
            _ if text.len() == 3 && text.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)) => {
                ShorthandMeaning::Wrong(
                    format!("`{text}` is a status"),
                    format!("write `static_response: {{status: {text}}}`"),
                )
            }
            _ if is_path(text) && [".html", ".htm", ".json", ".txt"].iter().any(|end| text.ends_with(end)) => {
                let advice = format!("write `static_response: {{body_file: {text}}}`");
                ShorthandMeaning::Wrong(format!("`{shown}` is the path of a file"), advice)
            }
            _ => ShorthandMeaning::Key("body"),
        },
        "filter" => match text {
            "json" | "human" | "auto" => {
                ShorthandMeaning::Wrong(format!("`{text}` is a format"), format!("write `log: {{format: {text}}}`"))
            }
            _ if words::is_human(text) => {
                ShorthandMeaning::Wrong(format!("`{text}` is a format"), "write `log: {format: human}`".to_owned())
            }
            _ => ShorthandMeaning::Key("filter"),
        },
        "http" if on => wrong(&format!("`{shown}` is not a path"), "write `http: /healthz`, or `http: {}`"),
        "http" => match url_path(text) {
            Some(path) => ShorthandMeaning::Wrong(format!("`{shown}` is a URL"), format!("write `http: {path}`")),
            None => ShorthandMeaning::Key("path"),
        },
        _ => ShorthandMeaning::Key(short),
    }
}

fn says_on(text: &str) -> bool {
    matches!(text, "on" | "true" | "yes" | "enabled")
}

fn says_off(text: &str) -> bool {
    matches!(text, "off" | "false" | "no" | "none" | "never" | "disabled" | "0")
}

/// The path of a URL, when it can be shown: a query may hold a token.
fn url_path(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let path = rest.split(['?', '#']).next()?;
    let path = path.find('/').map_or("/", |at| &path[at..]);
    is_path(path).then(|| path.to_owned())
}

/// Statuses as a check takes them.
fn is_status(text: &str) -> bool {
    units::statuses(text).is_ok()
}

/// A path that needs no quotes.
fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~');
    !text.is_empty() && text.len() <= 100 && text.chars().all(plain)
}

/// A key as it is compared: other programs write `Max-Fails` and `max_fails`.
fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('-', "_")
}

/// The name of a host that needs no quotes; a wildcard begins with `*.`.
fn host(text: &str) -> Option<String> {
    match text.strip_prefix("*.") {
        Some(rest) => is_dns_name(rest).then(|| format!("\"{text}\"")),
        None => is_dns_name(text).then(|| text.to_owned()),
    }
}

/// A value that stands where another one belongs.
#[derive(Clone, Copy)]
pub(super) struct FoundValue<'t> {
    pub(super) node: &'t TreeNode,
    pub(super) tree: &'t SpannedTree,
    /// The map that it stands in, for the value of an unknown key.
    pub(super) around: &'t [(TreeNode, TreeNode)],
}

impl<'t> FoundValue<'t> {
    /// The text of a scalar that may be shown.
    fn text(self) -> Option<&'t str> {
        match &self.node.value {
            TreeValue::Scalar { text, .. } if !self.node.value.is_null() && !self.tree.is_secret(self.node.id) => {
                Some(text)
            }
            _ => None,
        }
    }

    fn items(self) -> &'t [TreeNode] {
        match &self.node.value {
            TreeValue::List(items) => items,
            _ => std::slice::from_ref(self.node),
        }
    }

    fn of(self, node: &'t TreeNode) -> FoundValue<'t> {
        FoundValue { node, ..self }
    }

    fn entry(self, key: &str) -> Option<FoundValue<'t>> {
        let TreeValue::Map(entries) = &self.node.value else { return None };
        let is = |node: &TreeNode| matches!(&node.value, TreeValue::Scalar { text, .. } if &**text == key);
        entries.iter().find(|(name, _)| is(name)).map(|(_, value)| self.of(value))
    }

    /// The value of the first of these keys that stands in the same map.
    fn beside(self, keys: &[&str]) -> Option<FoundValue<'t>> {
        /// So many keys of a map are looked at.
        const MOST: usize = 64;
        let is =
            |node: &TreeNode| matches!(&node.value, TreeValue::Scalar { text, .. } if keys.contains(&&*normal(text)));
        self.around.iter().take(MOST).find(|(key, _)| is(key)).map(|(_, value)| self.of(value))
    }

    /// The texts of a value alone or of a list, separated by commas and spaces too.
    fn texts(self) -> Vec<&'t str> {
        const MOST: usize = 8;
        let texts = self.items().iter().take(MOST).filter_map(|item| self.of(item).text());
        texts.flat_map(|text| text.split([',', ' '])).filter(|text| !text.is_empty()).take(MOST).collect()
    }

    /// The first name of a map, or of a list of maps with names.
    fn first_name(self) -> Option<&'t str> {
        let name = match &self.node.value {
            TreeValue::Map(entries) => self.of(&entries.first()?.0).name(),
            TreeValue::List(items) => self.of(items.first()?).entry("name")?.name(),
            TreeValue::Scalar { .. } => None,
        };
        name.filter(|name| !matches!(*name, "name" | "servers" | "endpoints" | "address" | "url"))
    }

    /// The first service of the file, be it below `services` or below the key of another program.
    fn first_service(self) -> Option<&'t str> {
        let TreeValue::Map(entries) = &self.tree.root.value else { return None };
        let file = FoundValue { around: entries, ..self };
        let of = |keys: &[&str]| file.beside(keys).and_then(FoundValue::first_name);
        let listened = || file.beside(&["listeners"])?.items().first();
        of(&["services"])
            .or_else(|| of(&["backends", "backend", "upstreams", "clusters", "pools"]))
            .or_else(|| self.of(listened()?).entry("service")?.name())
    }

    /// The service that this value names, as it is or as the host of a URL; else the first of the file, else a sample.
    fn service(self) -> &'t str {
        let bare = |text: &'t str| match text.split_once("://") {
            Some((_, rest)) => rest.split([':', '/']).next().filter(|host| !host.contains('.') && *host != "localhost"),
            None => Some(text),
        };
        let named =
            self.text().and_then(bare).filter(|text| text.parse::<std::net::IpAddr>().is_err() && is_name(text));
        named.or_else(|| self.first_service()).unwrap_or("web")
    }

    fn port(self) -> Option<u16> {
        self.text().and_then(|text| text.strip_prefix(':').unwrap_or(text).parse().ok()).filter(|port| *port > 0)
    }

    fn is_on(self) -> bool {
        self.text().is_some_and(says_on)
    }

    fn is_off(self) -> bool {
        self.text().is_some_and(says_off)
    }

    fn number(self, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.text().and_then(|text| text.parse().ok()).filter(|number| range.contains(number))
    }

    /// A duration, with a unit where it was written without one.
    fn time(self) -> Option<String> {
        let text = self.text()?;
        [text.to_owned(), format!("{text}s")]
            .into_iter()
            .find(|text| humantime::parse_duration(text).is_ok_and(|time| time <= units::LONGEST))
    }

    /// The same, or a sample.
    fn time_or(self, sample: &str) -> String {
        self.time().unwrap_or_else(|| sample.to_owned())
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
            TreeValue::Scalar { text, plain } => scalar(text, *plain)?,
            TreeValue::List(items) if items.len() <= 8 => {
                let items: Option<Vec<_>> = items.iter().map(|item| self.of(item).flow()).collect();
                format!("[{}]", items?.join(", "))
            }
            TreeValue::Map(entries) if entries.len() <= 8 => format!("{{{}}}", self.pairs(entries.iter())?),
            _ => return None,
        };
        Some(text).filter(|text| text.len() <= LONGEST)
    }

    fn pairs(self, entries: impl Iterator<Item = &'t (TreeNode, TreeNode)>) -> Option<String> {
        let pair = |(key, value): &'t (TreeNode, TreeNode)| {
            Some(format!("{}: {}", self.of(key).flow()?, self.of(value).flow()?))
        };
        let pairs: Option<Vec<_>> = entries.map(pair).collect();
        pairs.map(|pairs| pairs.join(", "))
    }

    /// `{a: {…}, b: {…}}` as `[{name: a, …}, {name: b, …}]`.
    fn named_list(self) -> Option<String> {
        let TreeValue::Map(entries) = &self.node.value else { return None };
        let item = |(key, value): &'t (TreeNode, TreeNode)| {
            let name = self.of(key).name()?;
            match &value.value {
                TreeValue::Map(entries) if self.of(value).entry("name").is_none() && !entries.is_empty() => {
                    Some(format!("{{name: {name}, {}}}", self.pairs(entries.iter())?))
                }
                _ => None,
            }
        };
        let items: Option<Vec<String>> = entries.iter().map(item).collect();
        let items = items.filter(|items| !items.is_empty() && items.len() <= 4)?;
        Some(format!("[{}]", items.join(", ")))
    }
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
