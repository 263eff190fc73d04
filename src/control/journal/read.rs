//! Reading a journal: what is torn at its end is left out, and so is what stands behind a damage, which is told.

use std::io;
use std::path::Path;

use serde::Deserialize;

use super::format::{ChecksumChain, JOURNAL_VERSION, MARK, ReadEventLine, SegmentHead};
use crate::config::file_names::{PREVIOUS, beside};
use crate::control::file_reader::read_bounded;
use crate::decision::{Decision, Event};
use crate::text::shortened;
use crate::time::MonoTime;

/// A larger file is not read.
const MAX_BYTES: u64 = 4 << 30;

/// What the core was told, and when. `None` = a tick.
pub type JournalEntry = (Option<Event>, MonoTime);

/// One segment of a journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalSegment {
    /// Its head.
    pub head: SegmentHead,
    /// The decision at its beginning.
    pub snapshot: Decision,
    /// What the core was told since, oldest first.
    pub entries: Vec<JournalEntry>,
    /// Bytes at its end that are left out: they were not written whole, or stand behind a damage.
    pub torn: usize,
    /// The damage, in words for people; `None` = there is none.
    pub damage: Option<String>,
}

/// What the files of a journal hold.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalContents {
    /// The segments, oldest first.
    pub segments: Vec<JournalSegment>,
    /// Segments and files that cannot be used at all, in words for people that name the file.
    pub problems: Vec<String>,
}

/// Why a segment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a journal of Standfast")]
    NotAJournal,
    /// It has another version.
    #[error(
        "a journal of version {found}; this program reads version {JOURNAL_VERSION}: use the program that wrote it"
    )]
    Version {
        /// Its version.
        found: u64,
    },
    /// Its beginning was not written whole: it holds nothing.
    #[error("it ends before its snapshot does: the process ended while it was begun")]
    Unfinished,
    /// A checksum is of something else, or what it is of cannot be.
    #[error("damaged at line {line}: {problem}")]
    Damaged {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
struct AnyHead {
    standfast_journal: u64,
}

/// Reads the journal at this path: the file before the newest one, where there is one, and the newest one. Either may be missing. A
/// segment that was only begun when the process ended is left out, if there is another one.
///
/// # Errors
/// There is no segment that can be used; the text names the file.
pub fn read_journal(path: &Path) -> Result<JournalContents, String> {
    let mut contents = JournalContents { segments: Vec::new(), problems: Vec::new() };
    let mut empty = None;
    for path in [beside(path, PREVIOUS), path.to_owned()] {
        let found = read(&path).unwrap_or_else(|error| vec![Err(error)]);
        for segment in found {
            let named = |error: JournalError| format!("{}: {error}", path.display());
            match segment {
                Ok(segment) => contents.segments.push(segment),
                Err(JournalError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    empty = Some(named(error.into()));
                }
                Err(JournalError::Unfinished) => empty = Some(named(JournalError::Unfinished)),
                Err(error) => contents.problems.push(named(error)),
            }
        }
    }
    if contents.segments.is_empty() {
        let problems = std::mem::take(&mut contents.problems);
        return Err(if problems.is_empty() { empty.unwrap_or_default() } else { problems.join("; ") });
    }
    Ok(contents)
}

/// Reads the segments of one file, each on its own.
pub(super) fn read(path: &Path) -> Result<Vec<Result<JournalSegment, JournalError>>, JournalError> {
    let bytes = read_bounded(path, MAX_BYTES)?;
    Ok(sections(&bytes).into_iter().map(parse).collect())
}

/// The segments of a file: each begins with a line that has the mark. (In JSON no string has a line end.)
fn sections(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts = vec![0];
    let ends = memchr::memchr_iter(b'\n', bytes);
    starts.extend(ends.map(|end| end + 1).filter(|start| bytes[*start..].starts_with(MARK)));
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let section = |(start, end): (&usize, usize)| {
        let section = &bytes[*start..end];
        // (An empty line stands before each head but the first.)
        section.strip_suffix(b"\n").filter(|section| section.ends_with(b"\n")).unwrap_or(section)
    };
    starts.iter().zip(ends).map(section).collect()
}

/// Reads the text of one segment.
///
/// # Errors
/// It cannot be used: its head or its snapshot is damaged. Nothing is read from a later batch whose checksum is of something else, nor
/// from what stands behind it.
pub fn parse(bytes: &[u8]) -> Result<JournalSegment, JournalError> {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<AnyHead>(first) {
        Ok(head) if head.standfast_journal == u64::from(JOURNAL_VERSION) => {}
        Ok(head) => return Err(JournalError::Version { found: head.standfast_journal }),
        Err(_) if MARK.starts_with(&first[..first.len().min(MARK.len())]) && first.len() == bytes.len() => {
            return Err(JournalError::Unfinished);
        }
        Err(_) if first.starts_with(MARK) => return Err(damaged(1, &"its head cannot be read")),
        Err(_) => return Err(JournalError::NotAJournal),
    }
    let mut batches = Batches { bytes, at: 0, line: 1, chain: ChecksumChain::begin() };
    let Some((line, opening)) = batches.next().transpose()? else { return Err(JournalError::Unfinished) };
    let mut lines = opening.split(|byte| *byte == b'\n');
    let head = serde_json::from_slice(lines.next().unwrap_or_default()).map_err(|error| damaged(line, &error))?;
    let snapshot = lines.next().unwrap_or_default();
    let snapshot = serde_json::from_slice(snapshot).map_err(|error| damaged(line + 1, &error))?;
    let (mut entries, mut damage, mut read) = (Vec::new(), None, batches.at);
    while let Some(batch) = batches.next() {
        match batch.and_then(|(line, batch)| parse_entries(line, batch)) {
            Ok(more) => entries.extend(more),
            Err(error) => {
                damage = Some(error.to_string());
                break;
            }
        }
        read = batches.at;
    }
    Ok(JournalSegment { head, snapshot, entries, torn: bytes.len() - read, damage })
}

/// Reads a batch that begins at this line, all of it or nothing.
fn parse_entries(line: usize, batch: &[u8]) -> Result<Vec<JournalEntry>, JournalError> {
    let texts = batch.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()).zip(line..);
    let entry = |(text, line): (&[u8], usize)| {
        let ReadEventLine { t, e } = serde_json::from_slice(text).map_err(|error| damaged(line, &error))?;
        Ok((e, t))
    };
    texts.map(entry).collect()
}

fn damaged(line: usize, problem: &dyn std::fmt::Display) -> JournalError {
    JournalError::Damaged { line, problem: shortened(&problem.to_string(), 200) }
}

/// The batches whose checksum holds, with the number of their first line.
struct Batches<'a> {
    bytes: &'a [u8],
    /// The end of the last whole batch.
    at: usize,
    line: usize,
    chain: ChecksumChain,
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(usize, &'a [u8]), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        let (mut start, mut lines) = (0, 0);
        while let Some(length) = memchr::memchr(b'\n', &rest[start..]) {
            let batch = &rest[..start];
            if let Some(holds) = self.chain.closes(batch, &rest[start..start + length]) {
                let first = self.line;
                self.line += lines + 1;
                self.at += start + length + 1;
                let problem = "its checksum is of something else";
                return Some(if holds { Ok((first, batch)) } else { Err(damaged(first + lines, &problem)) });
            }
            start += length + 1;
            lines += 1;
        }
        None
    }
}
