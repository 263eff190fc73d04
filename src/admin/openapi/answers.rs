//! What every operation has: its credential, the problems of the gate, and the form of problems; and links between operations.

use serde_json::{Value, json};

use super::super::gate::is_open;
use super::reference;

/// The media type of a problem.
const PROBLEM: &str = "application/problem+json";

/// What the gate answers instead of a route: status, description, an example's code and detail.
const OF_THE_GATE: [(&str, &str); 5] = [
    ("401", "`credential_missing`, `credential_unknown`, `credential_expired`: this needs a credential"),
    ("403", "`not_allowed`: the credential has not the role; `cross_origin`: a page of another origin sent it"),
    ("421", "`wrong_host`: the request is for a host that is not of this instance"),
    ("429", "`too_many_failures`: too many credentials from this address have failed"),
    (
        "503",
        "`no_answer`: the control plane does not answer; `busy`: too many requests of this kind; `not_recorded`: the audit log \
             cannot be written",
    ),
];

/// Problems with what they look like: status, code, detail, advice.
const EXAMPLES: [(&str, &str, &str, &str, &str); 12] = [
    (
        "400",
        "Bad Request",
        "malformed",
        "pool: it is missing",
        "for example {\"command\": \"thaw\", \"service\": \"shop\", …}",
    ),
    (
        "401",
        "Unauthorized",
        "credential_missing",
        "this needs a credential, and there is none",
        "send `Authorization: Bearer sft_…`",
    ),
    (
        "403",
        "Forbidden",
        "not_allowed",
        "switchover needs the role operator on service shop",
        "use a credential with the role operator",
    ),
    ("404", "Not Found", "no_pool", "shop has no pool eu-wst", "it has eu-west, eu-north; did you mean eu-west?"),
    ("409", "Conflict", "pinned", "shop is pinned to eu-west", "unpin it first"),
    (
        "412",
        "Precondition Failed",
        "mark_changed",
        "shop has changed meanwhile: its mark is 000000000000002a.7.12 now",
        "look at the service again, and decide again",
    ),
    (
        "413",
        "Payload Too Large",
        "too_large",
        "the body is larger than 65536 bytes, or did not come whole within 5 s",
        "send less",
    ),
    (
        "415",
        "Unsupported Media Type",
        "content_type",
        "a POST has the content type application/json",
        "send `Content-Type: application/json`",
    ),
    (
        "421",
        "Misdirected Request",
        "wrong_host",
        "this request is for the host `evil.example`",
        "ask by address or as localhost, or add the name to `admin.hosts`",
    ),
    (
        "422",
        "Unprocessable Entity",
        "reason",
        "reason: it is missing",
        "say in a sentence why: it stands in the log and in the audit log",
    ),
    (
        "429",
        "Too Many Requests",
        "too_many_failures",
        "too many credentials from this address have failed",
        "a good one is taken at any time; failing ones are answered again in 60 s",
    ),
    (
        "503",
        "Service Unavailable",
        "no_answer",
        "the control plane does not answer",
        "traffic goes on as it is; see the log, and restart the process if this lasts",
    ),
];

/// How a credential is shown.
pub(super) fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `admin.tokens_file` (`sft_…`, made by `standfast token create`), or a signed JSON web token \
                (RFC 7519) where the instance takes them.",
        },
        "certificate": {
            "type": "mutualTLS",
            "description": "A client certificate, where `admin.tls` asks for one. What it may do is said by the instance.",
        },
    })
}

/// Adds to an operation what every one of its kind has.
pub(super) fn complete(path: &str, operation: &mut Value) {
    let is_open = is_open(path);
    operation["security"] = if is_open { json!([]) } else { json!([{"bearer": []}, {"certificate": []}]) };
    let Some(answers) = operation["responses"].as_object_mut() else { return };
    for (status, description) in OF_THE_GATE {
        // (Probes and scrapers pass the gate; only that there are too many of them can happen.)
        if !is_open || status == "503" {
            let answer = answers.entry(status).or_insert_with(|| json!({"description": description}));
            if answer["content"].is_null() {
                answer["content"] = json!({});
            }
            answer["content"][PROBLEM] = problem(status);
        }
    }
    for (status, answer) in answers {
        if answer["content"].is_null() {
            answer["content"] = json!({ PROBLEM: problem(status) });
        }
        for content in answer["content"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
            if content["schema"].is_null() {
                content["schema"] = json!({});
            }
        }
    }
}

/// The content of an answer with a problem.
fn problem(status: &str) -> Value {
    let example = EXAMPLES.iter().find(|(of, ..)| *of == status).map(|(_, title, code, detail, advice)| {
        json!({
            "type": "about:blank",
            "title": title,
            "status": status.parse::<u16>().unwrap_or_default(),
            "code": code,
            "detail": detail,
            "advice": advice,
        })
    });
    json!({"schema": reference("Problem"), "example": example})
}

/// From an answer to what can be asked next.
pub(super) fn link(paths: &mut Value) {
    let links: [(&str, &str, &str, &str, &str, &str); 5] = [
        ("/v1/acts", "post", "outcome", "outcome", "act", "$response.body#/id"),
        ("/v1/acts", "post", "service", "service", "service", "$response.body#/service"),
        ("/v1/acts", "post", "incident", "incident", "incident", "$response.body#/incident/id"),
        ("/v1/services", "get", "first", "service", "service", "$response.body#/0/name"),
        ("/v1/incidents", "get", "first", "incident", "incident", "$response.body#/0/id"),
    ];
    for (path, method, name, operation, parameter, value) in links {
        paths[path][method]["responses"]["200"]["links"][name] =
            json!({"operationId": operation, "parameters": {parameter: value}});
    }
}
