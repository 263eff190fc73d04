//! Pipes through which the kernel moves bytes between sockets: `splice(2)`. Elsewhere than on Linux there are none.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

/// Opens a pipe that holds up to `size` bytes, whole pages of them: the end to read from, the end to write to. An error when
/// descriptors or the user's pages for pipes (`pipe(7)`) are short.
#[cfg(target_os = "linux")]
pub fn open(size: usize) -> Result<(OwnedFd, OwnedFd), Errno> {
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    fcntl_setpipe_size(&write, size)?;
    Ok((read, write))
}

/// Moves up to `most` bytes into a pipe or out of one; never waits.
#[cfg(target_os = "linux")]
pub fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> Result<usize, Errno> {
    use rustix::pipe::SpliceFlags;
    rustix::pipe::splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)
}

#[cfg(not(target_os = "linux"))]
#[allow(missing_docs, reason = "see the function of that name above")]
pub fn open(_size: usize) -> Result<(OwnedFd, OwnedFd), Errno> {
    Err(Errno::NOSYS)
}

#[cfg(not(target_os = "linux"))]
#[allow(missing_docs, reason = "see the function of that name above")]
pub fn splice(_from: impl AsFd, _to: impl AsFd, _most: usize) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}
