//! HTTP/2 in the values of the common codec: the framing is done by the engine (the crate `h2`), and here stands what its
//! messages mean, checked by the same rules as HTTP/1. Nothing that comes over HTTP/2 is believed because it was framed well.
//!
//! - [`read_request`]: a client's request as a [`RequestHead`](super::h1::RequestHead).
//! - [`reply()`], [`interim`], [`own_reply`]: what a client is answered.
//! - [`read_trailers`], [`trailers`]: trailers in and out.
//! - [`upstream_request`]: a request on its way to an endpoint; [`read_reply`]: what comes back.
//! - [`RefusedRequests`]: an answer to what the engine refuses by itself.
//! - [`ClientMeter`]: frames as they come, counted against floods.
mod fields;
mod meter;
mod refused;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod upstream;
#[cfg(test)]
mod upstream_tests;

pub use fields::{read_trailers, trailers};
pub use meter::{ClientMeter, H2Excess, PREFACE, PrefaceMatch};
pub use refused::{RESET, RecentStreams, RefusedRequests};
pub use reply::{interim, own_reply, reply, reply_framing};
pub use request::read_request;
pub use upstream::{read_reply, upstream_request};
