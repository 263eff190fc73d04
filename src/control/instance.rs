//! The name of this instance.

use crate::config::{Config, Name, is_name};
use crate::sys::process::host_name;

/// The name of an instance that has none, on a host without one.
const NAMELESS: &str = "standfast";

/// `instance` of the configuration, else the name of the host.
pub fn instance_name(config: &Config) -> Name {
    config.instance.clone().unwrap_or_else(host_instance)
}

/// The name of an instance whose configuration has none.
pub fn host_instance() -> Name {
    host_name().filter(|host| is_name(host)).map_or(Name::from(NAMELESS), Name::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_a_name_in_any_case() {
        let config = crate::config::fixture::with_services(Vec::new());
        assert!(is_name(&instance_name(&config)));
        let named = Config { instance: Some("edge-1".into()), ..config };
        assert_eq!(&*instance_name(&named), "edge-1");
    }
}
