//! The judgement of an answer by an HTTP check: status, header fields, body. Pure. Details name what was wanted, never what a body or a header
//! holds.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::error::{ProbeError, mismatch};
use crate::config::HttpCheck;

/// Bytes of a body that a check looks at.
pub(super) const BODY: usize = 64 * 1024;

/// Status and header fields.
pub(super) fn head(check: &HttpCheck, status: StatusCode, headers: &HeaderMap) -> Result<(), ProbeError> {
    let status = status.as_u16();
    if !check.status.iter().any(|&(first, last)| (first..=last).contains(&status)) {
        return Err(mismatch(format!("status {status}, wanted {}", ranges(&check.status))));
    }
    for (name, value) in &check.headers {
        if !headers.get_all(name.as_str()).iter().any(|found| found.as_bytes() == value.as_bytes()) {
            return Err(mismatch(format!("header {name} is not {value:?}")));
        }
    }
    Ok(())
}

/// Does the verdict need the body at all?
pub(super) fn wants_body(check: &HttpCheck) -> bool {
    check.body.is_some() || !check.json.is_empty()
}

/// A body as it arrives, judged when enough of it is there.
pub(super) struct JudgedBody<'a> {
    check: &'a HttpCheck,
    bytes: Vec<u8>,
    /// More came than we look at.
    cut: bool,
}

impl<'a> JudgedBody<'a> {
    pub(super) fn new(check: &'a HttpCheck) -> JudgedBody<'a> {
        JudgedBody { check, bytes: Vec::new(), cut: false }
    }

    /// Take what fits. True = no further byte can change the verdict.
    pub(super) fn push(&mut self, data: &[u8]) -> bool {
        let room = BODY - self.bytes.len();
        self.bytes.extend_from_slice(&data[..data.len().min(room)]);
        self.cut |= data.len() > room;
        self.cut || (self.check.json.is_empty() && self.contains_text())
    }

    /// The verdict on what has arrived.
    pub(super) fn verdict(&self) -> Result<(), ProbeError> {
        if !self.contains_text() {
            let wanted = self.check.body.as_deref().unwrap_or_default();
            return Err(mismatch(format!(
                "the first {} bytes of the body do not contain {wanted:?}",
                self.bytes.len()
            )));
        }
        if self.check.json.is_empty() {
            return Ok(());
        }
        if self.cut {
            return Err(mismatch(format!("the JSON body is longer than {} KiB", BODY / 1024)));
        }
        let value: Value =
            serde_json::from_slice(&self.bytes).map_err(|error| mismatch(format!("the body is not JSON: {error}")))?;
        for (pointer, wanted) in &self.check.json {
            match value.pointer(pointer) {
                Some(found) if equal(found, wanted) => {}
                Some(found) => {
                    return Err(mismatch(format!("JSON {pointer} is not {wanted} but another {}", kind(found))));
                }
                None => return Err(mismatch(format!("JSON {pointer} is missing, wanted {wanted}"))),
            }
        }
        Ok(())
    }

    fn contains_text(&self) -> bool {
        self.check.body.as_ref().is_none_or(|text| memchr::memmem::find(&self.bytes, text.as_bytes()).is_some())
    }
}

/// Equal as JSON: numbers by value, so that 1 is 1.0.
fn equal(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => found == wanted,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "value (null)",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "value (an array)",
        Value::Object(_) => "value (an object)",
    }
}

fn ranges(list: &[(u16, u16)]) -> String {
    let texts: Vec<String> =
        list.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::ProbeFailure;

    fn check() -> HttpCheck {
        crate::config::fixture::http_check("{status: [200-299, 304]}")
    }

    fn detail(result: Result<(), ProbeError>) -> Option<String> {
        match result {
            Ok(()) => None,
            Err(ProbeError::Fail(ProbeFailure::Mismatch, detail)) => Some(detail),
            Err(_) => panic!("an answer can only mismatch"),
        }
    }

    fn status(code: u16) -> Option<String> {
        detail(head(&check(), StatusCode::from_u16(code).unwrap(), &HeaderMap::new()))
    }

    #[test]
    fn statuses_are_inclusive_ranges() {
        assert_eq!([200, 299, 304].map(status), [None, None, None]);
        assert_eq!(status(300).unwrap(), "status 300, wanted 200-299, 304");
        assert!(status(199).is_some());
    }

    #[test]
    fn one_field_of_several_with_the_value_is_enough() {
        let check = HttpCheck { headers: vec![("x-role".into(), "primary".into())], ..check() };
        let mut headers = HeaderMap::new();
        assert!(detail(head(&check, StatusCode::OK, &headers)).is_some());
        headers.append("x-role", "secret".parse().unwrap());
        let said = detail(head(&check, StatusCode::OK, &headers)).unwrap();
        assert!(!said.contains("secret"), "{said}");
        headers.append("x-role", "primary".parse().unwrap());
        assert_eq!(detail(head(&check, StatusCode::OK, &headers)), None);
    }

    #[test]
    fn text_is_found_across_chunks_and_ends_the_reading() {
        let check = HttpCheck { body: Some("all good".into()), ..check() };
        let mut body = JudgedBody::new(&check);
        assert!(!body.push(b"... all g"));
        assert!(detail(body.verdict()).is_some());
        assert!(body.push(b"ood ..."));
        assert_eq!(detail(body.verdict()), None);
    }

    #[test]
    fn text_beyond_64_kib_is_not_seen() {
        let check = HttpCheck { body: Some("late".into()), ..check() };
        let mut body = JudgedBody::new(&check);
        assert!(!body.push(&vec![b'x'; BODY - 2]));
        assert!(body.push(b"late"));
        assert!(detail(body.verdict()).is_some());
    }

    fn json(text: &str, wants: &[(&str, Value)]) -> Option<String> {
        let json = wants.iter().map(|(pointer, value)| (pointer.to_string(), value.clone())).collect();
        let check = HttpCheck { json, ..check() };
        let mut body = JudgedBody::new(&check);
        body.push(text.as_bytes());
        detail(body.verdict())
    }

    #[test]
    fn pointers_follow_rfc_6901() {
        let text = r#"{"status":"ok","db":{"nodes":[{"up":true},{"up":false}],"a/b":1,"m~n":2.5}}"#;
        let wants = [
            ("/status", Value::from("ok")),
            ("/db/nodes/0/up", Value::from(true)),
            ("/db/a~1b", Value::from(1.0)),
            ("/db/m~0n", Value::from(2.5)),
        ];
        assert_eq!(json(text, &wants), None);
        assert_eq!(
            json(text, &[("/db/nodes/1/up", Value::from(true))]).unwrap(),
            "JSON /db/nodes/1/up is not true but another boolean"
        );
        assert_eq!(json(text, &[("/nodes", Value::Null)]).unwrap(), "JSON /nodes is missing, wanted null");
        assert!(json("<html>", &wants).unwrap().starts_with("the body is not JSON"));
    }

    #[test]
    fn a_json_body_beyond_64_kib_is_said_to_be_too_long() {
        let text = format!("\"{}\"", "x".repeat(BODY));
        assert_eq!(json(&text, &[("", Value::Null)]).unwrap(), "the JSON body is longer than 64 KiB");
    }
}
