//! Real files: what a start finds, locks, and rotation.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::audit::ChainVerifier;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("audit.jsonl")
    }

    fn open(&self) -> Result<Log, String> {
        let (file, chain) = LogFile::open(&self.path(), 1 << 12, 3)?;
        Ok(Log { file, chain })
    }

    fn refused(&self) -> String {
        self.open().err().expect("it is refused")
    }

    /// Is the whole log sound; its first and last record.
    fn verified(&self) -> (bool, Option<u64>, u64) {
        let mut verifier = ChainVerifier::new(None, Vec::new());
        for path in files::log_files(&self.path()).unwrap() {
            verifier.file(&path.display().to_string());
            let text = fs::read(&path).unwrap();
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                match line.strip_suffix(b"\n") {
                    Some(line) => verifier.line(line, true),
                    None => verifier.line(line, false),
                }
            }
        }
        let report = verifier.finish();
        (report.is_sound() && !report.torn_end, report.first, report.end.seq)
    }
}

struct Log {
    file: LogFile,
    chain: AuditChain,
}

impl Log {
    fn append(&mut self, count: usize) {
        for _ in 0..count {
            let mut chain = self.chain;
            let line = chain.append([("type", "\"config.refused\"")]).unwrap() + "\n";
            self.file.append(chain.seq, line.as_bytes()).unwrap();
            self.chain = chain;
        }
    }
}

#[test]
fn a_restart_goes_on_with_the_chain() {
    let folder = Folder::new();
    for _ in 0..3 {
        folder.open().unwrap().append(5);
    }
    assert_eq!(folder.verified(), (true, Some(1), 15));
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_torn_end_is_set_aside() {
    let folder = Folder::new();
    folder.open().unwrap().append(3);
    let text = fs::read(folder.path()).unwrap();
    for torn in [&b"{\"seq\":4,\"ty"[..], b"\0\0\0"] {
        fs::write(folder.path(), [&text, torn].concat()).unwrap();
        let mut log = folder.open().unwrap();
        assert_eq!(log.chain.seq, 3);
        log.append(1);
        assert_eq!(folder.verified(), (true, Some(1), 4));
    }
    let aside = fs::read(files::torn(&folder.path())).unwrap();
    assert_eq!(aside, b"{\"seq\":4,\"ty\n\0\0\0\n");
    // The first line of all may be torn, too.
    fs::write(folder.path(), b"{\"se").unwrap();
    assert_eq!(folder.open().unwrap().chain, AuditChain::default());
}

#[test]
fn files_are_rotated_and_the_newest_ones_stay() {
    let folder = Folder::new();
    let mut log = folder.open().unwrap();
    log.append(100);
    let rotated = files::rotated(&folder.path()).unwrap();
    assert_eq!(rotated.len(), 3);
    let (sound, first, last) = folder.verified();
    assert!(sound && last == 100 && first == Some(rotated[0].0), "{first:?} {rotated:?}");
    drop(log);
    // The chain goes on from the last one, if nothing is behind it.
    fs::remove_file(folder.path()).unwrap();
    let expected = files::rotated(&folder.path()).unwrap().len();
    let mut log = folder.open().unwrap();
    assert!(log.chain.seq < 100 && log.chain.seq > rotated[2].0);
    log.append(1);
    assert!(folder.verified().0 && files::rotated(&folder.path()).unwrap().len() == expected);
}

#[test]
fn a_file_that_is_in_the_way_of_a_rotation_is_not_replaced() {
    let folder = Folder::new();
    let mut log = folder.open().unwrap();
    log.append(1);
    let precious = files::numbered(&folder.path(), 1);
    fs::write(&precious, "precious").unwrap();
    let error = log.file.append(2, &[b'x'; 5000]).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

#[test]
fn two_never_write_one_chain() {
    let folder = Folder::new();
    let log = folder.open().unwrap();
    let error = folder.refused();
    assert!(error.contains(&format!("process {} writes this audit log", std::process::id())), "{error}");
    drop(log);
    folder.open().unwrap();
}

#[test]
fn what_is_no_log_is_left_alone() {
    let folder = Folder::new();
    let refused = |text: &[u8], why: &str| {
        fs::write(folder.path(), text).unwrap();
        let error = folder.refused();
        assert!(error.contains(why), "{error}");
        assert_eq!(fs::read(folder.path()).unwrap(), text);
    };
    refused(b"precious", "it is no audit log");
    refused(b"precious\n", "it is no audit log");
    refused(b"{\"seq\":1}\n", "its last line is no record");
    fs::remove_file(folder.path()).unwrap();
    folder.open().unwrap().append(2);
    let edited = fs::read_to_string(folder.path()).unwrap().replace("config.refused", "config.reloaded");
    refused(edited.as_bytes(), "its last record, 2, was edited");
    fs::remove_file(folder.path()).unwrap();
    std::os::unix::fs::symlink(folder.0.path().join("other"), folder.path()).unwrap();
    assert!(folder.refused().contains("cannot be kept"));
}

#[test]
fn a_folder_that_is_missing_is_told() {
    let folder = Folder::new();
    let path = folder.0.path().join("not/there.jsonl");
    let error = LogFile::open(&path, 1 << 20, 3).err().unwrap();
    assert!(error.contains(&format!("mkdir -p {}", path.parent().unwrap().display())), "{error}");
}

#[test]
fn a_log_that_is_moved_away_goes_on_in_another_file() {
    let folder = Folder::new();
    let mut log = folder.open().unwrap();
    log.append(3);
    fs::rename(folder.path(), files::numbered(&folder.path(), 1)).unwrap();
    log.append(3);
    assert_eq!(folder.verified(), (true, Some(1), 6));
    fs::rename(folder.path(), files::numbered(&folder.path(), 4)).unwrap();
    fs::write(folder.path(), "other").unwrap();
    let error = log.file.append(7, b"{}").unwrap_err().to_string();
    assert!(error.contains("another file stands in its place"), "{error}");
}

#[test]
fn a_part_of_a_write_is_taken_away_before_the_next_one() {
    let folder = Folder::new();
    let mut log = folder.open().unwrap();
    log.append(1);
    log.file.newest.file.write_all(b"{\"seq\":2,").unwrap();
    log.file.newest.torn = true;
    log.append(1);
    assert_eq!(folder.verified(), (true, Some(1), 2));
}
