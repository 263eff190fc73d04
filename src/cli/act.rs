//! The commands that change what a running instance does: one act each, sent to `/v1/acts` of one instance or of several.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use standfast::control::new_act_id;
use standfast::decision::ActId;
use standfast::sys::clock;
use standfast::text::{printable, printable_json};

use super::act_answer::{exit_of, told};
use super::ask::{AdminRequest, AskError, InstanceArgs, problem_text};
use super::exit::ExitReason;

/// Move a service to another pool, and keep it there
#[derive(Clone, Debug, clap::Args)]
pub struct ToPoolArgs {
    /// The service
    service: String,
    /// The pool
    pool: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Keep a service on a pool
#[derive(Clone, Debug, clap::Args)]
pub struct PinArgs {
    /// The service
    service: String,
    /// The pool
    pool: String,
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    act: ActArgs,
}

/// What concerns a service as a whole
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    /// The service
    service: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Keep a service where it is
#[derive(Clone, Debug, clap::Args)]
pub struct HoldArgs {
    /// The service
    service: String,
    /// elective: failback and rollback; all: every switch, also a failover
    #[arg(value_parser = ["elective", "all"], default_value = "elective")]
    scope: String,
    #[command(flatten)]
    end: NeededEndArgs,
    #[command(flatten)]
    act: ActArgs,
}

/// What concerns endpoints
#[derive(Clone, Debug, clap::Args)]
pub struct EndpointArgs {
    /// The service
    service: String,
    /// The endpoint's address with its port
    #[arg(required_unless_present_any = ["pool", "zone"], conflicts_with_all = ["pool", "zone"])]
    endpoint: Option<String>,
    /// Every endpoint of this pool
    #[arg(long, conflicts_with = "zone")]
    pool: Option<String>,
    /// Every endpoint of the pools in this zone
    #[arg(long)]
    zone: Option<String>,
    #[command(flatten)]
    act: ActArgs,
}

/// Take endpoints out of use
#[derive(Clone, Debug, clap::Args)]
pub struct TakeOutArgs {
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// Also where the pool that serves is not available any more then
    #[arg(long)]
    force: bool,
    /// Wait until nothing is in flight there, for so many seconds at most
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,
}

/// What concerns one endpoint
#[derive(Clone, Debug, clap::Args)]
pub struct OneEndpointArgs {
    /// The service
    service: String,
    /// The endpoint's address with its port
    endpoint: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Eject an endpoint
#[derive(Clone, Debug, clap::Args)]
pub struct EjectArgs {
    #[command(flatten)]
    endpoint: OneEndpointArgs,
    /// Also where the pool that serves is not available any more then
    #[arg(long)]
    force: bool,
}

/// Give an endpoint another weight
#[derive(Clone, Debug, clap::Args)]
pub struct WeightArgs {
    /// The service
    service: String,
    /// The endpoint's address with its port
    endpoint: String,
    /// Its share, up to 1000; 0 gives it no new work
    weight: u32,
    #[command(flatten)]
    end: EndArgs,
    /// Also where the pool that serves is not available any more then
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    act: ActArgs,
}

/// Leave a zone
#[derive(Clone, Debug, clap::Args)]
pub struct EvacuateArgs {
    /// The zone
    zone: String,
    #[command(flatten)]
    end: NeededEndArgs,
    /// Also if some services cannot leave: they stay
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    act: ActArgs,
}

/// End the evacuation of a zone
#[derive(Clone, Debug, clap::Args)]
pub struct ZoneArgs {
    /// The zone
    zone: String,
    #[command(flatten)]
    act: ActArgs,
}

/// Put the configuration file into force
#[derive(Clone, Debug, clap::Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    act: ActArgs,
}

/// When it ends by itself.
#[derive(Clone, Debug, clap::Args)]
struct EndArgs {
    /// How long it lasts: 30m, 2h
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<String>,
    /// When it ends: 2026-01-31T18:00:00+01:00
    #[arg(long, value_name = "TIME", conflicts_with = "lasts")]
    until: Option<String>,
}

/// When it ends by itself, which must be said.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct NeededEndArgs {
    /// How long it lasts: 30m, 2h
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<String>,
    /// When it ends: 2026-01-31T18:00:00+01:00
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// What every act has.
#[derive(Clone, Debug, clap::Args)]
struct ActArgs {
    /// Why: it stands in the log and in the audit log (asked for on a terminal)
    #[arg(short = 'm', long = "reason", value_name = "TEXT")]
    reason: Option<String>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only while this is the service's mark (`mark` of `standfast status --output json`)
    #[arg(long, value_name = "MARK")]
    if_mark: Option<String>,
    /// Do not ask whether it is meant
    #[arg(short, long)]
    yes: bool,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = ActOutput::Human)]
    output: ActOutput,
    #[command(flatten)]
    instances: InstancesArgs,
}

