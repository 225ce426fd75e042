//! Writes files completely or not at all, with one writer at a time.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// Replaces the file at `path` with `bytes`: written next to it, synced to disk and renamed, so that a reader finds
/// the old or the new file. The mode of an existing file is kept; a new file is private.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let file = beside(path, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// The same without syncing to disk, which is much faster, for files that may be lost.
pub fn swap(path: &Path, bytes: &[u8]) -> io::Result<()> {
    beside(path, bytes)?.persist(path)?;
    Ok(())
}

/// A private temporary folder, removed when the value is dropped.
pub fn own_folder() -> io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("mrunner-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        folder.permissions(std::fs::Permissions::from_mode(0o700));
    }
    folder.tempdir()
}

/// Writes an executable script.
pub fn program(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = beside(path, bytes)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    }
    file.persist(path)?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file in the same folder, with the mode of the existing file.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let old = path.metadata().ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // a device would be replaced for the whole machine
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut file = tempfile::Builder::new().prefix(".").tempfile_in(folder_of(path))?;
    file.write_all(bytes)?;
    if let Some(old) = old {
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(file)
}

/// Opens the file that is used as a lock, separate from the file it protects, because that one is replaced. If
/// `create` is set, anything else of this name is removed: see [`own_file`].
pub fn lock_file(path: &Path, create: bool) -> io::Result<File> {
    if !create {
        return open_own(path);
    }
    match made_own(path, 0o600, |error| error.kind() != ErrorKind::PermissionDenied) {
        // the holder may be another user
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !is_own(path) => own_file(path, 0o600),
        other => other,
    }
}

/// Opens mrunner's own file for reading and writing, in a folder where others may have put something. Only a
/// regular file with one link is accepted: a link, hard link, FIFO, device or folder of this name, or a file that
/// this user can't open, is removed, and the file is created with `mode`. Targets of links are not changed.
pub fn own_file(path: &Path, mode: u32) -> io::Result<File> {
    made_own(path, mode, |_| true)
}

/// The same, but empty.
pub fn empty_own_file(path: &Path, mode: u32) -> io::Result<File> {
    let file = own_file(path, mode)?;
    file.set_len(0)?;
    Ok(file)
}

/// Writes a file that is opened like in [`own_file`].
pub fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    empty_own_file(path, mode)?.write_all(bytes)
}

