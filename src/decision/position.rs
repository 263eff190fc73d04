//! Where the data of an endpoint is in its history: what each kind of database says of that, and how two such positions compare. Pure.
//!
//! A history belongs to one set of data. It is written in *lineages*: a promotion begins a new one, which takes over all of the one before
//! it up to the place where it *forked*. What the former primary wrote beyond that place is lost to the new lineage.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::transactions::{TransactionPosition, TransactionRelation};

/// Where the data of an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataPosition {
    /// Of PostgreSQL.
    Postgres(PostgresPosition),
    /// Of Redis or Valkey.
    Redis(RedisPosition),
    /// Of MySQL, MariaDB or Galera.
    Transactions(TransactionPosition),
}

/// A place in the log of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostgresPosition {
    /// The identifier of the cluster: it is made by `initdb`.
    #[schema(value_type = String)]
    pub system: SystemId,
    /// The number of the lineage. Two servers that are promoted independently of each other give theirs the same one.
    pub timeline: u32,
    /// What a primary has written, or a replica has received or replayed.
    #[schema(value_type = String)]
    pub lsn: Lsn,
    /// Of a primary: where its last recovery ended. That is where its timeline forked, or where a crash has left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub recovered: Option<Lsn>,
    /// Of a primary: where its timeline forked, if it was seen to be promoted. (No server says it.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub fork: Option<Lsn>,
    /// When the server was started, in microseconds by its own clock: it tells one life of a server from another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<i64>,
}

/// A place in the replication stream of Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedisPosition {
    /// The replication id: 40 hexadecimal digits.
    pub id: String,
    /// The id before it, of which this server has everything up to `forked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<String>,
    /// How much of the former id it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<u64>,
    /// How much of the stream it has, in bytes.
    pub offset: u64,
    /// The life of the process: a master takes another replication id when its first replica comes, and is the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// How the position of one endpoint stands to the one that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PositionRelation {
    /// In the same lineage.
    Same {
        /// How much of what is followed it lacks, in bytes, or transactions where it counts these.
        lacks: u64,
    },
    /// In a later lineage that began with what is followed.
    Newer {
        /// What it has not of what is followed, in bytes; `None` = that cannot be told, or it counts no bytes.
        lost: Option<u64>,
    },
    /// In an earlier lineage.
    Older,
    /// In another branch of the same history.
    Diverged,
    /// In another history.
    Foreign,
}

impl DataPosition {
    /// How this position of an endpoint stands to the one that is followed. `same`: both are of one endpoint.
    pub(super) fn relation(&self, followed: &DataPosition, same: bool) -> PositionRelation {
        match (self, followed) {
            (DataPosition::Postgres(this), DataPosition::Postgres(followed)) => this.relation(followed, same),
            (DataPosition::Redis(this), DataPosition::Redis(followed)) => this.relation(followed, same),
            (DataPosition::Transactions(this), DataPosition::Transactions(followed)) => {
                transaction_relation(this, followed, same)
            }
            _ => PositionRelation::Foreign,
        }
    }

    /// Is it one that a server could have said? (A file may say anything.)
    pub(super) fn is_well_formed(&self) -> bool {
        let is_id = |id: &String| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        match self {
            DataPosition::Postgres(_) => true,
            DataPosition::Redis(position) => {
                is_id(&position.id) && position.former.iter().chain(&position.run).all(is_id)
            }
            DataPosition::Transactions(position) => position.is_bounded(),
        }
    }

    /// How much of the log of its lineage it has, in bytes; `None` where positions are no bytes.
    pub(super) fn offset(&self) -> Option<u64> {
        match self {
            DataPosition::Postgres(position) => Some(position.lsn.0),
            DataPosition::Redis(position) => Some(position.offset),
            DataPosition::Transactions(_) => None,
        }
    }

    /// Its lineage, for people.
    pub fn lineage(&self) -> String {
        match self {
            DataPosition::Postgres(position) => format!("{}/{}", position.system.0, position.timeline),
            DataPosition::Redis(position) => position.id.clone(),
            DataPosition::Transactions(position) => position.history.clone(),
        }
    }

    /// The lineage that this endpoint continues: of one that was a replica until now, where it stood as such. A fork that it does not know
    /// any more, or that a restart has replaced, is not taken over.
    pub(super) fn with_fork_seen(mut self, as_replica: Option<&DataPosition>) -> DataPosition {
        if let DataPosition::Postgres(position) = &mut self {
            let seen = as_replica.is_some_and(|replica| match replica {
                DataPosition::Postgres(replica) => position.continues_life_of(replica),
                DataPosition::Redis(_) | DataPosition::Transactions(_) => false,
            });
            position.fork = position.recovered.filter(|_| seen);
        }
        self
    }

