//! `Upgrade` (RFC 9110 §7.8): what a client's offer becomes on its way upstream, and whether a 101 keeps to it.
//!
//! A switch of protocols needs all of it: the client asks for it properly ([`RequestHead::asks_for_upgrade`]), the protocol is
//! on the route's list, and the upstream answers 101 with just one protocol, one of those that were sent to it. HTTP itself
//! is never switched to: through an `h2c` tunnel a client could speak to the upstream without any rule being applied.

use super::head::list;
use super::request::RequestHead;
use super::response::ResponseHead;
use crate::wire::Known;

/// Names that never pass, whatever a route allows.
const NEVER: [&[u8]; 3] = [b"h2c", b"h2", b"http"];

/// The protocols that a client offers to switch to and that may pass, in its order and spelling. None unless it asks
/// properly: then the request is an ordinary one.
pub fn offered<'a>(head: &'a RequestHead, allowed: &'a [String]) -> impl Iterator<Item = &'a [u8]> {
    let asks = head.asks_for_upgrade();
    let values = head.fields().known(Known::Upgrade).filter(move |_| asks);
    values.flat_map(list).filter(|protocol| may_pass(protocol, allowed))
}

fn may_pass(protocol: &[u8], allowed: &[String]) -> bool {
    let name = protocol.split(|&b| b == b'/').next().unwrap_or_default();
    let never = NEVER.iter().any(|never| name.eq_ignore_ascii_case(never));
    !never && allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(protocol))
}

/// The protocol that a 101 switches to. `None`: it names none, several, or one that the upstream was not offered, so the reply
/// is malformed.
pub fn agreed<'r>(head: &RequestHead, allowed: &[String], reply: &'r ResponseHead) -> Option<&'r [u8]> {
    let mut named = reply.fields().known(Known::Upgrade).flat_map(list);
    let protocol = named.next().filter(|_| reply.switches())?;
    let alone = named.next().is_none();
    let was_offered = offered(head, allowed).any(|offered| offered.eq_ignore_ascii_case(protocol));
    (alone && was_offered).then_some(protocol)
}
