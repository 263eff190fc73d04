//! The body of `POST /v1/acts`: a union by `command`, made of the table that the parser reads by.

use serde_json::{Map, Value, json};

use super::super::problem::Problem;
use super::super::v1::{ActRequest, CommandForm, RequestContext, forms, parse};
use super::reference;
use crate::access::{Right, right_of};
use crate::decision::ActCommand;
use crate::time::MonoTime;

/// A command that `POST /v1/acts` takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Command {
    /// Its word.
    pub word: &'static str,
    /// The right that it needs.
    pub right: Right,
}

/// All commands, in the order of the parser's table.
pub fn commands() -> Vec<Command> {
    let command = |form: CommandForm| {
        let request = parsed(&example(&form)).ok()?;
        Some(Command { word: form.word, right: right_of(&request.command) })
    };
    forms().filter_map(command).collect()
}

/// What the parser makes of a body.
fn parsed(body: &Value) -> Result<ActRequest, Problem> {
    let services_in = |_: &str| Vec::new();
    let context = RequestContext { needs_reason: true, now: MonoTime::ZERO, now_unix_ms: 0, services_in: &services_in };
    parse(body.to_string().as_bytes(), &context)
}

/// Everything beside `command` that a body of this form may have.
fn fields(form: &CommandForm) -> impl Iterator<Item = &'static str> {
    let named = form.needs.iter().chain(form.takes).flat_map(|field| field.split('|'));
    named.chain(["reason", "dry"])
}

/// A schema for each command, and their union.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas: Map<String, Value> = forms().map(|form| (schema_name(form.word), schema(&form))).collect();
    let mapping: Map<String, Value> =
        forms().map(|form| (form.word.to_owned(), reference(&schema_name(form.word))["$ref"].clone())).collect();
    let union = json!({
        "description": "A command.",
        "oneOf": forms().map(|form| reference(&schema_name(form.word))).collect::<Vec<_>>(),
        "discriminator": {"propertyName": "command", "mapping": mapping},
    });
    schemas.insert("Act".to_owned(), union);
    schemas
}

/// The body and the head of the operation.
pub(super) fn describe(operation: &mut Value) {
    let examples: Map<String, Value> =
        forms().map(|form| (form.word.to_owned(), json!({"value": example(&form)}))).collect();
    operation["requestBody"] = json!({
        "required": true,
        "description": "The command. At most 64 KiB.",
        "content": {"application/json": {"schema": reference("Act"), "examples": examples}},
    });
    operation["responses"]["200"]["content"]["application/json"]["example"] = json!({
        "id": "5f0c2f5e9d0b4b528f0e2f6f0f3a7c11",
        "outcome": "done",
        "command": "switchover",
        "service": "shop",
        "pool": "south",
        "actor": {"kind": "token", "name": "ada(7k2m9qx4tp)", "origin": "10.0.0.7"},
        "reason": "maintenance of north",
        "epoch": 12,
        "acknowledged": true,
        "workers": 2,
        "incident": {"id": 7, "service": "shop", "from": "north", "to": "south"},
        "sessions": [{"pool": "north", "in_flight": 3, "may_end_within_ms": 30_000}],
        "mark": "000000000000002a.7.12",
        "next": "it fails over by itself when this pool fails; no failback by itself until failback",
    });
    operation["parameters"] = json!([
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The id of the act: sent again within ten minutes it is not carried out again. Without it one is made.",
            "schema": {"type": "string", "pattern": ID},
            "example": "5f0c2f5e-9d0b-4b52-8f0e-2f6f0f3a7c11",
        },
        {
            "name": "If-Match",
            "in": "header",
            "description": "The mark that the service must have, as `mark` and `ETag` of the service show it.",
            "schema": {"type": "string", "pattern": MARK},
            "example": "000000000000002a.7.12",
        },
    ]);
}

/// `switchover` → `SwitchoverAct`
fn schema_name(word: &str) -> String {
    let capital =
        |part: &str| part.chars().take(1).flat_map(char::to_uppercase).chain(part.chars().skip(1)).collect::<String>();
    word.split(['_', '-']).map(capital).collect::<String>() + "Act"
}

fn schema(form: &CommandForm) -> Value {
    let mut properties = Map::new();
    properties.insert("command".to_owned(), json!({"type": "string", "enum": [form.word]}));
    for field in fields(form) {
        properties.insert(field.to_owned(), field_schema(field).unwrap_or_else(|| json!({})));
    }
    if form.word == "reload" {
        // (It cannot be tried.)
        properties.insert(
            "dry".to_owned(),
            json!({"type": "boolean", "enum": [false], "description": "A reload cannot be tried."}),
        );
    }
    let single = form.needs.iter().copied().filter(|field| !field.contains('|'));
    let required: Vec<&str> = std::iter::once("command").chain(single).collect();
    let mut schema = json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    });
    // One of several fields: exactly one, or one at most.
    let one = |field: &str| field.split('|').map(|name| json!({"required": [name]})).collect::<Vec<_>>();
    let needed = form.needs.iter().filter(|field| field.contains('|')).map(|field| json!({"oneOf": one(field)}));
    let most = form.takes.iter().filter(|field| field.contains('|'));
    let most = most.map(|field| json!({"not": {"required": field.split('|').collect::<Vec<_>>()}}));
    let rules: Vec<Value> = needed.chain(most).collect();
    if !rules.is_empty() {
        schema["allOf"] = rules.into();
    }
    schema
}

