//! A strict reader of Prometheus' text format (version 0.0.4): it takes nothing that the format does not promise, and
//! checks what a scraper relies on: one header a family, families in one piece, no series twice, histograms that add up.

use std::collections::{BTreeMap, HashMap, HashSet};

/// One metric as it was exposed.
#[derive(Debug, Default)]
pub struct Family {
    pub help: String,
    pub kind: String,
    /// Labels (in their order) and value; of a histogram every line, the suffix as the label `__suffix`.
    pub samples: Vec<(Vec<(String, String)>, f64)>,
}

impl Family {
    /// The one value whose labels include all of these.
    pub fn value(&self, labels: &[(&str, &str)]) -> f64 {
        let has =
            |sample: &Vec<(String, String)>| labels.iter().all(|(n, v)| sample.iter().any(|(a, b)| a == n && b == v));
        let found: Vec<f64> = self.samples.iter().filter(|(sample, _)| has(sample)).map(|(_, value)| *value).collect();
        assert_eq!(found.len(), 1, "{labels:?} in {:?}", self.samples);
        found[0]
    }
}

/// All metrics by name. Panics on anything that is not valid.
pub fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line ends with a line feed");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut series = HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(
                families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() }).is_none(),
                "{name} twice"
            );
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let family = families.get_mut(name).unwrap_or_else(|| panic!("TYPE before HELP: {line}"));
            assert!(name == current && family.kind.is_empty() && family.samples.is_empty(), "{line}");
            family.kind = kind.to_owned();
        } else {
            assert!(series.insert(line.rsplit_once(' ').map(|(series, _)| series)), "a series twice: {line}");
            let (name, mut labels, value) = sample(line);
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("before its header: {line}"));
            let suffix = name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("in {current}: {line}"));
            match family.kind.as_str() {
                "histogram" => {
                    assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}");
                    labels.push(("__suffix".to_owned(), suffix.to_owned()));
                }
                "counter" => assert!(suffix.is_empty() && value >= 0.0, "{line}"),
                "gauge" => assert!(suffix.is_empty(), "{line}"),
                other => panic!("no TYPE before its samples ({other}): {line}"),
            }
            family.samples.push((labels, value));
        }
    }
    families.iter().filter(|(_, family)| family.kind == "histogram").for_each(|(name, family)| adds_up(name, family));
    families
}

/// `name{label="value",…} number`
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let name = &line[..end];
    assert!(is_name(name) || name.contains(':'), "{line}");
    let mut rest = &line[end..];
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(label) && !labels.iter().any(|(name, _)| name == label), "{line}");
            let (value, after) = quoted(after, line);
            labels.push((label.to_owned(), value));
            match after.split_at_checked(1) {
                Some((",", more)) => rest = more,
                Some(("}", more)) => break rest = more,
                _ => panic!("{line}"),
            }
        }
    }
    let number = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let value: f64 = number.parse().unwrap_or_else(|_| panic!("{line}"));
    assert!(value.is_finite(), "{line}");
    (name.to_owned(), labels, value)
}

fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match characters.next() {
                Some((_, '\\')) => value.push('\\'),
                Some((_, '"')) => value.push('"'),
                Some((_, 'n')) => value.push('\n'),
                other => panic!("{other:?} escaped: {line}"),
            },
            c => value.push(c),
        }
    }
    panic!("no end of a label: {line}")
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Buckets ascend and are cumulative, the last is `+Inf` and equals the count, and there is one sum and one count.
fn adds_up(name: &str, family: &Family) {
    type Lines<'a> = Vec<(&'a str, Option<f64>, f64)>;
    let mut histograms: HashMap<Vec<(String, String)>, Lines<'_>> = HashMap::new();
    for (labels, value) in &family.samples {
        let suffix = labels.iter().find(|(name, _)| name == "__suffix").map_or("", |(_, suffix)| suffix);
        let bound = labels.iter().find(|(name, _)| name == "le").map(|(_, bound)| match bound.as_str() {
            "+Inf" => f64::INFINITY,
            bound => bound.parse().unwrap_or_else(|_| panic!("{name} le={bound}")),
        });
        assert_eq!(bound.is_some(), suffix == "_bucket", "{name} {labels:?}");
        let key = labels.iter().filter(|(name, _)| name != "le" && name != "__suffix").cloned().collect();
        histograms.entry(key).or_default().push((suffix, bound, *value));
    }
    for (labels, lines) in histograms {
        let buckets: Vec<(f64, f64)> =
            lines.iter().filter_map(|(_, bound, value)| bound.map(|b| (b, *value))).collect();
        assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{name} {labels:?}");
        let one = |suffix: &str| {
            let values: Vec<f64> = lines.iter().filter(|line| line.0 == suffix).map(|line| line.2).collect();
            assert_eq!(values.len(), 1, "{name}{suffix} {labels:?}");
            values[0]
        };
        one("_sum");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, one("_count"))), "{name} {labels:?}");
    }
}
