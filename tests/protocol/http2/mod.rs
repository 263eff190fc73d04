//! HTTP/2 towards clients on real sockets: by a client that keeps the rules, and by frames that break them.

mod ends;
mod floods;
mod hostile;
mod requests;
mod streams;
