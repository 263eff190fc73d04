//! `standfast check`: whether a configuration is valid, what it means for each service, and the arithmetic behind its RTO.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use standfast::config::{self, Detection, LoadedConfig, PoolMembers, Problem, Problems, Service, Severity};
use standfast::control::{materials, surroundings};
use standfast::text::{printable, printable_json};

use super::config_file::ConfigFile;
use super::exit::ExitReason;
use super::text_table::{TextLayout, TextStyle, paint};

/// Check a configuration file: every problem at once, and the arithmetic behind the recovery objectives
///
/// Each problem is shown with its line and what to write instead. Certificates, keys and CAs that the file names are read too;
/// a certificate that expires within 14 days is a warning.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub file: ConfigFile,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = CheckOutput::Human)]
    pub output: CheckOutput,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CheckOutput {
    /// Each problem with its line, with colour on a terminal
    Human,
    /// One JSON object with `valid`, `problems`, `warnings` and `services`
    Json,
}

/// Check, tell, and say it in the exit code.
pub fn run(args: &CheckArgs) -> ExitCode {
    let (file, found) = match args.file.find("check") {
        Ok(file) => (file.clone(), examine(&file)),
        Err(problems) => (problems.file.clone(), Err(problems)),
    };
    let mut out = io::stdout().lock();
    let colour = TextLayout::of(&out).colour;
    let text = match (args.output, &found) {
        (CheckOutput::Json, found) => printable_json(&format!("{:#}\n", for_programs(found))),
        (CheckOutput::Human, Ok(loaded)) => valid(loaded, &file, colour),
        (CheckOutput::Human, Err(problems)) => refused(problems, colour),
    };
    // A reader that has seen enough (`| head`) is no error.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    code(&found).into()
}

/// Reads a configuration and every file that it names, as a start does.
///
/// # Errors
/// Every problem of all of them.
pub fn examine(file: &Path) -> Result<LoadedConfig, Problems> {
    examined(config::load(file), file)
}

/// The same for a configuration that was read: a pipe can be read once.
///
/// # Errors
/// Every problem of the file and of those that it names.
pub fn examined(found: Result<LoadedConfig, Problems>, file: &Path) -> Result<LoadedConfig, Problems> {
    let found = materials::examine(found, file);
    let here = found.as_ref().map(|loaded| surroundings::warnings(&loaded.config)).unwrap_or_default();
    let warning = |what: &String| Problem::without_place(Severity::Warning, "", what, "");
    config::with_problems(found, file, here.iter().map(warning).collect())
}

fn code(found: &Result<LoadedConfig, Problems>) -> ExitReason {
    match found {
        Ok(_) => ExitReason::Done,
        Err(problems) => exit(problems),
    }
}

/// The exit code for a file that is refused.
pub fn exit(problems: &Problems) -> ExitReason {
    if problems.unreadable { ExitReason::NotAsked } else { ExitReason::No }
}

/// A line a service, with its pools and the worst case of a fault that only the checks can find.
fn valid(loaded: &LoadedConfig, file: &Path, colour: bool) -> String {
    let config = &loaded.config;
    let mut text: String = loaded.warnings.iter().map(|warning| warning.explain(file, colour) + "\n").collect();
    let width = config.services.iter().map(|service| service.name.chars().count()).max().unwrap_or(0);
    for service in &config.services {
        text.push_str(&format!(
            "{} {:width$}  {}\n",
            paint("ok", TextStyle::Good, colour),
            service.name,
            pools(service)
        ));
        for line in arithmetic(service) {
            text.push_str(&format!("   {:width$}  {}\n", "", line));
        }
    }
    let (services, listeners) = (config.services.len(), config.listeners.len());
    let warnings = match loaded.warnings.len() {
        0 => String::new(),
        n => format!(", {}", count(n, "warning")),
    };
    let (listeners, services) = (count(listeners, "listener"), count(services, "service"));
    text.push_str(&format!("{}: valid: {listeners}, {services}{warnings}\n", name(file)));
    text
}

