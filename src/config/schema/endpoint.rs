//! An item of `endpoints:`

use super::{LargeCount, PortNumber};
use crate::config::units::{EndpointAddress, RangedCount};

map! { /// An item of `endpoints:`
Endpoint = "address" {
    address: EndpointAddress,
    name: String,
    weight: RangedCount<0, 1000>,
    max_connections: LargeCount,
    check_port: PortNumber,
    dns: String,
    srv: String,
    family: Family,
}}

words! { /// `family` of an endpoint that DNS names
Family { Auto, Ipv4, Ipv6, All, }}
