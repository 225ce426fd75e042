//! Edits of the contexts' file as text: what is not touched stays byte for byte, comments and order
//! included.
//!
//! They work on whole lines, by the lines on which keys and values begin. That is right for block
//! style, which people write; everything else (an entry within braces, a merge key, a value with an
//! anchor) comes out wrong, which is seen as the new text is read and compared with what was meant:
//! then nothing is changed, and the file is left to `context edit`.

use std::path::Path;

use super::check;
use super::contexts::{self, ContextsFile, RemoteContext};
use super::fault::visible;
use super::yaml::{self, Data, Entry};
use crate::util::error::{Fail, usage};

/// One change of the file.
#[derive(Debug, Clone)]
pub enum Change<'a> {
    /// Sets `current_context`.
    Use(&'a str),
    /// Adds a context with these keys and their values as YAML.
    Add(&'a str, &'a [(String, String)]),
    /// Removes a context; if it is the current one, `current_context` as well.
    Delete(&'a str),
    /// Copies a context under another name.
    Copy(&'a str, &'a str),
    /// Sets a key of a context to a value written as YAML, `None` removes it.
    Set(&'a str, &'a str, Option<&'a str>),
}

/// What a new file says of itself.
const HEADER: &str = "# Remote contexts of kubectl mrunner: clusters with their registry, storage and limits.\n";

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Says whether a file has what it should have.
type Check = Box<dyn Fn(&ContextsFile) -> bool>;

/// Whether what the file says after the change is what it should say.
fn expected(change: &Change, before: &ContextsFile, file: &Path) -> Result<Check, Fail> {
    let known = |name: &str| before.get(name).cloned();
    Ok(match *change {
        Change::Use(name) => {
            known(name).ok_or_else(|| unknown(name, before, file))?;
            let expected = ContextsFile { current_context: Some(name.to_owned()), ..before.clone() };
            Box::new(move |after| *after == expected)
        }
        Change::Add(name, _) => {
            free(name, before)?;
            let others = before.clone();
            let name = name.to_owned();
            Box::new(move |after| {
                let (rest, new): (Vec<_>, Vec<_>) = after.contexts.iter().cloned().partition(|c| c.name != name);
                rest == others.contexts && new.len() == 1 && after.current_context == others.current_context
            })
        }
        Change::Delete(name) => {
            known(name).ok_or_else(|| unknown(name, before, file))?;
            let mut expected = before.clone();
            expected.contexts.retain(|context| context.name != name);
            expected.current_context = expected.current_context.filter(|current| current != name);
            Box::new(move |after| *after == expected)
        }
        Change::Copy(from, to) => {
            let from = known(from).ok_or_else(|| unknown(from, before, file))?;
            free(to, before)?;
            let mut expected = before.clone();
            expected.contexts.push(RemoteContext { name: to.to_owned(), ..from });
            Box::new(move |after| *after == expected)
        }
        Change::Set(name, ..) => {
            known(name).ok_or_else(|| unknown(name, before, file))?;
            let others = before.clone();
            let name = name.to_owned();
            Box::new(move |after| {
                let other =
                    |file: &ContextsFile| file.contexts.iter().filter(|c| c.name != name).cloned().collect::<Vec<_>>();
                other(after) == other(&others)
                    && after.get(&name).is_some()
                    && after.current_context == others.current_context
            })
        }
    })
}

/// `text` with the change made, and what it says then.
///
/// # Errors
/// If there is no such context, if there is one already, if the outcome is no good file, or if the
/// text is written such that the change can't be made line by line.
pub fn change(text: &str, file: &Path, change: &Change) -> Result<(String, ContextsFile), Fail> {
    let before = contexts::parse(text, file)?;
    let expected = expected(change, &before, file)?;
    let by_hand = || {
        usage(format!("`{}` is written such that this can't be done line by line", shown(file)))
            .hint("do it in your editor: `kubectl mrunner context edit`")
    };
    // a mark of the byte order stays in front of what comes to be the first line
    let (mark, lines) = text.split_at(if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 });
    let changed = Lines::of(lines).and_then(|lines| lines.changed(change)).ok_or_else(by_hand)?;
    let changed = format!("{mark}{changed}");
    match contexts::parse(&changed, file) {
        Ok(after) if expected(&after) => Ok((changed, after)),
        // what the user gave is wrong, unless this edit is to blame
        Err(faults) if matches!(change, Change::Add(..) | Change::Set(..)) => {
            let told = faults.iter().map(super::Fault::without_place).collect::<Vec<_>>();
            let many = || usage(format!("the context would have {} faults", told.len()));
            let error = if let [one] = told.as_slice() { usage(one.clone()) } else { many().details(&told.join("\n")) };
            Err(error.hint("nothing was changed"))
        }
        Ok(_) | Err(_) => Err(by_hand()),
    }
}

fn shown(file: &Path) -> String {
    visible(&file.display().to_string())
}

/// That a context may be called so, and that none is yet.
fn free(name: &str, file: &ContextsFile) -> Result<(), Fail> {
    let wrong = match check::one_line(name) {
        Err(what) => what.message,
        Ok(()) if name == yaml::MERGE => "takes over another mapping in YAML".to_owned(),
        Ok(()) => String::new(),
    };
    if !wrong.is_empty() {
        return Err(usage(format!("`{}` is no name of a context: it {wrong}", visible(name)))
            .hint("give it a name in one line, such as `lab`"));
    }
    if file.get(name).is_none() {
        return Ok(());
    }
    Err(usage(format!("there is a context `{}` already", visible(name)))
        .hint(format!("change it with `kubectl mrunner context edit {} --set KEY=VALUE`", quoted(name))))
}

fn quoted(name: &str) -> String {
    crate::tools::cmd::quote(name.as_ref())
}

/// The error for a context that is not there.
pub fn unknown(name: &str, contexts: &ContextsFile, file: &Path) -> Fail {
    let error = usage(format!("`{}` has no context `{}`", shown(file), visible(name)));
    let names = || contexts.contexts.iter().map(|context| context.name.as_str());
    match crate::k8s::names::nearest(name, names()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if contexts.contexts.is_empty() => {
            error.hint(format!("add it with `kubectl mrunner context add {}`", quoted(name)))
        }
        None => error.hint(format!("it has: {}", names().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "))),
    }
}

/// `text` as a single value in block style, plain where that can mean nothing else.
pub fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+".contains(c);
    let word = matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "null");
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    if starts && !word && text.chars().all(safe) && !text.ends_with(':') {
        return text.to_owned();
    }
    // a string of JSON is one of YAML
    serde_json::Value::from(text).to_string()
}

/// Keys with the lines on which they stand.
type Keys = Vec<(String, usize)>;

/// The text as lines with their ends, and where its keys stand. Line numbers count from 0.
struct Lines<'a> {
    all: Vec<&'a str>,
    end: &'static str,
    /// The keys of the file, in order: name and line.
    top: Keys,
    /// The contexts: name, line, keys with their lines.
    contexts: Vec<(String, usize, Keys)>,
}

