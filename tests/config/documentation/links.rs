//! Links inside the repository.

use std::path::{Component, Path, PathBuf};

use super::page::{Page, pages, root};

#[test]
fn links_and_anchors_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in &pages() {
        for (line, target) in page.links() {
            if let Err(problem) = follow(page, &target) {
                wrong.push(format!("{}:{line}: {target}: {problem}", page.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn follow(page: &Page, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file {
        "" => page.path.clone(),
        file => resolved(Path::new(&page.path).parent().unwrap_or(Path::new("")), file)?,
    };
    if !root().join(&path).exists() {
        return Err(format!("there is no {path}"));
    }
    match anchor {
        Some(anchor) if path.ends_with(".md") => {
            let anchors = Page::read(&path).anchors();
            let found = anchors.iter().any(|known| known == anchor);
            if found { Ok(()) } else { Err(format!("{path} has no such heading; it has {}", anchors.join(", "))) }
        }
        _ => Ok(()),
    }
}

/// A path inside the repository, without `..`.
fn resolved(folder: &Path, file: &str) -> Result<String, String> {
    let mut path = PathBuf::new();
    for part in folder.join(file).components() {
        match part {
            Component::ParentDir if path.pop() => {}
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return Err("it leads out of the repository".to_owned()),
        }
    }
    Ok(path.to_string_lossy().into_owned())
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Page::read("config/metrics.md");
    assert_eq!(follow(&page, "#metrics"), Ok(()));
    assert_eq!(follow(&page, "../README.md"), Ok(()));
    assert_eq!(follow(&page, "../tests/"), Ok(()));
    for wrong in ["../../README.md", "nowhere.md", "../README.md#nowhere-at-all"] {
        assert!(follow(&page, wrong).is_err(), "{wrong}");
    }
}
