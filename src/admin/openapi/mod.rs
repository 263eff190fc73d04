//! The description of the admin port for programs (OpenAPI 3.1): `GET /v1/openapi.json`, and `config/openapi.json` in the sources.
//!
//! Paths, parameters and answers are described beside their handlers, types by their own definitions. What every request may meet is
//! added here: problems of the gate ([`answers`]), the body of a command of the parser's own table ([`act_body`]), and links from an
//! answer to what can be asked next. The texts are those of the sources, in words for readers of JSON ([`wording`]).

mod act_body;
mod answers;
mod wording;

use std::sync::LazyLock;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::pages::PageOperations;
use super::problem::ProblemBody;
use super::response::{JSON, typed};
use super::v1::V1Operations;

pub use act_body::{Command, commands};

/// What the pages, the API and this file have together.
#[derive(OpenApi)]
#[openapi(paths(describe), components(schemas(ProblemBody)))]
struct OwnOperations;

/// Made when it is first asked for.
static DOCUMENT: LazyLock<String> = LazyLock::new(openapi_document);

/// `/v1/openapi.json`
pub(super) fn route() -> Router {
    Router::new().route("/v1/openapi.json", get(describe))
}

/// This description. It needs a credential as every path of the API does, and no role.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "openapi", tag = "caller",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn describe() -> Response {
    typed(StatusCode::OK, JSON, DOCUMENT.as_bytes())
}

/// The description, as JSON.
pub fn openapi_document() -> String {
    let mut document = OwnOperations::openapi();
    document.merge(PageOperations::openapi());
    document.merge(V1Operations::openapi());
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["info"] = json!({
        "title": "Standfast",
        "version": env!("CARGO_PKG_VERSION"),
        "description": INFO,
        "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
    });
    document["servers"] = json!([{"url": "http://127.0.0.1:9901", "description": "the admin port (`admin.bind`)"}]);
    document["tags"] = json!([
        {"name": "acts", "description": "commands, and what came of them"},
        {"name": "state", "description": "services and switches"},
        {"name": "instance", "description": "what an administrator reads"},
        {"name": "caller", "description": "the credential, and this description"},
        {"name": "probes", "description": "for load balancers, supervisors and Prometheus; without a credential"},
    ]);
    document["components"]["securitySchemes"] = answers::security_schemes();
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.extend(act_body::schemas());
    }
    act_body::describe(&mut document["paths"]["/v1/acts"]["post"]);
    for (path, methods) in document["paths"].as_object_mut().unwrap_or(&mut Map::new()) {
        for operation in methods.as_object_mut().into_iter().flat_map(Map::values_mut) {
            answers::complete(path, operation);
        }
    }
    answers::link(&mut document["paths"]);
    wording::for_programs(&mut document);
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

const INFO: &str = "The admin port of Standfast, a failover reverse proxy. `GET` reads and changes nothing; every command is a `POST` to \
    `/v1/acts`, and its answer is the outcome. Errors are problems (RFC 9457) with a `code` that does not change.\n\nOn the unix socket \
    the user of the process that connects is the credential. An instance without credentials answers reads, and on its own host those \
    of the API too.\n\nMembers may be added to answers: ignore those that you do not know.";

/// Refers to a schema.
fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::from_str(&openapi_document()).expect("JSON")
    }

    #[test]
    fn every_route_is_described() {
        let sources = [include_str!("../pages.rs"), include_str!("../v1/mod.rs"), include_str!("mod.rs")];
        let document = document();
        let mut routes = 0;
        for source in sources {
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            for route in source.split(".route(\"").skip(1) {
                let (path, rest) = route.split_once('"').expect("a path");
                let method = if rest.starts_with(", command(") { "post" } else { "get" };
                // (The page for people.)
                if path != "/" {
                    assert!(document["paths"][path][method].is_object(), "{method} {path} is not described");
                    routes += 1;
                }
            }
        }
        assert_eq!(document["paths"].as_object().map(Map::len), Some(routes - 1), "/metrics is a route twice");
    }

    #[test]
    fn every_operation_has_a_summary_a_tag_answers_and_its_credential() {
        let document = document();
        let tags: Vec<&Value> = document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let summary = operation["summary"].as_str().unwrap_or_default();
                assert!(!summary.is_empty() && !summary.contains('\n'), "{method} {path}: {summary}");
                assert!(tags.contains(&&operation["tags"][0]), "{method} {path}");
                let answers = operation["responses"].as_object().expect("answers");
                for (status, answer) in answers {
                    assert!(answer["content"].is_object(), "{method} {path} {status} has no content");
                    assert_ne!(answer["description"], "", "{method} {path} {status}");
                }
                let is_open = crate::admin::gate::is_open(path);
                assert_eq!(operation["security"] == json!([]), is_open, "{path}");
                assert_eq!(answers.contains_key("401"), !is_open, "{path}");
            }
        }
    }

    #[test]
    fn what_is_referred_to_is_there() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 30);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("inside of the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
