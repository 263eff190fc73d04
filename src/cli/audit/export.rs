//! `standfast audit export`

use std::io::{self, IsTerminal, Write};

use standfast::audit::{AuditLine, ChainVerifier, checkpoint};

use super::super::exit::ExitReason;
use super::log::{LineReader, LogArgs};

/// Bytes behind the last record that was asked for: so many are looked through for a checkpoint, and kept meanwhile.
const CHECKPOINT_WITHIN: usize = 64 << 20;

/// Write a part of an audit log that can be verified by itself
///
/// The records go to standard output as they are in the log, without a gap, and on to the next checkpoint: `standfast audit verify` and
/// `config/audit-verify.py` read them like a log. The whole log is read and its chain verified meanwhile; the signature of the checkpoint is
/// verified by `standfast audit verify --key`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The number of the first record [default: the first there is]
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// The number of the last record [default: the last there is]
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
}

/// Writes the part.
pub fn run(args: &ExportArgs) -> Result<ExitReason, String> {
    if args.from.zip(args.to).is_some_and(|(from, to)| to < from) {
        return Err("--to stands before --from".to_owned());
    }
    // (A terminal would act on what stands in a reason.)
    if io::stdout().is_terminal() {
        return Err("the records are written as they are: redirect them to a file; `standfast audit show` shows them"
            .to_owned());
    }
    let mut part = Part::new(args, io::BufWriter::new(io::stdout().lock()));
    let mut verifier = ChainVerifier::new(None, Vec::new());
    for (name, file) in args.log.open()? {
        verifier.file(&name);
        let mut lines = LineReader::new(file);
        while let Some((line, is_whole)) = lines.next().map_err(|error| format!("{name}: cannot be read: {error}"))? {
            verifier.line(line, is_whole);
            part.take(line, is_whole).map_err(|error| format!("the records cannot be written: {error}"))?;
        }
    }
    let told = part.end().map_err(|error| format!("the records cannot be written: {error}"))?;
    let is_sound = verifier.finish().is_sound();
    if !is_sound {
        eprintln!("standfast audit: the log is not sound: `standfast audit verify` names what is wrong");
    }
    Ok(if told && is_sound { ExitReason::Done } else { ExitReason::No })
}

/// The part of the log that was asked for.
struct Part<W> {
    out: W,
    from: Option<u64>,
    to: Option<u64>,
    /// The first record that was written, and the last.
    written: Option<(u64, u64)>,
    /// What stands behind the last record that was asked for, until a checkpoint ends it.
    kept: Vec<u8>,
    /// The last record that was written is a checkpoint.
    is_covered: bool,
    ended: bool,
}

impl<W: Write> Part<W> {
    fn new(args: &ExportArgs, out: W) -> Part<W> {
        Part { out, from: args.from, to: args.to, written: None, kept: Vec::new(), is_covered: false, ended: false }
    }

    /// A line of the log. What is no record belongs to the part that it stands in, but for a torn end.
    fn take(&mut self, line: &[u8], is_whole: bool) -> io::Result<()> {
        let seq = AuditLine::parse(line).ok().map(|line| line.seq);
        let has_begun = self.written.is_some() || self.from.is_none();
        let begins = seq.is_some_and(|seq| self.from.is_none_or(|from| from <= seq));
        if self.ended || !has_begun && !begins || seq.is_none() && !is_whole {
            return Ok(());
        }
        let is_wanted = match (self.to, seq, self.written) {
            (Some(to), Some(seq), _) => seq <= to,
            (Some(to), None, written) => written.is_none_or(|(_, last)| last < to),
            (None, ..) => true,
        };
        // One with a signature ends what is written behind the last record that was asked for.
        let is_checkpoint = checkpoint(line).flatten().is_some();
        if !is_wanted && (self.is_covered || self.written.is_none()) {
            self.ended = true;
        } else if is_wanted || is_checkpoint {
            // (A number that goes back is not in order: the chain's verifier tells. What was kept meanwhile stands before it.)
            self.out.write_all(&std::mem::take(&mut self.kept))?;
            self.write(line, seq)?;
            (self.is_covered, self.ended) = (is_checkpoint, !is_wanted);
        } else if self.kept.len() + line.len() < CHECKPOINT_WITHIN {
            self.kept.extend_from_slice(line);
            self.kept.push(b'\n');
        } else {
            self.ended = true;
        }
        Ok(())
    }

    fn write(&mut self, line: &[u8], seq: Option<u64>) -> io::Result<()> {
        self.out.write_all(line)?;
        self.out.write_all(b"\n")?;
        if let Some(seq) = seq {
            let first = self.written.map_or(seq, |(first, _)| first);
            self.written = Some((first, seq));
        }
        Ok(())
    }

    /// Tells what was written. Is it all that was asked for?
    fn end(mut self) -> io::Result<bool> {
        self.out.flush()?;
        let Some((first, last)) = self.written else {
            eprintln!("standfast audit: no record of that part is in the log");
            return Ok(false);
        };
        let end = if self.is_covered { ", a checkpoint" } else { "; no checkpoint follows within 64 MiB" };
        eprintln!("records {first} to {last}{end}");
        let mut is_whole = true;
        if let Some(from) = self.from.filter(|from| *from < first) {
            eprintln!("standfast audit: records {from} to {} are not there", first - 1);
            is_whole = false;
        }
        if let Some(to) = self.to.filter(|to| last < *to) {
            eprintln!("standfast audit: records {} to {to} are not there", last + 1);
            is_whole = false;
        }
        Ok(is_whole)
    }
}