/// The instances to command, and the credential.
#[derive(Clone, Debug, clap::Args)]
struct InstancesArgs {
    /// The instance: unix:PATH (`admin.socket`), host:port (`admin.bind`), or a URL; more than once for several instances [default:
    /// unix:/run/standfast/admin.sock where it exists, else 127.0.0.1:9901]
    #[arg(long, env = "STANDFAST_ADMIN", value_name = "ADDRESS")]
    admin: Vec<String>,
    /// A file with a bearer token (`standfast token create` makes one)
    #[arg(long, env = "STANDFAST_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The CA certificates (PEM) that the instance's certificate is verified against [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl InstancesArgs {
    /// Each of them; at least one.
    fn each(&self) -> Vec<InstanceArgs> {
        let one = |admin: Option<&String>| InstanceArgs {
            admin: admin.cloned(),
            token_file: self.token_file.clone(),
            ca: self.ca.clone(),
        };
        match self.admin.is_empty() {
            true => vec![one(None)],
            false => self.admin.iter().map(|admin| one(Some(admin))).collect(),
        }
    }
}

/// Look an act up
#[derive(Clone, Debug, clap::Args)]
pub struct ActShowArgs {
    /// The id of the act
    id: String,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = ActOutput::Human)]
    output: ActOutput,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// What was done by earlier acts
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ActCommands {
    /// Show what came of an act
    Show(ActShowArgs),
}

/// The reader of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ActOutput {
    /// A line, and what happens next by itself
    Human,
    /// The JSON of the interface
    Json,
}

/// A command with its objects, as the interface takes it.
struct CommandBody {
    word: &'static str,
    /// For people: what it is about.
    object: String,
    json: Value,
}

impl CommandBody {
    fn new(word: &'static str, fields: &[(&str, Option<&str>)]) -> CommandBody {
        let mut body = CommandBody { word, object: String::new(), json: json!({"command": word}) };
        for (field, value) in fields.iter().filter_map(|(field, value)| Some((*field, (*value)?))) {
            body.json[field] = value.into();
            if !matches!(field, "for" | "until") {
                body.object.push(' ');
                body.object.push_str(value);
            }
        }
        body
    }

    fn with(mut self, field: &str, value: impl Into<Value>) -> CommandBody {
        self.json[field] = value.into();
        self
    }

    fn flag(self, field: &str, set: bool) -> CommandBody {
        if set { self.with(field, true) } else { self }
    }
}

/// Moves a service.
pub fn switchover(args: &ToPoolArgs) -> ExitCode {
    let fields = [("service", Some(&*args.service)), ("pool", Some(&*args.pool))];
    carry_out(CommandBody::new("switchover", &fields), &args.act)
}

/// Keeps a service on a pool.
pub fn pin(args: &PinArgs) -> ExitCode {
    let fields = [
        ("service", Some(&*args.service)),
        ("pool", Some(&*args.pool)),
        ("for", args.end.lasts.as_deref()),
        ("until", args.end.until.as_deref()),
    ];
    carry_out(CommandBody::new("pin", &fields), &args.act)
}

