//! The log: human on a terminal, JSON otherwise, on standard error, through a bounded queue. When standard error is not read, lines
//! are dropped and counted; work is not held up.

use std::fmt::Debug;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{fmt, reload};

use super::lines::{LineCounts, LineQueue, LineSink};
use crate::config::{Log, LogFormat, log_filter};
use crate::text::{is_command, printable_json};

/// The environment variable that overrides the configured filter.
pub const FILTER_VARIABLE: &str = "STANDFAST_LOG";

/// Lines that may wait for the writer.
const QUEUE: usize = 4096;

/// Why the log could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("{origin}: {what}; {advice}")]
    Filter {
        /// The variable or key that set it.
        origin: &'static str,
        /// What is wrong.
        what: String,
        /// What to write.
        advice: String,
    },
    /// The writer thread could not be started.
    #[error("the log's thread cannot be started: {0}")]
    Thread(#[from] io::Error),
    /// There is a subscriber already.
    #[error("a log is set up already")]
    Already,
}

/// The log of the process. Dropping it writes what waits.
#[derive(Debug)]
pub struct Logs {
    lines: LineQueue,
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Sets up the log of the process, once.
///
/// # Errors
/// The filter is wrong, the thread cannot be started, or there is a global subscriber already.
pub fn start(config: &Log) -> Result<Logs, LogError> {
    let human = match config.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (logs, subscriber) = build(config, human, colour, Box::new(io::stderr()))?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Already)?;
    Ok(logs)
}

/// Makes panics lines of the log too, with thread, place and message.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)");
        tracing::error!(thread = thread.name().unwrap_or("?"), place, "panic: {message}");
    }));
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn build(config: &Log, human: bool, colour: bool, sink: LineSink) -> Result<(Logs, Subscriber), LogError> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    // A failure of standard error cannot be reported anywhere.
    let lines = LineQueue::start("log", QUEUE, sink, |_| {})?;
    let registry = tracing_subscriber::registry().with(filter);
    let queue = |format| LogWriter { lines: lines.clone(), format };
    let subscriber: Subscriber = match human {
        true => {
            let writer = queue(LineFormat::Human { colour });
            let fields = debug_fn(field).delimited(" ");
            let layer = fmt::layer().fmt_fields(fields).with_writer(writer).with_ansi(colour).with_target(false);
            Box::new(registry.with(layer))
        }
        false => Box::new(registry.with(fmt::layer().json().flatten_event(true).with_writer(queue(LineFormat::Json)))),
    };
    Ok((Logs { lines, filter: handle }, subscriber))
}

fn filter(config: &Log) -> Result<EnvFilter, LogError> {
    let (origin, filter) = match std::env::var(FILTER_VARIABLE) {
        Ok(filter) if !filter.is_empty() => (FILTER_VARIABLE, filter),
        _ => ("log.filter", config.filter.clone()),
    };
    let wrong = |(what, advice)| LogError::Filter { origin, what, advice };
    let filter = log_filter::understand(&filter).map_err(wrong)?;
    EnvFilter::builder().parse(&filter).map_err(|reason| wrong((format!("not a log filter: {reason}"), String::new())))
}

impl Logs {
    /// Puts the configured filter into force (a reload). The format stays until a restart.
    pub fn apply(&self, config: &Log) -> Result<(), LogError> {
        let filter = filter(config)?;
        // It fails only when the subscriber is gone, and the process with it.
        let _ = self.filter.reload(filter);
        Ok(())
    }

    /// How many lines were written and dropped: a handle for the metrics.
    pub fn counts(&self) -> LogCounts {
        LogCounts(self.lines.clone())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.lines.finish(Duration::from_secs(1));
    }
}

/// How many lines the log has written and dropped.
#[derive(Clone, Debug)]
pub struct LogCounts(LineQueue);

impl LogCounts {
    /// Until now.
    pub fn now(&self) -> LineCounts {
        self.0.counts()
    }
}

/// The subscriber's way into the queue: it writes each event in one piece. What stands in an event may be text of others: it
/// becomes printable here, in whatever field it stands.
#[derive(Clone, Debug)]
struct LogWriter {
    lines: LineQueue,
    format: LineFormat,
}

