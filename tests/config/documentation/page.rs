//! Markdown pages, read line by line: fenced blocks with the comments before them, headings, links.

use std::path::{Path, PathBuf};

/// A Markdown file of the repository.
pub struct Page {
    /// Relative to the top of the repository.
    pub path: String,
    /// Lines outside of fenced blocks, with their numbers.
    pub lines: Vec<(usize, String)>,
    pub blocks: Vec<Block>,
}

/// A fenced block.
pub struct Block {
    /// Line of its opening fence.
    pub line: usize,
    pub language: String,
    pub text: String,
    /// The comments directly before it: `<!-- key: value -->`.
    pub notes: Vec<(String, String)>,
}

impl Block {
    /// The values of the notes with this key.
    pub fn notes<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.notes.iter().filter(move |note| note.0 == key).map(|note| note.1.as_str())
    }
}

impl Page {
    /// A page of the repository.
    pub fn read(path: &str) -> Page {
        let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Page::parse(path, &text)
    }

    pub fn parse(path: &str, text: &str) -> Page {
        let mut page = Page { path: path.to_owned(), lines: Vec::new(), blocks: Vec::new() };
        let mut notes = Vec::new();
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        while let Some((number, line)) = lines.next() {
            let trimmed = line.trim_start();
            if let Some(language) = trimmed.strip_prefix("```") {
                let indent = line.len() - trimmed.len();
                let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
                let text = inside.map(|line| line.get(indent..).unwrap_or("").to_owned() + "\n").collect();
                let notes = std::mem::take(&mut notes);
                page.blocks.push(Block { line: number, language: language.trim().to_owned(), text, notes });
                continue;
            }
            match note(trimmed) {
                Some(note) => notes.push(note),
                None if trimmed.is_empty() => {}
                None => notes.clear(),
            }
            page.lines.push((number, line.to_owned()));
        }
        page
    }

    /// The cells of the table behind the comment `<!-- values: NAME -->`, without its head.
    #[track_caller]
    pub fn table(&self, name: &str) -> Vec<Vec<String>> {
        let mark = format!("<!-- values: {name} -->");
        let lines = self.lines.iter().map(|(_, line)| line.as_str());
        let after = lines.skip_while(|line| *line != mark).skip(1).skip_while(|line| line.is_empty());
        let rows = after.take_while(|line| line.starts_with('|')).skip(2);
        let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let rows: Vec<Vec<String>> = rows.map(cells).collect();
        assert!(!rows.is_empty(), "{}: no table `{mark}`", self.path);
        rows
    }

    /// The anchors of its headings, as code hosts make them.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, line) in &self.lines {
            let title = line.trim_start_matches('#');
            if title.len() == line.len() || !title.starts_with(' ') {
                continue;
            }
            let anchor = anchor(title.trim());
            let same = anchors.iter().filter(|known| **known == anchor).count();
            anchors.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
        }
        anchors
    }

    /// Where its links lead, with their lines.
    pub fn links(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line) in &self.lines {
            let text = without_code(line);
            for (at, _) in text.match_indices("](") {
                let target = &text[at + 2..];
                let end = target.find(')').unwrap_or_else(|| panic!("{}:{number}: a link has no end", self.path));
                found.push((*number, target[..end].to_owned()));
            }
        }
        found
    }
}

/// `<!-- key: value -->`
fn note(line: &str) -> Option<(String, String)> {
    let inside = line.strip_prefix("<!--")?.trim_end().strip_suffix("-->")?;
    let (key, value) = inside.split_once(':')?;
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown page of the repository, in order.
pub fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).expect("a folder of the repository") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let is_page = path.extension().is_some_and(|extension| extension == "md");
            match entry.file_type().expect("a type") {
                kind if kind.is_dir() && !matches!(name.as_str(), "target" | ".git" | "node_modules") => {
                    folders.push(path);
                }
                kind if kind.is_file() && is_page => found.push(path.to_string_lossy().into_owned()),
                _ => {}
            }
        }
    }
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found.iter().map(|path| Page::read(path)).collect()
}

#[test]
fn blocks_comments_links_and_headings_are_found() {
    let page = Page::parse(
        "x.md",
        "# The `one` page, twice\n\n<!-- file: a.yaml -->\n<!-- warns: b: c -->\n\n  ```yaml\n  a:\n    - b\n  ```\n\
         [x](y.md#z) and `[not](this)`\n# The one page, twice\n<!-- file: lost -->\ntext\n```\n```\n",
    );
    assert_eq!(page.anchors(), ["the-one-page-twice", "the-one-page-twice-1"]);
    assert_eq!(page.links(), [(10, "y.md#z".to_owned())]);
    assert_eq!(page.blocks[0].text, "a:\n  - b\n");
    assert_eq!((page.blocks[0].line, page.blocks[0].language.as_str()), (6, "yaml"));
    assert_eq!(page.blocks[0].notes("warns").collect::<Vec<_>>(), ["b: c"]);
    assert!(page.blocks[1].notes.is_empty());
}
