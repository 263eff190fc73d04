//! What answers of MySQL and MariaDB say about a server: whether it serves, its role, and how much of which history it has. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::ProbeError;
use super::session::MysqlTable;
use crate::decision::{DataPosition, DataRole, ProbeFailure, Reading, TransactionPosition};
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
    let counted = match galera {
        Some((id, value)) => Some((id.to_owned(), value)),
        None => transactions(gtids),
    };
    let position = counted
        .filter(|(history, _)| history.len() <= LONGEST_LINEAGE)
        .map(|(history, count)| DataPosition::Transactions(TransactionPosition { history, count }));
    Reading { role, writable: Some(writable), position, applied: None }
}

/// The histories that GTIDs belong to, and how many transactions they are. `None`: they are none.
fn transactions(gtids: &[String]) -> Option<(String, u64)> {
    let listed = || gtids.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|gtid| !gtid.is_empty());
    if listed().any(|gtid| gtid.contains(':')) {
        return executed(listed());
    }
    let mut domains: BTreeMap<u32, u64> = BTreeMap::new();
    for gtid in listed() {
        let mut parts = gtid.split('-');
        let (domain, _server, number) = (parts.next()?, parts.next()?, parts.next()?.parse::<u64>().ok()?);
        let last = domains.entry(domain.parse().ok()?).or_default();
        *last = number.max(*last);
    }
    let names: Vec<String> = domains.keys().map(u32::to_string).collect();
    let count = domains.values().fold(0_u64, |sum, number| sum.saturating_add(*number));
    (!domains.is_empty()).then(|| (format!("domain {}", names.join(",")), count))
}

/// A set of MySQL: `uuid:1-5:7`, since 8.3 also with tags, `uuid:1-5:tag:1-3`.
fn executed<'a>(gtids: impl Iterator<Item = &'a str>) -> Option<(String, u64)> {
    let (mut sources, mut count) = (BTreeSet::new(), 0_u64);
    for gtid in gtids {
        let mut parts = gtid.split(':').map(str::trim);
        let source = parts.next().filter(|id| is_uuid(id))?;
        sources.insert(source.to_ascii_lowercase());
        for part in parts {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            // (What is no range is a tag.)
            if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) {
                count = count.saturating_add(last.checked_sub(first)?.saturating_add(1));
            }
        }
    }
    let sources: Vec<String> = sources.into_iter().collect();
    Some((sources.join(","), count))
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
        let count = |texts: &[&str]| transactions(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(count(&["0-1-270"]), Some(("domain 0".to_owned(), 270)));
        assert_eq!(count(&["0-1-270", "0-2-281"]), Some(("domain 0".to_owned(), 281)));
        assert_eq!(count(&["0-1-270,7-1-30"]), Some(("domain 0,7".to_owned(), 300)));
        assert_eq!(count(&[&format!("{ONE}:1-5:7")]), Some((ONE.to_owned(), 6)));
        assert_eq!(count(&[&format!("{ONE}:1-5:blue:1-3,\n{TWO}:9")]), Some((format!("{ONE},{TWO}"), 9)));
        for none in ["", "x", "0-1", "0-1-x", "a:1-5", &format!("{ONE}:5-1")] {
            assert_eq!(count(&[none]), None, "{none}");
        }
        let long = format!("{ONE}:1,{TWO}:1,{}:1,{}:1", ONE.replace('3', "5"), ONE.replace('3', "6"));
        let read = reading(DataRole::Primary, true, None, &[long]);
        assert_eq!(read.position, None, "the history is too long to be told");
    }

    #[test]
    fn a_node_of_galera_serves_in_the_primary_component_only() {
        let node = |status: &str| MysqlState { galera: pairs(status), ..state("read_only=OFF wsrep_on=ON") };
        let synced = format!(
            "wsrep_ready=ON wsrep_cluster_status=Primary wsrep_local_state_comment=Synced wsrep_cluster_state_uuid={ONE} \
             wsrep_last_committed=7"
        );
        let Ok(read) = node(&synced).verdict() else { panic!("it serves") };
        let position = TransactionPosition { history: ONE.to_owned(), count: 7 };
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
