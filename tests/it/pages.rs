//! The pages: the README, the contributors' page and `docs/`, as blocks, commands, headings and links.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A page of Markdown.
pub struct Page {
    /// Its path below the repository.
    pub name: String,
    pub text: String,
}

/// A fenced block.
pub struct Block {
    /// The word behind the fence.
    pub kind: String,
    pub text: String,
}

/// All pages.
pub fn all() -> Vec<Page> {
    let files = fs::read_dir(Path::new(ROOT).join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    let mut names: Vec<String> =
        pages.map(|file| format!("docs/{}", file.file_name().unwrap().to_str().unwrap())).collect();
    names.sort();
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];
    let all: Vec<Page> = top.into_iter().map(str::to_owned).chain(names).map(|name| Page::read(&name)).collect();
    assert!(all.len() > 15, "does this still find the pages?");
    all
}

impl Page {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { name: name.to_owned(), text }
    }

    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
            let inside: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            assert!(!kind.is_empty(), "{}: a block says not what it is: {inside:?}", self.name);
            blocks.push(Block { kind: kind.to_owned(), text: inside.join("\n") + "\n" });
        }
        blocks
    }

    /// The text without its fenced blocks.
    fn prose(&self) -> String {
        let mut inside = false;
        let outside = |line: &&str| {
            let is_fence = line.trim_start().starts_with("```");
            inside ^= is_fence;
            !inside && !is_fence
        };
        self.text.lines().filter(outside).collect::<Vec<_>>().join("\n")
    }

    /// The commands that it shows, each with what it answers: lines of `sh` blocks, lines of `console` and `text`
    /// blocks that begin with `$ `, and code within the text that begins with `kubectl mrunner`.
    pub fn commands(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for block in self.blocks() {
            match block.kind.as_str() {
                "sh" => {
                    let lines = block.text.lines().map(|line| line.split("   #").next().unwrap_or_default().trim());
                    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
                    all.extend(lines.map(|line| (line.to_owned(), String::new())));
                }
                "console" | "text" => {
                    for part in format!("\n{}", block.text).split("\n$ ").skip(1) {
                        let (command, answer) = part.split_once('\n').unwrap_or((part, ""));
                        all.push((command.to_owned(), answer.to_owned()));
                    }
                }
                _ => {}
            }
        }
        let prose = self.prose();
        // one line of help has a verb for all: `kubectl mrunner VERB --help`
        let code = prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let code = code.filter(|code| code.starts_with("kubectl mrunner "));
        all.extend(code.map(|code| (code.to_owned(), String::new())));
        all
    }

    /// The words in backticks in the first cells of the table under a heading.
    pub fn first_cells(&self, heading: &str) -> Vec<String> {
        let (_, section) = self.text.split_once(&format!("## {heading}\n")).unwrap();
        let table = section.lines().skip_while(|l| !l.starts_with("| ")).take_while(|l| l.starts_with('|'));
        let cells = table.map(|line| line.trim_start_matches('|').split('|').next().unwrap().to_owned());
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// The anchors that GitHub gives its headings.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose();
        let headings = headings.lines().filter_map(|line| line.strip_prefix('#'));
        headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
    }

    /// The targets of its links.
    fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let after = prose.split("](").skip(1);
        after.map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// A path without `..` in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir { _ = plain.pop() } else { plain.push(part) }
    }
    plain
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in all() {
        for link in page.links().iter().filter(|link| !link.contains("://")) {
            let (file, wanted) = link.split_once('#').map_or((link.as_str(), None), |(f, a)| (f, Some(a)));
            let folder = Path::new(&page.name).parent().unwrap();
            let target = if file.is_empty() { PathBuf::from(&page.name) } else { plain(&folder.join(file)) };
            assert!(Path::new(ROOT).join(&target).exists(), "{}: `{link}` leads nowhere", page.name);
            if let Some(wanted) = wanted {
                let anchors = Page::read(target.to_str().unwrap()).anchors();
                assert!(anchors.contains(wanted), "{}: `{link}` names no heading of {anchors:?}", page.name);
            }
            count += 1;
        }
    }
    assert!(count > 60, "only {count} links: does this test still find them?");
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let links = Page::read("README.md").links();
    for page in all().iter().filter(|page| page.name != "README.md") {
        assert!(links.contains(&page.name), "README.md has no link to {}", page.name);
    }
}

#[test]
fn the_crate_carries_what_the_readme_links_to() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let include = manifest.lines().find(|line| line.starts_with("include = ")).unwrap();
    for link in Page::read("README.md").links().iter().filter(|link| !link.contains("://")) {
        let top = link.split(['/', '#']).next().unwrap();
        assert!(include.contains(&format!("\"/{top}\"")), "Cargo.toml does not include {link}");
    }
}

/// `repository` in Cargo.toml is the project's home. `MRUNNER_BLESS=1` writes it into whatever names another one.
#[test]
fn every_page_names_the_home_of_the_project() {
    let manifest = Page::read("Cargo.toml");
    let home =
        |line: &str| line.strip_prefix("repository = \"https://github.com/")?.strip_suffix('"').map(str::to_owned);
    let home = manifest.text.lines().find_map(home).unwrap();
    let mut count = 0;
    for page in all().into_iter().chain([manifest]) {
        let mut text = page.text.clone();
        for host in ["https://github.com/", "https://raw.githubusercontent.com/"] {
            for rest in page.text.split(host).skip(1) {
                let named: String = rest.split_inclusive('/').take(2).collect();
                let named = named.trim_end_matches('/').split(['"', '`', ')', '\n']).next().unwrap();
                if named.ends_with("/kubectl-mrunner") {
                    text = text.replace(&format!("{host}{named}"), &format!("{host}{home}"));
                    count += 1;
                }
            }
        }
        if std::env::var_os("MRUNNER_BLESS").is_some() {
            fs::write(Path::new(ROOT).join(&page.name), &text).unwrap();
        }
        assert!(text == page.text, "{} names another home than Cargo.toml: {home}", page.name);
    }
    assert!(count > 4, "only {count} addresses");
}

#[test]
fn no_page_names_a_path_of_somebodys_machine() {
    for page in all() {
        for word in ["/home/", "/root/", "/work/", "/Users/"] {
            assert!(!page.text.contains(word), "{} has `{word}`", page.name);
        }
    }
}

#[test]
fn every_path_of_the_repository_that_a_page_names_is_there() {
    let folders = ["src/", "tests/", "templates/", "docs/", "krew/", "fuzz/", "benches/", ".ci/"];
    let mut count = 0;
    for page in all() {
        let code = page.text.lines().flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned));
        let paths = code.map(|code| code.split(' ').next().unwrap().to_owned());
        // a word in capitals stands for something
        let paths =
            paths.filter(|path| folders.iter().any(|folder| path.starts_with(folder)) && !path.contains("VERB"));
        for path in paths {
            assert!(Path::new(ROOT).join(&path).exists(), "{}: there is no `{path}`", page.name);
            count += 1;
        }
    }
    assert!(count > 50, "only {count} paths");
}

#[test]
fn the_rooms_are_those_of_the_crate() {
    let page = Page::read("docs/architecture.md");
    let rooms = page.first_cells("Rooms");
    let lib = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let listed: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("//! - [`")?.split('`').next()).collect();
    assert_eq!(rooms, listed);
    let (_, table) = page.text.split_once("| pure |\n").unwrap();
    let pure = table.lines().filter(|line| line.ends_with("| yes |"));
    let pure: BTreeSet<&str> = pure.map(|line| line.split('`').nth(1).unwrap()).collect();
    assert_eq!(pure, BTreeSet::from(super::house::PURE));
}
