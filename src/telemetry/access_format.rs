//! How an access record becomes a line. Whatever a client sent, one record is one line, valid in its format, of
//! printable text, and of bounded length.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::access_record::AccessRecord;
use crate::text::is_command;

/// Bytes of a client's field that are shown; the rest is cut and marked with `...`.
const FIELD: usize = 2048;

/// One JSON object and a line feed.
pub(super) fn json(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    put(out, rfc3339(record.began_unix_millis));
    out.extend_from_slice(b"\",\"client\":\"");
    put(out, record.client);
    out.push(b'"');
    for (name, value) in texts(record) {
        if !value.is_empty() {
            json_key(out, name);
            json_text(out, value);
        }
    }
    if let Some(endpoint) = record.endpoint {
        json_key(out, "endpoint");
        put(out, format_args!("\"{endpoint}\""));
    }
    for (name, value) in numbers(record) {
        if let Some(value) = value {
            json_key(out, name);
            put(out, value);
        }
    }
    for (name, span) in spans(record) {
        if let Some(span) = span {
            json_key(out, name);
            put_millis(out, span);
        }
    }
    json_key(out, "termination");
    put(out, format_args!("\"{}\"}}\n", record.termination.as_str()));
}

/// The Common Log Format, then what it does not know as `key=value`, and a line feed.
pub(super) fn common(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    put_common(record, out);
    let shown_above = |name: &str| ["method", "target", "version", "status", "sent"].contains(&name);
    for (name, value) in texts(record) {
        if !value.is_empty() && !shown_above(name) {
            put(out, format_args!(" {name}=\""));
            clf_text(out, value);
            out.push(b'"');
        }
    }
    if let Some(endpoint) = record.endpoint {
        put(out, format_args!(" endpoint={endpoint}"));
    }
    for (name, value) in numbers(record) {
        if let Some(value) = value
            && !shown_above(name)
        {
            put(out, format_args!(" {name}={value}"));
        }
    }
    for (name, span) in spans(record) {
        if let Some(span) = span {
            put(out, format_args!(" {name}="));
            put_millis(out, span);
        }
    }
    put(out, format_args!(" termination={}\n", record.termination.as_str()));
}

/// Apache's combined log format and nothing else, so that parsers of that format read it: the Common Log Format, `Referer`,
/// `User-Agent`, and a line feed.
pub(super) fn combined(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    put_common(record, out);
    for value in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        clf_text(out, if value.is_empty() { b"-" } else { value });
        out.push(b'"');
    }
    out.push(b'\n');
}

/// The Common Log Format, without a line feed.
fn put_common(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    put(out, record.client.ip());
    out.extend_from_slice(b" - - [");
    put_clf_time(out, record.began_unix_millis);
    out.extend_from_slice(b"] \"");
    if record.method.is_empty() {
        out.push(b'-');
    } else {
        clf_text(out, record.method);
        out.push(b' ');
        clf_text(out, record.target);
        out.push(b' ');
        out.extend_from_slice(record.version.as_bytes());
    }
    match record.status {
        Some(status) => put(out, format_args!("\" {status} {}", record.sent)),
        None => put(out, format_args!("\" - {}", record.sent)),
    }
}

/// Texts in the order in which they are written; some came from the client.
fn texts<'a>(record: &'a AccessRecord<'_>) -> [(&'static str, &'a [u8]); 13] {
    [
        ("listener", record.listener.as_bytes()),
        ("method", record.method),
        ("target", record.target),
        ("version", record.version.as_bytes()),
        ("host", record.host),
        ("request_id", record.request_id),
        ("user_agent", record.user_agent),
        ("referer", record.referer),
        ("service", record.service.as_bytes()),
        ("pool", record.pool.as_bytes()),
        ("retried", record.retried.as_bytes()),
        ("malformed", record.malformed.as_bytes()),
        ("endpoint_name", record.endpoint_name.as_bytes()),
    ]
}

fn numbers(record: &AccessRecord<'_>) -> [(&'static str, Option<u64>); 5] {
    [
        ("status", record.status.map(u64::from)),
        ("epoch", Some(record.epoch)),
        ("tries", Some(u64::from(record.tries))),
        ("received", Some(record.received)),
        ("sent", Some(record.sent)),
    ]
}

fn spans(record: &AccessRecord<'_>) -> [(&'static str, Option<Duration>); 2] {
    [("duration_ms", Some(record.duration)), ("first_byte_ms", record.first_byte)]
}

