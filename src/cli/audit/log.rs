//! The files of an audit log, and their lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use standfast::audit::LONGEST_LINE;
use standfast::config;
use standfast::control::audit::files::log_files;

use super::super::config_file::ConfigFile;

/// Bytes that are read at a time.
const BUFFER: usize = 1 << 20;
/// How often the files are looked for again, when one was moved meanwhile.
const TRIES: usize = 10;

/// Which files are read.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    /// The files, oldest first [default: `audit.path` of the configuration with all files before it]
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// The configuration that names the log, when no FILE is given [default: $STANDFAST_CONFIG, else
    /// /etc/standfast/standfast.yaml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "files", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
}

/// The files, open: a rotation meanwhile changes nothing.
pub type OpenFiles = Vec<(String, File)>;

impl LogArgs {
    #[cfg(test)]
    pub fn none() -> LogArgs {
        LogArgs { files: Vec::new(), config: None }
    }

    /// Opens all of them.
    ///
    /// # Errors
    /// What cannot be read, and what to do.
    pub fn open(&self) -> Result<OpenFiles, String> {
        if !self.files.is_empty() {
            return opened(&self.files);
        }
        let path = self.configured()?;
        let listed = || log_files(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()));
        let mut files = listed()?;
        for _ in 0..TRIES {
            if files.is_empty() {
                return Err(format!("{}: there is no audit log yet", path.display()));
            }
            let open = opened(&files);
            // (A file that was rotated meanwhile would be missing, or be there twice.)
            let again = listed()?;
            if again == files {
                return open;
            }
            files = again;
        }
        Err(format!("{}: its files change all the time: name them", path.display()))
    }

    fn configured(&self) -> Result<PathBuf, String> {
        let none = |_| "name the files of the log, oldest first, or its configuration: `-c standfast.yaml`".to_owned();
        let file = ConfigFile::named(self.config.clone()).find("audit").map_err(none)?;
        let loaded = config::load(&file).map_err(|problems| problems.to_string())?;
        let audit =
            loaded.config.audit.ok_or(format!("{} has no `audit`: name the files of the log", file.display()))?;
        Ok(audit.path)
    }
}

fn opened(files: &[PathBuf]) -> Result<OpenFiles, String> {
    let open = |path: &PathBuf| {
        let shown = path.display().to_string();
        let file = File::open(path).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
        Ok((shown, file))
    };
    files.iter().map(open).collect()
}

/// Reads lines of a file, of which one that is longer than any record is cut.
pub struct LineReader {
    reader: BufReader<File>,
    line: Vec<u8>,
}

impl LineReader {
    pub fn new(file: File) -> LineReader {
        LineReader { reader: BufReader::with_capacity(BUFFER, file), line: Vec::new() }
    }

    /// The next line without its line feed, and whether it had one; `None` = the end.
    pub fn next(&mut self) -> io::Result<Option<(&[u8], bool)>> {
        self.line.clear();
        loop {
            let found = self.reader.fill_buf()?;
            if found.is_empty() {
                return Ok((!self.line.is_empty()).then_some((&self.line, false)));
            }
            let end = memchr::memchr(b'\n', found);
            let part = &found[..end.unwrap_or(found.len())];
            // (One byte more says that it is too long.)
            let room = (LONGEST_LINE + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(found.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some((&self.line, true)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whole_cut_and_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let long = "x".repeat(3 * BUFFER);
        std::fs::write(&path, format!("one\n\n{long}\ntwo\nto")).unwrap();
        let mut lines = LineReader::new(File::open(&path).unwrap());
        let mut found = Vec::new();
        while let Some((line, is_whole)) = lines.next().unwrap() {
            found.push((line.len(), is_whole));
        }
        assert_eq!(found, [(3, true), (0, true), (LONGEST_LINE + 1, true), (3, true), (2, false)]);
    }
}
