//! [`JsonObject`]: the members of a JSON object in which no name stands twice. Of two members with one name another reader may take
//! the other one.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::text::shortened;

/// Members of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct JsonObject(Map<String, Value>);

impl JsonObject {
    /// Read one.
    pub fn parse(json: &[u8]) -> Result<JsonObject, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The member of this name; `null` is a value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A text; `None`: there is no such member, or it is no text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A text that may be absent. `Err`: it is there and no text.
    pub fn optional_text(&self, name: &str) -> Result<Option<&str>, ()> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(()),
        }
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonObject, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<JsonObject, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if object.contains_key(&name) {
                        return Err(de::Error::custom(format!("`{}` stands twice", shortened(&name, 40))));
                    }
                    object.insert(name, value);
                }
                Ok(JsonObject(object))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let object = JsonObject::parse(br#"{"a": "x", "b": 1, "c": null}"#).expect("an object");
        assert_eq!((object.text("a"), object.text("b"), object.text("d")), (Some("x"), None, None));
        assert_eq!((object.optional_text("c"), object.optional_text("d")), (Err(()), Ok(None)));
        for text in [r#"{"a": 1, "a": 1}"#, r#"{"a": 1, "\u0061": 2}"#, "[]", "1", "", "{", r#"{} {}"#] {
            assert!(JsonObject::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "1");
        assert!(JsonObject::parse(deep.as_bytes()).is_err(), "no stack is used up");
    }
}
