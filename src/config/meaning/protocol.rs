//! `protocol:` of a listener or a service.

use super::diagnostics::Diagnostics;
use crate::config::defaults;
use crate::config::model::Protocol;
use crate::config::schema;
use crate::config::spanned::Spanned;

/// `protocol:` of a listener or a service.
pub(super) fn protocol(diagnostics: &mut Diagnostics, item: &Spanned<schema::Protocol>) -> Protocol {
    match item.found() {
        None => defaults::PROTOCOL,
        Some((_, schema::Protocol::Http)) => Protocol::Http,
        Some((_, schema::Protocol::Tcp)) => Protocol::Tcp,
        Some((at, schema::Protocol::Udp)) => {
            diagnostics.not_supported(at, "`udp`", "`http` and `tcp` are");
            Protocol::Tcp
        }
    }
}
