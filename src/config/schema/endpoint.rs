//! An item of `endpoints:`

use super::{Number, Port};
use crate::config::units::{Address, Count};

map! { /// An item of `endpoints:`
Endpoint = "address" {
    address: Address,
    name: String,
    weight: Count<0, 1000>,
    max_connections: Number,
    check_port: Port,
    dns: String,
    srv: String,
    family: Family,
}}

words! { /// `family` of an endpoint that DNS names
Family { Auto, Ipv4, Ipv6, All, }}
