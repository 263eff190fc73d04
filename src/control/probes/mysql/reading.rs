//! What answers of MySQL and MariaDB say about a server: whether it serves, its role, and how much of which history it has. Pure.

use std::collections::BTreeMap;

use super::super::error::ProbeError;
use super::session::MysqlTable;
use crate::decision::{DataPosition, DataRole, ProbeFailure, Reading, TransactionPosition, TransactionSet};
use crate::text::shortened;

/// Characters of the longest name of a history.
const LONGEST_LINEAGE: usize = 128;

/// What was asked, as it was answered.
#[derive(Debug, Default)]
pub(super) struct MysqlState {
    /// Of SHOW GLOBAL VARIABLES.
    pub(super) variables: BTreeMap<String, String>,
    /// wsrep_… of SHOW GLOBAL STATUS, where the server is a node of Galera.
    pub(super) galera: BTreeMap<String, String>,
    /// The members of the group, where the server is in one and the user may read them.
    pub(super) group: Option<MysqlTable>,
    /// The connections to the servers that it follows; `None` = the user may not know.
    pub(super) replicas: Option<MysqlTable>,
    /// The transactions that it has: GTIDs as the server writes them, several texts are taken together.
    pub(super) gtids: Vec<String>,
}

impl MysqlState {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    fn is_on(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| !matches!(value, "OFF" | "0" | ""))
    }

    /// It is MariaDB.
    pub(super) fn is_mariadb(&self) -> bool {
        self.variables.contains_key("gtid_domain_id")
    }

    /// It counts its transactions by GTID.
    pub(super) fn has_gtids(&self) -> bool {
        self.is_mariadb() || self.is_on("gtid_mode")
    }

    /// It is a node of Galera.
    pub(super) fn is_galera(&self) -> bool {
        self.is_on("wsrep_on")
    }

    /// Group replication is set up.
    pub(super) fn is_grouped(&self) -> bool {
        self.variable("group_replication_group_name").is_some_and(|name| !name.is_empty())
    }

    /// The verdict, and the reading.
    pub(super) fn verdict(&self) -> Result<Reading, ProbeError> {
        if self.variable("read_only").is_none() {
            return Err(ProbeError::Blind("it does not say whether it is read_only".to_owned()));
        }
        if self.is_galera() {
            self.galera_verdict()?;
        }
        self.group_verdict()?;
        let writable = !self.is_on("read_only") && !self.is_on("super_read_only");
        let role = if writable && !self.is_replicating() { DataRole::Primary } else { DataRole::Replica };
        Ok(reading(role, writable, self.galera_position(), &self.gtids))
    }

    fn galera_verdict(&self) -> Result<(), ProbeError> {
        let status = |name: &str| self.galera.get(name).map_or("not known", String::as_str);
        let part = status("wsrep_cluster_status");
        if !part.eq_ignore_ascii_case("primary") {
            return Err(not_serving(format!("Galera: wsrep_cluster_status is {}", shortened(part, 40))));
        }
        let state = status("wsrep_local_state_comment");
        if state.starts_with("Donor") {
            return Err(ProbeError::Busy(format!("Galera: the node is {}", shortened(state, 40))));
        }
        match status("wsrep_ready") {
            "ON" => Ok(()),
            _ => Err(not_serving(format!("Galera: wsrep_ready is not ON, the node is {}", shortened(state, 40)))),
        }
    }

    /// Where it stands in the history of its cluster.
    fn galera_position(&self) -> Option<(&str, u64)> {
        let id = self.galera.get("wsrep_cluster_state_uuid").filter(|id| is_uuid(id))?;
        Some((id, self.galera.get("wsrep_last_committed")?.parse().ok()?))
    }

    fn group_verdict(&self) -> Result<(), ProbeError> {
        let Some(group) = &self.group else { return Ok(()) };
        let id = |row: &'_ [Option<String>]| group.value(row, &["member_id"]).map(str::to_owned);
        let state = |row: &'_ [Option<String>]| group.value(row, &["member_state"]).unwrap_or_default().to_owned();
        let own = group.rows.iter().find(|row| id(row).as_deref() == self.variable("server_uuid"));
        match own.map(|row| state(row)).as_deref() {
            Some("ERROR") => return Err(not_serving("group replication: the member is in state ERROR".to_owned())),
            Some("RECOVERING") => return Err(ProbeError::Busy("group replication: it is RECOVERING".to_owned())),
            Some("ONLINE") => {}
            _ => return Ok(()),
        }
        // (A member without a majority answers, and lets writes hang.)
        let lost = group.rows.iter().filter(|row| state(row) == "UNREACHABLE").count();
        match lost * 2 >= group.rows.len() {
            true => Err(not_serving(format!(
                "group replication: no majority, {lost} of {} members are UNREACHABLE",
                group.rows.len()
            ))),
            false => Ok(()),
        }
    }

    /// A thread that applies the changes of another server runs, or tries to. (A former replica may keep its connection, stopped.)
    fn is_replicating(&self) -> bool {
        let Some(table) = &self.replicas else { return false };
        let runs = |row: &'_ Vec<Option<String>>| {
            [["replica_io_running", "slave_io_running"], ["replica_sql_running", "slave_sql_running"]]
                .iter()
                .any(|names| table.value(row, names).is_some_and(|value| value != "No"))
        };
        table.rows.iter().any(runs)
    }
}

