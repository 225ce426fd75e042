//! A YAML document as a tree that knows its lines and keeps the source text of its scalars.
//!
//! Built from the parser's events and not by a ready-made loader, because a loader resolves
//! `3.10` to 3.1, stops at the first doubled key and recurses as deep as the file says. Here an
//! alias shares its node, and what a file may unfold to is bounded in depth and number: a megabyte
//! of anchors is refused within milliseconds.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::fault::{Fault, Faults, Spot, shown, wrong};

/// Longest file that is read.
pub const MAX_BYTES: usize = 1 << 20;

/// Most values of a file, where an alias counts as all that it stands for.
const MAX_NODES: usize = 100_000;

/// Deepest nesting, far below what recursion over the tree could bear.
const MAX_DEPTH: usize = 64;

/// A value, with the line on which it starts.
#[derive(Debug)]
pub struct Node {
    /// Counted from 1.
    pub line: usize,
    /// The value itself.
    pub data: Data,
    /// This value and all below it, aliases unfolded.
    size: usize,
    /// Levels below and including this one.
    depth: usize,
}

/// The three kinds of values.
#[derive(Debug)]
pub enum Data {
    /// A single value, as it was written.
    Scalar {
        /// The source text; of quoted text, what the quotes hold.
        text: String,
        /// Not quoted, so that `true` or `1` may be more than text.
        plain: bool,
    },
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the file, each key once.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's source text.
    pub key: String,
    /// The key's line.
    pub line: usize,
    /// What stands under it.
    pub value: Rc<Node>,
}

