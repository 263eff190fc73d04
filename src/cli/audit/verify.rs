//! `standfast audit verify`

use std::io::{self, Write};
use std::path::PathBuf;

use standfast::audit::{AuditChain, AuditReport, ChainVerifier, CheckpointVerifier};
use standfast::text::printable;

use super::super::exit::ExitReason;
use super::log::{LineReader, LogArgs};

/// Find records that were edited, removed, inserted or moved
///
/// It ends with one sentence that says what is not proven. A part of a line at the very end is what a crash leaves, and no tampering.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The public half of the key of checkpoints (`NAME+ID+KEY`), or a file that holds it
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A record that is known from elsewhere: from a checkpoint in another log, for example. May be given more than once
    #[arg(long, value_name = "SEQ:HASH")]
    expect: Vec<String>,
}

/// Reads all of it and says what is wrong.
pub fn run(args: &VerifyArgs) -> Result<ExitReason, String> {
    let key = args.key.as_deref().map(public_key).transpose()?;
    let is_signed = key.is_some();
    let known = args.expect.iter().map(|text| {
        AuditChain::parse(text)
            .ok_or(format!("--expect {text}: write SEQ:HASH, such as 4711:3f2a…, as a checkpoint says them"))
    });
    let mut verifier = ChainVerifier::new(key, known.collect::<Result<_, _>>()?);
    let files = args.log.open()?;
    let count = files.len();
    for (name, file) in files {
        verifier.file(&name);
        let mut lines = LineReader::new(file);
        while let Some((line, is_whole)) = lines.next().map_err(|error| format!("{name}: cannot be read: {error}"))? {
            verifier.line(line, is_whole);
        }
    }
    let report = verifier.finish();
    // A reader that has seen enough (`| head`) is no error.
    let mut out = io::stdout().lock();
    let _ = out.write_all(told(&report, count).as_bytes()).and_then(|()| out.flush());
    // (A log that was written again can leave the checkpoints out.)
    let is_unsigned = is_signed && report.records > 0 && report.witnessed.is_none();
    if is_unsigned {
        let _ = writeln!(out, "NOT SOUND: there is a key, and no checkpoint that it signed");
    }
    Ok(if report.is_sound() && !is_unsigned { ExitReason::Done } else { ExitReason::No })
}

fn public_key(text: &str) -> Result<CheckpointVerifier, String> {
    if let Ok(key) = CheckpointVerifier::parse(text) {
        return Ok(key);
    }
    let path = PathBuf::from(text);
    let read =
        std::fs::read_to_string(&path).map_err(|error| format!("--key {text}: neither a key nor a file: {error}"))?;
    CheckpointVerifier::parse(&read).map_err(|error| format!("--key {text}: {error}"))
}

fn told(report: &AuditReport, files: usize) -> String {
    let mut text: String =
        report.findings.iter().map(|finding| format!("{}\n", printable(&finding.to_string()))).collect();
    if report.more_findings > 0 {
        text.push_str(&format!("… and {} more\n", report.more_findings));
    }
    if report.torn_end {
        text.push_str("the last line is not whole: a crash, or a write that goes on; it is no tampering\n");
    }
    let (records, end) = (count(report.records, "record"), report.end);
    let range = report.first.map_or(String::new(), |first| format!(" ({first} to {})", end.seq));
    text.push_str(&format!(
        "{records}{range} in {}; the end is {}:{}\n",
        count(files as u64, "file"),
        end.seq,
        end.head
    ));
    let wrong = report.findings.len() as u64 + report.more_findings;
    let verdict = if wrong == 0 { "sound".to_owned() } else { format!("NOT SOUND: {}", count(wrong, "finding")) };
    text.push_str(&format!("{verdict}; {}\n", report.unproven()));
    text
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