    /// The same endpoint further on. What was known of its fork stays known: a crash in between has replaced what it says of it.
    pub(super) fn keep_fork_of(mut self, before: &DataPosition) -> DataPosition {
        if let (DataPosition::Postgres(position), DataPosition::Postgres(before)) = (&mut self, before) {
            position.fork = before.fork;
        }
        self
    }

    /// Has a server that was there as a replica begun this lineage by itself?
    pub(super) fn began_after(&self, as_replica: &DataPosition) -> bool {
        match (self, as_replica) {
            (DataPosition::Postgres(this), DataPosition::Postgres(replica)) => {
                this.system == replica.system && replica.timeline < this.timeline
            }
            (DataPosition::Redis(this), DataPosition::Redis(replica)) => this.id != replica.id,
            _ => false,
        }
    }

    /// Are both of one cluster, whose members all take writes and have the same transactions?
    pub(super) fn is_of_the_cluster_of(&self, other: &DataPosition) -> bool {
        match (self, other) {
            (DataPosition::Transactions(this), DataPosition::Transactions(other)) => {
                this.is_of_a_cluster() && other.is_of_a_cluster() && this.history == other.history
            }
            _ => false,
        }
    }

    /// Is it of a cluster whose members all take writes and have the same transactions?
    pub(super) fn is_of_a_cluster(&self) -> bool {
        self.is_of_the_cluster_of(self)
    }

    /// How many transactions of what is followed it has not; `None` = it counts none.
    pub(super) fn lacks_transactions(&self, followed: &DataPosition) -> Option<u64> {
        match (self, followed) {
            (DataPosition::Transactions(this), DataPosition::Transactions(followed)) => Some(this.lacks(followed)),
            _ => None,
        }
    }

    /// Its lineages have no numbers. Is it, of a server that was there as a replica of what is followed, what a promotion makes of that?
    pub(super) fn is_promoted_from(&self, as_replica: &DataPosition, followed: &DataPosition) -> bool {
        match (self, as_replica, followed) {
            (
                DataPosition::Transactions(this),
                DataPosition::Transactions(replica),
                DataPosition::Transactions(followed),
            ) if !this.is_of_a_cluster() && !replica.is_of_a_cluster() => {
                // (A replica that had transactions of its own and lacked others was none of this history.)
                let clean =
                    !matches!(replica.compare(followed), TransactionRelation::Crossed | TransactionRelation::Apart);
                clean && this.lacks(replica) == 0
            }
            _ => false,
        }
    }

    /// Are both in the same lineage?
    pub(super) fn is_of_the_lineage_of(&self, other: &DataPosition) -> bool {
        match (self, other) {
            (DataPosition::Postgres(this), DataPosition::Postgres(other)) => {
                (this.system, this.timeline) == (other.system, other.timeline)
            }
            (DataPosition::Redis(this), DataPosition::Redis(other)) => this.id == other.id,
            _ => false,
        }
    }
}

/// Of servers that count transactions. That it has all that is followed and more is all that makes another server a later one.
fn transaction_relation(this: &TransactionPosition, followed: &TransactionPosition, same: bool) -> PositionRelation {
    match (this.is_of_a_cluster(), followed.is_of_a_cluster()) {
        (true, true) if this.history == followed.history => PositionRelation::Same { lacks: this.lacks(followed) },
        (false, false) => match this.compare(followed) {
            TransactionRelation::Ahead if !same => PositionRelation::Newer { lost: None },
            TransactionRelation::Equal | TransactionRelation::Ahead => PositionRelation::Same { lacks: 0 },
            TransactionRelation::Behind(lacks) => PositionRelation::Same { lacks },
            TransactionRelation::Crossed => PositionRelation::Diverged,
            TransactionRelation::Apart => PositionRelation::Foreign,
        },
        _ => PositionRelation::Foreign,
    }
}

impl PostgresPosition {
    fn relation(&self, followed: &PostgresPosition, same: bool) -> PositionRelation {
        if self.system != followed.system {
            return PositionRelation::Foreign;
        }
        // A branch that begins before the one that is followed is none of its continuations.
        let branches_off = |fork: Lsn| followed.fork.is_some_and(|of| fork < of);
        match self.timeline.cmp(&followed.timeline) {
            std::cmp::Ordering::Less => PositionRelation::Older,
            // Another server that has recovered in this timeline was promoted by itself, or has crashed: two promotions that know nothing of
            // each other take the same number. (Unless it is the same life of a server, at another address.)
            std::cmp::Ordering::Equal if !same && self.recovered.is_some() && !self.is_the_life_of(followed) => {
                PositionRelation::Diverged
            }
            std::cmp::Ordering::Equal => PositionRelation::Same { lacks: followed.lsn.0.saturating_sub(self.lsn.0) },
            std::cmp::Ordering::Greater if self.recovered.is_some_and(branches_off) || branches_off(self.lsn) => {
                PositionRelation::Diverged
            }
            std::cmp::Ordering::Greater => {
                // (Of a lineage in between it is not known where it forked.)
                let is_next = followed.timeline.checked_add(1) == Some(self.timeline);
                let fork = self.fork.filter(|_| is_next);
                PositionRelation::Newer { lost: fork.map(|fork| followed.lsn.0.saturating_sub(fork.0)) }
            }
        }
    }

