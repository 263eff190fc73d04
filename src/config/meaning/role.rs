//! Roles of the admin port and its socket.

use crate::config::model::AdminRole;
use crate::config::schema;

pub(super) fn admin_role(typed: schema::AdminRole) -> AdminRole {
    match typed {
        schema::AdminRole::Viewer => AdminRole::Viewer,
        schema::AdminRole::Drill => AdminRole::Drill,
        schema::AdminRole::Operator => AdminRole::Operator,
        schema::AdminRole::Admin => AdminRole::Admin,
    }
}
