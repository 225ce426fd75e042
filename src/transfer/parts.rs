//! Files that are incomplete, and their comparison with the whole.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::transfer::protocol::{BLOCK, PartName};
use crate::util::error::{Fail, fail};
use crate::util::files;

/// The folder of the parts, in the destination of a download.
pub(crate) const PARTS: &str = ".mrunner-part";

/// The largest segment of a file that one connection moves.
pub(crate) const SEGMENT: u64 = 32 << 20;

/// Returns the name of a file's part: a hash, as a path can be too long.
pub(crate) fn name(path: &[u8]) -> PartName {
    let mut name = [0; 32];
    name.copy_from_slice(&HEXLOWER.encode(&Sha256::digest(path)).as_bytes()[..32]);
    name
}

/// The folder of the parts, locked for one process.
#[derive(Debug)]
pub(crate) struct Parts {
    folder: PathBuf,
    lock: Option<File>,
}

impl Parts {
    /// Creates the folder in `top`, and locks it.
    pub(crate) fn make(top: &Path) -> Result<Self, Fail> {
        let folder = top.join(PARTS);
        let failed = |error: &io::Error| {
            fail(format!("failed to write into `{}`: {error}", top.display()))
                .hint("name another folder to download to")
        };
        // `top` may come from somebody else, with links in it
        files::own_folder_at(&folder).map_err(|e| failed(&e))?;
        let lock = files::lock_file(&folder.join("lock"), true).map_err(|e| failed(&e))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(fail(format!("another download is writing into `{}`", top.display()))
                .hint("wait until it ends, or name another folder")),
            // some file systems have no locks
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { folder, lock: Some(lock) }),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes parts that no file needs.
    pub(crate) fn clear(self) {
        // the lock is removed last
        for name in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if name.file_name() != "lock" {
                files::remove_any(&name.path()).ok();
            }
        }
    }

    /// Returns the path of a file's part.
    pub(crate) fn of(&self, path: &[u8]) -> PathBuf {
        self.folder.join(String::from_utf8_lossy(&name(path)).as_ref())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // a folder with parts stays for the next download
        let lock = self.folder.join("lock");
        if std::fs::read_dir(&self.folder).is_ok_and(|names| names.take(2).count() < 2) {
            std::fs::remove_file(lock).ok();
        }
        drop(self.lock.take());
        std::fs::remove_dir(&self.folder).ok();
    }
}

/// Opens a part for writing, empty if `anew`.
pub(crate) fn open(path: &Path, anew: bool) -> io::Result<File> {
    if anew { files::empty_own_file(path, 0o600) } else { files::own_file(path, 0o600) }
}

/// Returns how many blocks of a file of `size` bytes a part of `length` bytes holds completely.
pub(crate) fn whole_blocks(length: u64, size: u64) -> u64 {
    if length >= size { size.div_ceil(BLOCK) } else { length / BLOCK }
}

/// Compares the blocks of a file with digests, in order.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    file: &'a File,
    size: u64,
    at: u64,
    missing: Vec<Range<u64>>,
    buffer: Vec<u8>,
}

impl<'a> Comparison<'a> {
    /// Compares a file that should have `size` bytes.
    pub(crate) fn new(file: &'a File, size: u64) -> Self {
        Self { file, size, at: 0, missing: Vec::new(), buffer: vec![0; 256 << 10] }
    }

    /// Compares the next blocks, one for each digest.
    pub(crate) fn compare(&mut self, digests: &[u8]) -> io::Result<()> {
        for expected in digests.chunks_exact(32) {
            let block = self.at..(self.at + BLOCK).min(self.size);
            if block.is_empty() {
                break;
            }
            let digest = self.digest(block.clone())?;
            if digest.as_ref().is_none_or(|digest| digest[..] != *expected) {
                self.miss(block.clone());
            }
            self.at = block.end;
        }
        Ok(())
    }

    /// Returns the sha256 of a range; `None` if the file ends in it.
    fn digest(&mut self, range: Range<u64>) -> io::Result<Option<[u8; 32]>> {
        let (mut at, mut digest) = (range.start, Sha256::new());
        while at < range.end {
            let want = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = read_at(self.file, &mut self.buffer[..want], at)?;
            if read == 0 {
                return Ok(None);
            }
            digest.update(&self.buffer[..read]);
            at += read as u64;
        }
        Ok(Some(digest.finalize().into()))
    }

