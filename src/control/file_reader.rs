//! [`read_bounded`]: reads a file of the control plane, unless it is larger than ours can be.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// All of a file that has so many bytes at most; a larger one is refused.
pub(super) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > most {
        return Err(io::Error::other(format!("it has {size} bytes: at most {most} are read")));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
