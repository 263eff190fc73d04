//! Words that stand for the values of a type in logs, metrics and header fields.

/// Gives a type `as_str` and `ALL` from one list: a value without a word does not compile, and none is missing in `ALL`.
macro_rules! labels {
    ($type:ident { $($value:ident = $word:literal,)+ }) => {
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
