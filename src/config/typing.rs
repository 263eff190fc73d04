//! Types a tree with serde, item by item: a wrong item is noted and the rest goes on, so that all problems come at once.
//!
//! serde stops at the first error. Here every value of the schema is a [`Spanned`], whose `Deserialize` never fails: it asks
//! the deserializer, through a reserved newtype name, for the id of its node and for the value, and keeps "bad" when the
//! value could not be typed; the deserializer has noted why. Unknown keys are found by `deserialize_struct`, which knows
//! the allowed ones, and are all reported, each with the nearest known key. Four more reserved names give the
//! short forms (`ShorthandMap`, `OneOrMany`, `OffOr`, `OnOr`) and `ReservedKey`, the mark of a key that is named but not built yet.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::advice::nearest;
use super::diagnostic::{Diagnostic, DiagnosticList, SourceSpot};
use super::hints::{self, FoundValue, ShorthandMeaning};
use super::spanned::{OFF_OR, ON_OR, ONE_OR_MANY, ONE_OR_MANY_MAPS, RESERVED_KEY, SHORTHAND, SPANNED, Spanned};
use super::tree::{NodeId, PathStep, SpannedTree, TreeNode, TreeValue, shorten, shown_key};

/// Types a whole tree; what is wrong goes to `diagnostics`. Keys that are reserved in their type are not offered in advice.
pub(super) fn typed<T: for<'de> Deserialize<'de>>(
    tree: &SpannedTree,
    is_reserved: fn(&'static str, &'static str) -> bool,
    diagnostics: &mut DiagnosticList,
) -> Spanned<T> {
    let notes = RefCell::new(std::mem::take(diagnostics));
    let item =
        Spanned::deserialize(TreeDeserializer { node: &tree.root, tree, is_reserved, notes: &notes, short: None })
            .unwrap_or_default();
    *diagnostics = notes.into_inner();
    item
}

/// Why a value cannot be typed.
#[derive(Debug)]
pub(super) struct TypingError {
    at: Option<NodeId>,
    what: String,
    advice: String,
}

impl TypingError {
    fn new(at: NodeId, what: impl Into<String>, advice: impl Into<String>) -> TypingError {
        TypingError { at: Some(at), what: what.into(), advice: advice.into() }
    }

    fn at(mut self, node: NodeId) -> TypingError {
        self.at.get_or_insert(node);
        self
    }
}

impl fmt::Display for TypingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for TypingError {}

impl de::Error for TypingError {
    /// The second line of a message, if any, is the advice.
    fn custom<T: fmt::Display>(message: T) -> TypingError {
        let message = message.to_string();
        let (what, advice) = message.split_once('\n').unwrap_or((&message, ""));
        TypingError { at: None, what: what.into(), advice: advice.into() }
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> TypingError {
        let what = format!("`{}` is not a choice here", shorten(word));
        TypingError { at: None, what, advice: nearest(word, expected) }
    }
}

#[derive(Clone, Copy)]
struct TreeDeserializer<'t> {
    node: &'t TreeNode,
    tree: &'t SpannedTree,
    is_reserved: fn(&'static str, &'static str) -> bool,
    notes: &'t RefCell<DiagnosticList>,
    /// The key that a value alone stands for, inside `ShorthandMap`.
    short: Option<&'static str>,
}

