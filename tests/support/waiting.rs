//! Waiting for what a program of its own does, and ports for it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Longer than anything may take, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks.
pub const STEP: Duration = Duration::from_millis(5);

/// The answer, as soon as there is one.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(STEP);
    }
    panic!("waited in vain: {what}");
}

/// A port that no socket has, outside the range from which the kernel takes ports for outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 700) as u16 * 25;
    eventually("a free port", || {
        let port = first + NEXT.fetch_add(1, Ordering::SeqCst);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|_| port)
    })
}