impl<'a> Lines<'a> {
    /// `None` if the file is no mapping, which its parser has told before.
    fn of(text: &'a str) -> Option<Self> {
        let (root, _) = yaml::parse(text, Path::new("")).ok()?;
        let keys = |data: &Data| match data {
            Data::Map(entries) => entries.iter().map(|Entry { key, line, .. }| (key.clone(), line - 1)).collect(),
            _ => Vec::new(),
        };
        let mut contexts = Vec::new();
        let top: Keys = root.as_ref().map(|root| keys(&root.data)).unwrap_or_default();
        if let Some(Data::Map(entries)) = root.as_ref().map(|root| &root.data)
            && let Some(Data::Map(entries)) = entries.iter().find(|e| e.key == "contexts").map(|e| &e.value.data)
        {
            contexts = entries.iter().map(|e| (e.key.clone(), e.line - 1, keys(&e.value.data))).collect();
        }
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Some(Self { all: text.split_inclusive('\n').collect(), end, top, contexts })
    }

    fn changed(&self, change: &Change) -> Option<String> {
        match change {
            Change::Use(name) => Some(self.with_current(name)),
            Change::Add(name, keys) => {
                let indent = self.indent();
                let mut new = vec![format!("{indent}{}:", scalar(name))];
                new.extend(keys.iter().map(|(key, value)| format!("{indent}  {key}: {value}")));
                Some(self.with_context(&new))
            }
            Change::Delete(name) => {
                let (from, to) = self.range_of(name)?;
                let mut lines = self.all.clone();
                lines.drain(from..to);
                let text = lines.concat();
                let current = self.top.iter().find(|(key, _)| key == "current_context");
                let Some((_, line)) = current.filter(|(_, line)| value_is(self.all[*line], name)) else {
                    return Some(text);
                };
                let line = if *line < from { *line } else { line - (to - from) };
                lines.remove(line);
                Some(lines.concat())
            }
            Change::Copy(from, to) => {
                let (start, end) = self.range_of(from)?;
                let (_, _, keys) = self.contexts.iter().find(|(name, ..)| name == from)?;
                let own = |line: usize| {
                    keys.iter().any(|(key, at)| *at == line && matches!(key.as_str(), "name" | "context_name"))
                };
                let indent = indent_of(self.all[start]);
                let mut new = vec![format!("{indent}{}:", scalar(to))];
                // only a key alone on its line leaves the rest as it is
                (self.all[start].trim_end().ends_with(':') || self.all[start].contains(": #")).then_some(())?;
                new.extend(
                    (start + 1..end).filter(|line| !own(*line)).map(|line| self.all[line].trim_end().to_owned()),
                );
                Some(self.with_context(&new))
            }
            Change::Set(name, key, value) => {
                let (start, end) = self.range_of(name)?;
                let (_, _, keys) = self.contexts.iter().find(|(known, ..)| known == name)?;
                let first = keys.first().map(|(_, line)| *line).filter(|line| *line > start)?;
                let indent = indent_of(self.all[first]);
                let new = value.map(|value| format!("{indent}{key}: {value}{}", self.end));
                let (from, to) = match keys.iter().position(|(known, _)| known == key) {
                    Some(at) => (keys[at].1, self.trimmed(keys[at].1, keys.get(at + 1).map_or(end, |(_, line)| *line))),
                    None => (end, end),
                };
                let mut lines: Vec<String> = self.all.iter().map(|line| (*line).to_owned()).collect();
                if from > 0 && !lines[from - 1].ends_with('\n') {
                    lines[from - 1].push_str(self.end);
                }
                lines.splice(from..to, new);
                Some(lines.concat())
            }
        }
    }