impl<'t> TreeDeserializer<'t> {
    fn of(self, node: &'t TreeNode) -> TreeDeserializer<'t> {
        TreeDeserializer { node, short: None, ..self }
    }

    fn note(self, refusal: &TypingError) {
        let at = refusal.at.unwrap_or(self.node.id);
        self.notes.borrow_mut().push(Diagnostic::error(
            SourceSpot::Node(at),
            refusal.what.clone(),
            refusal.advice.clone(),
        ));
    }

    fn wrong(self, expected: &dyn de::Expected) -> TypingError {
        TypingError::new(self.node.id, format!("expected {expected}, found {}", self.describe()), "")
    }

    /// The value for a message, as far as it may be shown.
    fn describe(self) -> String {
        match &self.node.value {
            TreeValue::Scalar { .. } if self.tree.is_secret(self.node.id) && !self.node.value.is_null() => {
                "a text".into()
            }
            value => value.describe(),
        }
    }

    fn list(self) -> Option<&'t [TreeNode]> {
        match &self.node.value {
            TreeValue::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text of a scalar that says something.
    fn text(self) -> Option<&'t str> {
        match &self.node.value {
            TreeValue::Scalar { text, .. } if !self.node.value.is_null() => Some(text),
            _ => None,
        }
    }

    /// Keeps the allowed keys of a map and notes the others.
    fn known(
        self,
        entries: &'t [(TreeNode, TreeNode)],
        name: &'static str,
        fields: &'static [&'static str],
    ) -> Vec<&'t (TreeNode, TreeNode)> {
        let mut answered: HashMap<String, &str> = HashMap::new();
        let known = |entry: &&'t (TreeNode, TreeNode)| {
            let word = self.of(&entry.0).text().unwrap_or_default();
            let known = fields.contains(&word);
            if !known {
                let what = format!("unknown key `{}`", shown_key(word));
                let value = FoundValue { around: entries, ..self.of(&entry.1).found() };
                let advice = match hints::unknown_key(name, word, value) {
                    None => nearest(word, &self.offered(name, fields)),
                    Some(advice) => match answered.entry(advice) {
                        // One answer for two keys, such as those for a certificate and its key: it is written once.
                        Entry::Occupied(said) => {
                            format!("the same answer as to `{}`: write it once", shown_key(said.get()))
                        }
                        Entry::Vacant(free) => {
                            let advice = free.key().clone();
                            free.insert(word);
                            advice
                        }
                    },
                };
                self.supplied(&advice, fields);
                self.note(&TypingError::new(entry.0.id, what, advice));
            }
            known
        };
        entries.iter().filter(known).collect()
    }

    /// Notes which of the keys of this map an answer gives: that they are missing need not be told too.
    fn supplied(self, advice: &str, fields: &'static [&'static str]) {
        let likely = advice.strip_prefix("did you mean `").and_then(|rest| rest.split('`').next());
        let written = advice.split('`').skip(1).step_by(2).filter_map(|text| text.split_once(':'));
        let written = written.map(|(key, _)| key.trim_start_matches('{'));
        for key in likely.into_iter().chain(written) {
            if let Some(key) = fields.iter().find(|field| **field == key) {
                self.notes.borrow_mut().supplied(self.node.id, key);
            }
        }
    }

    fn found(self) -> FoundValue<'t> {
        FoundValue { node: self.node, tree: self.tree, around: &[] }
    }

    /// Its place in the list that it stands in.
    fn index(self) -> Option<usize> {
        match self.tree.place(self.node.id)?.step {
            PathStep::Index(index) => Some(index),
            _ => None,
        }
    }

    /// The keys that can be written today.
    fn offered(self, name: &'static str, fields: &'static [&'static str]) -> Vec<&'static str> {
        fields.iter().copied().filter(|field| !(self.is_reserved)(name, field)).collect()
    }
}

/// A plain word as what YAML's core schema takes it for.
fn resolved<'de, V: Visitor<'de>>(text: &str, plain: bool, visitor: V) -> Result<V::Value, TypingError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = plain && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text {
        "true" | "True" | "TRUE" if plain => visitor.visit_bool(true),
        "false" | "False" | "FALSE" if plain => visitor.visit_bool(false),
        _ if number && digits.bytes().all(|b| b.is_ascii_digit()) => match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(value), _) => visitor.visit_u64(value),
            (_, Ok(value)) => visitor.visit_i64(value),
            _ => visitor.visit_str(text),
        },
        _ if number => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => visitor.visit_f64(value),
            _ => visitor.visit_str(text),
        },
        _ => visitor.visit_str(text),
    }
}