impl Node {
    /// Whether nothing stands here: no text at all, `~` or `null`.
    pub fn is_null(&self) -> bool {
        let Data::Scalar { text, plain: true } = &self.data else { return false };
        matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What stands here, in words that follow "not".
    pub fn what(&self) -> String {
        match &self.data {
            _ if self.is_null() => "nothing".to_owned(),
            Data::Scalar { text, .. } => format!("`{}`", shown(text)),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// The only document of `text`, `None` if there is none, with the faults found on the way.
///
/// # Errors
/// When there is no tree to go on with; the doubled keys found before that are told as well.
pub fn parse(text: &str, file: &Path) -> Result<(Option<Rc<Node>>, Faults), Vec<Fault>> {
    let faults = Faults::of(file);
    let mut builder = Builder { open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0, faults };
    match builder.read(text) {
        Ok(()) => Ok((builder.root.filter(|root| !root.is_null()), builder.faults)),
        Err(Stop) => builder.faults.finish(None),
    }
}

/// The tree can't be built further; the fault that says why has been added.
struct Stop;

/// A list or mapping whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    children: Children,
}

enum Children {
    List(Vec<Rc<Node>>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    /// The line of each key.
    lines: HashMap<String, usize>,
    /// The key whose value has not come, with its line.
    key: Option<(String, usize)>,
    /// What stands under `<<`: mappings whose entries are taken over.
    merged: Vec<Rc<Node>>,
}

/// A key's text that takes over the entries of other mappings, as YAML 1.1 and kubectl have it.
pub(super) const MERGE: &str = "<<";

struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    nodes: usize,
    faults: Faults,
}

impl Builder {
    fn read(&mut self, text: &str) -> Result<(), Stop> {
        if text.len() > MAX_BYTES {
            self.faults.add_whole(wrong(format!("is longer than {} MiB", MAX_BYTES >> 20)));
            return Err(Stop);
        }
        for event in Parser::new_from_str(text) {
            match event {
                Ok((event, span)) => self.take(event, span.start.line())?,
                Err(error) => return Err(self.not_yaml(text, &error)),
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event, line: usize) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(self.stop(line, "a second YAML document starts here, and a file may hold only one"))
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_deref(), line);
                let data = Data::Scalar { text: text.into_owned(), plain };
                self.count(1, line)?;
                self.place(Rc::new(Node { line, data, size: 1, depth: 1 }), anchor, line)
            }
            Event::SequenceStart(anchor, tag) => {
                self.is_text(tag.as_deref(), line);
                self.enter(Open { line, anchor, children: Children::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                self.is_text(tag.as_deref(), line);
                self.enter(Open { line, anchor, children: Children::Map(OpenMap::default()) })
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
                    return Err(self.stop(line, "an alias stands inside the value that it stands for"));
                };
                self.count(node.size, line)?;
                self.place(node, 0, line)
            }
        }
    }

    /// Whether a tag says that a scalar is text whatever it looks like.
    fn is_text(&mut self, tag: Option<&Tag>, line: usize) -> bool {
        let Some(tag) = tag else { return false };
        let name = format!("{}{}", tag.handle, tag.suffix);
        let core = name.strip_prefix("tag:yaml.org,2002:");
        if !matches!(core, Some("str" | "int" | "float" | "bool" | "null" | "seq" | "map")) && name != "!" {
            let spot = Spot { line, ..self.spot() };
            self.faults.add(&spot, wrong(format!("has the tag `{}`, which means nothing here", shown(&name))));
        }
        core == Some("str") || name == "!"
    }

    fn enter(&mut self, open: Open) -> Result<(), Stop> {
        if self.open_map().is_some_and(|map| map.key.is_none()) {
            let spot = Spot { line: open.line, ..self.spot() };
            let hint = "put text that starts with `{` or `[` in quotes";
            self.faults.add(&spot, wrong("has a list or mapping where a key should be").hint(hint));
            return Err(Stop);
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(open.line));
        }
        self.open.push(open);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Stop> {
        let Some(Open { line, anchor, children }) = self.open.pop() else { return Ok(()) };
        self.count(1, line)?;
        let data = match children {
            Children::List(items) => Data::List(items),
            Children::Map(map) => Data::Map(self.merge(map, line)?),
        };
        let below: Vec<&Node> = match &data {
            Data::Scalar { .. } => Vec::new(),
            Data::List(items) => items.iter().map(AsRef::as_ref).collect(),
            Data::Map(entries) => entries.iter().map(|entry| entry.value.as_ref()).collect(),
        };
        let size = 1 + below.iter().map(|node| node.size).sum::<usize>();
        let depth = 1 + below.iter().map(|node| node.depth).max().unwrap_or(0);
        self.place(Rc::new(Node { line, data, size, depth }), anchor, line)
    }

    /// The entries of a finished mapping: its own, then those it takes over and does not have.
    fn merge(&mut self, map: OpenMap, line: usize) -> Result<Vec<Entry>, Stop> {
        let OpenMap { mut entries, mut lines, merged, .. } = map;
        let sources = merged.iter().flat_map(|node| match &node.data {
            Data::List(items) => items.iter().map(AsRef::as_ref).collect(),
            _ => vec![node.as_ref()],
        });
        for source in sources {
            let Data::Map(others) = &source.data else {
                let hint = "write `<<: *NAME`, where `&NAME` marks a mapping";
                let spot = self.spot().key(MERGE, line);
                self.faults.add(&spot, wrong(format!("must stand for a mapping, not {}", source.what())).hint(hint));
                continue;
            };
            for other in others {
                if !lines.contains_key(&other.key) {
                    self.count(other.value.size, line)?;
                    lines.insert(other.key.clone(), other.line);
                    entries.push(other.clone());
                }
            }
        }
        Ok(entries)
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Rc<Node>, anchor: usize, line: usize) -> Result<(), Stop> {
        // a scalar may stand below the deepest list
        if self.open.len() + node.depth > MAX_DEPTH + 1 {
            return Err(self.too_deep(line));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let children = self.open.last_mut().map(|open| &mut open.children);
        match children {
            None => self.root = Some(node),
            Some(Children::List(items)) => items.push(node),
            Some(Children::Map(map)) => match map.key.take() {
                None => return self.place_key(&node, line),
                Some((key, _)) if key == MERGE => map.merged.push(node),
                Some((key, line)) => {
                    // of a doubled key the first value counts; an empty key has been told
                    if !key.is_empty() && !map.lines.contains_key(&key) {
                        map.lines.insert(key.clone(), line);
                        map.entries.push(Entry { key, line, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    fn place_key(&mut self, node: &Node, line: usize) -> Result<(), Stop> {
        let Data::Scalar { text, .. } = &node.data else {
            return Err(self.stop(line, "an alias of a list or mapping stands where a key should be"));
        };
        let Some(map) = self.open_map() else { return Ok(()) };
        let first = map.lines.get(text).copied();
        map.key = Some((text.clone(), line));
        if text.is_empty() {
            self.faults.add(&Spot { line, key: String::new() }, wrong("a key is empty"));
        } else if let Some(first) = first {
            let spot = self.spot();
            self.faults.add(&spot, wrong(format!("is there twice, first in line {first}")));
        }
        Ok(())
    }

    /// The innermost open collection, if it is a mapping.
    fn open_map(&mut self) -> Option<&mut OpenMap> {
        match self.open.last_mut().map(|open| &mut open.children) {
            Some(Children::Map(map)) => Some(map),
            _ => None,
        }
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let what =
                format!("there are more than {MAX_NODES} values up to here, an alias counted as all it stands for");
            return Err(self.stop(line, &what));
        }
        Ok(())
    }

    /// The spot of what is being read.
    fn spot(&self) -> Spot {
        let mut spot = Spot::default();
        for open in &self.open {
            spot = match &open.children {
                Children::List(items) => spot.item(items.len(), open.line),
                Children::Map(OpenMap { key: Some((key, line)), .. }) => spot.key(key, *line),
                Children::Map(_) => spot,
            };
        }
        spot
    }

    fn too_deep(&mut self, line: usize) -> Stop {
        self.stop(line, &format!("this is nested deeper than {MAX_DEPTH} levels"))
    }

    fn stop(&mut self, line: usize, what: &str) -> Stop {
        self.faults.add(&Spot { line, key: String::new() }, wrong(what));
        Stop
    }

    fn not_yaml(&mut self, text: &str, error: &ScanError) -> Stop {
        let line = error.marker().line();
        // the parser names a tab by what it disturbs, often the line before it
        let is_indented_by_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t');
        let tab = text.lines().skip(line - 1).take(2).position(is_indented_by_tab);
        if let (Some(tab), true) = (tab, error.info().contains("tab")) {
            return self.stop(line + tab, "this line is indented with a tab, and YAML takes spaces only");
        }
        self.stop(line, &format!("this is not YAML: {}", error.info()))
    }
}

#[cfg(test)]
mod tests;
