//! [`JwtIssuer`]: an issuer of JSON web tokens that is trusted, and what its subjects may do. A subject that is not named may do nothing.

use super::permit::Grant;
use crate::config::SubjectPattern;

/// An issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIssuer {
    /// As `iss` says it.
    pub issuer: String,
    /// One of `aud` must be this.
    pub audience: String,
    /// What the subjects may do.
    pub subjects: Vec<(SubjectPattern, Grant)>,
}

impl JwtIssuer {
    /// What a subject may do: as the pattern says that is the subject itself, else the longest that it begins with. Grants of
    /// several patterns do not add up. `None`: nothing.
    pub fn grant(&self, subject: &str) -> Option<&Grant> {
        let matching = self.subjects.iter().filter(|(pattern, _)| pattern.matches(subject));
        let rank = |pattern: &SubjectPattern| match pattern {
            SubjectPattern::Exact(_) => usize::MAX,
            SubjectPattern::Prefix(prefix) => prefix.len(),
        };
        matching.max_by_key(|(pattern, _)| rank(pattern)).map(|(_, grant)| grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Role, ServiceScope};

    #[test]
    fn the_pattern_that_says_most_counts_alone() {
        let subject = |pattern: &str, role| {
            let grant = Grant { role, services: ServiceScope::all() };
            (SubjectPattern::parse(pattern).expect("a pattern"), grant)
        };
        let subjects = vec![
            subject("repo:acme/shop:*", Role::Viewer),
            subject("repo:acme/shop:ref:refs/heads/main", Role::Operator),
            subject("repo:acme/shop:environment:*", Role::Drill),
        ];
        let issuer = JwtIssuer { issuer: "i".to_owned(), audience: "a".to_owned(), subjects };
        let role = |subject: &str| issuer.grant(subject).map(|grant| grant.role);
        for (subject, expected) in [
            ("repo:acme/shop:ref:refs/heads/main", Some(Role::Operator)),
            ("repo:acme/shop:ref:refs/heads/main2", Some(Role::Viewer)),
            ("repo:acme/shop:environment:eu", Some(Role::Drill)),
            ("repo:acme/shop:", Some(Role::Viewer)),
            ("repo:acme/shop", None),
            ("repo:acme/shop-evil:ref:refs/heads/main", None),
            ("REPO:acme/shop:x", None),
            ("", None),
        ] {
            assert_eq!(role(subject), expected, "{subject}");
        }
    }
}