/// Makes sure that `path` is a folder and not a link: anything else of this name is removed.
pub fn own_folder_at(path: &Path) -> io::Result<()> {
    let is_folder = || path.symlink_metadata().is_ok_and(|found| found.is_dir());
    for _ in 0..TRIES {
        if is_folder() {
            return Ok(());
        }
        remove_any(path)?;
        match std::fs::create_dir(path) {
            // another process created it meanwhile
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Err(io::Error::from(ErrorKind::AlreadyExists))
}

/// Removes a path and everything below it, without following links.
pub fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// How often a name is retried that others use at the same time.
const TRIES: usize = 10;

fn made_own(path: &Path, mode: u32, may_replace: impl Fn(&io::Error) -> bool) -> io::Result<File> {
    for _ in 0..TRIES {
        match open_own(path) {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_in_the_way(&error) && may_replace(&error) => remove_any(path)?,
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        with_mode(&mut options, mode);
        match options.open(path) {
            // another process created it meanwhile
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Err(io::Error::from(ErrorKind::AlreadyExists))
}

/// Whether an error of [`open_own`] means that something else has this name. Other errors, such as a failing disk
/// or too many open files, say nothing about the file, which may be a long download or a lock in use.
#[cfg(unix)]
fn is_in_the_way(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let others = [Errno::LOOP, Errno::NXIO, Errno::ISDIR, Errno::NODEV, Errno::ACCESS, Errno::PERM];
    error
        .raw_os_error()
        .map_or(error.kind() == ErrorKind::InvalidInput, |own| others.iter().any(|errno| errno.raw_os_error() == own))
}

#[cfg(not(unix))]
fn is_in_the_way(error: &io::Error) -> bool {
    // a folder can't be opened either
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::PermissionDenied)
}

/// Opens a regular file with one link; anything else of this name is an error, without waiting.
fn open_own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    as_it_is(&mut options);
    let file = options.open(path)?;
    if file.metadata().is_ok_and(|found| counts(&found)) {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file with one link"))
}

fn is_own(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| counts(&found))
}

#[cfg(unix)]
fn counts(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.is_file() && found.nlink() == 1
}

#[cfg(not(unix))]
fn counts(found: &Metadata) -> bool {
    found.is_file()
}

#[cfg(unix)]
fn with_mode(options: &mut OpenOptions, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(mode);
}

#[cfg(not(unix))]
fn with_mode(_: &mut OpenOptions, _: u32) {}

/// Options that do not follow a link and do not wait for a FIFO.
#[cfg(unix)]
fn as_it_is(options: &mut OpenOptions) {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
}

#[cfg(windows)]
fn as_it_is(options: &mut OpenOptions) {
    use std::os::windows::fs::OpenOptionsExt;
    // FILE_FLAG_OPEN_REPARSE_POINT: opens the link itself, which is then refused
    options.custom_flags(0x0020_0000);
}

#[cfg(not(any(unix, windows)))]
fn as_it_is(_: &mut OpenOptions) {}

/// Creates a private folder and its parents.
#[cfg(unix)]
pub fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Creates a folder and its parents.
#[cfg(not(unix))]
pub fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    // a new name is on disk only after its folder is synced
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for put in [replace, swap, program] {
            assert_eq!(put(&fifo, b"x").unwrap_err().to_string(), "it is not a regular file");
            assert!(!fifo.metadata().unwrap().is_file());
            put(&folder.path().join("file"), b"x").unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// Everything that can have the name of mrunner's own file, and the target of links.
    fn planted(folder: &Path) -> Vec<std::path::PathBuf> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let victim = folder.join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::fs::create_dir(folder.join("outside")).unwrap();
        std::fs::write(folder.join("outside/kept"), "precious").unwrap();
        let ours = folder.join("ours");
        std::fs::create_dir(&ours).unwrap();
        let place = |name: &str| ours.join(name);
        symlink(&victim, place("link")).unwrap();
        symlink("../nowhere", place("dangling")).unwrap();
        symlink("loop", place("loop")).unwrap();
        symlink("../outside", place("link-to-folder")).unwrap();
        symlink("/dev/zero", place("device")).unwrap();
        std::fs::hard_link(&victim, place("hard")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, place("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        std::fs::create_dir(place("folder")).unwrap();
        symlink("../../outside", place("folder/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
        std::fs::write(place("closed"), "x").unwrap();
        std::fs::set_permissions(place("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
        std::fs::read_dir(&ours).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn is_untouched(folder: &Path) {
        assert_eq!(std::fs::read(folder.join("victim")).unwrap(), b"precious");
        assert_eq!(std::fs::read(folder.join("outside/kept")).unwrap(), b"precious");
        assert!(!folder.join("nowhere").exists());
        assert_eq!(std::fs::read_dir(folder.join("outside")).unwrap().count(), 1);
    }

    #[test]
    fn whatever_has_the_name_of_a_file_of_ours_is_replaced_and_not_followed() {
        let open: [fn(&Path) -> io::Result<()>; 3] = [
            |path| put(path, b"ours", 0o600),
            |path| lock_file(path, true).map(drop),
            |path| own_file(path, 0o644)?.write_all(b"ours"),
        ];
        for open in open {
            let folder = tempfile::tempdir().unwrap();
            let all = planted(folder.path());
            assert_eq!(all.len(), 10);
            for path in all {
                assert!(path.ends_with("closed") || lock_file(&path, false).is_err(), "{}", path.display());
                open(&path).unwrap();
                assert!(is_own(&path), "{}", path.display());
            }
            is_untouched(folder.path());
        }
    }

    #[test]
    fn whatever_has_the_name_of_a_folder_of_ours_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        for path in planted(folder.path()) {
            own_folder_at(&path).unwrap();
            assert!(path.symlink_metadata().unwrap().is_dir(), "{}", path.display());
        }
        assert!(folder.path().join("ours/folder/link").is_symlink(), "a folder stays as it is");
        is_untouched(folder.path());
    }

    /// Opens files until no descriptor is left, as the child process of the next test.
    #[test]
    #[ignore = "it takes all descriptors of its process"]
    fn without_descriptors() {
        let Some(path) = std::env::var_os("MRUNNER_TEST_FILE") else { return };
        let path = Path::new(&path);
        let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let opened = [own_file(path, 0o600).map(drop), lock_file(path, true).map(drop)];
        drop(all);
        assert!(opened.iter().all(Result::is_err));
        assert_eq!(std::fs::read(path).unwrap(), b"half");
    }

    #[test]
    fn a_file_that_can_not_be_opened_now_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        put(&path, b"half", 0o600).unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64; exec \"$0\" --exact util::files::tests::without_descriptors --ignored"])
            .arg(std::env::current_exe().unwrap())
            .env("MRUNNER_TEST_FILE", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        for errno in
            [rustix::io::Errno::MFILE, rustix::io::Errno::IO, rustix::io::Errno::STALE, rustix::io::Errno::AGAIN]
        {
            assert!(!is_in_the_way(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn a_file_of_ours_keeps_what_it_holds_until_it_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        put(&path, b"half", 0o600).unwrap();
        assert_eq!(own_file(&path, 0o600).unwrap().metadata().unwrap().len(), 4);
        assert_eq!(empty_own_file(&path, 0o600).unwrap().metadata().unwrap().len(), 0);
        assert_eq!(lock_file(&folder.path().join("gone"), false).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
