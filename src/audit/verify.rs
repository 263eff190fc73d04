//! [`ChainVerifier`]: reads the files of an audit log, oldest first, and says what is wrong, by file and line.

use std::fmt;

use serde_json::Value;

use super::chain::{AuditChain, AuditHash, AuditLine, LineProblem};
use super::checkpoint::CheckpointVerifier;

/// The type of a record that carries a checkpoint.
pub const CHECKPOINT_TYPE: &str = "audit.checkpoint";
/// Findings that are kept; further ones are counted.
const MOST_FINDINGS: usize = 1000;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFinding {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 = the whole log.
    pub line: u64,
    /// What is wrong.
    pub kind: FindingKind,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// The line is no record.
    NoRecord(LineProblem),
    /// The record's bytes are not those that were hashed.
    Edited {
        /// Its number.
        seq: u64,
    },
    /// Records are missing, or a file is.
    Missing {
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// A record stands where another number belongs: repeated, moved, or of another chain.
    OutOfOrder {
        /// The number that belongs there.
        expected: u64,
        /// The number that stands there.
        found: u64,
    },
    /// The number is right, but the record before it was another one: replaced, or a chain with two heads.
    OtherPredecessor {
        /// Its number.
        seq: u64,
    },
    /// A checkpoint that the key has not signed, or that signs something else.
    BadCheckpoint {
        /// Its record's number.
        seq: u64,
    },
    /// The record is not the one that is known from elsewhere, or it is not there.
    NotAsKnown {
        /// Its number.
        seq: u64,
    },
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.file, self.line)?;
        }
        match self.kind {
            FindingKind::NoRecord(problem) => write!(f, "{problem}"),
            FindingKind::Edited { seq } => write!(f, "record {seq} was edited: its hash is that of other bytes"),
            FindingKind::Missing { from, to } if from == to => write!(f, "record {from} is missing"),
            FindingKind::Missing { from, to } => write!(f, "records {from} to {to} are missing"),
            FindingKind::OutOfOrder { expected, found } => write!(f, "record {found} stands where {expected} belongs"),
            FindingKind::OtherPredecessor { seq } => {
                write!(f, "record {seq} continues another record than the one before it")
            }
            FindingKind::BadCheckpoint { seq } => {
                write!(f, "record {seq} is a checkpoint that the key did not sign so")
            }
            FindingKind::NotAsKnown { seq } => write!(f, "record {seq} is not the one that was expected"),
        }
    }
}

/// What reading a log has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Records that have the form of one.
    pub records: u64,
    /// The number of the first.
    pub first: Option<u64>,
    /// The end of the chain.
    pub end: AuditChain,
    /// What is wrong, in the order of the files; at most 1,000.
    pub findings: Vec<AuditFinding>,
    /// Findings beyond those.
    pub more_findings: u64,
    /// The last record that a checkpoint or a known hash covers.
    pub witnessed: Option<u64>,
    /// The last line of the last file is not whole: the end of a crash, set aside.
    pub torn_end: bool,
}

impl AuditReport {
    /// Is nothing wrong? (A torn end is not wrong.)
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// What is *not* proven, in one sentence.
    pub fn unproven(&self) -> String {
        let open = self.end.seq - self.witnessed.unwrap_or(0).min(self.end.seq);
        let beginning = match self.first {
            Some(2) => "; record 1 was not looked at".to_owned(),
            Some(first) if first > 2 => format!("; records 1 to {} were not looked at", first - 1),
            _ => String::new(),
        };
        match (self.witnessed, open) {
            (_, 0) => format!("every record is covered by a checkpoint or a known hash{beginning}"),
            (None, _) => format!(
                "no checkpoint was verified: that the log was replaced as a whole, or cut at its end, cannot be seen without a witness{beginning}"
            ),
            (Some(_), 1) => format!(
                "the last record has no checkpoint: without a witness a cut at the end cannot be seen{beginning}"
            ),
            (Some(_), open) => format!(
                "the last {open} records have no checkpoint: without a witness a cut at the end cannot be seen{beginning}"
            ),
        }
    }
}

/// Reads lines in order. Begin with [`ChainVerifier::file`].
#[derive(Debug)]
pub struct ChainVerifier {
    key: Option<CheckpointVerifier>,
    known: Vec<AuditChain>,
    file: String,
    line: u64,
    chain: Option<AuditChain>,
    report: AuditReport,
}

