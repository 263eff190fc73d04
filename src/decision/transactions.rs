//! Positions of databases that count transactions and not bytes: MySQL, MariaDB and Galera. Pure.
//!
//! A server says which transactions it has, of each source: a server of MySQL by its UUID, one of MariaDB in a domain. Two such sets are equal,
//! one has all of the other, each has some that the other has not, or they have nothing in common. They have no lineages with numbers: that one
//! server was promoted in the place of another is only known by having seen it as a replica.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The transactions that a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionPosition {
    /// The domains or sources that they are of, or the cluster.
    pub history: String,
    /// How many, or of a cluster the number of the last one: all of its members have the same transactions in the same order.
    pub count: u64,
    /// By source; none of a cluster, and none that an earlier version has saved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub sets: BTreeMap<String, TransactionSet>,
}

/// Numbers of transactions, as ranges: `1-5,7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TransactionSet(Vec<(u64, u64)>);

/// How the transactions of one server stand to those of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionRelation {
    /// They are the same.
    Equal,
    /// It has all of the other's, and more.
    Ahead,
    /// It has only such as the other has too, and so many less.
    Behind(u64),
    /// Each has some that the other has not.
    Crossed,
    /// They have nothing in common.
    Apart,
}

/// What is no set of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no set of transactions: ranges of numbers, such as 1-5,7")]
pub struct ParseTransactionSetError;

impl TransactionPosition {
    /// Sources of a position that is taken.
    pub const MOST_SOURCES: usize = 256;
    /// Ranges of all of its sources.
    pub const MOST_RANGES: usize = 2048;

    /// Is it the number of a cluster whose members have the same transactions in the same order?
    pub(super) fn is_of_a_cluster(&self) -> bool {
        self.sets.is_empty()
    }

    /// It is no larger than what a server may say.
    pub fn is_bounded(&self) -> bool {
        let ranges: usize = self.sets.values().map(|set| set.0.len()).sum();
        self.history.len() <= 1024
            && self.sets.len() <= Self::MOST_SOURCES
            && ranges <= Self::MOST_RANGES
            && self.sets.keys().all(|source| source.len() <= 64)
    }

    /// How many of the other's transactions it has not. Of MariaDB, whose servers share the numbers of a domain, that is an upper bound.
    pub fn lacks(&self, other: &TransactionPosition) -> u64 {
        if other.is_of_a_cluster() {
            return other.count.saturating_sub(self.count);
        }
        let none = TransactionSet::default();
        let lacks = |(source, set): (&String, &TransactionSet)| self.sets.get(source).unwrap_or(&none).lacks(set);
        other.sets.iter().map(lacks).fold(0, u64::saturating_add)
    }

    /// Of two that are of no cluster.
    pub(super) fn compare(&self, other: &TransactionPosition) -> TransactionRelation {
        match (self.lacks(other), other.lacks(self)) {
            (0, 0) => TransactionRelation::Equal,
            (0, _) => TransactionRelation::Ahead,
            (lacks, 0) => TransactionRelation::Behind(lacks),
            _ if self.sets.keys().any(|source| other.sets.contains_key(source)) => TransactionRelation::Crossed,
            _ => TransactionRelation::Apart,
        }
    }
}

impl TransactionSet {
    /// Adds these numbers, the first and the last included.
    pub fn add(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        self.0.push((first, last));
        self.0.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0.drain(..) {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        self.0 = joined;
    }

    /// How many numbers.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| (last - first).saturating_add(1)).fold(0, u64::saturating_add)
    }

    /// No number.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of the other's numbers it has not.
    fn lacks(&self, other: &TransactionSet) -> u64 {
        let mut own = self.0.iter().peekable();
        let mut lacks = 0_u64;
        for &(first, last) in &other.0 {
            let mut from = first;
            // (Both are in order, and their ranges do not touch.)
            while let Some(&&(start, end)) = own.peek() {
                if end < from {
                    own.next();
                    continue;
                }
                if start > last {
                    break;
                }
                lacks = lacks.saturating_add(start.saturating_sub(from));
                from = end.saturating_add(1);
                if from > last || end == u64::MAX {
                    break;
                }
                own.next();
            }
            if from <= last && !(from == u64::MAX && own.peek().is_some_and(|range| range.1 == u64::MAX)) {
                lacks = lacks.saturating_add((last - from).saturating_add(1));
            }
        }
        lacks
    }
}

