//! `dns:`

use crate::config::spanned::OneOrMany;
use crate::config::units::{Nameserver, TypedDuration};

map! { /// `dns:`
Dns {
    servers: OneOrMany<Nameserver>,
    timeout: TypedDuration,
}}
