//! [`Problem`]: an error answer (RFC 9457, `application/problem+json`).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::text::printable_json;

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The status code of the answer.
    pub status: StatusCode,
    /// Its name for programs: does not change.
    pub code: &'static str,
    /// What is wrong, for people.
    pub detail: String,
    /// What would make it right; `None` = nothing that could be advised.
    pub advice: Option<String>,
    /// Where several things are wrong: each of them.
    pub problems: Vec<String>,
}

/// Why a request was not carried out (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody<'a> {
    /// `about:blank`: the code says what it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status code of the answer.
    status: u16,
    /// Its name for programs: does not change.
    code: &'static str,
    /// What is wrong, for people.
    detail: &'a str,
    /// What would make it right.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
    /// Where several things are wrong: each of them.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(required = false)]
    problems: &'a [String],
}

impl Problem {
    /// One without advice.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), advice: None, problems: Vec::new() }
    }

    /// With what would make it right.
    pub fn advice(self, advice: impl Into<String>) -> Problem {
        Problem { advice: Some(advice.into()), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            advice: self.advice.as_deref(),
            problems: &self.problems,
        };
        // Text and a number: it can be written.
        let text = serde_json::to_string_pretty(&body).unwrap_or_default();
        let mut response = (self.status, printable_json(&text) + "\n").into_response();
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(problem: Problem) -> String {
        let response = problem.into_response();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        String::from_utf8(runtime.block_on(bytes).expect("a body").to_vec()).expect("text")
    }

    #[test]
    fn its_members_are_those_of_the_standard_and_ours() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "no_pool", "shop has no pool eu-wst")
            .advice("it has eu-west, eu-north; did you mean eu-west?");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "code": "no_pool",
            "detail": "shop has no pool eu-wst", "advice": "it has eu-west, eu-north; did you mean eu-west?",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body(problem)).expect("JSON"), expected);
    }

    #[test]
    fn nothing_in_it_commands_a_terminal() {
        let problem = Problem {
            problems: vec!["\u{1b}[2J".to_owned(), "\u{9b}2J".to_owned()],
            ..Problem::new(StatusCode::BAD_REQUEST, "malformed", "\u{202e}no")
        };
        let text = body(problem);
        assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}') && text.contains("\\u001b[2J"), "{text}");
    }
}
