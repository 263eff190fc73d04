//! The build script: finds the git revision that `standfast --version` names. It never fails: where no revision is found, the
//! version stands alone.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set by the image build and by CI, where there may be no `.git`. rustc reads it itself.
const VARIABLE: &str = "STANDFAST_REVISION";

fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let given = std::env::var_os(VARIABLE).is_some_and(|revision| !revision.is_empty());
    // Without a revision in debug builds: tests would be built again after every commit.
    let released = std::env::var("PROFILE").as_deref() == Ok("release");
    let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else { return };
    if given || !released {
        return;
    }
    if let Some(revision) = packaged(&folder).or_else(|| checked_out(&folder)) {
        println!("cargo:rustc-env={VARIABLE}={revision}");
    }
    for path in ["HEAD", "logs/HEAD", "packed-refs"].iter().filter_map(|name| git_path(&folder, name)) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// The revision of a package from a registry, which has no `.git`: `cargo package` writes it down.
pub fn packaged(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    rest.split('"').nth(1).and_then(revision)
}

/// The revision of a working copy. (A folder inside of another repository has none of its own.)
pub fn checked_out(folder: &Path) -> Option<String> {
    let top = PathBuf::from(git(folder, &["rev-parse", "--show-toplevel"])?);
    let same = top.canonicalize().ok()? == folder.canonicalize().ok()?;
    same.then(|| git(folder, &["rev-parse", "HEAD"])).flatten().as_deref().and_then(revision)
}

/// A file of `.git` that is there; one that is not would have cargo build again every time.
pub fn git_path(folder: &Path, name: &str) -> Option<PathBuf> {
    checked_out(folder)?;
    let path = folder.join(git(folder, &["rev-parse", "--git-path", name])?);
    path.is_file().then_some(path)
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // Set where git itself runs us (a hook), for another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"] {
        git.env_remove(variable);
    }
    let output = git.arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}

fn revision(text: &str) -> Option<String> {
    let is_hex = text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| text.to_owned())
}
