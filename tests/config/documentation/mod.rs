//! Documentation against the program: every Markdown page of the repository is read as its reader reads it.
//!
//! * YAML blocks load without an error and without a warning.
//! * Commands in `console` blocks run and print what the page shows.
//! * Links and anchors lead somewhere.
//! * The tables of `config/guides/tables.md` list exactly the values that the program writes.
//!
//! Pages give hints to this test in HTML comments directly before a block; readers do not see them:
//!
//! | comment | meaning |
//! |---|---|
//! | `<!-- warns: TEXT -->` | loading this YAML gives a warning that contains TEXT |
//! | `<!-- part of: config/two-regions.yaml -->` | this YAML is merged into that file before it is loaded |
//! | `<!-- file: standfast.yaml -->` | the commands of the page find this block under that name |
//! | `<!-- values: NAME -->` | the table behind it is compared with the program |
//! | `<!-- exits: 1 -->` | the last command of this block exits with that code; without it every command exits with 0 |
//!
//! YAML of another program begins with a comment line that names its file (`# prometheus.yml`).

mod console;
mod keys;
mod links;
mod page;
mod tables;
mod timeline;
mod words;
mod yaml;
