//! The corpus: inputs that once reached something new, minimised, and those that were wrong. `corpus/NAME.txt` holds an input
//! a line, its bytes as `\r`, `\n`, `\t`, `\\`, `\xNN` where they are not printable; `#` begins a comment.

use std::path::Path;

use crate::properties::{TARGETS, Target};

/// Fewer inputs than these are not the corpus.
const LEAST: usize = 1000;

#[test]
fn every_input_of_the_corpus_keeps_the_properties() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for target in &TARGETS {
        let inputs = inputs(target);
        assert!(inputs.len() > 3, "{}: no corpus", target.name);
        count += inputs.len();
        for (line, input) in inputs {
            if std::panic::catch_unwind(|| (target.check)(&input)).is_err() {
                wrong.push(format!("corpus/{}.txt:{line}: {}", target.name, input.escape_ascii()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} inputs, each with its panic above:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= LEAST, "{count} inputs");
}

/// Line numbers and inputs.
pub fn inputs(target: &Target) -> Vec<(usize, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(format!("{}.txt", target.name));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    lines.map(|(at, line)| (at + 1, bytes(line))).collect()
}

fn bytes(line: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), line.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let (value, taken) = match (byte, behind) {
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b'\\', ..]) => (b'\\', 1),
            (b'\\', [b'x', _, _, ..]) => {
                (u8::from_str_radix(&line[line.len() - behind.len() + 1..][..2], 16).expect("two digits"), 3)
            }
            (b'\\', _) => panic!("not an escape: {line}"),
            _ => (byte, 0),
        };
        out.push(value);
        rest = &behind[taken..];
    }
    out
}
