//! Reads small files from a folder that others write to: regular files of bounded size and number; anything else is
//! skipped and counted. They are read in batches that are not kept.

use anyhow::Result;

use crate::tools::shell::was_interrupted;
use crate::transfer::protocol::{Entry, FileKind, Reply, Request, SMALL};
use crate::transfer::session::{self, Line, Session};
use crate::transfer::shown;

/// The largest record: 64 KiB of metrics, parameters, and the state of the attempt.
const LARGEST: u64 = 256 << 10;

/// The most records that are read: three attempts at each point of the largest Job.
const MOST: usize = 300_000;

/// The most bytes of all records: 64 KiB of metrics for each of 16,000 points.
const MOST_BYTES: u64 = 1 << 30;

/// The most records per request.
const AT_ONCE: usize = 100;

/// The files of a folder, which are read one after the other and not kept.
pub(crate) struct Records<'a> {
    session: &'a Session,
    folder: String,
    files: Vec<File>,
    /// The skipped files.
    pub(crate) skipped: Skipped,
    /// How many were read, and how many there are, if there were too many.
    pub(crate) unread: Option<(usize, usize)>,
}

/// Files with a record's name that are not records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    count: u64,
    first: Option<String>,
}

impl Skipped {
    /// Counts a file, with its name.
    pub(crate) fn add(&mut self, name: &[u8]) {
        self.count += 1;
        self.first.get_or_insert_with(|| shown(name));
    }

    /// The message about skipped files in `folder`, if there are any.
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

/// A file, by its name in the folder.
struct File {
    name: String,
    size: u64,
}

impl<'a> Records<'a> {
    /// Lists the files of `folder` whose names match `wanted`; `None` if the folder does not exist.
    pub(crate) fn list(session: &'a Session, folder: &str, wanted: impl Fn(&str) -> bool) -> Result<Option<Self>> {
        let (files, skipped) = (Vec::new(), Skipped::default());
        let mut records = Self { session, folder: folder.to_owned(), files, skipped, unread: None };
        let listed = session.list(folder.as_bytes(), |entry| {
            records.add(entry, &wanted);
            Ok(())
        });
        match listed {
            Err(error) if session::is_missing(&error) => return Ok(None),
            Err(error) if was_interrupted(&error) => return Err(error),
            Err(error) => {
                let odd = odd_above(session, folder).ok_or(error)?;
                records.skipped.add(odd.as_bytes());
            }
            Ok(()) => {}
        }
        Ok(Some(records))
    }

    /// Reads one file of `folder`; `None` if it does not exist or can't be read.
    pub(crate) fn one(session: &Session, folder: &str, name: &str) -> Result<Option<Vec<u8>>> {
        match Records::list(session, folder, |file| file == name)? {
            Some(mut records) => records.take(name),
            None => Ok(None),
        }
    }

    /// Reads the file of this name before the others; `None` if there is none.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(at) = self.files.iter().position(|file| file.name == name) else { return Ok(None) };
        let file = self.files.swap_remove(at);
        self.read_large(&mut Line::new(self.session), &file)
    }

    /// Reads the other files, the smallest first, and passes each to `each`, which returns whether it is a record.
    /// Files whose names do not match `admitted` are skipped.
    pub(crate) fn read(
        &mut self,
        admitted: impl Fn(&str) -> bool,
        mut each: impl FnMut(&str, &[u8]) -> bool,
    ) -> Result<()> {
        let (mut files, odd): (Vec<File>, Vec<_>) =
            std::mem::take(&mut self.files).into_iter().partition(|file| admitted(&file.name));
        for file in &odd {
            self.skipped.add(file.name.as_bytes());
        }
        let count = files.len();
        choose(&mut files);
        self.unread = (files.len() < count).then_some((files.len(), count));
        let mut line = Line::new(self.session);
        let (small, large) = files.split_at(files.partition_point(|file| file.size <= SMALL));
        for batch in small.chunks(AT_ONCE) {
            self.read_small(&mut line, batch, &mut each)?;
        }
        for file in large {
            if let Some(bytes) = self.read_large(&mut line, file)?
                && !each(&file.name, &bytes)
            {
                self.skipped.add(file.name.as_bytes());
            }
        }
        Ok(())
    }

