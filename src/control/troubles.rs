//! [`StandingTroubles`]: what other rooms find wrong with the instance, until it is right again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Troubles by what they are about. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct StandingTroubles(Arc<ArcSwap<BTreeMap<String, String>>>);

impl StandingTroubles {
    /// What is wrong with `about` now; `None` = nothing.
    pub fn set(&self, about: &str, trouble: Option<String>) {
        if self.0.load().get(about) == trouble.as_ref() {
            return;
        }
        self.0.rcu(|troubles| {
            let mut troubles = BTreeMap::clone(troubles);
            match &trouble {
                Some(trouble) => troubles.insert(about.to_owned(), trouble.clone()),
                None => troubles.remove(about),
            };
            troubles
        });
    }

    /// All of them.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.load().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_stands_until_it_is_over() {
        let troubles = StandingTroubles::default();
        troubles.set("b", Some("one".to_owned()));
        troubles.clone().set("a", Some("two".to_owned()));
        troubles.set("b", Some("three".to_owned()));
        troubles.set("c", None);
        assert_eq!(troubles.lines(), ["two", "three"]);
        troubles.set("a", None);
        assert_eq!(troubles.lines(), ["three"]);
    }
}
