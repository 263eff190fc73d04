//! A change of a small file: all of it or nothing, and no other change is lost.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The mode of a file that is made.
const MODE: u32 = 0o600;

/// Puts what `change` makes of its text in the place of a file; one that is not there has no text and is made with mode 0600. An
/// existing one keeps its mode and owner, and links to it stay. The new content is on the disk when this returns.
///
/// # Errors
/// In words; then the file is as it was.
pub fn change_file(path: &Path, change: impl FnOnce(&str) -> Result<String, String>) -> Result<(), String> {
    let failed = |error: io::Error| format!("{} cannot be changed: {error}", path.display());
    let path = target(path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Held until the new file is in its place: changes come one after the other.
    let lock = File::open(folder).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let (text, found) = match File::open(&path) {
        Ok(file) => (io::read_to_string(&file).map_err(failed)?, Some(file.metadata().map_err(failed)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), None),
        Err(error) => return Err(failed(error)),
    };
    let text = change(&text)?;
    let beside =
        folder.join(format!(".{}.{}", path.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    let written = write(&beside, &text, found.as_ref()).and_then(|()| fs::rename(&beside, &path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(failed(error));
    }
    lock.sync_all().map_err(failed)
}

/// The file itself, behind its links.
fn target(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(path.to_owned()),
        found => found,
    }
}

fn write(path: &Path, text: &str, like: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(line: &str) -> impl FnOnce(&str) -> Result<String, String> {
        move |text| Ok(format!("{text}{line}\n"))
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_an_old_one_keeps_its_mode_and_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        change_file(&path, append("a")).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("tokens", &link).unwrap();
        change_file(&link, append("b")).unwrap();
        assert!(link.is_symlink() && mode() == 0o640);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
    }

    #[test]
    fn a_change_that_is_refused_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        assert_eq!(change_file(&path, |_| Err("no".to_owned())), Err("no".to_owned()));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert!(
            change_file(&folder.path().join("none/tokens"), append("a")).unwrap_err().contains("cannot be changed")
        );
    }

    #[test]
    fn changes_at_once_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| change_file(&path, append("line")).unwrap());
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 8);
    }
}
