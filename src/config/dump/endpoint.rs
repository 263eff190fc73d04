//! An item of `endpoints:`

use serde_yaml::Value;

use super::written::word;
use crate::config::model::{Endpoint, NamedEndpoints, Question};

/// What DNS found is not written: it is found again.
pub(super) fn endpoints(addresses: &[Endpoint], names: &[NamedEndpoints]) -> Value {
    let declared = addresses.iter().filter(|endpoint| endpoint.host.is_none()).map(|e| {
        map! {
            "address" => e.address,
            "name" => e.name.as_deref(),
            "weight" => e.weight,
            "max_connections" => e.max_connections,
            "check_port" => e.check_port,
        }
    });
    let named = names.iter().map(|n| {
        let Question { name, port, family } = &n.question;
        map! {
            "dns" => port.map(|port| format!("{name}:{port}")),
            "srv" => port.is_none().then(|| name.to_string()),
            "family" => word(family),
            "weight" => n.weight,
            "max_connections" => n.max_connections,
            "check_port" => n.check_port,
        }
    });
    Value::Sequence(declared.chain(named).collect())
}
