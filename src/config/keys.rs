//! Every key of the schema, found by walking the schema itself: a deserializer that offers each map all of its keys.
//! What is in the list is therefore what the reader takes, no more and no less.

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::LazyLock;

use super::schema;
use super::spanned::{OFF_OR, ON_OR, ONE_OR_MANY, ONE_OR_MANY_MAPS, RESERVED_KEY, SHORTHAND, SPANNED, Spanned};

/// A key that the reader knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaKey {
    /// `services.*.pools[].endpoints[].weight`: `[]` for any item of a list, `*` for any name.
    pub path: String,
    /// The function is built; otherwise the key is refused as not supported yet.
    pub supported: bool,
    /// The type of the schema that the key belongs to, and the key in it.
    of: (&'static str, &'static str),
}

/// Is this key of this type of the schema refused as not supported yet? Such keys are not offered in advice.
pub(super) fn is_reserved(of: &'static str, key: &'static str) -> bool {
    static RESERVED: LazyLock<HashSet<(&str, &str)>> =
        LazyLock::new(|| keys().into_iter().filter(|key| !key.supported).map(|key| key.of).collect());
    RESERVED.contains(&(of, key))
}

/// All keys, in the order of the schema.
pub fn keys() -> Vec<SchemaKey> {
    let found = RefCell::new(Vec::new());
    // A `Spanned` takes whatever comes: the walk itself cannot fail.
    let _ = Spanned::<schema::File>::deserialize(SchemaWalker { path: String::new(), found: &found });
    found.into_inner()
}

#[derive(Clone)]
struct SchemaWalker<'f> {
    path: String,
    found: &'f RefCell<Vec<SchemaKey>>,
}

impl SchemaWalker<'_> {
    fn step(&self, step: &str) -> Self {
        SchemaWalker { path: format!("{}{step}", self.path), found: self.found }
    }

    fn key(&self, key: &str) -> Self {
        let next = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        SchemaWalker { path: next, found: self.found }
    }
}

/// "This is a leaf": any value would have been refused.
fn leaf<T>() -> Result<T, de::value::Error> {
    Err(de::Error::custom("a leaf"))
}

impl<'de> Deserializer<'de> for SchemaWalker<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        leaf()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match name {
            SPANNED => visitor.visit_seq(NodeAndValue(Some(self), true)),
            ONE_OR_MANY => visitor.visit_seq(OneElement(Some(self))),
            ONE_OR_MANY_MAPS => visitor.visit_seq(OneElement(Some(self.step("[]")))),
            OFF_OR | ON_OR => visitor.visit_some(self),
            RESERVED_KEY => {
                if let Some(key) = self.found.borrow_mut().last_mut() {
                    key.supported = false;
                }
                leaf()
            }
            _ if name.starts_with(SHORTHAND) => visitor.visit_newtype_struct(self),
            _ => leaf(),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(OneElement(Some(self.step("[]"))))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(AllKeys { walker: self, keys: FREE.iter().copied(), key: FREE[0], of: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(AllKeys { walker: self, keys: fields.iter().copied(), key: "", of: Some(name) })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct enum identifier ignored_any
    }
}

/// An item: the id of a node that does not matter, then the value.
struct NodeAndValue<'f>(Option<SchemaWalker<'f>>, bool);

impl<'de> SeqAccess<'de> for NodeAndValue<'_> {
    type Error = de::value::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error> {
        if std::mem::take(&mut self.1) {
            return seed.deserialize(0u32.into_deserializer()).map(Some);
        }
        self.0.take().map(|walker| seed.deserialize(walker)).transpose()
    }
}

/// A list of one.
struct OneElement<'f>(Option<SchemaWalker<'f>>);

impl<'de> SeqAccess<'de> for OneElement<'_> {
    type Error = de::value::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error> {
        self.0.take().map(|walker| seed.deserialize(walker)).transpose()
    }
}

/// Stands for any name that the user gives.
static FREE: [&str; 1] = ["*"];

/// A map with all of its keys.
struct AllKeys<'f> {
    walker: SchemaWalker<'f>,
    keys: std::iter::Copied<std::slice::Iter<'static, &'static str>>,
    key: &'static str,
    /// The type whose keys they are; `None` = names of the user's.
    of: Option<&'static str>,
}

impl<'de> MapAccess<'de> for AllKeys<'_> {
    type Error = de::value::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error> {
        let Some(key) = self.keys.next() else { return Ok(None) };
        self.key = key;
        if let Some(of) = self.of {
            let path = self.walker.key(key).path;
            self.walker.found.borrow_mut().push(SchemaKey { path, supported: true, of: (of, key) });
            return seed.deserialize(key.into_deserializer()).map(Some);
        }
        // A free key is a `Spanned<String>`; it takes the leaf for "bad", which does not matter here.
        seed.deserialize(SchemaWalker { path: String::new(), found: self.walker.found }).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Self::Error> {
        seed.deserialize(self.walker.key(self.key))
    }
}