/// A body that is taken.
fn example(form: &CommandForm) -> Value {
    // (The last of several, which is `for` and `zone`; an endpoint is the first.)
    let one =
        |field: &&'static str| if *field == "until|for" { "for" } else { field.split('|').next().unwrap_or(field) };
    let fields = form.needs.iter().map(one).chain(["reason"]);
    let mut example: Map<String, Value> = fields
        .map(|field| (field.to_owned(), field_schema(field).map_or(Value::Null, |schema| schema["example"].clone())))
        .collect();
    example.insert("command".to_owned(), form.word.into());
    Value::Object(example)
}

/// The schema of a field with an example; `None`: there is no such field.
fn field_schema(field: &str) -> Option<Value> {
    Some(match field {
        "service" => json!({"type": "string", "pattern": NAME, "description": "its name", "example": "shop"}),
        "pool" => json!({"type": "string", "pattern": NAME, "description": "the pool's name", "example": "south"}),
        "endpoint" => json!({
            "type": "string",
            "anyOf": [{"pattern": ipv4_with_port()}, {"pattern": ipv6_with_port()}],
            "description": "the endpoint's address with the port",
            "example": "10.0.0.1:8080",
        }),
        "reason" => json!({
            "type": "string",
            "minLength": 3,
            "pattern": reason(),
            "description": "Why: 3 to 500 characters, space around them not counted. A dry run needs none, nor does an instance with \
                `admin.reasons: optional`.",
            "example": "maintenance of north",
        }),
        "zone" => json!({"type": "string", "pattern": NAME, "description": "the name of a zone", "example": "eu-west"}),
        "for" => json!({
            "type": "string",
            "pattern": "^[1-9][0-9]{0,2}(s|m|h)$",
            "description": "How long it lasts, as 30m or 2h. (Other units and sums such as `1h 30m` are taken, too.)",
            "example": "2h",
        }),
        "until" => json!({
            "type": "string",
            "format": "date-time",
            "description": "When it ends, with an offset (RFC 3339).",
            "example": "2026-01-31T18:00:00+01:00",
        }),
        "scope" => json!({
            "type": "string",
            "enum": ["elective", "all"],
            "default": "elective",
            "description": "`elective`: failback and rollback; `all`: every switch away from a pool.",
            "example": "all",
        }),
        "weight" => json!({
            "type": "integer",
            "minimum": 0,
            "maximum": ActCommand::LARGEST_WEIGHT,
            "description": "Its share inside the pool; 0 gives it no new work.",
            "example": 10,
        }),
        "force" => json!({
            "type": "boolean",
            "default": false,
            "description": "Also where the pool that serves is not available any more then.",
            "example": false,
        }),
        "partial" => json!({
            "type": "boolean",
            "default": false,
            "description": "Also if some services cannot leave: they stay.",
            "example": false,
        }),
        "dry" => {
            json!({"type": "boolean", "default": false, "description": "What would happen? Nothing changes.", "example": false})
        }
        _ => return None,
    })
}

/// What `is_name` takes.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
/// The id of an act, in quotation marks or without.
const ID: &str = "^\"?([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\"?$";
/// A mark, in quotation marks or without.
const MARK: &str = "^\"?[0-9a-f]{16}(\\.(0|[1-9][0-9]{0,18})){2}\"?$";
const PORT: &str = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}|0)";

fn ipv4_with_port() -> String {
    let part = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])";
    format!("^{part}(\\.{part}){{3}}:{PORT}$")
}

/// In brackets, all notations but those that end in an IPv4 address.
fn ipv6_with_port() -> String {
    let part = "[0-9a-fA-F]{1,4}";
    let mut forms = vec![
        format!("({part}:){{7}}{part}"),
        format!("({part}:){{1,7}}:"),
        format!(":(:{part}){{1,7}}"),
        "::".to_owned(),
    ];
    forms.extend((1..=6).map(|before| format!("({part}:){{1,{before}}}(:{part}){{1,{}}}", 7 - before)));
    format!("^\\[({})\\]:{PORT}$", forms.join("|"))
}

/// 3 to 500 characters between two that are no white space as Unicode has it.
fn reason() -> String {
    let space = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
    format!("^[{space}]*[^{space}][\\s\\S]{{1,498}}[^{space}][{space}]*$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_parser_is_described_and_its_example_is_taken() {
        let schemas = schemas();
        assert_eq!(commands().len(), forms().count(), "an example that the parser does not take");
        assert_eq!(schemas.len(), forms().count() + 1);
        for form in forms() {
            let name = schema_name(form.word);
            assert_eq!(schemas["Act"]["discriminator"]["mapping"][form.word], format!("#/components/schemas/{name}"));
            for field in fields(&form) {
                let described = field_schema(field).unwrap_or_else(|| panic!("{}: no schema for {field}", form.word));
                assert!(!described["example"].is_null() && !described["description"].is_null(), "{field}");
            }
            let mut body = example(&form);
            body["command"] = form.word.into();
            for field in form.takes.iter().copied().chain(["dry"]) {
                let field = if field == "until|for" { "until" } else { field };
                body[field] = field_schema(field).expect("a schema")["example"].clone();
            }
            parsed(&body).unwrap_or_else(|problem| panic!("{}: {problem:?}", form.word));
        }
    }

    #[test]
    fn a_field_that_is_needed_is_refused_without_and_one_that_is_unknown_with() {
        for form in forms() {
            for field in form.needs {
                let mut body = example(&form);
                field.split('|').for_each(|field| drop(body.as_object_mut().expect("an object").remove(field)));
                assert!(parsed(&body).is_err(), "{} without {field}", form.word);
            }
            let mut body = example(&form);
            body["unknown"] = 1.into();
            assert!(parsed(&body).is_err(), "{}", form.word);
        }
    }

    #[test]
    fn names_of_schemas() {
        assert_eq!(schema_name("switchover"), "SwitchoverAct");
        assert_eq!(schema_name("a_b"), "ABAct");
    }
}