    /// The end of what starts at `from`, without the comments and empty lines that stand before `to`.
    fn trimmed(&self, from: usize, to: usize) -> usize {
        let is_beside = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        (from + 1..to).rev().find(|line| !is_beside(self.all[*line])).map_or(from + 1, |line| line + 1)
    }

    /// The lines of a context.
    fn range_of(&self, name: &str) -> Option<(usize, usize)> {
        let at = self.contexts.iter().position(|(known, ..)| known == name)?;
        let from = self.contexts[at].1;
        let next = self.contexts.get(at + 1).map_or_else(|| self.end_of_contexts(), |(_, line, _)| *line);
        Some((from, self.trimmed(from, next)))
    }

    fn end_of_contexts(&self) -> usize {
        let at = self.top.iter().position(|(key, _)| key == "contexts");
        let next = at.and_then(|at| self.top.get(at + 1)).map_or(self.all.len(), |(_, line)| *line);
        // what closes the document closes its last key as well
        self.all[..next].iter().position(|line| line.trim_end() == "...").unwrap_or(next)
    }

    /// How far contexts are indented.
    fn indent(&self) -> String {
        self.contexts.first().map_or("  ".to_owned(), |(_, line, _)| indent_of(self.all[*line]).to_owned())
    }

    /// The text with one more context, which the lines `new` are.
    fn with_context(&self, new: &[String]) -> String {
        let new = new.join(self.end) + self.end;
        let at = self.top.iter().find(|(key, _)| key == "contexts").map(|(_, line)| *line);
        let (before, heading, after) = match (at, self.contexts.last()) {
            (Some(_), Some((name, ..))) => {
                let end = self.range_of(name).map_or(self.all.len(), |(_, to)| to);
                (self.all[..end].concat(), String::new(), self.all[end..].concat())
            }
            // `contexts:` or `contexts: {}`, with nothing in it
            (Some(line), None) => {
                (self.all[..line].concat(), format!("contexts:{}", self.end), self.all[line + 1..].concat())
            }
            (None, _) => {
                let text = self.all.concat();
                let text = if text.is_empty() { HEADER.to_owned() } else { text };
                (text, format!("contexts:{}", self.end), String::new())
            }
        };
        let gap = if before.is_empty() || before.ends_with('\n') { "" } else { self.end };
        format!("{before}{gap}{heading}{new}{after}")
    }

    fn with_current(&self, name: &str) -> String {
        let new = format!("current_context: {}", scalar(name));
        let mut lines: Vec<String> = self.all.iter().map(|line| (*line).to_owned()).collect();
        if let Some((_, line)) = self.top.iter().find(|(key, _)| key == "current_context") {
            let old = &lines[*line];
            let comment = old.find(" #").map(|at| old[at..].trim_end().to_owned()).unwrap_or_default();
            lines[*line] = format!("{new}{comment}{}", self.end);
        } else {
            // before the first key, behind what the file says of itself
            let first = self.top.first().map_or(lines.len(), |(_, line)| *line);
            lines.insert(first, format!("{new}{}", self.end));
        }
        lines.concat()
    }
}

/// Whether a line `key: VALUE` has this value.
fn value_is(line: &str, name: &str) -> bool {
    let Some((_, value)) = line.split_once(':') else { return false };
    let Ok((Some(node), _)) = yaml::parse(value.trim(), Path::new("")) else { return false };
    matches!(&node.data, Data::Scalar { text, .. } if text == name)
}

fn indent_of(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches(' ').len()]
}

#[cfg(test)]
mod tests;