    /// Takes an entry of the list, if it is a wanted file.
    fn add(&mut self, entry: &Entry, wanted: &impl Fn(&str) -> bool) {
        if entry.path == self.folder.as_bytes() {
            // the folder itself; a link with its name contains nothing
            if entry.kind != FileKind::Folder {
                self.skipped.add(entry.path);
            }
            return;
        }
        let name = entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if !wanted(&String::from_utf8_lossy(name)) {
            return;
        }
        match std::str::from_utf8(name) {
            Ok(text) if entry.kind == FileKind::File && entry.size <= LARGEST => {
                self.files.push(File { name: text.to_owned(), size: entry.size });
            }
            _ => self.skipped.add(name),
        }
    }

    fn read_small(
        &mut self,
        line: &mut Line,
        batch: &[File],
        each: &mut impl FnMut(&str, &[u8]) -> bool,
    ) -> Result<()> {
        let paths: Vec<String> = batch.iter().map(|file| format!("{}/{}", self.folder, file.name)).collect();
        let mut done = 0;
        line.work(|connection| {
            let left: Vec<&[u8]> = paths[done..].iter().map(String::as_bytes).collect();
            connection.ask(&Request::ReadMany { paths: &left })?;
            while let Some(path) = paths.get(done) {
                let reply = connection.reply()?.1;
                let Reply::Many(mut several) = reply else { return Err(session::unexpected(path.as_bytes(), &reply)) };
                while let (Some(record), Some(file)) = (several.take()?, batch.get(done)) {
                    let is_whole = record.errno == 0 && record.state.size == record.bytes.len() as u64;
                    if !(is_whole && each(&file.name, record.bytes)) {
                        self.skipped.add(file.name.as_bytes());
                    }
                    done += 1;
                }
            }
            Ok(())
        })
    }

    /// Reads a file up to the size limit; a larger or deleted file is skipped.
    fn read_large(&mut self, line: &mut Line, file: &File) -> Result<Option<Vec<u8>>> {
        let path = format!("{}/{}", self.folder, file.name);
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
        let whole = whole.filter(|whole| whole.len() as u64 <= LARGEST);
        if whole.is_none() {
            self.skipped.add(file.name.as_bytes());
        }
        Ok(whole)
    }
}

/// Keeps the files to read, the smallest first, so that large files of others hide no record.
fn choose(files: &mut Vec<File>) {
    files.sort_by_key(|file| file.size);
    let sums = files.iter().scan(0, |sum, file| {
        *sum += file.size;
        Some(*sum)
    });
    let fitting = sums.take(MOST).take_while(|sum| *sum <= MOST_BYTES).count();
    files.truncate(fitting);
}

/// The first parent of `folder` that is not a folder, but a link or something else.
fn odd_above<'a>(session: &Session, folder: &'a str) -> Option<&'a str> {
    let above = folder.match_indices('/').map(|(at, _)| &folder[..at]);
    above
        .map_while(|above| Some((above, session.kind(above.as_bytes()).ok()??)))
        .find_map(|(above, kind)| (kind != FileKind::Folder).then_some(above))
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

    #[test]
    fn what_is_read_has_a_bound_by_number_and_by_size() {
        let of = |count: usize, size: u64| {
            let file = |number| File { name: format!("0.a{number}.json"), size };
            let mut files: Vec<File> = (0..count).map(file).collect();
            files.push(File { name: "1.train-1-1-abcde.json".to_owned(), size: 300 });
            choose(&mut files);
            assert!(files.iter().any(|file| file.size == 300), "{count} of {size}");
            files.len()
        };
        assert_eq!((of(5000, 60 << 10), of(5000, LARGEST), of(400_000, 301)), (5001, 4096, MOST));
    }
}
