//! gRPC, as far as a proxy has to know it: our errors as gRPC statuses, and which of an endpoint's statuses count.
//!
//! | ours | grpc-status | |
//! |---|---|---|
//! | no answer in time, the request not in time | 4 | DEADLINE_EXCEEDED |
//! | no route (404) | 12 | UNIMPLEMENTED |
//! | not reached, reset, down, overloaded (502, 503) | 14 | UNAVAILABLE |
//! | malformed, the answer too (400 …, 502) | 13 | INTERNAL |
//!
//! It follows gRPC's `http-grpc-status-mapping`, which is for proxies that know no better: it takes 504 for UNAVAILABLE,
//! where ours is a deadline, and 502 too, where a malformed answer is no reason to try again.

use super::respond::LocalAnswer;
use crate::wire::h1::{Method, RequestHead, ResponseHead};

/// What a gRPC message's type begins with.
const TYPE: &[u8] = b"application/grpc";
/// UNAVAILABLE
const UNAVAILABLE: u8 = 14;

/// Bytes before each message of a call: a flag and its length.
pub const PREFIX: u64 = 5;

/// Is this a call of gRPC? (`application/grpc-web` is none: its errors stand in the body.)
pub fn is_call(head: &RequestHead) -> bool {
    head.method() == Method::Post && head.fields().get("content-type").is_some_and(is_grpc)
}

fn is_grpc(value: &[u8]) -> bool {
    value.split_at_checked(TYPE.len()).is_some_and(|(kind, rest)| {
        kind.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// A call that failed at once because the endpoint cannot serve: what 503 is without gRPC.
pub fn says_unavailable(reply: &ResponseHead) -> bool {
    reply.fields().get("grpc-status") == Some(b"14")
}

/// The `grpc-status` of an answer of ours.
pub fn status(refusal: &LocalAnswer) -> u8 {
    match (refusal.status, refusal.cause) {
        (_, "upstream_malformed") => 13,
        (404, _) => 12,
        (408 | 504, _) => 4,
        (502 | 503, _) => UNAVAILABLE,
        _ => 13,
    }
}

/// A `grpc-message`: what is not printable ASCII, and `%`, is percent-encoded.
pub fn message(text: &str) -> String {
    let mut message = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => message.push_str(&format!("%{byte:02X}")),
            _ => message.push(char::from(byte)),
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::upstream::SelectError;
    use crate::routing::{GiveUpReason, PermitError, TryFailure};
    use crate::wire::h1::Error;

    #[test]
    fn types_are_told_apart() {
        for yes in ["application/grpc", "application/grpc+proto", "Application/gRPC; x=y"] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        for no in ["application/grpc-web", "application/grpcx", "application/json", "", "application/grp"] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn every_refusal_has_its_status() {
        let gave_up = SelectError::GaveUp(GiveUpReason::Attempts);
        for (refusal, wanted) in [
            (LocalAnswer::NO_ROUTE, 12),
            (LocalAnswer::SLOW, 4),
            (LocalAnswer::LISTENER_GONE, 14),
            (LocalAnswer::malformed(Error::FieldValue), 13),
            (LocalAnswer::unselected(SelectError::Limited(PermitError::QueueFull), None), 14),
            (LocalAnswer::unselected(SelectError::GaveUp(GiveUpReason::Down), None), 14),
            (LocalAnswer::unselected(gave_up, Some(TryFailure::Timeout)), 4),
            (LocalAnswer::unselected(gave_up, Some(TryFailure::Refused)), 14),
            (LocalAnswer::unselected(gave_up, Some(TryFailure::Reset)), 14),
            (LocalAnswer::unselected(gave_up, Some(TryFailure::Malformed)), 13),
            (LocalAnswer::unselected(gave_up, Some(TryFailure::Status(503))), 14),
        ] {
            assert_eq!(status(&refusal), wanted, "{refusal:?}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(message("a b: 50%\n\u{e9}"), "a b: 50%25%0A%C3%A9");
    }
}