impl fmt::Display for TransactionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for TransactionSet {
    type Err = ParseTransactionSetError;

    fn from_str(text: &str) -> Result<TransactionSet, ParseTransactionSetError> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits).ok_or(ParseTransactionSetError)
        };
        let mut set = TransactionSet::default();
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || set.0.len() >= TransactionPosition::MOST_RANGES {
                return Err(ParseTransactionSetError);
            }
            set.add(first, last);
        }
        Ok(set)
    }
}

impl TryFrom<String> for TransactionSet {
    type Error = ParseTransactionSetError;

    fn try_from(text: String) -> Result<TransactionSet, ParseTransactionSetError> {
        text.parse()
    }
}

impl From<TransactionSet> for String {
    fn from(set: TransactionSet) -> String {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::TransactionRelation::{Ahead, Apart, Behind, Crossed, Equal};
    use super::*;

    fn position(sets: &[(&str, &str)]) -> TransactionPosition {
        let sets = sets.iter().map(|(source, set)| ((*source).to_owned(), set.parse().unwrap())).collect();
        TransactionPosition { history: "x".to_owned(), count: 0, sets }
    }

    #[test]
    fn sets_are_written_as_ranges() {
        for (text, written) in [
            ("", ""),
            ("1", "1"),
            ("1-5,7", "1-5,7"),
            ("7,1-5,6", "1-7"),
            ("3-4,1-9", "1-9"),
            ("0-18446744073709551615", "0-18446744073709551615"),
        ] {
            let set: TransactionSet = text.parse().unwrap();
            assert_eq!(set.to_string(), written);
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        for wrong in ["x", "5-1", "1-", "-1", "+1", "1--2", "1 ,2", "18446744073709551616"] {
            assert_eq!(wrong.parse::<TransactionSet>(), Err(ParseTransactionSetError), "{wrong}");
        }
    }

    #[test]
    fn positions_compare_as_sets() {
        let followed = position(&[("a", "1-100"), ("b", "1-5,9")]);
        for (sets, wanted) in [
            (&[("a", "1-100"), ("b", "1-5,9")][..], Equal),
            (&[("a", "1-101"), ("b", "1-9")], Ahead),
            (&[("a", "1-100"), ("b", "1-5,9"), ("c", "1")], Ahead),
            (&[("a", "1-97"), ("b", "1-5,9")], Behind(3)),
            (&[("b", "2-5")], Behind(102)),
            (&[("a", "1-97"), ("b", "1-5,9"), ("c", "1-8")], Crossed),
            (&[("c", "1-8")], Apart),
        ] {
            assert_eq!(position(sets).compare(&followed), wanted, "{sets:?}");
        }
        assert_eq!(position(&[]).lacks(&followed), 106);
        let (one, all) = (position(&[("a", "18446744073709551615")]), position(&[("a", "0-18446744073709551615")]));
        assert_eq!((all.lacks(&one), one.lacks(&all)), (0, u64::MAX));
    }

    /// Against sets of numbers, which are slow and simple.
    #[test]
    fn what_is_lacking_is_what_the_numbers_say() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..3000 {
            let mut make = || {
                let (mut set, mut numbers) = (TransactionSet::default(), BTreeSet::new());
                for _ in 0..rng.u32(0..5) {
                    let first = rng.u64(0..30);
                    let last = first + rng.u64(0..8);
                    set.add(first, last);
                    numbers.extend(first..=last);
                }
                (set, numbers)
            };
            let ((one, numbers), (other, others)) = (make(), make());
            assert_eq!(one.len(), numbers.len() as u64);
            assert_eq!(one.lacks(&other), others.difference(&numbers).count() as u64, "{one} of {other}");
        }
    }
}
