//! `dns:`

use crate::config::item::Many;
use crate::config::units::{Nameserver, Time};

map! { /// `dns:`
Dns {
    servers: Many<Nameserver>,
    timeout: Time,
}}