    fn miss(&mut self, range: Range<u64>) {
        match self.missing.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.missing.push(range),
        }
    }

    /// Returns what differs or was not compared, in ranges of at most [`SEGMENT`].
    pub(crate) fn missing(mut self) -> Vec<Range<u64>> {
        if self.at < self.size {
            self.miss(self.at..self.size);
        }
        self.missing.iter().flat_map(|range| segments(range.clone())).collect()
    }
}

/// Splits a range at every [`SEGMENT`].
pub(crate) fn segments(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let count = (range.end - range.start).div_ceil(SEGMENT);
    (0..count).map(move |i| {
        let start = range.start + i * SEGMENT;
        start..(start + SEGMENT).min(range.end)
    })
}

#[cfg(unix)]
pub(crate) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(unix)]
pub(crate) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

#[cfg(windows)]
pub(crate) fn write_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, at)?;
        at += written as u64;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends: some file systems give less at a time than is asked for.
pub(crate) fn fill_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_at(file, &mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Converts nanoseconds since 1970 to a time.
pub(crate) fn time_of(mtime: i64) -> SystemTime {
    let distance = Duration::from_nanos(mtime.unsigned_abs());
    let time = if mtime < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// Converts a time to nanoseconds since 1970.
pub(crate) fn mtime_of(time: SystemTime) -> i64 {
    let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    }
}

/// Whether two times are equal, if a file system may have stored one of them with a coarser clock.
pub(crate) fn same_time(a: i64, b: i64) -> bool {
    // NTFS counts 100 ns, HFS+ and some NFS servers seconds
    [1, 100, 1_000_000_000].iter().any(|&unit| {
        let coarse = a % unit == 0 || b % unit == 0;
        coarse && a.div_euclid(unit) == b.div_euclid(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_missing() {
        let mut content = vec![1; usize::try_from(2 * BLOCK).unwrap() + 10];
        let digests: Vec<u8> =
            content.chunks(usize::try_from(BLOCK).unwrap()).flat_map(|block| Sha256::digest(block).to_vec()).collect();
        let size = content.len() as u64;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part");
        let missing = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            let file = open(&path, false).unwrap();
            let mut comparison = Comparison::new(&file, size);
            let blocks = usize::try_from(whole_blocks(content.len() as u64, size)).unwrap();
            comparison.compare(&digests[..32 * blocks]).unwrap();
            comparison.missing()
        };
        let none: [Range<u64>; 0] = [];
        assert_eq!(missing(&content), none);
        assert_eq!(missing(&[&content[..], b"more"].concat()), none);
        assert_eq!(missing(&content[..content.len() - 1]), std::slice::from_ref(&(2 * BLOCK..size)));
        assert_eq!(missing(&[]), std::slice::from_ref(&(0..size)));
        content[usize::try_from(BLOCK).unwrap()] = 2;
        assert_eq!(missing(&content), std::slice::from_ref(&(BLOCK..2 * BLOCK)));
    }

    #[test]
    fn a_large_range_is_cut_in_segments() {
        let cut: Vec<_> = segments(5..5 + 2 * SEGMENT + 1).collect();
        assert_eq!(cut, [5..5 + SEGMENT, 5 + SEGMENT..5 + 2 * SEGMENT, 5 + 2 * SEGMENT..6 + 2 * SEGMENT]);
        assert_eq!(segments(3..3).count(), 0);
    }

    #[test]
    fn a_coarse_clock_is_forgiven() {
        assert!(same_time(1_500_000_000_123_456_789, 1_500_000_000_123_456_789));
        assert!(same_time(1_500_000_000_123_456_789, 1_500_000_000_123_456_700));
        assert!(same_time(1_500_000_000_123_456_789, 1_500_000_000_000_000_000));
        assert!(!same_time(1_500_000_000_123_456_789, 1_500_000_000_123_456_790));
        assert!(!same_time(1_500_000_000_123_456_789, 1_500_000_001_000_000_000));
        assert_eq!(mtime_of(time_of(-1_500_000_000)), -1_500_000_000);
    }

    #[test]
    fn the_folder_of_the_parts_is_for_one_and_goes_when_it_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let parts = Parts::make(dir.path()).unwrap();
        assert!(Parts::make(dir.path()).unwrap_err().message.starts_with("another download is writing into"));
        std::fs::write(parts.of(b"x"), "half").unwrap();
        drop(parts);
        let parts = Parts::make(dir.path()).unwrap();
        std::fs::remove_file(parts.of(b"x")).unwrap();
        drop(parts);
        assert!(!dir.path().join(PARTS).exists());
    }
}