fn put(out: &mut Vec<u8>, value: impl Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// Milliseconds with three decimals.
fn put_millis(out: &mut Vec<u8>, span: Duration) {
    let micros = span.as_micros();
    put(out, format_args!("{}.{:03}", micros / 1000, micros % 1000));
}

/// Display fails for times beyond the year 9999: a clock that says so is shown its own limit.
fn rfc3339(unix_millis: u64) -> humantime::Rfc3339Timestamp {
    const END_OF_9999: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_millis.min(END_OF_9999)))
}

/// `10/Oct/2000:13:55:36 +0000`.
fn put_clf_time(out: &mut Vec<u8>, unix_millis: u64) {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = rfc3339(unix_millis).to_string(); // 2000-10-10T13:55:36.000Z
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().ok().and_then(|n| MONTHS.get(n.wrapping_sub(1))).unwrap_or(&"-");
    put(out, format_args!("{}/{month}/{}:{} +0000", part(8..10), part(0..4), part(11..19)));
}

fn json_key(out: &mut Vec<u8>, name: &str) {
    put(out, format_args!(",\"{name}\":"));
}

/// A JSON string: control characters (C1 ones too: terminals obey them), bidirectional ones, quotes and backslashes
/// escaped, what is not UTF-8 replaced by U+FFFD.
fn json_text(out: &mut Vec<u8>, value: &[u8]) {
    let (shown, cut) = shortened(value);
    out.push(b'"');
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                c if is_command(c) => {
                    put(out, format_args!("\\u{:04x}", c as u32));
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.extend_from_slice(cut);
    out.push(b'"');
}

/// Text between quotes as Apache writes it: printable ASCII as it is, quotes and backslashes escaped, the rest `\xHH`.
fn clf_text(out: &mut Vec<u8>, value: &[u8]) {
    let (shown, cut) = shortened(value);
    for byte in shown {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b' '..=b'~' => out.push(*byte),
            other => put(out, format_args!("\\x{other:02x}")),
        }
    }
    out.extend_from_slice(cut);
}

