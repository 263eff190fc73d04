//! [`PathText`]: the part of a path that names something.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::super::problem::Problem;

/// The one variable part of a path, decoded. What is no text is answered with a problem.
pub(super) struct PathText(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathText, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(PathText(text)),
            Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", "the path is no text (UTF-8)")),
        }
    }
}
