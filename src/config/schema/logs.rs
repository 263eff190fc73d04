//! `log:` and `access_log:`

map! { /// `log:`
Log = "filter" {
    filter: String,
    format: LogFormat,
}}

words! { /// `log.format`
LogFormat { Auto, Human, Json, }}

map! { /// `access_log:`
AccessLog = "access_log" {
    path: String,
    format: AccessFormat,
}}

words! { /// `access_log.format`
AccessFormat { Json, Common, Combined, }}
