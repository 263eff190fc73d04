//! The sources of the library and the program.

use std::path::Path;

/// Each file of `src/`: its path from the top of the repository, and its text, in the order of the paths.
pub fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                found.push((path.strip_prefix(root).expect("inside").to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 150, "the sources are not where they are looked for");
    found
}
