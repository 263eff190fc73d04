//! `admin:`

use super::address;
use super::diagnostics::Diagnostics;
use crate::config::model::Admin;
use crate::config::schema;
use crate::config::spanned::{OffOr, Shorthand, Spanned};

pub(super) fn admin(diagnostics: &mut Diagnostics, admin: &Spanned<OffOr<Shorthand<schema::Admin>>>) -> Option<Admin> {
    match admin.found()? {
        (at, OffOr::Value(admin)) => address::bind(diagnostics, &admin.0.bind, at).map(|bind| Admin { bind }),
        (_, OffOr::Off) => None,
    }
}
