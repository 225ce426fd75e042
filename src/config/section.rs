//! A mapping read key by key: what is wrong is added to the faults, and reading goes on.
//!
//! The keys that were asked for are the known ones; when the reader is done, every other key is a
//! fault that names the nearest of them.

use std::rc::Rc;

use super::check;
use super::fault::{Faults, Spot, Wrong, wrong};
use super::yaml::{Data, Entry, Node};
use crate::k8s::names;

/// Longest unknown key that is compared with the known ones.
const COMPARED: usize = 64;

/// A mapping that is being read.
pub(super) struct Section<'a, 'f> {
    spot: Spot,
    entries: &'a [Entry],
    known: Vec<&'static str>,
    older: &'static [(&'static str, &'static str)],
    foreign: Vec<(&'static [&'static str], &'static str)>,
    /// Where the faults go.
    pub faults: &'f mut Faults,
}

/// A value with its spot.
pub(super) struct LocatedNode<'a> {
    /// Of its key, or of itself in a list.
    pub spot: Spot,
    /// The value.
    pub node: &'a Rc<Node>,
}

impl<'a, 'f> Section<'a, 'f> {
    /// Reads the mapping `node`; `None` if it is none.
    pub fn read<T>(
        node: &'a Node,
        spot: Spot,
        faults: &'f mut Faults,
        read: impl FnOnce(&mut Section<'a, '_>) -> T,
    ) -> Option<T> {
        let Data::Map(entries) = &node.data else {
            faults.add(&spot, wrong(format!("must be a mapping of keys, not {}", node.what())));
            return None;
        };
        let mut section = Section { spot, entries, known: Vec::new(), older: &[], foreign: Vec::new(), faults };
        let value = read(&mut section);
        section.refuse_unknown();
        Some(value)
    }

    fn refuse_unknown(&mut self) {
        let older = self.older.iter().map(|(old, _)| *old);
        let known: Vec<&str> = self.known.iter().copied().chain(older).collect();
        for Entry { key, line, .. } in self.entries {
            if known.contains(&key.as_str()) {
                continue;
            }
            let mut what = wrong("is not a known key");
            if let Some((_, hint)) = self.foreign.iter().find(|(keys, _)| keys.contains(&key.as_str())) {
                what = what.hint(*hint);
            } else if key.len() <= COMPARED && !self.faults.are_plenty() {
                let near = names::nearest(key, known.iter().copied());
                what.hint = near.map(|near| format!("did you mean `{near}`?"));
            }
            self.faults.add(&self.spot.key(key, *line), what);
        }
    }

    /// Older spellings, each with the key that it is read as.
    pub fn older_spellings(&mut self, older: &'static [(&'static str, &'static str)]) {
        self.older = older;
    }

