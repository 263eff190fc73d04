//! Users and groups of this host, from the files that list them. (The C library's calls ask directory services too, and may block
//! for long.)

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of these files that are looked at.
const LOOKED_AT: u64 = 1 << 20;

/// The name of a user. Blocks on a file of this host.
pub(super) fn user_name(uid: u32) -> Option<String> {
    name_of(&read(Path::new("/etc/passwd")), uid)
}

/// The number of a group that is given by name or number. Blocks on a file of this host.
pub(super) fn group_id(group: &str) -> Option<u32> {
    group.parse().ok().or_else(|| id_of(&read(Path::new("/etc/group")), group))
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut bytes));
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned())
}

/// `name:password:id:…`, a line each.
fn entries(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.contains(crate::text::is_command))?;
        Some((name, fields.nth(1)?.parse().ok()?))
    })
}

fn name_of(text: &str, id: u32) -> Option<String> {
    entries(text).find(|(_, found)| *found == id).map(|(name, _)| name.to_owned())
}

fn id_of(text: &str, name: &str) -> Option<u32> {
    entries(text).find(|(found, _)| *found == name).map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "root:x:0:0:root:/root:/bin/sh\n+::::::\nodd\n:x:7:\nada:x:1000:1000::/home/ada:\nbeta:x:1000:\n";

    #[test]
    fn the_first_line_with_a_name_or_number_counts() {
        assert_eq!(name_of(FILE, 1000).as_deref(), Some("ada"));
        assert_eq!((name_of(FILE, 7), name_of(FILE, 1)), (None, None));
        assert_eq!((id_of(FILE, "beta"), id_of(FILE, "x"), id_of(FILE, "")), (Some(1000), None, None));
        assert_eq!(group_id("4711"), Some(4711));
    }
}
