//! An item of `listeners:`

use super::Number;
use super::protocol::Protocol;
use super::route::Route;
use super::tls::ListenerTls;
use crate::config::item::{Item, Many, Short, Switch};
use crate::config::units::{BindAddress, Bytes, Count, Must, Network, Time};

map! { /// An item of `listeners:`
Listener {
    name: String,
    bind: Many<BindAddress>,
    protocol: Protocol,
    timeouts: ListenerTimeouts,
    limits: ListenerLimits,
    forwarded: Forwarded,
    routes: Vec<Item<Short<Route>>>,
    service: String,
    tls: Switch<ListenerTls>,
    proxy_protocol: Switch<Short<ProxyProtocol>>,
}}

map! { /// `proxy_protocol:` of a listener
ProxyProtocol = "required" {
    required: Must,
    trusted: Many<Network>,
}}

map! { /// `timeouts:` of a listener
ListenerTimeouts {
    handshake: Time,
    header: Time,
    body: Time,
    idle: Time,
}}

map! { /// `limits:` of a listener
ListenerLimits {
    max_connections: Number,
    header_bytes: Bytes,
    headers: Count<1, 10_000>,
    streams: Count<1, 10_000>,
}}

words! { /// `forwarded:`
Forwarded { Append, Replace, Off, }}