/// `eu-west (2 endpoints) ▸ sorry (503)`
fn pools(service: &Service) -> String {
    let pool = |pool: &config::Pool| match &pool.members {
        PoolMembers::Endpoints(endpoints) => {
            let addresses = Some(endpoints.len()).filter(|n| *n > 0 || pool.names.is_empty());
            let names = Some(pool.names.len()).filter(|n| *n > 0);
            let parts = [addresses.map(|n| count(n, "endpoint")), names.map(|n| count(n, "name"))];
            format!("{} ({})", pool.name, parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        PoolMembers::Static(answer) => format!("{} ({})", pool.name, answer.status),
    };
    let glue = match service.mode {
        config::Mode::ActivePassive => " ▸ ",
        config::Mode::ActiveActive => " + ",
    };
    service.pools.iter().map(pool).collect::<Vec<_>>().join(glue)
}

/// One line for pools that share their sum.
fn arithmetic(service: &Service) -> Vec<String> {
    let groups = config::by_sum(config::detections(service));
    let several = groups.len() > 1;
    let line = |group: &Vec<Detection>| {
        let line = match &group[0] {
            detection if detection.worst.is_some() => format!("a silent fault is found within {detection}"),
            _ => "no health check: only failing requests show a fault".to_owned(),
        };
        let pools: Vec<&str> = group.iter().map(|detection| &*detection.pool).collect();
        if several { format!("{}: {line}", pools.join(", ")) } else { line }
    };
    groups.iter().map(line).collect()
}

/// All problems with their lines, and how many there are.
pub fn refused(problems: &Problems, colour: bool) -> String {
    let warnings = problems.list.len() - problems.errors();
    let mut summary = count(problems.errors(), "problem");
    if warnings > 0 {
        summary.push_str(&format!(", {}", count(warnings, "warning")));
    }
    format!(
        "{}{}: {}: {summary}\n",
        problems.explain(colour),
        name(&problems.file),
        paint("refused", TextStyle::Bad, colour)
    )
}

/// `{"valid": …, "problems": […], "warnings": […], "services": [{"service", "pool", "worst_ms", "objective_ms", …}]}`
fn for_programs(found: &Result<LoadedConfig, Problems>) -> Value {
    match found {
        Ok(loaded) => {
            let detections = loaded.config.services.iter().flat_map(|service| config::detections(service));
            let services: Vec<Value> = detections.map(|detection| detected(&detection)).collect();
            json!({ "valid": true, "problems": [], "warnings": loaded.warnings, "services": services })
        }
        Err(problems) => {
            let is_warning = |problem: &&Problem| problem.severity == Severity::Warning;
            let (warnings, errors): (Vec<_>, Vec<_>) = problems.list.iter().partition(is_warning);
            let unreadable = problems.unreadable;
            json!({ "valid": false, "unreadable": unreadable, "problems": errors, "warnings": warnings, "services": [] })
        }
    }
}

fn detected(detection: &Detection) -> Value {
    let ms = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
    json!({
        "service": detection.service,
        "pool": detection.pool,
        "worst_ms": ms(detection.worst),
        "objective_ms": ms(detection.objective),
        "arithmetic": detection.arithmetic,
    })
}

fn name(file: &Path) -> String {
    printable(&file.display().to_string()).into_owned()
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
listeners: [{name: web, bind: 0.0.0.0:8080, service: shop}]
services:
  shop:
    objectives: {rto: 10s}
    health_check: {http: /}
    pools:
      - {name: west, endpoints: [10.0.0.1:80, 10.0.0.2:80]}
      - {name: sorry, static_response: {}}
";

    #[test]
    fn a_valid_file_is_told_with_its_pools_and_the_arithmetic() {
        let found = config::parse(FILE, Path::new(""));
        assert_eq!(code(&found), ExitReason::Done);
        let text = found.map(|loaded| valid(&loaded, Path::new("f.yaml"), false)).unwrap_or_else(|p| p.to_string());
        let expected = "\
ok shop  west (2 endpoints) ▸ sorry (503)
         a silent fault is found within 2s × 1.1 + 3 × 1s + 2 × 500ms = 6.2s ≤ rto 10s
f.yaml: valid: 1 listener, 1 service
";
        assert_eq!(text, expected);
    }

    #[test]
    fn programs_get_problems_and_warnings_apart_from_each_other() {
        let found = config::parse(&FILE.replace("10s", "1s").replace("http: /", "http: /, timeout: 3s"), Path::new(""));
        assert_eq!(code(&found), ExitReason::No);
        let value = for_programs(&found);
        assert_eq!(value["valid"], json!(false));
        assert_eq!(value["problems"][0]["path"], json!("services.shop.objectives.rto"));
        assert_eq!(value["warnings"][0]["line"], json!(6));
    }

    #[test]
    fn the_help_names_the_keys_that_are_written() {
        let json = <CheckOutput as clap::ValueEnum>::to_possible_value(&CheckOutput::Json);
        let help = json.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default();
        let written = for_programs(&config::parse(FILE, Path::new("")));
        for key in written.as_object().into_iter().flatten().map(|(key, _)| key) {
            assert!(help.contains(&format!("`{key}`")), "{key}: {help}");
        }
        assert!(written.is_object());
    }

    #[test]
    fn a_file_that_cannot_be_read_has_a_code_of_its_own() {
        let found = examine(Path::new("/nowhere/at/all.yaml"));
        assert_eq!(code(&found), ExitReason::NotAsked);
        assert_eq!(for_programs(&found)["unreadable"], json!(true));
    }
}