impl ChainVerifier {
    /// Checkpoints are verified by `key`; `known` are ends that the chain had, from elsewhere.
    pub fn new(key: Option<CheckpointVerifier>, known: Vec<AuditChain>) -> ChainVerifier {
        let report = AuditReport {
            records: 0,
            first: None,
            end: AuditChain::default(),
            findings: Vec::new(),
            more_findings: 0,
            witnessed: None,
            torn_end: false,
        };
        ChainVerifier { key, known, file: String::new(), line: 0, chain: None, report }
    }

    /// The lines of this file follow.
    pub fn file(&mut self, name: &str) {
        // A torn end in the middle of the log is a line that is wrong.
        if std::mem::take(&mut self.report.torn_end) {
            self.find(FindingKind::NoRecord(LineProblem::Malformed));
        }
        self.file = name.to_owned();
        self.line = 0;
    }

    /// One line without its line feed; `is_whole`: it had one.
    pub fn line(&mut self, text: &[u8], is_whole: bool) {
        self.line += 1;
        match AuditLine::parse(text) {
            Ok(line) => self.record(&line),
            Err(_) if !is_whole => self.report.torn_end = true,
            Err(problem) => self.find(FindingKind::NoRecord(problem)),
        }
    }

    /// Everything was read.
    pub fn finish(mut self) -> AuditReport {
        self.line = 0;
        // What is known and did not come by.
        for AuditChain { seq, .. } in std::mem::take(&mut self.known) {
            self.find(FindingKind::NotAsKnown { seq });
        }
        self.report.end = self.chain.unwrap_or_default();
        self.report
    }

    fn record(&mut self, line: &AuditLine<'_>) {
        self.report.records += 1;
        self.report.first.get_or_insert(line.seq);
        if !line.is_unedited() {
            self.find(FindingKind::Edited { seq: line.seq });
        }
        // A log whose older files are gone begins somewhere.
        let before = self.chain.unwrap_or(AuditChain { seq: line.seq - 1, head: line.prev });
        let expected = before.seq + 1;
        if line.seq > expected {
            self.find(FindingKind::Missing { from: expected, to: line.seq - 1 });
        } else if line.seq < expected {
            self.find(FindingKind::OutOfOrder { expected, found: line.seq });
        } else if line.prev != before.head || line.seq == 1 && line.prev != AuditHash::NONE {
            self.find(FindingKind::OtherPredecessor { seq: line.seq });
        }
        self.chain = Some(line.chain());
        self.look_at_witnesses(line);
    }

    fn look_at_witnesses(&mut self, line: &AuditLine<'_>) {
        if let Some(at) = self.known.iter().position(|known| known.seq == line.seq) {
            let known = self.known.swap_remove(at);
            match known == line.chain() {
                true => self.witness(line.seq),
                false => self.find(FindingKind::NotAsKnown { seq: line.seq }),
            }
        }
        let Some(key) = &self.key else { return };
        let Some(note) = checkpoint(line.text) else { return };
        let before = AuditChain { seq: line.seq - 1, head: line.prev };
        match note.is_some_and(|note| key.verify(&note) == Some(before)) {
            // The checkpoint signs what stands before it.
            true => self.witness(before.seq),
            false => self.find(FindingKind::BadCheckpoint { seq: line.seq }),
        }
    }

    fn witness(&mut self, seq: u64) {
        self.report.witnessed = self.report.witnessed.max(Some(seq));
    }

    fn find(&mut self, kind: FindingKind) {
        match self.report.findings.len() < MOST_FINDINGS {
            true => self.report.findings.push(AuditFinding { file: self.file.clone(), line: self.line, kind }),
            false => self.report.more_findings += 1,
        }
    }
}

