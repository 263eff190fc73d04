//! `admin:` and `metrics:`

use crate::config::model::{AdminRole, MetricsDetail, Reasons};

/// The owner and its group may connect, other users of the host may not.
pub const ADMIN_SOCKET_MODE: u32 = 0o660;

/// The group is there for the people who operate it; what concerns the process itself is left to root and the process's own user.
pub const ADMIN_SOCKET_ROLE: AdminRole = AdminRole::Operator;

/// After an incident the record says what was done; only the sender knows why.
pub const REASONS: Reasons = Reasons::Required;

/// Complete for the few endpoints of most files; thousands of them ask for lean.
pub const METRICS_DETAIL: MetricsDetail = MetricsDetail::Full;

/// As in the tokens file: a subject is limited to services where that is said.
pub const JWT_SERVICES: &str = "*";
