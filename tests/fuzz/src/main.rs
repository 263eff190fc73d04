//! All fuzz targets in one program: `STANDFAST_FUZZ` names the one that runs, or is `list`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[path = "../properties/mod.rs"]
mod properties;

static CHECK: OnceLock<fn(&[u8])> = OnceLock::new();

fn target() -> fn(&[u8]) {
    let name = std::env::var("STANDFAST_FUZZ").unwrap_or_default();
    if name == "list" {
        properties::TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.longest));
        std::process::exit(0);
    }
    let found = properties::TARGETS.iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("STANDFAST_FUZZ names no target: `{name}`")).check
}

fuzz_target!(init: { CHECK.get_or_init(target); }, |input: &[u8]| {
    if let Some(check) = CHECK.get() {
        check(input);
    }
});