fn shortened(value: &[u8]) -> (&[u8], &'static [u8]) {
    match value.get(..FIELD) {
        Some(head) if value.len() > FIELD => (head, b"..."),
        _ => (value, b""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::telemetry::access_record::Termination;

    pub fn record() -> AccessRecord<'static> {
        AccessRecord {
            began_unix_millis: 971_186_136_789,
            listener: "web",
            client: ([192, 0, 2, 7], 50_000).into(),
            method: b"GET",
            target: b"/cart?x=1",
            version: "HTTP/1.1",
            host: b"shop.example.com",
            request_id: b"7f3a",
            user_agent: b"curl/8",
            referer: b"",
            status: Some(200),
            service: "shop",
            pool: "eu-west",
            endpoint: Some(([10, 0, 1, 11], 8080).into()),
            endpoint_name: "",
            epoch: 12,
            tries: 2,
            retried: "hedge",
            malformed: "",
            received: 0,
            sent: 5_120,
            duration: Duration::from_micros(1_234),
            first_byte: Some(Duration::from_micros(1_001)),
            termination: Termination::Complete,
        }
    }

    fn line(format: fn(&AccessRecord<'_>, &mut Vec<u8>), record: &AccessRecord<'_>) -> String {
        let mut out = Vec::new();
        format(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_json_line_tells_everything() {
        let expected = concat!(
            r#"{"time":"2000-10-10T13:55:36.789Z","client":"192.0.2.7:50000","listener":"web","method":"GET","#,
            r#""target":"/cart?x=1","version":"HTTP/1.1","host":"shop.example.com","request_id":"7f3a","#,
            r#""user_agent":"curl/8","service":"shop","pool":"eu-west","retried":"hedge","endpoint":"10.0.1.11:8080","status":200,"#,
            r#""epoch":12,"tries":2,"received":0,"sent":5120,"duration_ms":1.234,"first_byte_ms":1.001,"#,
            r#""termination":"complete"}"#,
            "\n"
        );
        assert_eq!(line(json, &record()), expected);
    }

    #[test]
    fn a_common_line_begins_as_the_old_tools_expect() {
        let expected = concat!(
            r#"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "GET /cart?x=1 HTTP/1.1" 200 5120 listener="web" "#,
            r#"host="shop.example.com" request_id="7f3a" user_agent="curl/8" service="shop" pool="eu-west" "#,
            r#"retried="hedge" endpoint=10.0.1.11:8080 epoch=12 tries=2 received=0 duration_ms=1.234 first_byte_ms=1.001 "#,
            "termination=complete\n"
        );
        assert_eq!(line(common, &record()), expected);
    }

    #[test]
    fn a_combined_line_is_what_apache_writes() {
        let visit = AccessRecord { referer: b"https://shop.example.com/\"x\\", ..record() };
        let expected = concat!(
            r#"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "GET /cart?x=1 HTTP/1.1" 200 5120 "#,
            r#""https://shop.example.com/\"x\\" "curl/8""#,
            "\n"
        );
        assert_eq!(line(combined, &visit), expected);
        let bare = AccessRecord { user_agent: b"", method: b"", status: None, ..record() };
        assert!(line(combined, &bare).ends_with("] \"-\" - 5120 \"-\" \"-\"\n"), "{}", line(combined, &bare));
    }

    #[test]
    fn an_endpoint_with_a_name_is_told_with_it() {
        let (mut json, mut common) = (Vec::new(), Vec::new());
        let named = AccessRecord { endpoint_name: "app-1", ..record() };
        super::json(&named, &mut json);
        super::common(&named, &mut common);
        let (json, common) = (String::from_utf8(json).unwrap(), String::from_utf8(common).unwrap());
        assert!(json.contains(r#","endpoint_name":"app-1","endpoint":"10.0.1.11:8080","#), "{json}");
        assert!(common.contains(r#" endpoint_name="app-1" endpoint=10.0.1.11:8080 "#), "{common}");
    }

    #[test]
    fn a_tcp_session_has_no_request() {
        let session = AccessRecord { method: b"", target: b"", version: "", host: b"", status: None, ..record() };
        assert!(line(common, &session).contains(r#"] "-" - 5120 listener="web""#));
        let value: serde_json::Value = serde_json::from_str(&line(json, &session)).unwrap();
        assert_eq!(value.get("method"), None);
        assert_eq!(value.get("status"), None);
    }

    #[test]
    fn absurd_clocks_are_survived() {
        let late = AccessRecord { began_unix_millis: u64::MAX, ..record() };
        assert!(line(json, &late).starts_with(r#"{"time":"9999-12-31T23:59:59.999Z""#));
        assert!(line(common, &late).contains("[31/Dec/9999:23:59:59 +0000]"));
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_stays_one_printable_bounded_line(
            field in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..5_000),
                "(\\PC|[\u{0}-\u{a0}]|[\u{2028}-\u{202e}]|[\u{2066}-\u{2069}]|\u{61c}|\"|\\\\){0,200}".prop_map(String::into_bytes),
            ],
        ) {
            let hostile = AccessRecord {
                method: &field, target: &field, host: &field, request_id: &field, user_agent: &field, referer: &field,
                ..record()
            };
            for text in [line(json, &hostile), line(common, &hostile), line(combined, &hostile)] {
                prop_assert_eq!(text.find('\n'), Some(text.len() - 1));
                prop_assert!(!text.trim_end_matches('\n').contains(is_command), "{:?}", text);
                prop_assert!(text.len() < 6 * 6 * FIELD + 1_000);
            }
            let value: serde_json::Value = serde_json::from_str(&line(json, &hostile)).unwrap();
            let seen = value.get("target").and_then(|v| v.as_str()).unwrap_or_default();
            if field.len() <= FIELD {
                prop_assert_eq!(seen, String::from_utf8_lossy(&field));
            }
            let common = line(common, &hostile);
            prop_assert!(closed_quotes(&common), "a quote of the client's ended a field");
            prop_assert!(common.ends_with(" termination=complete\n"));
            let combined = line(combined, &hostile);
            prop_assert!(closed_quotes(&combined), "a quote of the client's ended a field");
            prop_assert!(combined.ends_with("\"\n"));
        }
    }

    /// Outside of quotes a line holds only what we write: no quote is left open.
    fn closed_quotes(text: &str) -> bool {
        let (mut open, mut escaped) = (false, false);
        for c in text.chars() {
            match (c, escaped) {
                (_, true) => escaped = false,
                ('\\', _) => escaped = true,
                ('"', _) => open = !open,
                _ => {}
            }
        }
        !open
    }
}
