//! How the types of the schema are written.

/// A map with fixed keys, each of them optional for serde (what is required is checked with the meaning).
macro_rules! map {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(in crate::config) struct $name {
            $($(#[$attribute])* pub(in crate::config) $key: crate::config::spanned::Spanned<$type>,)*
        }
    };
    ($(#[$doc:meta])* $name:ident = $short:literal { $($body:tt)* }) => {
        map! { $(#[$doc])* $name { $($body)* } }
        impl crate::config::spanned::ShortForm for $name {
            const NAME: &'static str = concat!("standfast::Shorthand::", $short);
        }
    };
}

/// A choice of words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($word:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(in crate::config) enum $name { $($word,)* }
    };
}
