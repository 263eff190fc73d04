//! What the schema is made of: values with a place, short forms, `off`, and keys that are not built yet. Each asks its
//! deserializer for what serde has no word for by a reserved newtype name; see [`typing`](super::typing).

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::tree::NodeId;

pub(super) const ITEM: &str = "standfast::Item";
pub(super) const MANY: &str = "standfast::Many";
pub(super) const LISTED: &str = "standfast::Listed";
pub(super) const SWITCH: &str = "standfast::Switch";
pub(super) const LATER: &str = "standfast::Later";
pub(super) const TOGGLE: &str = "standfast::Toggle";
pub(super) const SHORT: &str = "standfast::Short::";

/// A value of the schema with the place where it stands: absent, bad (and noted), or good. A value has a room of its own, so that
/// a map with many absent keys is small: a file may have as many maps as it has values.
#[derive(Clone, Debug)]
pub(super) struct Item<T> {
    at: Option<NodeId>,
    value: Option<Box<T>>,
}

impl<T> Default for Item<T> {
    fn default() -> Self {
        Item { at: None, value: None }
    }
}

impl<T> Item<T> {
    /// The value, if it was given and is good.
    pub(super) fn get(&self) -> Option<&T> {
        self.value.as_deref()
    }

    /// Where it stands, if it was given.
    pub(super) fn at(&self) -> Option<NodeId> {
        self.at
    }

    /// The value with its place, if it was given and is good.
    pub(super) fn found(&self) -> Option<(NodeId, &T)> {
        Some((self.at?, self.value.as_deref()?))
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(super) struct Many<T>(pub(super) Vec<Item<T>>);

/// A list of maps; one alone is a list of one.
#[derive(Clone, Debug)]
pub(super) struct Listed<T>(pub(super) Vec<Item<T>>);

/// `off` (or `false`), or a value.
#[derive(Clone, Debug)]
pub(super) enum Switch<T> {
    Off,
    On(T),
}

/// `on` (or `true`), or a value. (`off` is what a [`Switch`] around it takes.)
#[derive(Clone, Debug)]
pub(super) enum Toggle<T> {
    On,
    With(T),
}

/// A key whose name is fixed and whose function is not built yet. It is refused, never ignored.
#[derive(Clone, Debug)]
pub(super) struct Later;

/// A map that may be given by one of its values alone: `10.0.0.1:80` for `{address: 10.0.0.1:80}`.
#[derive(Clone, Debug)]
pub(super) struct Short<T>(pub(super) T);

/// Gives a map its short form: [`SHORT`] followed by the key that the value alone stands for, or by a name that
/// [`alone`](super::hints::alone) knows.
pub(super) trait ShortForm {
    const NAME: &'static str;
}

/// A map with free keys, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Entries<T>(pub(super) Vec<(Item<String>, Item<T>)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Item<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Item<T>, A::Error> {
                let at = parts.next_element::<u32>()?.map(NodeId);
                Ok(Item { at, value: parts.next_element::<T>().ok().flatten().map(Box::new) })
            }
        }
        deserializer.deserialize_newtype_struct(ITEM, Parts(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(MANY, OneOrMore(PhantomData)).map(Many)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LISTED, OneOrMore(PhantomData)).map(Listed)
    }
}

struct OneOrMore<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
    type Value = Vec<Item<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Item<T>>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(list)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOr<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OffOr<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off` or a value")
            }

            fn visit_none<E: de::Error>(self) -> Result<Switch<T>, E> {
                Ok(Switch::Off)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Switch<T>, D::Error> {
                T::deserialize(deserializer).map(Switch::On)
            }
        }
        deserializer.deserialize_newtype_struct(SWITCH, OffOr(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Toggle<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnOr<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnOr<T> {
            type Value = Toggle<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`on`, `off` or a value")
            }

            fn visit_none<E: de::Error>(self) -> Result<Toggle<T>, E> {
                Ok(Toggle::On)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Toggle<T>, D::Error> {
                T::deserialize(deserializer).map(Toggle::With)
            }
        }
        deserializer.deserialize_newtype_struct(TOGGLE, OnOr(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Never;
        impl<'de> Visitor<'de> for Never {
            type Value = Later;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nothing: this key is not supported yet")
            }
        }
        deserializer.deserialize_newtype_struct(LATER, Never)
    }
}

impl<'de, T: Deserialize<'de> + ShortForm> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inner<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Inner<T> {
            type Value = Short<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a map")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Short<T>, D::Error> {
                T::deserialize(deserializer).map(Short)
            }
        }
        deserializer.deserialize_newtype_struct(T::NAME, Inner(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Free<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Free<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Free(PhantomData))
    }
}