/// What an event is written as.
#[derive(Clone, Copy, Debug)]
enum LineFormat {
    Human { colour: bool },
    Json,
}

impl LineFormat {
    /// The event as it goes out. It is one line; of a human's, further ones are indented, so that none looks like another event.
    fn printable(self, event: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if !line.contains(is_command) {
            return event.to_vec();
        }
        let mut out = match self {
            LineFormat::Json => printable_json(line),
            LineFormat::Human { colour } => human(line, colour),
        };
        out.push('\n');
        out.into_bytes()
    }
}

/// Writes one field of an event for people. An escape sequence in it is of others.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let text = format!("{value:?}").replace('\u{1b}', "\u{fffd}");
    match field.name() {
        "message" => write!(writer, "{text}"),
        name if writer.has_ansi_escapes() => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{text}"),
        name => write!(writer, "{name}={text}"),
    }
}

/// Colours stay where we have written them: what stands in a [`field`] has none.
fn human(line: &str, colour: bool) -> String {
    let mut out = String::with_capacity(line.len());
    for (index, part) in line.split('\n').enumerate() {
        if index > 0 {
            out.push_str("\n    ");
        }
        let mut rest = part;
        while let Some(at) = rest.find(is_command) {
            out.push_str(&rest[..at]);
            let length = colour_length(&rest[at..]).filter(|_| colour);
            match length {
                Some(length) => out.push_str(&rest[at..at + length]),
                None => out.push(if rest[at..].starts_with('\t') { ' ' } else { '\u{fffd}' }),
            }
            let first = rest[at..].chars().next().map_or(1, char::len_utf8);
            rest = &rest[at + length.unwrap_or(first)..];
        }
        out.push_str(rest);
    }
    out
}