    /// Is it the same life of a server that was a replica on an earlier timeline? Only then the end of its last recovery is its promotion.
    fn continues_life_of(&self, replica: &PostgresPosition) -> bool {
        let earlier = self.system == replica.system && replica.timeline < self.timeline;
        let whole = self.recovered.is_some_and(|end| end >= replica.lsn);
        earlier && whole && self.is_the_life_of(replica)
    }

    fn is_the_life_of(&self, other: &PostgresPosition) -> bool {
        self.started.is_some() && self.started == other.started
    }
}

impl RedisPosition {
    fn relation(&self, followed: &RedisPosition, same: bool) -> PositionRelation {
        // (A master that takes another id for its first replica has no former one; one that was promoted has.)
        let is_alive = same && self.former.is_none() && self.run.is_some() && self.run == followed.run;
        if self.id == followed.id || is_alive {
            return PositionRelation::Same { lacks: followed.offset.saturating_sub(self.offset) };
        }
        if self.former.as_ref() == Some(&followed.id) {
            return PositionRelation::Newer { lost: self.forked.map(|forked| followed.offset.saturating_sub(forked)) };
        }
        if followed.former.as_ref() == Some(&self.id) {
            return PositionRelation::Older;
        }
        match (&self.former, &followed.former) {
            (Some(this), Some(followed)) if this == followed => PositionRelation::Diverged,
            _ => PositionRelation::Foreign,
        }
    }
}

/// The identifier of a PostgreSQL cluster. It is written as a text: it is too large for the numbers of many readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SystemId(pub u64);

/// A log sequence number of PostgreSQL: bytes from the beginning of the log. It is written as PostgreSQL does, `16/B374D848`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// What is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePositionError;

impl fmt::Display for ParsePositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither a log sequence number (`16/B374D848`) nor the identifier of a system")
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Lsn, ParsePositionError> {
        let part = |text: &str| {
            let digits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let (high, low) = text.split_once('/').ok_or(ParsePositionError)?;
        Ok(Lsn(part(high).ok_or(ParsePositionError)? << 32 | part(low).ok_or(ParsePositionError)?))
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = ParsePositionError;

    fn try_from(text: String) -> Result<Lsn, ParsePositionError> {
        text.parse()
    }
}

impl From<SystemId> for String {
    fn from(system: SystemId) -> String {
        system.0.to_string()
    }
}

impl TryFrom<String> for SystemId {
    type Error = ParsePositionError;

    fn try_from(text: String) -> Result<SystemId, ParsePositionError> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).map(SystemId).ok_or(ParsePositionError)
    }
}

