//! Words that stand for the values of a type in logs, metrics and header fields.

/// A type whose values are words: each value stands once, with its word, and `as_str` and `ALL` follow from that.
macro_rules! labels {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$doc])* $value,)+
        }

        impl $type {
            /// Every value.
            pub const ALL: &[$type] = &[$($type::$value),+];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($type::$value => $word,)+
                }
            }
        }
    };
}
pub(crate) use labels;
