//! [`ServiceScope`]: the services that a grant covers: all (`*`), by name, or by the beginning of the name (`shop-*`).

use std::fmt;

use crate::config::{Name, is_name};

/// Services by pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceScope(Vec<ServicePattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ServicePattern {
    All,
    Exact(Name),
    Prefix(String),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no pattern of services: write a name, the beginning of names as `shop-*`, or `*` for all")]
pub struct ScopeError {
    /// The text, fit to be shown.
    pub pattern: String,
}

impl ServiceScope {
    /// Every service, and the instance itself.
    pub fn all() -> ServiceScope {
        ServiceScope(vec![ServicePattern::All])
    }

    /// Of these patterns. No pattern covers no service.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<ServiceScope, ScopeError> {
        patterns.into_iter().map(pattern).collect::<Result<_, _>>().map(ServiceScope)
    }

    /// Does it cover this service?
    pub fn covers(&self, service: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            ServicePattern::All => true,
            ServicePattern::Exact(name) => **name == *service,
            ServicePattern::Prefix(prefix) => service.starts_with(prefix.as_str()),
        })
    }

    /// Does it cover every service there is and will be? What concerns the instance asks for this.
    pub fn covers_all(&self) -> bool {
        self.0.contains(&ServicePattern::All)
    }
}

/// The patterns, separated by commas.
impl fmt::Display for ServiceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match pattern {
                ServicePattern::All => f.write_str("*")?,
                ServicePattern::Exact(name) => f.write_str(name)?,
                ServicePattern::Prefix(prefix) => write!(f, "{prefix}*")?,
            }
        }
        Ok(())
    }
}

fn pattern(text: &str) -> Result<ServicePattern, ScopeError> {
    match text.strip_suffix('*') {
        Some("") => Ok(ServicePattern::All),
        Some(prefix) if is_name(prefix) => Ok(ServicePattern::Prefix(prefix.to_owned())),
        None if is_name(text) => Ok(ServicePattern::Exact(text.into())),
        _ => Err(ScopeError { pattern: crate::text::shortened(text, 80) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(patterns: &[&str]) -> ServiceScope {
        ServiceScope::parse(patterns.iter().copied()).expect("patterns")
    }

    #[test]
    fn names_and_beginnings_cover_what_they_say() {
        let scope = scope(&["shop", "pay-*"]);
        for covered in ["shop", "pay-eu", "pay-"] {
            assert!(scope.covers(covered), "{covered}");
        }
        for other in ["shop-eu", "sho", "pay", "Pay-eu", "*", ""] {
            assert!(!scope.covers(other), "{other}");
        }
        assert!(!scope.covers_all());
        assert_eq!(scope.to_string(), "shop,pay-*");
    }

    #[test]
    fn a_star_covers_everything_and_no_pattern_nothing() {
        assert!(scope(&["*"]).covers("whatever") && scope(&["shop", "*"]).covers_all());
        assert!(!scope(&[]).covers("shop") && !scope(&[]).covers_all());
    }

    #[test]
    fn other_stars_are_refused() {
        for text in ["**", "*shop", "sh*op", "shop-**", "", "sho p", "-*"] {
            assert!(ServiceScope::parse([text]).is_err(), "{text}");
        }
    }
}