impl fmt::Display for DataPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataPosition::Postgres(position) => write!(f, "timeline {} at {}", position.timeline, position.lsn),
            DataPosition::Redis(position) => write!(f, "{} at {}", position.id, position.offset),
            DataPosition::Transactions(position) => {
                write!(f, "{} transactions of {}", position.count, position.history)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PositionRelation::{Diverged, Foreign, Newer, Older, Same};
    use super::*;

    fn postgres(timeline: u32, lsn: u64, fork: Option<u64>) -> DataPosition {
        let (system, started) = (SystemId(7), Some(1));
        let fork = fork.map(Lsn);
        DataPosition::Postgres(PostgresPosition { system, timeline, lsn: Lsn(lsn), recovered: fork, fork, started })
    }

    fn redis(id: &str, former: Option<(&str, u64)>, offset: u64, run: &str) -> DataPosition {
        DataPosition::Redis(RedisPosition {
            id: id.into(),
            former: former.map(|(id, _)| id.into()),
            forked: former.map(|(_, forked)| forked),
            offset,
            run: Some(run.into()),
        })
    }

    fn of_life(started: i64, position: DataPosition) -> DataPosition {
        match position {
            DataPosition::Postgres(position) => {
                DataPosition::Postgres(PostgresPosition { started: Some(started), ..position })
            }
            other => other,
        }
    }

    #[test]
    fn positions_of_postgresql_compare_by_timeline_fork_and_place() {
        let followed = postgres(2, 100, Some(50));
        for (this, same, wanted) in [
            (postgres(2, 100, None), false, Same { lacks: 0 }),
            (postgres(2, 70, None), false, Same { lacks: 30 }),
            (postgres(2, 120, Some(50)), false, Same { lacks: 0 }), // the same life, at another address
            (of_life(2, postgres(2, 120, Some(50))), false, Diverged),
            (of_life(2, postgres(2, 120, Some(60))), false, Diverged),
            (of_life(2, postgres(2, 120, None)), false, Same { lacks: 0 }),
            // (Its crash recovery ended there.)
            (postgres(2, 120, Some(110)), true, Same { lacks: 0 }),
            (postgres(1, 500, None), false, Older),
            (postgres(3, 90, Some(80)), false, Newer { lost: Some(20) }),
            (postgres(3, 120, Some(100)), false, Newer { lost: Some(0) }),
            (postgres(3, 120, None), false, Newer { lost: None }),
            (postgres(3, 120, Some(40)), false, Diverged),
        ] {
            assert_eq!(this.relation(&followed, same), wanted, "{this} to {followed}");
        }
        let mut foreign = postgres(2, 100, None);
        if let DataPosition::Postgres(position) = &mut foreign {
            position.system = SystemId(8);
        }
        assert_eq!(foreign.relation(&followed, true), Foreign);
        assert_eq!(redis("a", None, 1, "r").relation(&followed, false), Foreign);
    }

    #[test]
    fn positions_of_redis_compare_by_replication_ids() {
        let followed = redis("b", Some(("a", 50)), 100, "one");
        for (this, same, wanted) in [
            (redis("b", None, 90, "two"), false, Same { lacks: 10 }),
            (redis("c", Some(("b", 80)), 200, "two"), false, Newer { lost: Some(20) }),
            (redis("a", None, 300, "two"), false, Older),
            (redis("c", Some(("a", 60)), 200, "two"), false, Diverged),
            (redis("x", None, 0, "two"), false, Foreign),
            (redis("x", None, 100, "one"), true, Same { lacks: 0 }),
            (redis("x", None, 100, "other"), true, Foreign),
        ] {
            assert_eq!(this.relation(&followed, same), wanted, "{this} to {followed}");
        }
    }

    /// Along one chain of promotions that all saw each other, positions are ordered: what is newer than a newer one is newer, and what is
    /// newer one way is older the other way.
    #[test]
    fn later_lineages_of_one_chain_are_ordered() {
        let chain: Vec<DataPosition> =
            (1..6).map(|n| postgres(n, u64::from(n) * 100 + 50, (n > 1).then(|| u64::from(n) * 100))).collect();
        for (i, one) in chain.iter().enumerate() {
            for (j, other) in chain.iter().enumerate() {
                let relation = one.relation(other, false);
                match i.cmp(&j) {
                    std::cmp::Ordering::Less => assert_eq!(relation, Older),
                    std::cmp::Ordering::Equal => assert_eq!(one.relation(other, true), Same { lacks: 0 }),
                    std::cmp::Ordering::Greater => assert!(matches!(relation, Newer { .. })),
                }
            }
        }
    }

    #[test]
    fn a_fork_is_known_only_of_what_was_seen_to_be_promoted() {
        let fork = |position: DataPosition| match position {
            DataPosition::Postgres(position) => position.fork.map(|fork| fork.0),
            DataPosition::Redis(_) | DataPosition::Transactions(_) => None,
        };
        let promoted = || postgres(2, 120, Some(100));
        assert_eq!(fork(promoted().with_fork_seen(Some(&postgres(1, 90, None)))), Some(100));
        assert_eq!(fork(promoted().with_fork_seen(None)), None);
        assert_eq!(
            fork(promoted().with_fork_seen(Some(&postgres(2, 90, None)))),
            None,
            "it has not changed its timeline"
        );
        assert_eq!(fork(promoted().with_fork_seen(Some(&postgres(1, 110, None)))), None, "it had more than that");
        let mut restarted = promoted();
        if let DataPosition::Postgres(position) = &mut restarted {
            position.started = Some(2);
        }
        assert_eq!(fork(restarted.with_fork_seen(Some(&postgres(1, 90, None)))), None, "that recovery was a crash's");
        assert_eq!(fork(postgres(2, 200, Some(190)).keep_fork_of(&promoted())), Some(100));
    }

    #[test]
    fn places_are_written_as_postgresql_writes_them() {
        for (text, value) in [("0/0", 0), ("16/B374D848", 0x16_b374_d848), ("FFFFFFFF/FFFFFFFF", u64::MAX)] {
            assert_eq!(text.parse(), Ok(Lsn(value)));
            assert_eq!(Lsn(value).to_string(), text);
        }
        for wrong in ["", "0", "0/", "/0", "0/123456789", "0/+1", "g/0", "0/0/0"] {
            assert_eq!(wrong.parse::<Lsn>(), Err(ParsePositionError), "{wrong}");
        }
        assert!(SystemId::try_from("+7".to_owned()).is_err() && SystemId::try_from(String::new()).is_err());
    }
}
