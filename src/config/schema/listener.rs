//! An item of `listeners:`

use super::LargeCount;
use super::protocol::Protocol;
use super::route::Route;
use super::tls::ListenerTls;
use crate::config::spanned::{OffOr, OneOrMany, ShorthandMap, Spanned};
use crate::config::units::{BindAddress, NetworkPrefix, RangedCount, RequiredFlag, SizeInBytes, TypedDuration};

map! { /// An item of `listeners:`
Listener {
    name: String,
    bind: OneOrMany<BindAddress>,
    protocol: Protocol,
    timeouts: ListenerTimeouts,
    limits: ListenerLimits,
    forwarded: Forwarded,
    routes: Vec<Spanned<ShorthandMap<Route>>>,
    service: String,
    tls: OffOr<ListenerTls>,
    proxy_protocol: OffOr<ShorthandMap<ProxyProtocol>>,
}}

map! { /// `proxy_protocol:` of a listener
ProxyProtocol = "required" {
    required: RequiredFlag,
    trusted: OneOrMany<NetworkPrefix>,
}}

map! { /// `timeouts:` of a listener
ListenerTimeouts {
    handshake: TypedDuration,
    header: TypedDuration,
    body: TypedDuration,
    idle: TypedDuration,
}}

map! { /// `limits:` of a listener
ListenerLimits {
    max_connections: LargeCount,
    header_bytes: SizeInBytes,
    headers: RangedCount<1, 10_000>,
    streams: RangedCount<1, 10_000>,
}}

words! { /// `forwarded:`
Forwarded { Append, Replace, Off, }}
