//! `static_response:`

use super::diagnostics::Diagnostics;
use super::header;
use crate::config::defaults;
use crate::config::model::StaticResponse;
use crate::config::schema;
use crate::config::tree::{NodeId, shorten};

pub(super) fn static_response(diagnostics: &mut Diagnostics, typed: &schema::StaticResponse) -> Option<StaticResponse> {
    let headers = header::settable(diagnostics, &typed.headers);
    for (key, _) in typed.headers.get().map_or(&[][..], |entries| &entries.0) {
        if let Some((at, name)) = key.found()
            && name.eq_ignore_ascii_case("content-type")
        {
            diagnostics.problem(at, "the content type has a key of its own", "write it as `content_type`");
        }
    }
    let body = match (typed.body.found(), typed.body_file.found()) {
        (Some(_), Some((at, _))) => {
            diagnostics.problem(at, "`body` and `body_file` are both given", "keep one of them");
            None
        }
        (_, Some((at, file))) => body_file(diagnostics, at, file),
        (Some((_, text)), None) => Some(text.clone()),
        (None, None) => Some(String::new()),
    };
    let by_ending = match typed.body_file.get().and_then(|file| file.rsplit_once('.')) {
        Some((_, "html" | "htm")) => "text/html; charset=utf-8",
        Some((_, "json")) => "application/json",
        _ => defaults::CONTENT_TYPE,
    };
    let content_type = match typed.content_type.found() {
        Some((at, text)) => header::value(diagnostics, at, text)?,
        None => by_ending.into(),
    };
    let status = typed.status.get().map_or(defaults::STATIC_STATUS, |status| status.0 as u16);
    let body = body?;
    if let (204 | 304, false, Some(at)) = (status, body.is_empty(), typed.body.at().or(typed.body_file.at())) {
        diagnostics.problem(at, format!("an answer {status} has no body"), "leave it out");
    }
    Some(StaticResponse { status, content_type, headers, body })
}

/// Reads the body now, so that a missing file is a problem of the configuration and not of the first request.
fn body_file(diagnostics: &mut Diagnostics, at: NodeId, file: &str) -> Option<String> {
    const LARGEST: u64 = 1 << 20;
    let path = diagnostics.path(file);
    let wrong = match std::fs::metadata(&path) {
        Ok(found) if !found.is_file() => "it is not a file".to_owned(),
        Ok(found) if found.len() > LARGEST => format!("it has {} bytes: at most {LARGEST} are read", found.len()),
        Ok(_) => match std::fs::read(&path).map(String::from_utf8) {
            Ok(Ok(body)) => return Some(body),
            Ok(Err(_)) => "it is not UTF-8 text".to_owned(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let what = format!("cannot read `{}`: {wrong}", shorten(file));
    diagnostics.problem(at, what, "a relative path counts from the folder of this file");
    None
}