/// Carries out a command on a service.
pub fn on_service(word: &'static str, args: &ServiceArgs) -> ExitCode {
    carry_out(CommandBody::new(word, &[("service", Some(&*args.service))]), &args.act)
}

/// Keeps a service where it is.
pub fn hold(args: &HoldArgs) -> ExitCode {
    let fields = [
        ("service", Some(&*args.service)),
        ("scope", Some(&*args.scope)),
        ("for", args.end.lasts.as_deref()),
        ("until", args.end.until.as_deref()),
    ];
    carry_out(CommandBody::new("hold", &fields), &args.act)
}

/// Takes endpoints back into use.
pub fn ready(args: &EndpointArgs) -> ExitCode {
    carry_out(on_endpoints("ready", args), &args.act)
}

/// Takes endpoints out of use, and waits where that is asked for.
pub fn take_out(word: &'static str, args: &TakeOutArgs) -> ExitCode {
    let TakeOutArgs { endpoints, force, wait } = args;
    let exit = carry_out_all(on_endpoints(word, endpoints).flag("force", *force), &endpoints.act);
    let Some(seconds) = wait.filter(|_| exit == ExitReason::Done && !endpoints.act.dry_run) else { return exit.into() };
    until_idle(word, endpoints, Duration::from_secs(seconds)).into()
}

fn on_endpoints(word: &'static str, args: &EndpointArgs) -> CommandBody {
    let fields = [
        ("service", Some(&*args.service)),
        ("endpoint", args.endpoint.as_deref()),
        ("pool", args.pool.as_deref()),
        ("zone", args.zone.as_deref()),
    ];
    CommandBody::new(word, &fields)
}

/// Gives an endpoint another weight.
pub fn weight(args: &WeightArgs) -> ExitCode {
    let fields = [
        ("service", Some(&*args.service)),
        ("endpoint", Some(&*args.endpoint)),
        ("for", args.end.lasts.as_deref()),
        ("until", args.end.until.as_deref()),
    ];
    let mut body = CommandBody::new("weight", &fields).with("weight", args.weight).flag("force", args.force);
    body.object.push_str(&format!(" {}", args.weight));
    carry_out(body, &args.act)
}

/// Ejects an endpoint.
pub fn eject(args: &EjectArgs) -> ExitCode {
    carry_out(on_endpoint("eject", &args.endpoint).flag("force", args.force), &args.endpoint.act)
}

/// Ends an ejection.
pub fn uneject(args: &OneEndpointArgs) -> ExitCode {
    carry_out(on_endpoint("uneject", args), &args.act)
}

/// Takes the data of an endpoint for the right one.
pub fn accept(args: &OneEndpointArgs) -> ExitCode {
    carry_out(on_endpoint("accept", args), &args.act)
}

fn on_endpoint(word: &'static str, args: &OneEndpointArgs) -> CommandBody {
    CommandBody::new(word, &[("service", Some(&*args.service)), ("endpoint", Some(&*args.endpoint))])
}

/// Leaves a zone.
pub fn evacuate(args: &EvacuateArgs) -> ExitCode {
    let fields =
        [("zone", Some(&*args.zone)), ("for", args.end.lasts.as_deref()), ("until", args.end.until.as_deref())];
    carry_out(CommandBody::new("evacuate", &fields).flag("partial", args.partial), &args.act)
}

/// Ends the evacuation of a zone.
pub fn end_evacuation(args: &ZoneArgs) -> ExitCode {
    carry_out(CommandBody::new("return", &[("zone", Some(&*args.zone))]), &args.act)
}

/// Puts the configuration file into force.
pub fn reload(args: &ReloadArgs) -> ExitCode {
    carry_out(CommandBody::new("reload", &[]), &args.act)
}

/// Shows what came of an act.
pub fn show(args: &ActShowArgs) -> ExitCode {
    let Ok(id) = args.id.parse::<ActId>() else {
        return fail("act show", "not the id of an act: 32 hexadecimal digits, or a UUID").into();
    };
    match args.instance.get(&format!("/v1/acts/{id}")) {
        Ok((status, text)) => answered("act show", "", status, &text, args.output).into(),
        Err(problem) => fail("act show", &problem.to_string()).into(),
    }
}

