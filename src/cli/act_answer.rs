//! The answer to a command: in words, and as an exit code.

use std::fmt::Write as _;

use hyper::StatusCode;
use serde_json::Value;

use super::ask::printable as printed;
use super::exit::ExitReason;

/// What an answer means.
pub(super) fn exit_of(status: StatusCode, answer: &Value) -> ExitReason {
    match (status, answer["code"].as_str()) {
        // (`act show` of an act that was refused.)
        (status, _) if status.is_success() && answer["outcome"] == "refused" => ExitReason::No,
        // (Some services stay where they are.)
        (status, _) if status.is_success() && answer["outcome"] == "partly" => ExitReason::No,
        (status, _) if status.is_success() => ExitReason::Done,
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS, _) => ExitReason::NotAllowed,
        (StatusCode::PRECONDITION_FAILED, _) | (_, Some("id_reused")) => ExitReason::Changed,
        // (The engine has taken it, and did not say what came of it.)
        (_, Some("no_answer")) => ExitReason::Unknown,
        (StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY, _) => ExitReason::No,
        (_, Some("not_recorded")) => ExitReason::No,
        _ => ExitReason::NotAsked,
    }
}

/// `shop: eu-west → eu-north, epoch 4711, 3 of 3 workers`, and what follows by itself.
pub(super) fn told(answer: &Value) -> String {
    let text = |field: &str| answer[field].as_str().map(printed);
    let service = text("service").map(|service| format!("{service}: ")).unwrap_or_default();
    let object = ["pool", "endpoint", "zone"].into_iter().find_map(text);
    let object = object.map(|object| format!(" {object}")).unwrap_or_default();
    let command = text("command").unwrap_or_default();
    let incident = &answer["incident"];
    let pool = |field: &str| incident[field].as_str().map_or("no pool".to_owned(), printed);
    let what = match text("outcome").as_deref() {
        Some("no_change") => format!("{command}{object}: it is so already"),
        Some("waiting") => format!("{command}{object} waits for the gates of its switch"),
        Some("partly") => format!("{command}{object} done in part"),
        Some("refused") => format!("{command}{object} was refused: {}", text("refusal").unwrap_or_default()),
        _ if incident.is_object() => format!("{} → {}", pool("from"), pool("to")),
        _ => format!("{command}{object} done"),
    };
    let would = if answer["dry"] == true { "would be: " } else { "" };
    let mut line = format!("{would}{service}{what}");
    if let Some(epoch) = answer["epoch"].as_u64() {
        let _ = write!(line, ", epoch {epoch}");
    }
    if let (Some(acknowledged), Some(workers)) = (answer["acknowledged"].as_bool(), answer["workers"].as_u64()) {
        let _ = match acknowledged {
            true => write!(line, ", all of {workers} workers"),
            false => write!(line, ", NOT YET ALL of {workers} workers"),
        };
    }
    line.push('\n');
    let list = |field: &str| answer[field].as_array().into_iter().flatten();
    let of = |value: &Value, field: &str| value[field].as_str().map_or_else(|| "no pool".to_owned(), printed);
    for moved in list("moves") {
        let _ = writeln!(line, "  {}: {} → {}", of(moved, "service"), of(moved, "from"), of(moved, "to"));
    }
    for stays in list("stays") {
        let _ = writeln!(line, "  {} STAYS: {}", of(stays, "service"), of(stays, "why"));
    }
    for warning in list("warnings").filter_map(Value::as_str) {
        let _ = writeln!(line, "warning: {}", printed(warning));
    }
    for left in answer["sessions"].as_array().into_iter().flatten() {
        let pool = left["pool"].as_str().map_or_else(String::new, printed);
        let count = left["in_flight"].as_u64().unwrap_or(0);
        let _ = match left["may_end_within_ms"].as_u64() {
            Some(within) => {
                writeln!(line, "{count} requests and sessions on {pool} may end within {} s", within.div_ceil(1000))
            }
            None => writeln!(line, "{count} requests and sessions on {pool} are closed"),
        };
    }
    if let Some(next) = text("next") {
        let _ = writeln!(line, "next: {next}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_line_and_what_follows() {
        let answer = serde_json::json!({
            "outcome": "done", "command": "switchover", "service": "shop", "pool": "eu-north", "epoch": 4711,
            "acknowledged": true, "workers": 3, "incident": {"id": 7, "from": "eu-west", "to": "eu-north"},
            "next": "it fails over by itself\u{1b}[2J",
        });
        let expected =
            "shop: eu-west → eu-north, epoch 4711, all of 3 workers\nnext: it fails over by itself\u{fffd}[2J\n";
        assert_eq!(told(&answer), expected);
        let answer = serde_json::json!({"outcome": "no_change", "command": "pin", "service": "shop", "pool": "b"});
        assert_eq!(told(&answer), "shop: pin b: it is so already\n");
        let answer = serde_json::json!({
            "outcome": "partly", "command": "evacuate", "zone": "eu", "epoch": 7,
            "moves": [{"service": "shop", "from": "a", "to": "b"}], "stays": [{"service": "pay", "why": "it is held"}],
        });
        assert_eq!(told(&answer), "evacuate eu done in part, epoch 7\n  shop: a → b\n  pay STAYS: it is held\n");
    }

    #[test]
    fn every_answer_has_its_exit_code() {
        let exit = |status, code: &str| {
            let answer = serde_json::json!({"code": code});
            exit_of(StatusCode::from_u16(status).unwrap(), &answer).code()
        };
        for (status, code) in [(200, 0), (202, 0), (404, 1), (409, 1), (422, 1), (400, 2), (503, 2), (401, 3), (403, 3)]
        {
            assert_eq!(exit(status, "any"), code, "{status}");
        }
        for (status, code, expected) in
            [(412, "mark_changed", 4), (422, "id_reused", 4), (503, "no_answer", 5), (503, "not_recorded", 1)]
        {
            assert_eq!(exit(status, code), expected, "{code}");
        }
        let refused = serde_json::json!({"outcome": "refused"});
        assert_eq!(exit_of(StatusCode::OK, &refused), ExitReason::No);
    }
}