fn not_serving(detail: String) -> ProbeError {
    ProbeError::Fail(ProbeFailure::NotServing, detail)
}

/// The one place where a reading is put together. `galera`: the history of a cluster, and the position in it; `gtids`: see
/// [`MysqlState::gtids`].
fn reading(role: DataRole, writable: bool, galera: Option<(&str, u64)>, gtids: &[String]) -> Reading {
    let position = match galera {
        Some((id, count)) => Some(TransactionPosition { history: id.to_owned(), count, sets: BTreeMap::new() }),
        None => transactions(gtids),
    };
    let position = position.filter(TransactionPosition::is_bounded).map(DataPosition::Transactions);
    Reading { role, writable: Some(writable), position, applied: None }
}

/// The transactions that GTIDs are. `None`: they are none.
fn transactions(gtids: &[String]) -> Option<TransactionPosition> {
    let listed = || gtids.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|gtid| !gtid.is_empty());
    if listed().any(|gtid| gtid.contains(':')) {
        return executed(listed());
    }
    // Of each server the last one in each domain: it has all before.
    let mut position = TransactionPosition::default();
    let mut domains: BTreeMap<u32, u64> = BTreeMap::new();
    for gtid in listed() {
        let mut parts = gtid.split('-').map(str::parse::<u64>);
        let (Some(Ok(domain)), Some(Ok(server)), Some(Ok(number)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let last = domains.entry(u32::try_from(domain).ok()?).or_default();
        *last = number.max(*last);
        position.sets.entry(format!("{domain}-{server}")).or_default().add(1, number);
    }
    let names: Vec<String> = domains.keys().map(u32::to_string).collect();
    position.history = shortened(&format!("domain {}", names.join(",")), LONGEST_LINEAGE);
    position.count = domains.values().fold(0_u64, |sum, number| sum.saturating_add(*number));
    (!position.sets.is_empty()).then_some(position)
}

/// A set of MySQL: `uuid:1-5:7`, since 8.3 also with tags, `uuid:1-5:tag:1-3`.
fn executed<'a>(gtids: impl Iterator<Item = &'a str>) -> Option<TransactionPosition> {
    let mut position = TransactionPosition::default();
    let mut ranges = 0;
    for gtid in gtids {
        let mut parts = gtid.split(':').map(str::trim);
        let id = parts.next().filter(|id| is_uuid(id))?.to_ascii_lowercase();
        let mut source = id.clone();
        for part in parts {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.parse::<u64>(), last.parse::<u64>()) {
                (Ok(first), Ok(last)) if first <= last => {
                    ranges += 1;
                    if ranges > TransactionPosition::MOST_RANGES {
                        return None;
                    }
                    position.sets.entry(source.clone()).or_default().add(first, last);
                }
                (Ok(_), Ok(_)) => return None,
                // (What is no range is a tag: the numbers behind it are its own.)
                _ => source = format!("{id}:{}", shortened(part, 32)),
            }
        }
    }
    position.count = position.sets.values().map(TransactionSet::len).fold(0, u64::saturating_add);
    let sources: Vec<&str> = position.sets.keys().map(String::as_str).collect();
    position.history = shortened(&sources.join(","), LONGEST_LINEAGE);
    (!position.sets.is_empty()).then_some(position)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const TWO: &str = "4f22ab58-82db-22f2-af44-d91bba530673";

    fn pairs(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect()
    }

    fn state(variables: &str) -> MysqlState {
        MysqlState { variables: pairs(variables), ..MysqlState::default() }
    }

    fn table(text: &str) -> MysqlTable {
        let mut lines = text.split('\n').map(|line| line.split(' ').map(str::to_owned));
        let columns = lines.next().unwrap().collect();
        MysqlTable { columns, rows: lines.map(|line| line.map(Some).collect()).collect() }
    }

    fn role(state: &MysqlState) -> (DataRole, Option<bool>) {
        let Ok(read) = state.verdict() else { panic!("it serves") };
        (read.role, read.writable)
    }

    fn refused(state: &MysqlState) -> (String, String) {
        let error = state.verdict().expect_err("it does not pass");
        (error.class(), error.detail().to_owned())
    }

    #[test]
    fn the_role_is_that_of_read_only_and_of_replication() {
        let stopped = "slave_io_running slave_sql_running\nNo No";
        let running = "replica_io_running replica_sql_running\nConnecting Yes";
        for (variables, replicas, wanted) in [
            ("read_only=OFF", None, (DataRole::Primary, Some(true))),
            ("read_only=OFF super_read_only=OFF", Some("slave_io_running"), (DataRole::Primary, Some(true))),
            ("read_only=OFF", Some(stopped), (DataRole::Primary, Some(true))),
            ("read_only=OFF", Some(running), (DataRole::Replica, Some(true))),
            ("read_only=ON", None, (DataRole::Replica, Some(false))),
            ("read_only=OFF super_read_only=ON", None, (DataRole::Replica, Some(false))),
        ] {
            let state = MysqlState { replicas: replicas.map(table), ..state(variables) };
            assert_eq!(role(&state), wanted, "{variables} {replicas:?}");
        }
        assert_eq!(refused(&state("version=1")).0, "Blind");
    }

    #[test]
    fn transactions_are_counted_in_their_history() {
        let found = |texts: &[&str]| transactions(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        let told = |texts: &[&str]| {
            let position = found(texts)?;
            let sets: Vec<String> = position.sets.iter().map(|(source, set)| format!("{source}={set}")).collect();
            Some((position.history, position.count, sets.join(" ")))
        };
        let is = |history: &str, count, sets: &str| Some((history.to_owned(), count, sets.to_owned()));
        assert_eq!(told(&["0-1-270"]), is("domain 0", 270, "0-1=1-270"));
        assert_eq!(told(&["0-1-270", "0-2-281"]), is("domain 0", 281, "0-1=1-270 0-2=1-281"));
        assert_eq!(told(&["0-1-270,7-1-30"]), is("domain 0,7", 300, "0-1=1-270 7-1=1-30"));
        assert_eq!(told(&[&format!("{ONE}:1-5:7")]), is(ONE, 6, &format!("{ONE}=1-5,7")));
        assert_eq!(
            told(&[&format!("{ONE}:1-5:blue:1-3,\n{TWO}:9")]),
            is(&format!("{ONE},{ONE}:blue,{TWO}"), 9, &format!("{ONE}=1-5 {ONE}:blue=1-3 {TWO}=9"))
        );
        for none in ["", "x", "0-1", "0-1-x", "0-1-2-3", "a:1-5", &format!("{ONE}:5-1")] {
            assert_eq!(told(&[none]), None, "{none}");
        }
        let many: Vec<String> = (0..3000).map(|n| format!("{ONE}:{}", n * 2)).collect();
        assert_eq!(found(&[&many.join(",")]), None, "more ranges than are taken");
        let many: Vec<String> = (1..300).map(|n| format!("0-{n}-1")).collect();
        assert_eq!(reading(DataRole::Primary, true, None, &many).position, None, "more sources than are taken");
    }

    #[test]
    fn a_node_of_galera_serves_in_the_primary_component_only() {
        let node = |status: &str| MysqlState { galera: pairs(status), ..state("read_only=OFF wsrep_on=ON") };
        let synced = format!(
            "wsrep_ready=ON wsrep_cluster_status=Primary wsrep_local_state_comment=Synced wsrep_cluster_state_uuid={ONE} \
             wsrep_last_committed=7"
        );
        let Ok(read) = node(&synced).verdict() else { panic!("it serves") };
        let position = TransactionPosition { history: ONE.to_owned(), count: 7, sets: BTreeMap::new() };
        assert_eq!(read.position, Some(DataPosition::Transactions(position)));
        for (from, to, class, words) in [
            ("Primary", "non-Primary", "NotServing", "wsrep_cluster_status is non-Primary"),
            ("ready=ON", "ready=OFF", "NotServing", "wsrep_ready is not ON, the node is Synced"),
            ("Synced", "Donor/Desynced", "Busy", "the node is Donor/Desynced"),
        ] {
            let (found, detail) = refused(&node(&synced.replace(from, to)));
            assert!(found == class && detail.contains(words), "{found} {detail}");
        }
        assert_eq!(refused(&node("")).0, "NotServing");
    }

    #[test]
    fn a_member_of_a_group_serves_with_a_majority() {
        let member = |members: &str| MysqlState {
            group: Some(table(&format!("member_id member_state\n{members}"))),
            ..state(&format!("read_only=OFF server_uuid={ONE}"))
        };
        assert!(member(&format!("{ONE} ONLINE\n{TWO} ONLINE\nx UNREACHABLE")).verdict().is_ok());
        assert!(member(&format!("{ONE} OFFLINE")).verdict().is_ok());
        assert!(member("").verdict().is_ok());
        for (members, class) in [
            (format!("{ONE} ERROR"), "NotServing"),
            (format!("{ONE} RECOVERING\n{TWO} ONLINE"), "Busy"),
            (format!("{ONE} ONLINE\n{TWO} UNREACHABLE\nx UNREACHABLE"), "NotServing"),
        ] {
            assert_eq!(refused(&member(&members)).0, class, "{members}");
        }
    }
}