fn carry_out(body: CommandBody, args: &ActArgs) -> ExitCode {
    carry_out_all(body, args).into()
}

/// Sends the command to every instance, with one id. The worst answer is the exit code.
fn carry_out_all(body: CommandBody, args: &ActArgs) -> ExitReason {
    let CommandBody { word, object, mut json } = body;
    let instances = args.instances.each();
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    let reason = match &args.reason {
        Some(reason) => Some(reason.clone()),
        None if asks && !args.dry_run => question(&format!("reason for {word}{object}: ")),
        None => None,
    };
    if args.dry_run {
        json["dry"] = true.into();
    } else if asks
        && !args.yes
        && let Err(exit) = confirm(word, &object, &json, &instances, args)
    {
        return exit;
    }
    if let Some(reason) = reason {
        json["reason"] = reason.into();
    }
    let Some(id) = new_act_id() else { return fail(word, "the system gives no random numbers") };
    let several = instances.len() > 1;
    let exits = instances.iter().map(|instance| {
        let from = if several { format!("{}: ", instance.address()) } else { String::new() };
        match instance.ask(&request(args, Some(id), &json)) {
            Ok((status, text)) => answered(word, &from, status, &text, args.output),
            Err(AskError::NotSent(problem)) => fail(word, &problem),
            Err(AskError::NoAnswer(problem)) => {
                eprintln!(
                    "standfast {word}: {}\nThe outcome is unknown: `standfast act show {id}` tells it.",
                    printable(&problem)
                );
                ExitReason::Unknown
            }
        }
    });
    let exits: Vec<ExitReason> = exits.collect();
    exits.into_iter().max_by_key(|exit| exit.code()).unwrap_or(ExitReason::NotAsked)
}

/// Shows what would happen at each instance, and asks whether it is meant.
fn confirm(
    word: &str,
    object: &str,
    body: &Value,
    instances: &[InstanceArgs],
    args: &ActArgs,
) -> Result<(), ExitReason> {
    let mut plans = String::new();
    // (A reload cannot be tried.)
    for instance in instances.iter().filter(|_| word != "reload") {
        match plan(instance, args, body) {
            Ok(plan) => plans.push_str(&plan),
            Err((status, text)) => return Err(answered(word, "", status, &text, args.output)),
        }
    }
    let answer = question(&format!("{plans}{word}{object}? [y/N] ")).unwrap_or_default();
    match matches!(answer.to_lowercase().as_str(), "y" | "yes") {
        true => Ok(()),
        false => Err(fail(word, "not confirmed: nothing was done")),
    }
}

fn request(args: &ActArgs, id: Option<ActId>, body: &Value) -> AdminRequest<'static> {
    let act = id.map(|id| id.to_string());
    AdminRequest { method: Method::POST, path: "/v1/acts", act, mark: args.if_mark.clone(), body: body.to_string() }
}

/// What would happen, in words (empty when that cannot be told), or the refusal.
fn plan(instance: &InstanceArgs, args: &ActArgs, body: &Value) -> Result<String, (StatusCode, String)> {
    let mut body = body.clone();
    body["dry"] = true.into();
    match instance.ask(&request(args, None, &body)) {
        Ok((StatusCode::OK, text)) => {
            Ok(serde_json::from_str(&text).map_or_else(|_| String::new(), |answer| told(&answer)))
        }
        Ok(refusal) => Err(refusal),
        Err(_) => Ok(String::new()),
    }
}