    /// Keys that belong into another file, and where.
    pub fn foreign(&mut self, keys: &'static [&'static str], hint: &'static str) {
        self.foreign.push((keys, hint));
    }

    /// A fault if `key` is not there.
    pub fn require(&mut self, key: &'static str, hint: Option<&str>) {
        if self.find(key).is_none() {
            let line = self.entries.iter().find(|entry| entry.key == key).map_or(self.spot.line, |entry| entry.line);
            let hint = hint.map(str::to_owned);
            self.faults.add(&self.spot.key(key, line), Wrong { hint, ..wrong("is required") });
        }
    }

    /// The value of `key`; `None` when it is not there or nothing stands under it.
    pub fn find(&mut self, key: &'static str) -> Option<LocatedNode<'a>> {
        let entries = self.entries;
        let entry = |name: &str| entries.iter().find(|entry| entry.key == name);
        let mut found = entry(key);
        for (old, _) in self.older.iter().filter(|(_, new)| *new == key) {
            match (found, entry(old)) {
                (Some(_), Some(old)) if !self.known.contains(&key) => {
                    let what = wrong(format!("is an older spelling of `{key}`, which is there as well"));
                    self.faults.add(&self.spot.key(&old.key, old.line), what);
                }
                (None, Some(old)) => found = Some(old),
                _ => {}
            }
        }
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let Entry { key, line, value } = found?;
        (!value.is_null()).then(|| LocatedNode { spot: self.spot.key(key, *line), node: value })
    }

    /// A single value as text, whatever it may mean to YAML: `2024` is "2024".
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.checked(key, |text| Ok(text.to_owned()))
    }

    /// A single value that `check` turns into what it means.
    pub fn checked<T>(&mut self, key: &'static str, check: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let found = self.find(key)?;
        found.text(self.faults, &check)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let LocatedNode { spot, node } = self.find(key)?;
        let flag = match &node.data {
            Data::Scalar { text, plain: true } => truth(text),
            _ => None,
        };
        if flag.is_none() {
            self.faults.add(&spot, wrong(format!("must be `true` or `false`, not {}", node.what())));
        }
        flag
    }

    /// The values of a list; a single value is a list of one.
    pub fn texts(&mut self, key: &'static str, check: impl Fn(&str) -> Result<String, Wrong>) -> Vec<String> {
        let Some(found) = self.find(key) else { return Vec::new() };
        match &found.node.data {
            Data::Scalar { .. } => found.text(self.faults, &check).into_iter().collect(),
            Data::List(_) => {
                found.items(self.faults).iter().filter_map(|item| item.text(self.faults, &check)).collect()
            }
            Data::Map(_) => {
                self.faults.add(&found.spot, wrong("must be a list, not a mapping"));
                Vec::new()
            }
        }
    }

    /// The items of a list of anything.
    pub fn items(&mut self, key: &'static str) -> Vec<LocatedNode<'a>> {
        self.find(key).map(|found| found.items(self.faults)).unwrap_or_default()
    }

    /// A mapping of names to single values.
    pub fn pairs(
        &mut self,
        key: &'static str,
        check_name: impl Fn(&str) -> Result<(), Wrong>,
        check_value: impl Fn(&str) -> Result<(), Wrong>,
    ) -> Vec<(String, String)> {
        let Some(found) = self.find(key) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, value) in found.entries(self.faults) {
            if let Err(what) = check_name(name) {
                self.faults.add(&value.spot, what);
            }
            match &value.node.data {
                Data::Scalar { .. } if value.node.is_null() => {
                    self.faults.add(&value.spot, wrong("has no value").hint("write `\"\"` for an empty one"));
                }
                Data::Scalar { text, .. } => match check_value(text) {
                    Ok(()) => pairs.push((name.to_owned(), text.clone())),
                    Err(what) => self.faults.add(&value.spot, what),
                },
                _ => self.faults.add(&value.spot, wrong(format!("must be a single value, not {}", value.node.what()))),
            }
        }
        pairs
    }

    /// A mapping below this one.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'a, '_>) -> T) -> Option<T> {
        let LocatedNode { spot, node } = self.find(key)?;
        Section::read(node, spot, self.faults, read)
    }
}

impl<'a> LocatedNode<'a> {
    /// A single value as text that can be shown in one line, turned by `check` into what it means.
    pub fn text<T>(&self, faults: &mut Faults, check: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let value = match &self.node.data {
            Data::Scalar { text, .. } if !self.node.is_null() => check::one_line(text).and_then(|()| check(text)),
            _ => Err(wrong(format!("must be a single value, not {}", self.node.what()))),
        };
        value.map_err(|what| faults.add(&self.spot, what)).ok()
    }

    /// The items of a list, each with its spot; none and a fault if it is no list.
    pub fn items(&self, faults: &mut Faults) -> Vec<LocatedNode<'a>> {
        let Data::List(items) = &self.node.data else {
            faults.add(&self.spot, wrong(format!("must be a list, not {}", self.node.what())));
            return Vec::new();
        };
        let item = |(i, node): (usize, &'a Rc<Node>)| LocatedNode { spot: self.spot.item(i, node.line), node };
        items.iter().enumerate().map(item).collect()
    }

    /// The entries of a mapping, each with its spot; none and a fault if it is no mapping.
    pub fn entries(&self, faults: &mut Faults) -> Vec<(&'a str, LocatedNode<'a>)> {
        let Data::Map(entries) = &self.node.data else {
            faults.add(&self.spot, wrong(format!("must be a mapping, not {}", self.node.what())));
            return Vec::new();
        };
        let found = |entry: &'a Entry| LocatedNode { spot: self.spot.key(&entry.key, entry.line), node: &entry.value };
        entries.iter().map(|entry| (entry.key.as_str(), found(entry))).collect()
    }
}

/// What YAML 1.1 reads as a truth value, as the files of the Python tools are written in it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}
