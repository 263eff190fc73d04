//! Values on their way into a map.

use std::net::SocketAddr;
use std::time::Duration;

use serde_yaml::Value;

use crate::config::Bind;
use crate::config::model::{DelayThreshold, RecoveryPoint};
use crate::config::units::write_time;

/// `map! { "key" => value, … }`, in this order; a value that is `None` is left out.
macro_rules! map {
    ($($key:literal => $value:expr),* $(,)?) => {{
        let mut map = serde_yaml::Mapping::new();
        $(if let Some(value) = $crate::config::dump::written::DumpValue::from($value).0 { map.insert(Value::from($key), value); })*
        Value::Mapping(map)
    }};
}

/// A value on its way into a map; `None` = the key is left out.
pub(super) struct DumpValue(pub(super) Option<Value>);

macro_rules! written {
    ($($type:ty),*) => {$(
        impl From<$type> for DumpValue {
            fn from(value: $type) -> DumpValue {
                DumpValue(Some(Value::from(value)))
            }
        }
    )*};
}
written!(Value, &str, String, bool, u16, u32, u64, usize, f64);

impl From<Duration> for DumpValue {
    fn from(time: Duration) -> DumpValue {
        DumpValue(Some(write_time(time).into()))
    }
}

impl From<DelayThreshold> for DumpValue {
    fn from(patience: DelayThreshold) -> DumpValue {
        match patience {
            DelayThreshold::Auto => "auto".into(),
            DelayThreshold::Off => "off".into(),
            DelayThreshold::After(time) => time.into(),
        }
    }
}

impl From<RecoveryPoint> for DumpValue {
    fn from(most: RecoveryPoint) -> DumpValue {
        match most {
            RecoveryPoint::Bytes(bytes) => bytes.into(),
            RecoveryPoint::Time(time) => time.into(),
        }
    }
}

impl From<SocketAddr> for DumpValue {
    fn from(address: SocketAddr) -> DumpValue {
        DumpValue(Some(address.to_string().into()))
    }
}

impl From<Bind> for DumpValue {
    fn from(bind: Bind) -> DumpValue {
        DumpValue(Some(bind.to_string().into()))
    }
}

impl<T> From<Option<T>> for DumpValue
where
    DumpValue: From<T>,
{
    fn from(value: Option<T>) -> DumpValue {
        value.map_or(DumpValue(None), DumpValue::from)
    }
}

/// A word of the schema: the same that serde writes for the model's enums.
pub(super) fn word<T: serde::Serialize>(value: &T) -> Value {
    serde_yaml::to_value(value).unwrap_or_default()
}

pub(super) fn list<T>(items: impl IntoIterator<Item = T>, write: impl Fn(T) -> Value) -> Value {
    Value::Sequence(items.into_iter().map(write).collect())
}

pub(super) fn pairs(fields: &[(String, String)]) -> Value {
    Value::Mapping(fields.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect())
}

pub(super) fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// The words that count, and the statuses, alone or as ranges.
pub(super) fn outcomes(words: &[(&str, bool)], statuses: &[(u16, u16)]) -> Value {
    let words = words.iter().filter(|(_, counts)| *counts).map(|(word, _)| Value::from(*word));
    let range = |(first, last): &(u16, u16)| {
        if first == last { Value::from(*first) } else { format!("{first}-{last}").into() }
    };
    Value::Sequence(words.chain(statuses.iter().map(range)).collect())
}
