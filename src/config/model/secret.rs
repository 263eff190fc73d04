//! Texts that may be secrets.

use serde::{Deserialize, Serialize};

/// A text that may be a secret: dumps and debug output have `***` in its place.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What is written in place of a secret.
    pub const HIDDEN: &str = "***";

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is written in place of this one: nothing in place of nothing.
    pub fn hidden(&self) -> &'static str {
        if self.0.is_empty() { "" } else { Secret::HIDDEN }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Secret::HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Secret::HIDDEN)
    }
}