impl<'de, 't> Deserializer<'de> for TreeDeserializer<'t> {
    type Error = TypingError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        match &self.node.value {
            value if value.is_null() => visitor.visit_unit(),
            TreeValue::Scalar { text, plain } => resolved(text, *plain, visitor),
            TreeValue::List(items) => visitor.visit_seq(ElementAccess { typist: self, items: items.iter() }),
            TreeValue::Map(entries) => visitor.visit_map(EntryAccess::new(self, entries.iter().collect())),
        }
        .map_err(|refusal| refusal.at(self.node.id))
    }

    /// A text: quoted or not, number or not, as it was written. (`true` and `1.10` are texts where a text is meant.)
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        match self.text() {
            Some(text) => visitor.visit_str(text).map_err(|refusal: TypingError| refusal.at(self.node.id)),
            None if self.node.value.is_null() => Err(self.wrong(&visitor)),
            None => {
                let advice = hints::not_a_text(&self.tree.key(self.node.id), self.found());
                Err(TypingError { advice, ..self.wrong(&visitor) })
            }
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        match self.list() {
            Some(items) => visitor.visit_seq(ElementAccess { typist: self, items: items.iter() }),
            None => Err(TypingError::new(
                self.node.id,
                format!("expected a list, found {}", self.describe()),
                hints::not_a_list(&self.tree.key(self.node.id), self.found()),
            )),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        match &self.node.value {
            TreeValue::Map(entries) => visitor.visit_map(EntryAccess::new(self, entries.iter().collect())),
            value if value.is_null() => visitor.visit_map(EntryAccess::new(self, Vec::new())),
            _ => Err(TypingError::new(
                self.node.id,
                format!("expected a map, found {}", self.describe()),
                hints::not_a_map(&self.tree.key(self.node.id), self.found()),
            )),
        }
    }

    /// A map with fixed keys; nothing at all is the empty map.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypingError> {
        match (&self.node.value, self.short) {
            (TreeValue::Map(entries), _) => {
                visitor.visit_map(EntryAccess::new(self, self.known(entries, name, fields)))
            }
            (value, _) if value.is_null() => visitor.visit_map(EntryAccess::new(self, Vec::new())),
            (TreeValue::Scalar { text, plain }, Some(short)) => match hints::shorthand_meaning(short, text, *plain) {
                ShorthandMeaning::Key(key) => {
                    visitor.visit_map(SingleEntryAccess { typist: self.of(self.node), key: Some(key) })
                }
                ShorthandMeaning::Word(key) => {
                    let nothing = TreeDeserializer { short: Some(""), ..self };
                    visitor.visit_map(SingleEntryAccess { typist: nothing, key: Some(key) })
                }
                ShorthandMeaning::Nothing => visitor.visit_map(EntryAccess::new(self, Vec::new())),
                ShorthandMeaning::Wrong(what, advice) => Err(TypingError::new(self.node.id, what, advice)),
            },
            _ => {
                let what = format!("expected a map, found {}", self.describe());
                let advice = hints::not_that_map(name, self.found(), self.index()).unwrap_or_else(|| {
                    let keys = self.offered(name, fields);
                    let keys = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                    format!("write a map with the keys {keys}")
                });
                Err(TypingError::new(self.node.id, what, advice))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TypingError> {
        let (word, content) = match &self.node.value {
            TreeValue::Map(entries) => match &entries[..] {
                [(key, content)] => (self.of(key), Some(self.of(content))),
                _ => return Err(self.wrong(&OneOfWords(variants))),
            },
            _ if self.text().is_some() => (self, None),
            _ => return Err(self.wrong(&OneOfWords(variants))),
        };
        if let Some(text) = word.text().filter(|text| !variants.contains(text))
            && let Some(advice) = hints::word(name, text)
        {
            let what = format!("`{}` is not a choice here", shorten(text));
            return Err(TypingError::new(word.node.id, what, advice));
        }
        if let (None, Some(text)) = (content, word.text())
            && let Some(advice) = hints::word_without_value(name, text)
        {
            return Err(TypingError::new(word.node.id, format!("`{text}` needs a name"), advice));
        }
        visitor.visit_enum(VariantAccessor { word, content }).map_err(|refusal| refusal.at(word.node.id))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        if self.node.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, TypingError> {
        match name {
            SPANNED => visitor.visit_seq(SpannedParts { typist: self, next: 0 }),
            ONE_OR_MANY => match self.list() {
                Some(items) => visitor.visit_seq(ElementAccess { typist: self, items: items.iter() }),
                None => {
                    visitor.visit_seq(ElementAccess { typist: self, items: std::slice::from_ref(self.node).iter() })
                }
            },
            ONE_OR_MANY_MAPS if self.node.value.is_null() => self.deserialize_seq(visitor),
            ONE_OR_MANY_MAPS => match self.list() {
                Some(items) => visitor.visit_seq(ElementAccess { typist: self, items: items.iter() }),
                None => {
                    visitor.visit_seq(ElementAccess { typist: self, items: std::slice::from_ref(self.node).iter() })
                }
            },
            OFF_OR => match &self.node.value {
                TreeValue::Scalar { text, plain: true } if matches!(&**text, "off" | "false") => visitor.visit_none(),
                _ => visitor.visit_some(self),
            },
            ON_OR => match &self.node.value {
                TreeValue::Scalar { text, plain: true } if matches!(&**text, "on" | "true") => visitor.visit_none(),
                _ => visitor.visit_some(self),
            },
            RESERVED_KEY => {
                let what = format!("`{}` is not supported yet", self.tree.key(self.node.id));
                Err(TypingError::new(self.node.id, what, "leave it out; it is refused rather than ignored"))
            }
            // (A word that named this map's key says nothing about what is in it.)
            _ if self.short == Some("") => visitor.visit_newtype_struct(self),
            _ => visitor.visit_newtype_struct(TreeDeserializer { short: name.strip_prefix(SHORTHAND), ..self }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TypingError> {
        match self.text() {
            Some("true" | "on") => visitor.visit_bool(true),
            Some("false" | "off") => visitor.visit_bool(false),
            _ => Err(TypingError::new(
                self.node.id,
                format!("expected `true` or `false`, found {}", self.describe()),
                "write `true` or `false`",
            )),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        ignored_any
    }
}

struct OneOfWords(&'static [&'static str]);

impl de::Expected for OneOfWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.0.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
    }
}

struct ElementAccess<'t> {
    typist: TreeDeserializer<'t>,
    items: std::slice::Iter<'t, TreeNode>,
}

impl<'de> SeqAccess<'de> for ElementAccess<'_> {
    type Error = TypingError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, TypingError> {
        self.items.next().map(|node| seed.deserialize(self.typist.of(node))).transpose()
    }
}

struct EntryAccess<'t> {
    typist: TreeDeserializer<'t>,
    entries: std::vec::IntoIter<&'t (TreeNode, TreeNode)>,
    value: Option<&'t TreeNode>,
}

impl<'t> EntryAccess<'t> {
    fn new(typist: TreeDeserializer<'t>, entries: Vec<&'t (TreeNode, TreeNode)>) -> EntryAccess<'t> {
        EntryAccess { typist, entries: entries.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for EntryAccess<'_> {
    type Error = TypingError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, TypingError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(self.typist.of(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, TypingError> {
        let node = self.value.take().unwrap_or(self.typist.node);
        seed.deserialize(self.typist.of(node))
    }
}

/// A value alone, as a map of one entry.
struct SingleEntryAccess<'t> {
    typist: TreeDeserializer<'t>,
    key: Option<&'static str>,
}

impl<'de> MapAccess<'de> for SingleEntryAccess<'_> {
    type Error = TypingError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, TypingError> {
        self.key.take().map(|key| seed.deserialize(key.into_deserializer())).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, TypingError> {
        seed.deserialize(self.typist)
    }
}

/// What a [`Spanned`] asks for: first the id of its node, then the value; a value that cannot be typed is noted here.
struct SpannedParts<'t> {
    typist: TreeDeserializer<'t>,
    next: u8,
}

impl<'de> SeqAccess<'de> for SpannedParts<'_> {
    type Error = TypingError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, TypingError> {
        self.next += 1;
        if self.next == 1 {
            return seed.deserialize(self.typist.node.id.0.into_deserializer()).map(Some);
        }
        seed.deserialize(self.typist).map(Some).inspect_err(|refusal| self.typist.note(refusal))
    }
}

/// A choice by a word, or by a word with content.
struct VariantAccessor<'t> {
    word: TreeDeserializer<'t>,
    content: Option<TreeDeserializer<'t>>,
}

impl<'de, 't> EnumAccess<'de> for VariantAccessor<'t> {
    type Error = TypingError;
    type Variant = VariantContent<'t>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, VariantContent<'t>), TypingError> {
        Ok((seed.deserialize(self.word)?, VariantContent { word: self.word, content: self.content }))
    }
}

struct VariantContent<'t> {
    word: TreeDeserializer<'t>,
    content: Option<TreeDeserializer<'t>>,
}

impl<'de> VariantAccess<'de> for VariantContent<'_> {
    type Error = TypingError;

    fn unit_variant(self) -> Result<(), TypingError> {
        match self.content {
            Some(content) if !content.node.value.is_null() => {
                Err(TypingError::new(content.node.id, "this choice takes no value", "write the word alone"))
            }
            _ => Ok(()),
        }
    }

    /// A word alone has the content "nothing", which an `Option` takes as `None`.
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, TypingError> {
        match self.content {
            Some(content) => seed.deserialize(content),
            None => seed.deserialize(de::value::UnitDeserializer::new()),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, TypingError> {
        Err(self.word.wrong(&visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, TypingError> {
        Err(self.word.wrong(&visitor))
    }
}
