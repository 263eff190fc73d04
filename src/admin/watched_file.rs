//! [`WatchedFile`]: a file of credentials that is read again when it has changed. A wrong one is told once, and what was read before
//! stays in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Mutex;

use crate::control::credential_file::FileVersion;
use crate::sys::clock;
use crate::time::MonoTime;

/// Least time between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);
/// How long a request waits for a look. A file system that hangs delays it by so much, and what was read before decides.
const PATIENCE: Duration = Duration::from_millis(100);

/// What such a file says.
pub(super) trait WatchedContent: Sized + Send + Sync + 'static {
    /// Why it is not taken.
    type Error: std::error::Error;
    /// What stays in force while a file is wrong.
    const KEPT: &'static str;

    /// Reads the file. Blocks.
    fn read(path: &Path) -> Result<(Self, FileVersion), Self::Error>;
    /// Could it be read, and was refused? Then it is refused until it changes; otherwise reading is tried again.
    fn is_refused(error: &Self::Error) -> bool;
    /// What to do about it.
    fn advice(error: &Self::Error) -> String;
    /// It was read again.
    fn tell_read(&self, path: &Path);
    /// What should be known of it.
    fn warn(&self, path: &Path);
}

/// A file, and what it said when it was right.
#[derive(Debug)]
pub(super) struct WatchedFile<T> {
    path: PathBuf,
    current: Arc<ArcSwap<T>>,
    /// The problem that was told; `None` = what was read is what is there.
    told: Arc<ArcSwapOption<String>>,
    /// Held while the file is looked at.
    watch: Arc<Mutex<FileWatch>>,
}

/// What is known of the file.
#[derive(Debug)]
struct FileWatch {
    looked: MonoTime,
    /// What was read, or refused; `None` = it is to be read.
    version: Option<FileVersion>,
}

impl<T: WatchedContent> WatchedFile<T> {
    /// Reads the file. Blocks.
    pub fn open(path: &Path) -> Result<WatchedFile<T>, T::Error> {
        let (content, version) = T::read(path)?;
        content.warn(path);
        let watch = FileWatch { looked: clock::now(), version: Some(version) };
        Ok(WatchedFile {
            path: path.to_owned(),
            current: Arc::new(ArcSwap::from_pointee(content)),
            told: Arc::default(),
            watch: Arc::new(Mutex::new(watch)),
        })
    }

    /// What is in force; the file is looked at first where that is due. Cancel safe.
    pub async fn current(&self) -> Arc<T> {
        tokio::select! {
            () = self.follow() => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
        self.current.load_full()
    }

    /// What is wrong with the file; `None` = what it says is in force.
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.told.load_full()
    }

    async fn follow(&self) {
        let mut watch = Arc::clone(&self.watch).lock_owned().await;
        if clock::now().since(watch.looked) < LOOK {
            return;
        }
        watch.looked = clock::now();
        let (path, current, told) = (self.path.clone(), Arc::clone(&self.current), Arc::clone(&self.told));
        // It may block: not on the thread that answers.
        let _ = tokio::task::spawn_blocking(move || watch.look(&path, &current, &told)).await;
    }

    /// What is in force, without a look.
    #[cfg(test)]
    pub fn in_force(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks at once. Blocks.
    #[cfg(test)]
    pub fn look(&self) {
        self.watch.try_lock().expect("no other look").look(&self.path, &self.current, &self.told);
    }
}

impl FileWatch {
    /// Reads the file if it is another one than before.
    fn look<T: WatchedContent>(&mut self, path: &Path, current: &ArcSwap<T>, told: &ArcSwapOption<String>) {
        let version = FileVersion::now(path).ok();
        if version.is_some() && version == self.version {
            return;
        }
        match T::read(path) {
            Ok((content, version)) => {
                content.tell_read(path);
                content.warn(path);
                current.store(Arc::new(content));
                self.version = Some(version);
                told.store(None);
            }
            Err(error) => {
                // What could not be read is tried again; what was refused is refused until it changes.
                self.version = version.filter(|_| T::is_refused(&error));
                let problem = error.to_string();
                if told.load().as_deref() != Some(&problem) {
                    let (advice, kept) = (T::advice(&error), T::KEPT);
                    tracing::error!(%problem, "{kept} stay in force: {advice}");
                    told.store(Some(Arc::new(problem)));
                }
            }
        }
    }
}