/// Waits until no request or session is left on these endpoints of every instance.
fn until_idle(word: &str, endpoints: &EndpointArgs, patience: Duration) -> ExitReason {
    /// Between two looks.
    const PAUSE: Duration = Duration::from_millis(500);
    let end = clock::now().after(patience);
    loop {
        let mut left = 0;
        for instance in endpoints.act.instances.each() {
            match instance.get(&format!("/v1/services/{}", endpoints.service)) {
                Ok((StatusCode::OK, text)) => match in_flight(&text, endpoints) {
                    Some(found) => left += found,
                    None => return fail(word, "these endpoints are not there any more"),
                },
                Ok((status, text)) => return answered(word, "", status, &text, endpoints.act.output),
                Err(problem) => return fail(word, &problem.to_string()),
            }
        }
        match left {
            0 => return ExitReason::Done,
            left if clock::now() >= end => {
                eprintln!("standfast {word}: {left} requests and sessions are still in flight there");
                return ExitReason::No;
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}

/// Requests and sessions on the selected endpoints of a service; `None` = it has none of them.
fn in_flight(service: &str, selected: &EndpointArgs) -> Option<u64> {
    let service: Value = serde_json::from_str(service).unwrap_or_default();
    let pools = service["pools"].as_array().into_iter().flatten();
    let is_in = |pool: &&Value| {
        let is = |field: &str, wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| pool[field] == wanted);
        is("name", &selected.pool) && is("zone", &selected.zone)
    };
    let endpoints = pools.filter(is_in).flat_map(|pool| pool["endpoints"].as_array().into_iter().flatten());
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    let wanted = |endpoint: &&Value| {
        let shown = endpoint["address"].as_str().and_then(address);
        selected.endpoint.as_deref().is_none_or(|wanted| shown.is_some() && shown == address(wanted))
    };
    let mut found = endpoints.filter(wanted).filter_map(|endpoint| endpoint["in_flight"].as_u64()).peekable();
    found.peek()?;
    Some(found.sum())
}

fn question(text: &str) -> Option<String> {
    let mut error = io::stderr();
    error.write_all(text.as_bytes()).and_then(|()| error.flush()).ok()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).ok()?;
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

fn fail(command: &str, problem: &str) -> ExitReason {
    eprintln!("standfast {command}: {}", printable(problem));
    ExitReason::NotAsked
}

/// Shows an answer, and says what it means. `from`: the instance, where there are several.
fn answered(command: &str, from: &str, status: StatusCode, text: &str, output: ActOutput) -> ExitReason {
    let Ok(answer) = serde_json::from_str::<Value>(text) else {
        return fail(command, &format!("{from}the answer is not one of Standfast: {status}"));
    };
    // A reader that has seen enough (`| head`) is no error.
    let _ = match output {
        ActOutput::Json => writeln!(io::stdout(), "{}", printable_json(text.trim_end())),
        ActOutput::Human if status.is_success() => write!(io::stdout(), "{from}{}", told(&answer)),
        ActOutput::Human => {
            let problem = problem_text(text).unwrap_or_else(|| format!("{status}\n"));
            write!(io::stderr(), "standfast {command}: {from}{problem}")
        }
    };
    exit_of(status, &answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_counted_where_it_was_selected() {
        let service = r#"{"pools": [
            {"name": "a", "zone": "z", "endpoints": [{"address": "10.0.0.1:80", "in_flight": 3}, {"address": "10.0.0.2:80", "in_flight": 4}]},
            {"name": "b", "endpoints": [{"address": "10.0.0.3:80", "in_flight": 5}]},
            {"name": "d", "endpoints": [{"address": "[2001:db8::1]:80", "in_flight": 9}]}]}"#;
        let select = |words: &[&str]| {
            #[derive(clap::Parser)]
            struct Line {
                #[command(flatten)]
                endpoints: EndpointArgs,
            }
            let line = <Line as clap::Parser>::try_parse_from(["x", "shop"].iter().chain(words)).expect("arguments");
            in_flight(service, &line.endpoints)
        };
        assert_eq!(select(&["10.0.0.2:80"]), Some(4));
        assert_eq!(select(&["--pool", "b"]), Some(5));
        assert_eq!(select(&["--zone", "z"]), Some(7));
        assert_eq!(select(&["--pool", "c"]), None);
        assert_eq!(select(&["[2001:DB8::1]:80"]), Some(9), "however it is written");
    }
}
