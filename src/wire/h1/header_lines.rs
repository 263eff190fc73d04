//! Header lines on their way out: single ones, and the changes that a route makes.

use crate::config::HeaderChanges;
use crate::wire::Known;
use crate::wire::fields::FieldLine;

/// `name: value`
#[inline]
pub(super) fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `name: number`
pub(super) fn number_line(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A route's header changes, ready to be asked per field. Framing and hop-by-hop fields are not theirs to change.
pub(super) struct HeaderEdits<'a> {
    changes: &'a HeaderChanges,
    any: bool,
}

impl<'a> HeaderEdits<'a> {
    #[inline]
    pub(super) fn new(changes: &'a HeaderChanges) -> HeaderEdits<'a> {
        let any = !(changes.set.is_empty() && changes.add.is_empty() && changes.remove.is_empty());
        HeaderEdits { changes, any }
    }

    /// Does a field stay (neither removed nor replaced).
    #[inline]
    pub(super) fn leaves(&self, line: &FieldLine<'_>) -> bool {
        !self.any || self.leaves_name(line.name())
    }

    /// Does a field of this name stay.
    #[inline]
    pub(super) fn leaves_name(&self, name: &[u8]) -> bool {
        !self.any || !(self.removes(name) || self.sets(name))
    }

    /// Does the request's own Host stay. It may be replaced, never removed.
    #[inline]
    pub(super) fn leaves_host(&self) -> bool {
        !self.any || !self.sets(b"host")
    }

    fn removes(&self, name: &[u8]) -> bool {
        self.changes.remove.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name))
    }

    fn sets(&self, name: &[u8]) -> bool {
        self.changes.set.iter().any(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Writes what is set, then what is added (of the latter only what `may_add`).
    pub(super) fn write(&self, out: &mut Vec<u8>, may_add: impl Fn(&str) -> bool) {
        if !self.any {
            return;
        }
        let set = self.changes.set.iter();
        let add = self.changes.add.iter().filter(|(name, _)| may_add(name));
        for (name, value) in set.chain(add) {
            let known = Known::of(name.as_bytes());
            if !known.is_hop_by_hop() && !matches!(known, Known::ContentLength | Known::StandfastHops) {
                write_line(out, name.as_bytes(), value.as_bytes());
            }
        }
    }
}
