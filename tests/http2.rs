//! HTTP/2 towards clients on real sockets: by a client that keeps the rules, and by frames that break them.
#[path = "http2/ends.rs"]
mod ends;
#[path = "http2/floods.rs"]
mod floods;
#[path = "http2/hostile.rs"]
mod hostile;
#[path = "http2/requests.rs"]
mod requests;
#[path = "http2/streams.rs"]
mod streams;
mod support;
