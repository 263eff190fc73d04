//! The endpoint's half: requests on their way, replies as they come.
//!
//! What is sent is decided in one place for every version of HTTP, by [`encode_request`](super::super::h1::encode_request);
//! its lines are said again in HTTP/2's way here. What only describes a connection ends with it: Connection, Upgrade,
//! Transfer-Encoding, `TE` but `trailers`. Host becomes `:authority`.

use bytes::Bytes;
use http::uri::{Authority, Parts, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use memchr::{memchr, memchr_iter};

use super::fields::{check_value, field_lines};
use crate::wire::Known;
use crate::wire::h1::{AskedMethod, Error, ResponseHead, Scheme};

/// A request for the engine, of the lines that `encode_request` wrote; the values share their memory. `scheme`: how the
/// endpoint is reached.
///
/// An error: it cannot be said in HTTP/2 (the engine takes no `<`, `>` and backquote in a target, and no
/// client sends them unencoded).
pub fn upstream_request(lines: Vec<u8>, scheme: Scheme) -> Result<Request<()>, Error> {
    let lines = Bytes::from(lines);
    let first = memchr(b'\r', &lines).ok_or(Error::RequestLine)?;
    let mut words = lines[..first].split(|&byte| byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(Error::RequestLine) };
    let method = Method::from_bytes(method).map_err(|_| Error::Method)?;
    let target = PathAndQuery::from_maybe_shared(lines.slice_ref(target)).map_err(|_| Error::Target)?;
    let mut fields = HeaderMap::with_capacity(memchr_iter(b'\n', &lines).count());
    let authority = take_fields(&lines, first + 2, &mut fields)?;
    let mut parts = Parts::default();
    parts.scheme = Some(match scheme {
        Scheme::Http => http::uri::Scheme::HTTP,
        Scheme::Https => http::uri::Scheme::HTTPS,
    });
    parts.authority = Some(authority.ok_or(Error::HostMissing)?);
    parts.path_and_query = Some(target);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Error::Target)?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields;
    Ok(request)
}

/// Takes up the field lines that start at `at`; returns the authority.
fn take_fields(lines: &Bytes, at: usize, fields: &mut HeaderMap) -> Result<Option<Authority>, Error> {
    let mut authority = None;
    for (name, value) in field_lines(lines, at) {
        match Known::of(name) {
            Known::Host => {
                authority = Some(Authority::from_maybe_shared(value).map_err(|_| Error::HostInvalid)?);
                continue;
            }
            Known::Te if value != b"trailers"[..] => continue,
            Known::Te => {}
            known if known.is_hop_by_hop() => continue,
            _ => {}
        }
        let name = HeaderName::from_bytes(name).map_err(|_| Error::FieldName)?;
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Error::FieldValue)?;
        fields.try_append(name, value).map_err(|_| Error::TooManyFields)?;
    }
    Ok(authority)
}

/// Takes up a reply's head, interim or final. `ended`: nothing follows it. After an error `head` means nothing, and the
/// reply is malformed.
pub fn read_reply(
    status: u16,
    fields: &HeaderMap,
    ended: bool,
    asked: AskedMethod,
    head: &mut ResponseHead,
) -> Result<(), Error> {
    head.state(status, ended, asked, |taken| {
        for (name, value) in fields {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            check_value(value)?;
            // In front of a client of HTTP/1 it would say something about a connection that the endpoint does not see.
            if Known::of(name).is_hop_by_hop() || !taken.push(name, value) {
                return Err(Error::FieldName);
            }
        }
        Ok(())
    })
}
