//! Small files out of a folder that others write to as well: each a regular file of bounded size, all of them
//! together bounded, and whatever else is there passed over and counted.

use anyhow::Result;

use crate::tools::shell::was_interrupted;
use crate::transfer::protocol::{Entry, Kind, Reply, Request, SMALL};
use crate::transfer::session::{self, Line, Session};
use crate::transfer::shown;

/// No record is larger: 64 KiB of metrics, parameters, and what tells of the attempt.
const LARGEST: u64 = 256 << 10;

/// So many records are read, with so many bytes in all: three attempts at each point of the largest Job.
const MOST: (usize, u64) = (300_000, 256 << 20);

/// So many are asked for at once.
const AT_ONCE: usize = 100;

/// What was read of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// The names of the files with their contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// What was passed over.
    pub(crate) skipped: Skipped,
}

/// What had the name of a record and was none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    count: u64,
    first: Option<String>,
}

impl Skipped {
    /// Counts one, with its name.
    pub(crate) fn add(&mut self, name: &[u8]) {
        self.count += 1;
        self.first.get_or_insert_with(|| shown(name));
    }

    /// The line that tells of them, where there are any, in the folder `folder`.
    pub(crate) fn words(&self, folder: &str) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(match self.count {
            1 => format!("skipped `{first}` in `{folder}` of the storage, which is no record"),
            count => {
                format!("skipped {count} entries of `{folder}` in the storage that are no records, such as `{first}`")
            }
        })
    }
}

/// A file that is wanted, by its name in the folder.
struct Wanted {
    name: String,
    size: u64,
}

impl Records {
    /// Reads the files of `folder` whose names `wanted` takes; `None` if there is no such folder.
    pub(crate) fn read(session: &Session, folder: &str, wanted: impl Fn(&str) -> bool) -> Result<Option<Self>> {
        let mut records = Self::default();
        let mut chosen: Vec<Wanted> = Vec::new();
        let mut bytes = 0;
        let listed = session.list(folder.as_bytes(), |entry| {
            if let Some(file) = records.choose(entry, folder, &wanted) {
                bytes += file.size;
                if chosen.len() < MOST.0 && bytes <= MOST.1 {
                    chosen.push(file);
                } else {
                    records.skipped.add(file.name.as_bytes());
                }
            }
            Ok(())
        });
        match listed {
            Err(error) if session::is_missing(&error) => return Ok(None),
            Err(error) if was_interrupted(&error) => return Err(error),
            Err(error) => {
                let odd = odd_above(session, folder).ok_or(error)?;
                records.skipped.add(odd.as_bytes());
                return Ok(Some(records));
            }
            Ok(()) => {}
        }
        let mut line = Line::new(session);
        let (small, large): (Vec<Wanted>, Vec<Wanted>) = chosen.into_iter().partition(|file| file.size <= SMALL);
        for batch in small.chunks(AT_ONCE) {
            records.take_small(&mut line, folder, batch)?;
        }
        for file in &large {
            records.take_large(&mut line, folder, file)?;
        }
        Ok(Some(records))
    }

    /// An entry of the list, if it is one of the files that are wanted.
    fn choose(&mut self, entry: &Entry, folder: &str, wanted: &impl Fn(&str) -> bool) -> Option<Wanted> {
        if entry.path == folder.as_bytes() {
            // the folder itself; a link in its place has nothing in it
            if entry.kind != Kind::Folder {
                self.skipped.add(entry.path);
            }
            return None;
        }
        let name = entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if !wanted(&String::from_utf8_lossy(name)) {
            return None;
        }
        match std::str::from_utf8(name) {
            Ok(text) if entry.kind == Kind::File && entry.size <= LARGEST => {
                Some(Wanted { name: text.to_owned(), size: entry.size })
            }
            _ => {
                self.skipped.add(name);
                None
            }
        }
    }

    fn take_small(&mut self, line: &mut Line, folder: &str, batch: &[Wanted]) -> Result<()> {
        let paths: Vec<String> = batch.iter().map(|file| format!("{folder}/{}", file.name)).collect();
        let mut done = 0;
        line.work(|connection| {
            let left: Vec<&[u8]> = paths[done..].iter().map(String::as_bytes).collect();
            connection.ask(&Request::ReadMany { paths: &left })?;
            while let Some(path) = paths.get(done) {
                let reply = connection.reply()?.1;
                let Reply::Many(mut several) = reply else { return Err(session::unexpected(path.as_bytes(), &reply)) };
                while let (Some(record), Some(file)) = (several.take()?, batch.get(done)) {
                    if record.errno == 0 && record.state.size == record.bytes.len() as u64 {
                        self.files.push((file.name.clone(), record.bytes.to_vec()));
                    } else {
                        self.skipped.add(file.name.as_bytes());
                    }
                    done += 1;
                }
            }
            Ok(())
        })
    }

    fn take_large(&mut self, line: &mut Line, folder: &str, file: &Wanted) -> Result<()> {
        let path = format!("{folder}/{}", file.name);
        let whole = line.work(|connection| {
            let mut whole = Vec::new();
            connection.ask(&Request::Read { offset: 0, length: LARGEST + 1, path: path.as_bytes() })?;
            loop {
                match connection.reply()?.1 {
                    Reply::Piece { bytes, .. } if whole.len() as u64 <= LARGEST => whole.extend_from_slice(bytes),
                    Reply::Last { bytes, .. } => {
                        whole.extend_from_slice(bytes);
                        return Ok(Some(whole));
                    }
                    Reply::Refused { .. } => return Ok(None),
                    other => return Err(session::unexpected(path.as_bytes(), &other)),
                }
            }
        })?;
        match whole.filter(|whole| whole.len() as u64 <= LARGEST) {
            Some(whole) => self.files.push((file.name.clone(), whole)),
            None => self.skipped.add(file.name.as_bytes()),
        }
        Ok(())
    }
}

/// The first of the folders above `folder` that is no folder, but a link or something else.
fn odd_above<'a>(session: &Session, folder: &'a str) -> Option<&'a str> {
    let above = folder.match_indices('/').map(|(at, _)| &folder[..at]);
    above
        .map_while(|above| Some((above, session.kind(above.as_bytes()).ok()??)))
        .find_map(|(above, kind)| (kind != Kind::Folder).then_some(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_over_is_one_line() {
        let mut skipped = Skipped::default();
        assert_eq!(skipped.words("f"), None);
        skipped.add(b"5.\x1b[31m.json");
        assert_eq!(
            skipped.words(".mrunner/runs/a").unwrap(),
            "skipped `\"5.\\u{1b}[31m.json\"` in `.mrunner/runs/a` of the storage, which is no record"
        );
        skipped.add(b"6.x.json");
        assert!(
            skipped.words("f").unwrap().starts_with("skipped 2 entries of `f` in the storage that are no records, ")
        );
    }
}
