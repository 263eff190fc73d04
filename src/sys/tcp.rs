//! What the kernel says about a TCP socket: is it ready, and, on Linux alone, what its peer does not acknowledge and how far away
//! it is; and which bytes may wait for more.
//! `unsafe` because no crate in use reads `TCP_INFO`.

use std::io::IoSlice;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

/// More follows: the kernel puts it into the same segment, if it comes before the retransmission timeout (200 ms or more).
#[cfg(target_os = "linux")]
const AHEAD: SendFlags = SendFlags::MORE.union(SendFlags::NOSIGNAL);
#[cfg(not(target_os = "linux"))]
const AHEAD: SendFlags = SendFlags::empty();

/// Sends what may wait for what is sent next; never waits itself.
pub fn send_ahead(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
    sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), AHEAD)
}

/// Is it ready for this now? Asks the kernel, and never waits.
pub fn is_ready(socket: impl AsFd, what: PollFlags) -> bool {
    poll(&mut [PollFd::new(&socket, what)], Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Has the peer closed its side, or is the connection dead, whatever is unread? Asks the kernel, and never waits.
#[cfg(target_os = "linux")]
pub fn is_closed_by_peer(socket: impl AsFd) -> bool {
    is_ready(socket, PollFlags::RDHUP)
}

/// Known on other systems only of a dead connection.
#[cfg(not(target_os = "linux"))]
pub fn is_closed_by_peer(socket: impl AsFd) -> bool {
    is_ready(socket, PollFlags::empty())
}

/// Has nothing that was written here been acknowledged for longer than acknowledgements take (200 ms, and two round trips)? Then
/// it is the network or the whole machine that is silent, not the program behind it: a peer that reads nothing acknowledges.
/// (Retransmits tell it later: the first probe for a lost tail is not counted as one.)
#[cfg(target_os = "linux")]
pub fn is_unacknowledged(socket: impl AsFd) -> bool {
    tcp_info(socket).is_some_and(|(info, _)| {
        let usual = (2 * info.tcpi_rtt / 1000).max(200);
        info.tcpi_unacked > 0 && info.tcpi_last_ack_recv >= usual
    })
}

/// Not known on other systems.
#[cfg(not(target_os = "linux"))]
pub fn is_unacknowledged(_socket: impl AsFd) -> bool {
    false
}

/// The shortest round trip to the peer that the kernel has measured: that of the handshake, unless a later one was shorter. `None`:
/// the kernel does not know (Linux before 4.6).
#[cfg(target_os = "linux")]
pub fn shortest_round_trip(socket: impl AsFd) -> Option<Duration> {
    const END: usize = std::mem::offset_of!(libc::tcp_info, tcpi_min_rtt) + size_of::<u32>();
    let (info, known) = tcp_info(socket)?;
    let measured = known >= END && info.tcpi_min_rtt != u32::MAX;
    measured.then(|| Duration::from_micros(info.tcpi_min_rtt.into()))
}

/// Not known on other systems.
#[cfg(not(target_os = "linux"))]
pub fn shortest_round_trip(_socket: impl AsFd) -> Option<Duration> {
    None
}

/// `TCP_INFO` of a socket, and how many bytes of it the kernel knows; the others are zero.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "rustix has no TCP_INFO")]
fn tcp_info(socket: impl AsFd) -> Option<(libc::tcp_info, usize)> {
    use std::os::fd::AsRawFd;
    // SAFETY: `tcp_info` is plain numbers, for which all zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for this call, and the kernel writes at most `length` bytes, which `info` has.
    let answer = unsafe {
        libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    (answer == 0).then_some((info, length as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_reads_nothing_acknowledges() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.write_all(b"hello").unwrap();
        assert!(!is_unacknowledged(&ours));
    }

    #[test]
    fn the_round_trip_of_a_handshake_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let known = shortest_round_trip(&ours);
        if cfg!(target_os = "linux") {
            assert!(known.is_some_and(|took| took < Duration::from_secs(1)), "{known:?}");
        }
        let unconnected = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(shortest_round_trip(&unconnected), None);
    }
}