/// The length of `ESC [ 1;31 m`, if that is how the text begins.
fn colour_length(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\u{1b}[")?;
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    codes[end..].starts_with('m').then_some(2 + end + 1)
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a LogWriter;
    fn make_writer(&'a self) -> &'a LogWriter {
        self
    }
}

impl Write for &LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines.offer(self.format.printable(bytes), 1).is_err() {
            self.lines.lost(1);
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::telemetry::lines::tests::TestSink;

    fn config(filter: &str) -> Log {
        Log { filter: filter.into(), format: LogFormat::Auto }
    }

    fn said(human: bool, filter: &str, speak: impl FnOnce(&Logs)) -> String {
        let paper = TestSink::default();
        let (logs, subscriber) = build(&config(filter), human, false, Box::new(paper.clone())).unwrap();
        tracing::subscriber::with_default(subscriber, || speak(&logs));
        drop(logs);
        paper.read()
    }

    #[test]
    fn machines_get_one_json_object_a_line() {
        let text = said(false, "info", |_| {
            tracing::info!(service = "shop", "switched\nto \"b\"");
            tracing::debug!("not this");
        });
        let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert_eq!(value["message"], "switched\nto \"b\"");
        assert_eq!(value["service"], "shop");
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn people_get_a_line_without_escapes_when_colour_is_off() {
        let text = said(true, "info", |_| tracing::warn!(service = "shop", "frozen"));
        assert!(text.contains("WARN") && text.contains("frozen service=\"shop\""), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    /// Every Rust file of the program, without its tests.
    fn sources() -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    found.push((path, text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()));
                }
            }
        }
        found
    }

    /// The arguments of each macro that logs: the code, and its string literals.
    fn events(source: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for level in ["trace", "debug", "info", "warn", "error"] {
            for event in source.split(&format!("tracing::{level}!(")).skip(1) {
                let (mut code, mut literals, mut depth) = (String::new(), String::new(), 1);
                let (mut inside, mut escaped) = (false, false);
                for c in event.chars() {
                    match c {
                        '"' if !escaped => inside = !inside,
                        _ if inside => literals.push(c),
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        _ => {}
                    }
                    if !inside && c != '"' {
                        code.push(c);
                    }
                    escaped = inside && c == '\\' && !escaped;
                    if depth == 0 {
                        break;
                    }
                }
                found.push((code, literals));
            }
        }
        found
    }

    fn shows_debug((code, literals): &(String, String)) -> bool {
        let code: String = code.split_whitespace().collect();
        let sigil = code.starts_with('?') || [",?", "=?"].iter().any(|sigil| code.contains(sigil));
        sigil || code.contains("field::debug(") || literals.contains(":?}")
    }

    #[test]
    fn no_line_of_the_log_shows_a_value_as_rust_prints_it_for_debugging() {
        let mut count = 0;
        for (path, source) in sources() {
            for event in events(&source) {
                count += 1;
                assert!(!shows_debug(&event), "{}: {event:?}", path.display());
            }
        }
        assert!(count > 60, "{count} events found");
        for wrong in [
            "tracing::warn!(?error, \"a\")",
            "tracing::warn!(a = 1, b = ?c, \"a\")",
            "tracing::info!(\n  a,\n  ?b\n)",
            "tracing::error!(a = field::debug(b), \"c\")",
            "tracing::info!(\"a \\\" {b:?}\")",
        ] {
            assert!(events(wrong).iter().all(shows_debug), "{wrong}");
        }
        assert!(!shows_debug(&events("tracing::info!(a = b?, \"why? = ?\")")[0]));
    }

    /// Text of others may stand in any field: that of a file, of a certificate, of DNS, of a probe, of an operator.
    #[test]
    fn no_text_of_others_commands_a_terminal_or_makes_a_line_of_its_own() {
        const HOSTILE: [&str; 8] = [
            "\u{1b}[2J\u{1b}[1;31mred",
            "\u{1b}]0;title\u{7}",
            "\u{9b}31mred",
            "a\r\n2026-01-01T00:00:00Z ERROR forged",
            "\u{202e}txt.exe\u{2066}",
            "a\u{2028}b\u{85}c",
            "\0\u{8}\u{7f}",
            "tab\tstop",
        ];
        for hostile in HOSTILE {
            let speak = |_: &Logs| {
                tracing::error!(problem = %hostile, text = hostile, debug = ?hostile, "said {hostile}");
            };
            let json = said(false, "info", speak);
            assert_eq!(json.lines().count(), 1, "{json:?}");
            assert!(!json.trim_end_matches('\n').contains(is_command), "{json:?}");
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!((value["text"].as_str(), value["problem"].as_str()), (Some(hostile), Some(hostile)));
            let human = said(true, "info", speak);
            assert!(!human.replace('\n', "").contains(is_command), "{human:?}");
            let forged = human.lines().skip(1).any(|line| !line.starts_with("    "));
            assert!(!forged && human.ends_with('\n'), "{human:?}");
        }
    }

    #[test]
    fn colours_of_our_own_stay_and_others_do_not() {
        let paper = TestSink::default();
        let (logs, subscriber) = build(&config("info"), true, true, Box::new(paper.clone())).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(problem = %"\u{1b}[32mgreen\u{1b}[2J\u{202e}", "said \u{1b}[32mgreen");
        });
        drop(logs);
        let text = paper.read();
        assert!(text.contains("\u{1b}[31mERROR"), "{text:?}");
        assert!(!text.contains("\u{1b}[32m") && !text.contains("\u{1b}[2J") && !text.contains('\u{202e}'), "{text:?}");
    }

    #[test]
    fn a_reload_changes_the_filter() {
        let text = said(false, "warn", |logs| {
            tracing::info!("one");
            logs.apply(&config("info")).unwrap();
            tracing::info!("two");
            assert!(logs.apply(&config("a=b=c")).is_err());
            tracing::info!("three");
        });
        assert!(!text.contains("one") && text.contains("two") && text.contains("three"), "{text}");
    }

    #[test]
    fn a_wrong_filter_says_who_set_it_and_what_to_write() {
        let error = build(&config("standfast=loud"), true, false, Box::new(io::sink())).err().unwrap().to_string();
        assert!(error.contains("log.filter") && error.contains("`loud`") && error.contains("info"), "{error}");
    }
}
