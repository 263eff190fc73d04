//! Cookies of a request (RFC 6265 §4.2): one by its name, without an allocation.

use memchr::memchr;

use super::{Fields, ascii};

/// The value of the first cookie of this name, over all Cookie fields in their order. Names are case-sensitive. A value in
/// double quotes keeps them, as clients do; a part without `=` is no cookie.
pub fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    fields.get_all("cookie").flat_map(|field| field.split(|byte| *byte == b';')).find_map(|pair| {
        let (found, value) = pair.split_at(memchr(b'=', pair)?);
        (ascii::trim(found) == name.as_bytes()).then(|| ascii::trim(&value[1..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(cookies: &[&str]) -> Fields {
        let mut fields = Fields::new();
        for value in cookies {
            assert!(fields.push(b"Cookie", value.as_bytes()));
        }
        fields
    }

    #[test]
    fn the_first_of_its_name_in_whatever_field_it_stands() {
        for (cookies, expected) in [
            (&["user=a"][..], Some("a")),
            (&["x=1; user=a; user=b"], Some("a")),
            (&["x=1", "y=2; user=a", "user=b"], Some("a")),
            (&["x=1;user=a;y=2"], Some("a")),
            (&["x=1;\t user =  a  ; y=2"], Some("a")),
            (&["user=a=b="], Some("a=b=")),
            (&["user=\"a b\""], Some("\"a b\"")),
            (&["user="], Some("")),
            (&["user; user=a"], Some("a")),
            (&[";;=;user=a"], Some("a")),
            (&["USER=a; xuser=b; userx=c; x=user=d"], None),
            (&["user"], None),
            (&[], None),
        ] {
            let fields = fields(cookies);
            assert_eq!(cookie(&fields, "user"), expected.map(str::as_bytes), "{cookies:?}");
        }
    }
}