/// The note of a checkpoint record; `Some(None)`: it says that it is one, and has none. Other records are not parsed.
pub fn checkpoint(text: &[u8]) -> Option<Option<String>> {
    memchr::memmem::find(text, CHECKPOINT_TYPE.as_bytes())?;
    let record: Value = serde_json::from_slice(text).ok()?;
    // The words may stand in a reason.
    let is_one = record.get("type").and_then(Value::as_str) == Some(CHECKPOINT_TYPE);
    let note = || record.get("what")?.get("note")?.as_str().map(str::to_owned);
    is_one.then(note)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::super::checkpoint::CheckpointKey;
    use super::*;

    fn key() -> CheckpointKey {
        CheckpointKey::parse("edge-1", &CheckpointKey::generate().expect("a key")).expect("its PEM")
    }

    /// `count` records; with a key every tenth is a checkpoint.
    fn log(count: u64, key: Option<&CheckpointKey>) -> Vec<String> {
        let mut chain = AuditChain::default();
        let record = |seq: u64, chain: &AuditChain| -> Map<String, Value> {
            let fields = match key.filter(|_| seq.is_multiple_of(10)) {
                Some(key) => json!({"type": CHECKPOINT_TYPE, "what": {"note": key.sign(chain)}}),
                None => json!({"type": "act.done", "what": {"reason": format!("no {CHECKPOINT_TYPE} {seq}")}}),
            };
            serde_json::from_value(fields).expect("a map")
        };
        (1..=count).map(|seq| chain.append(&record(seq, &chain.clone())).expect("a line")).collect()
    }

    fn verified(files: &[&[String]], key: Option<&CheckpointKey>, known: Vec<AuditChain>) -> AuditReport {
        let mut verifier = ChainVerifier::new(key.map(CheckpointKey::verifier), known);
        for (index, lines) in files.iter().enumerate() {
            verifier.file(&format!("file{index}"));
            lines.iter().for_each(|line| verifier.line(line.as_bytes(), true));
        }
        verifier.finish()
    }

    fn kinds(report: &AuditReport) -> Vec<(String, u64, FindingKind)> {
        report.findings.iter().map(|finding| (finding.file.clone(), finding.line, finding.kind)).collect()
    }

    #[test]
    fn a_whole_log_is_sound_and_says_what_is_not_proven() {
        let key = key();
        let lines = log(25, Some(&key));
        let report = verified(&[&lines[..12], &lines[12..]], Some(&key), Vec::new());
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.records, report.first, report.end.seq, report.witnessed), (25, Some(1), 25, Some(19)));
        assert!(report.unproven().starts_with("the last 6 records have no checkpoint"), "{}", report.unproven());
        assert!(verified(&[&lines], None, Vec::new()).unproven().starts_with("no checkpoint was verified"));
    }

    #[test]
    fn an_edited_record_is_named() {
        let mut lines = log(5, None);
        lines[2] = lines[2].replace("\"no ", "\"on ");
        assert_eq!(
            kinds(&verified(&[&lines], None, Vec::new())),
            [("file0".to_owned(), 3, FindingKind::Edited { seq: 3 })]
        );
    }

    #[test]
    fn a_record_rewritten_with_its_hash_breaks_the_next_one() {
        let mut lines = log(5, None);
        let mut chain = AuditLine::parse(lines[1].as_bytes()).expect("a record").chain();
        lines[2] = chain.append(&Map::new()).expect("a line");
        let found = kinds(&verified(&[&lines], None, Vec::new()));
        assert_eq!(found, [("file0".to_owned(), 4, FindingKind::OtherPredecessor { seq: 4 })]);
    }

    #[test]
    fn removed_repeated_and_swapped_records_are_named() {
        let lines = log(6, None);
        let removed = [&lines[..2], &lines[4..]].concat();
        assert_eq!(
            kinds(&verified(&[&removed], None, Vec::new())),
            [("file0".to_owned(), 3, FindingKind::Missing { from: 3, to: 4 })]
        );
        let mut repeated = lines.clone();
        repeated.insert(3, lines[2].clone());
        let found = kinds(&verified(&[&repeated], None, Vec::new()));
        assert_eq!(found[0], ("file0".to_owned(), 4, FindingKind::OutOfOrder { expected: 4, found: 3 }));
        let mut swapped = lines.clone();
        swapped.swap(1, 2);
        assert_eq!(verified(&[&swapped], None, Vec::new()).findings.len(), 3);
    }

    #[test]
    fn a_missing_and_a_swapped_file_are_found() {
        let lines = log(9, None);
        let [first, second, third] = [&lines[..3], &lines[3..6], &lines[6..]];
        let found = kinds(&verified(&[first, third], None, Vec::new()));
        assert_eq!(found, [("file1".to_owned(), 1, FindingKind::Missing { from: 4, to: 6 })]);
        assert!(!verified(&[first, third, second], None, Vec::new()).is_sound());
        let later = verified(&[second, third], None, Vec::new());
        assert!(later.is_sound() && later.unproven().ends_with("records 1 to 3 were not looked at"), "{later:?}");
    }

    #[test]
    fn a_replaced_log_is_seen_by_its_checkpoints_and_by_known_hashes() {
        let (key, thief) = (key(), key());
        let lines = log(25, Some(&thief));
        let report = verified(&[&lines], Some(&key), Vec::new());
        assert_eq!(
            kinds(&report),
            [
                ("file0".to_owned(), 10, FindingKind::BadCheckpoint { seq: 10 }),
                ("file0".to_owned(), 20, FindingKind::BadCheckpoint { seq: 20 }),
            ]
        );
        let true_lines = log(25, None);
        let known = AuditLine::parse(true_lines[22].as_bytes()).expect("a record");
        let known = AuditChain::parse(&format!("{}:{}", known.seq, known.hash)).expect("a known head");
        assert_eq!(verified(&[&true_lines], None, vec![known]).witnessed, Some(23));
        assert_eq!(
            kinds(&verified(&[&lines], None, vec![known])),
            [("file0".to_owned(), 23, FindingKind::NotAsKnown { seq: 23 })]
        );
        let cut = verified(&[&true_lines[..20]], None, vec![known]);
        assert_eq!(cut.findings[0].kind, FindingKind::NotAsKnown { seq: 23 }, "a cut at the end");
    }

    #[test]
    fn a_torn_end_is_no_tampering_and_a_torn_middle_is() {
        let lines = log(3, None);
        let mut verifier = ChainVerifier::new(None, Vec::new());
        verifier.file("a");
        verifier.line(lines[0].as_bytes(), true);
        verifier.line(&lines[1].as_bytes()[..40], false);
        let mut torn_middle = ChainVerifier { file: "a".to_owned(), ..verifier };
        let report = torn_middle.report.clone();
        assert!(report.torn_end && report.is_sound());
        torn_middle.file("b");
        torn_middle.line(lines[1].as_bytes(), true);
        let report = torn_middle.finish();
        assert!(!report.torn_end);
        assert_eq!(kinds(&report), [("a".to_owned(), 2, FindingKind::NoRecord(LineProblem::Malformed))]);
    }

    #[test]
    fn findings_are_bounded() {
        let mut verifier = ChainVerifier::new(None, Vec::new());
        verifier.file("a");
        (0..2000).for_each(|_| verifier.line(b"{}", true));
        let report = verifier.finish();
        assert_eq!((report.findings.len(), report.more_findings), (1000, 1000));
    }

    /// `config/audit-verify.py`, which knows the format alone, comes to the same verdicts.
    #[test]
    fn a_verifier_that_knows_the_format_alone_agrees() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/config/audit-verify.py");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("audit.jsonl");
        let lines = log(25, Some(&key()));
        let edited = lines.join("\n").replacen("\"no ", "\"on ", 1);
        let removed = [&lines[..3], &lines[4..]].concat().join("\n");
        let mut other = AuditChain { seq: 0, head: AuditHash::parse(&[b'1'; 64]).expect("a hash") };
        let headless = other.append(&Map::new()).expect("a line");
        let found = kinds(&verified(&[std::slice::from_ref(&headless)], None, Vec::new()));
        assert_eq!(found, [("file0".to_owned(), 1, FindingKind::OtherPredecessor { seq: 1 })]);
        let torn = lines.join("\n") + "\n" + &lines[0][..40];
        let whole = lines.join("\n") + "\n";
        let cases = [(whole, 0), (torn, 0), (edited + "\n", 1), (removed + "\n", 1), (headless + "\n", 1)];
        for (text, code) in cases {
            std::fs::write(&file, text).expect("a file");
            match std::process::Command::new("python3").arg(script).arg(&file).output() {
                Ok(ended) => assert_eq!(ended.status.code(), Some(code), "{ended:?}"),
                Err(error) => eprintln!("SKIPPED: python3 does not run here ({error})"),
            }
        }
    }
}
