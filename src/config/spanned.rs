//! The building blocks of the schema: spanned values, short forms, `off`, and reserved keys. Each asks its deserializer
//! for what serde has no call for by a reserved newtype name; see [`typing`](super::typing).

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::tree::NodeId;

pub(super) const SPANNED: &str = "standfast::Spanned";
pub(super) const ONE_OR_MANY: &str = "standfast::OneOrMany";
pub(super) const ONE_OR_MANY_MAPS: &str = "standfast::OneOrManyMaps";
pub(super) const OFF_OR: &str = "standfast::OffOr";
pub(super) const RESERVED_KEY: &str = "standfast::ReservedKey";
pub(super) const ON_OR: &str = "standfast::OnOr";
pub(super) const SHORTHAND: &str = "standfast::Shorthand::";

/// A value of the schema with the place where it stands: absent, bad (and noted), or good. The value is boxed, so that
/// a map with many absent keys is small: a file may have as many maps as it has values.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    at: Option<NodeId>,
    value: Option<Box<T>>,
}

impl<T> Default for Spanned<T> {
    fn default() -> Self {
        Spanned { at: None, value: None }
    }
}

impl<T> Spanned<T> {
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
pub(super) struct OneOrMany<T>(pub(super) Vec<Spanned<T>>);

/// A list of maps; one alone is a list of one.
#[derive(Clone, Debug)]
pub(super) struct OneOrManyMaps<T>(pub(super) Vec<Spanned<T>>);

/// `off` (or `false`), or a value.
#[derive(Clone, Debug)]
pub(super) enum OffOr<T> {
    Off,
    Value(T),
}

/// `on` (or `true`), or a value. (`off` is what an [`OffOr`] around it takes.)
#[derive(Clone, Debug)]
pub(super) enum OnOr<T> {
    On,
    Value(T),
}

/// A key whose name is fixed and whose function is not built yet. It is refused, never ignored.
#[derive(Clone, Debug)]
pub(super) struct ReservedKey;

/// A map that may be given by one of its values alone: `10.0.0.1:80` for `{address: 10.0.0.1:80}`.
#[derive(Clone, Debug)]
pub(super) struct ShorthandMap<T>(pub(super) T);

/// Gives a map its short form: [`SHORTHAND`] followed by the key that the value alone stands for, or by a name that
/// [`shorthand_meaning`](super::hints::shorthand_meaning) knows.
pub(super) trait ShortForm {
    const NAME: &'static str;
}

/// A map with free keys, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct NamedEntries<T>(pub(super) Vec<(Spanned<String>, Spanned<T>)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpannedVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
            type Value = Spanned<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Spanned<T>, A::Error> {
                let at = parts.next_element::<u32>()?.map(NodeId);
                Ok(Spanned { at, value: parts.next_element::<T>().ok().flatten().map(Box::new) })
            }
        }
        deserializer.deserialize_newtype_struct(SPANNED, SpannedVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ONE_OR_MANY, ListVisitor(PhantomData)).map(OneOrMany)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrManyMaps<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ONE_OR_MANY_MAPS, ListVisitor(PhantomData)).map(OneOrManyMaps)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<Spanned<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Spanned<T>>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(list)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OffOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = deserializer.deserialize_newtype_struct(OFF_OR, SwitchVisitor::new("`off` or a value"))?;
        Ok(given.map_or(OffOr::Off, OffOr::Value))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OnOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = deserializer.deserialize_newtype_struct(ON_OR, SwitchVisitor::new("`on`, `off` or a value"))?;
        Ok(given.map_or(OnOr::On, OnOr::Value))
    }
}

/// The word of a switch (`None`), or its value.
struct SwitchVisitor<T> {
    expecting: &'static str,
    value: PhantomData<T>,
}

impl<T> SwitchVisitor<T> {
    fn new(expecting: &'static str) -> SwitchVisitor<T> {
        SwitchVisitor { expecting, value: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::deserialize(deserializer).map(Some)
    }
}

impl<'de> Deserialize<'de> for ReservedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReservedVisitor;
        impl<'de> Visitor<'de> for ReservedVisitor {
            type Value = ReservedKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nothing: this key is not supported yet")
            }
        }
        deserializer.deserialize_newtype_struct(RESERVED_KEY, ReservedVisitor)
    }
}

impl<'de, T: Deserialize<'de> + ShortForm> Deserialize<'de> for ShorthandMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShorthandVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ShorthandVisitor<T> {
            type Value = ShorthandMap<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a map")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<ShorthandMap<T>, D::Error> {
                T::deserialize(deserializer).map(ShorthandMap)
            }
        }
        deserializer.deserialize_newtype_struct(T::NAME, ShorthandVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NamedEntries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = NamedEntries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedEntries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(NamedEntries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}
