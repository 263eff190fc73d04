//! The case files: one hostile message a line.

/// The columns of one line.
pub struct Case {
    pub columns: Vec<&'static str>,
}

/// All cases of a file; `#` starts a comment.
pub fn read(text: &'static str, columns: std::ops::RangeInclusive<usize>) -> Vec<Case> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases: Vec<_> = lines.map(|line| Case { columns: line.split(" | ").collect() }).collect();
    for case in &cases {
        assert!(columns.contains(&case.columns.len()), "{:?}", case.columns);
    }
    cases
}

/// `\r \n \t \\ \xNN`, and `{3*ab}` for `ababab`.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, mut after)) = rest.split_first() {
        if let Some((count, inner, behind)) = repetition(rest) {
            out.extend_from_slice(&bytes(inner).repeat(count));
            after = behind;
        } else if first == b'\\' {
            let (byte, behind) = escape(after);
            out.push(byte);
            after = behind;
        } else {
            out.push(first);
        }
        rest = after;
    }
    out
}

fn escape(text: &[u8]) -> (u8, &[u8]) {
    match text {
        [b'r', rest @ ..] => (b'\r', rest),
        [b'n', rest @ ..] => (b'\n', rest),
        [b't', rest @ ..] => (b'\t', rest),
        [b'\\', rest @ ..] => (b'\\', rest),
        [b'x', rest @ ..] => {
            let digits = std::str::from_utf8(&rest[..2]).expect("two hex digits");
            (u8::from_str_radix(digits, 16).expect("two hex digits"), &rest[2..])
        }
        _ => panic!("no escape: {}", text.escape_ascii()),
    }
}

/// The count, the inner text, and what follows the closing brace.
fn repetition(text: &[u8]) -> Option<(usize, &str, &[u8])> {
    let inner = text.strip_prefix(b"{")?;
    let star = inner.iter().position(|b| !b.is_ascii_digit())?;
    if star == 0 || inner[star] != b'*' {
        return None;
    }
    let end = inner.iter().position(|&b| b == b'}').expect("a closing brace");
    let count = std::str::from_utf8(&inner[..star]).ok()?.parse().ok()?;
    Some((count, std::str::from_utf8(&inner[star + 1..end]).expect("text"), &inner[end + 1..]))
}

/// Which of the checks do not hold for this text.
pub fn unmet(checks: Option<&&'static str>, text: &str) -> Vec<String> {
    let text = text.to_ascii_lowercase();
    let wanted = checks.iter().flat_map(|checks| checks.split(','));
    wanted
        .filter(|check| {
            let what = String::from_utf8_lossy(&bytes(&check[1..])).to_ascii_lowercase();
            text.contains(&what) != check.starts_with('+')
        })
        .map(str::to_owned)
        .collect()
}

/// How a message is written to its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Whole,
    /// In two, at this share of its length (per mille).
    Two(usize),
    EveryByte,
}

impl Cut {
    /// The ways that make sense for a message of this length.
    pub fn ways(len: usize) -> impl Iterator<Item = Cut> {
        let ways = [Cut::Whole, Cut::Two(330), Cut::Two(600), Cut::Two(930), Cut::EveryByte];
        ways.into_iter().filter(move |way| len < 1000 || *way != Cut::EveryByte)
    }

    pub fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Cut::Whole => vec![bytes],
            Cut::Two(share) => {
                let (a, b) = bytes.split_at(bytes.len() * share / 1000);
                vec![a, b]
            }
            Cut::EveryByte => bytes.chunks(1).collect(),
        }
    }
}
