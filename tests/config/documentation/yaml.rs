//! YAML blocks: each is a configuration, or a part that a configuration can have.

use serde_yaml::{Mapping, Value};
use standfast::config;

use super::page::{Block, Page, pages, root};

#[test]
fn configurations_load_without_warnings() {
    let mut wrong = Vec::new();
    let mut blocks = 0;
    for page in &pages() {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            blocks += 1;
            if let Err(problem) = load(block) {
                wrong.push(format!("{}:{}\n{problem}", page.path, block.line));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(blocks > 0, "no page has a configuration");
}

/// Loads it and compares its warnings with what its notes say.
fn load(block: &Block) -> Result<(), String> {
    if is_of_another_program(block) {
        return Ok(());
    }
    let text = completed(block)?;
    let loaded = config::parse(&text, &root().join("config")).map_err(|problems| problems.explain(false))?;
    let mut expected: Vec<&str> = block.notes("warns").collect();
    let mut unexpected = Vec::new();
    for warning in loaded.warnings.iter().map(ToString::to_string) {
        match expected.iter().position(|text| warning.contains(text)) {
            Some(found) => drop(expected.remove(found)),
            None => unexpected.push(warning),
        }
    }
    match (unexpected.is_empty(), expected.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("it warns: {}", unexpected.join("\n"))),
        (true, false) => Err(format!("it should warn: {}", expected.join("\n"))),
    }
}

/// The first line names another file: `# prometheus.yml`.
fn is_of_another_program(block: &Block) -> bool {
    let name = block.text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or("");
    (name.ends_with(".yml") || name.ends_with(".yaml")) && !name.contains(' ') && !name.contains("standfast.yaml")
}

/// Is it a whole configuration, with pools in each of its services?
pub fn is_whole(value: &Value) -> bool {
    let services = value.get("services").and_then(Value::as_mapping);
    value.get("listeners").is_some()
        && services.is_some_and(|services| services.values().all(|service| service.get("pools").is_some()))
}

/// The text of a whole configuration: the block itself, or what it is a part of with the block merged into it.
fn completed(block: &Block) -> Result<String, String> {
    let part: Value = serde_yaml::from_str(&block.text).map_err(|error| error.to_string())?;
    let whole = block.notes("part of").next();
    if whole.is_none() && is_whole(&part) {
        return Ok(block.text.clone());
    }
    let mut value = match whole {
        Some(path) => {
            let text = std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))?;
            serde_yaml::from_str(&text).map_err(|error| format!("{path}: {error}"))?
        }
        None => Value::Mapping(Mapping::new()),
    };
    merge(&mut value, part);
    fill(&mut value);
    serde_yaml::to_string(&value).map_err(|error| error.to_string())
}

/// Maps are merged; everything else is replaced.
fn merge(into: &mut Value, part: Value) {
    match (into, part) {
        (Value::Mapping(into), Value::Mapping(part)) => {
            for (key, value) in part {
                match into.get_mut(&key) {
                    Some(old) => merge(old, value),
                    None => drop(into.insert(key, value)),
                }
            }
        }
        (into, part) => *into = part,
    }
}

/// What a part leaves out: pools and checks of its services, the services of its listeners, a listener for its services.
fn fill(value: &mut Value) {
    let Some(top) = value.as_mapping_mut() else { return };
    let mut wanted = Vec::new();
    for listener in top.get("listeners").and_then(Value::as_sequence).into_iter().flatten() {
        let routes = listener.get("routes").and_then(Value::as_sequence).into_iter().flatten();
        let tcp = listener.get("protocol").and_then(Value::as_str) == Some("tcp");
        let names = routes.chain([listener]).filter_map(|it| it.get("service"));
        wanted.extend(names.map(|name| (name.clone(), tcp)));
    }
    if wanted.is_empty() && top.get("services").is_none() {
        wanted.push(("shop".into(), false));
    }
    let services = top.entry("services".into()).or_insert_with(|| Value::Mapping(Mapping::new()));
    let Some(services) = services.as_mapping_mut() else { return };
    for (name, tcp) in wanted {
        let service = services.entry(name).or_insert_with(|| Value::Mapping(Mapping::new()));
        if let (true, Some(service)) = (tcp, service.as_mapping_mut()) {
            service.entry("protocol".into()).or_insert_with(|| "tcp".into());
        }
    }
    let mut listeners = Vec::new();
    for (index, (name, service)) in services.iter_mut().enumerate() {
        if service.is_null() {
            *service = Value::Mapping(Mapping::new());
        }
        let Some(service) = service.as_mapping_mut() else { continue };
        let tcp = service.get("protocol").and_then(Value::as_str) == Some("tcp");
        let check = if tcp { "{tcp: {}}" } else { "{http: /healthz}" };
        service.entry("health_check".into()).or_insert_with(|| yaml(check));
        let pools = "[{name: main, endpoints: [10.0.1.11:8080, 10.0.1.12:8080]}, \
                     {name: standby, endpoints: [10.0.2.11:8080]}]";
        service.entry("pools".into()).or_insert_with(|| yaml(pools));
        let protocol = if tcp { "tcp" } else { "http" };
        let name = name.as_str().unwrap_or("shop");
        let port = 8080 + index;
        listeners
            .push(yaml(&format!("{{name: of-{name}, bind: '0.0.0.0:{port}', protocol: {protocol}, service: {name}}}")));
    }
    top.entry("listeners".into()).or_insert_with(|| Value::Sequence(listeners));
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

fn problem(text: &str) -> Option<String> {
    let page = Page::parse("x.md", text);
    page.blocks.iter().find_map(|block| load(block).err())
}

#[test]
fn parts_are_completed_and_mistakes_are_found() {
    let good = [
        "```yaml\nservices:\n  shop:\n    retry: {hedge: off}\n```\n",
        "```yaml\ndrain_timeout: 1m\n```\n",
        "```yaml\nlisteners:\n  - {name: a, bind: 0.0.0.0:1, protocol: tcp, service: raw}\n```\n",
        "<!-- part of: config/two-regions.yaml -->\n```yaml\nservices:\n  shop:\n    objectives: {rto: 20s}\n```\n",
        "```yaml\n# prometheus.yml\nscrape_configs: []\n```\n",
    ];
    for text in good {
        assert_eq!(problem(text), None, "{text}");
    }
    let bad = [
        ("```yaml\nservices:\n  shop:\n    retries: {hedge: off}\n```\n", "retries"),
        ("<!-- part of: config/two-regions.yaml -->\n```yaml\nservices: {shop: {objectives: {rto: 1s}}}\n```\n", "rto"),
        ("<!-- warns: never -->\n```yaml\ndrain_timeout: 1m\n```\n", "should warn"),
        ("```yaml\nservices:\n  shop:\n    health_check: {http: /, timeout: 3s}\n```\n", "warns"),
    ];
    for (text, expected) in bad {
        let problem = problem(text).unwrap_or_default();
        assert!(problem.contains(expected), "{text}\n{problem}");
    }
}
