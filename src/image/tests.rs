//! The tar and its key, on content that is in memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::context::{changed, write_tar};
use super::entry::{self, Entry, Kind};
use super::key::{Key, send};
use super::{ContextSpec, ImageSpec, Repository};
use crate::util::error::flatten;

fn file(path: &str, content: &str) -> (Entry, String) {
    let kind = Kind::File { size: content.len() as u64, executable: false };
    (Entry { path: path.into(), kind, source: path.into() }, content.to_owned())
}

/// A context of these files and what reads them.
struct Disk {
    spec: ContextSpec,
    content: RefCell<HashMap<PathBuf, String>>,
}

impl Disk {
    fn new(files: &[(&str, &str)]) -> Self {
        let (mut code, content): (Vec<_>, Vec<_>) = files.iter().map(|(path, content)| file(path, content)).unzip();
        let content = code.iter().map(|e| e.source.clone()).zip(content).collect();
        entry::sort(&mut code);
        let spec = ContextSpec { dockerfile: "FROM python:3\n".into(), code, ..ContextSpec::default() };
        Self { spec, content: RefCell::new(content) }
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read>> {
        let content = self.content.borrow().get(&entry.source).cloned().ok_or_else(|| changed(&entry.path))?;
        Ok(Box::new(Cursor::new(content)))
    }

    fn tar(&self) -> Result<Vec<u8>> {
        let mut tar = Vec::new();
        write_tar(&self.spec, &|e| self.read(e), &mut tar)?;
        Ok(tar)
    }

    fn key(&self) -> Key {
        Key::of(&self.spec, &|e| self.read(e)).unwrap()
    }
}

fn read_back(tar: &[u8]) -> Vec<(String, u32, String)> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        if let Some(link) = entry.link_name_bytes() {
            content = format!("-> {}", String::from_utf8_lossy(&link));
        }
        assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
        assert_eq!(entry.header().mtime().unwrap(), 315_619_200);
        (String::from_utf8_lossy(&entry.path_bytes()).into_owned(), entry.header().mode().unwrap(), content)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn the_tar_holds_what_was_given() {
    let mut disk = Disk::new(&[("run.py", "print(1)\n"), ("empty", "")]);
    let link = Kind::Symlink { target: "../run.py".into() };
    disk.spec.code.push(Entry { path: "sub/link".into(), kind: link, source: PathBuf::new() });
    disk.spec.code.push(Entry::directory("sub", ""));
    disk.spec.code[1].kind = Kind::File { size: 9, executable: true };
    entry::sort(&mut disk.spec.code);
    let (requirements, content) = file("requirements.txt", "numpy\n");
    disk.content.borrow_mut().insert("requirements.txt".into(), content);
    disk.spec.requirements = vec![requirements];

    let tar = disk.tar().unwrap();
    let expected = [
        ("requirements/", 0o755, ""),
        ("requirements/requirements.txt", 0o644, "numpy\n"),
        ("code/", 0o755, ""),
        ("code/empty", 0o644, ""),
        ("code/run.py", 0o755, "print(1)\n"),
        ("code/sub/", 0o755, ""),
        ("code/sub/link", 0o777, "-> ../run.py"),
        ("Dockerfile", 0o644, "FROM python:3\n"),
    ];
    assert_eq!(read_back(&tar), expected.map(|(path, mode, content)| (path.to_owned(), mode, content.to_owned())));
    assert_eq!(tar.len() % 512, 0);
    assert_eq!(tar[tar.len() - 1024..], [0; 1024]);
}

#[test]
fn no_name_is_too_long() {
    for length in [94, 95, 96, 99, 100, 101, 255, 4000] {
        let name = "x".repeat(length);
        let mut disk = Disk::new(&[(&name, "content")]);
        let link = Kind::Symlink { target: name.clone().into() };
        disk.spec.code.push(Entry { path: format!("{name}-link").into(), kind: link, source: PathBuf::new() });
        disk.spec.code.push(Entry::directory(format!("{name}-z"), ""));
        let read = read_back(&disk.tar().unwrap());
        assert_eq!(read[1], (format!("code/{name}"), 0o644, "content".into()));
        assert_eq!(read[2], (format!("code/{name}-link"), 0o777, format!("-> {name}")));
        assert_eq!(read[3], (format!("code/{name}-z/"), 0o755, String::new()));
    }
}

#[test]
fn a_size_beyond_the_octal_field_is_kept() {
    /// Takes the headers and lets the content go.
    struct Headers(Vec<u8>);
    impl Write for Headers {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() == 512 {
                self.0.extend(bytes);
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    const SIZE: u64 = 9 << 30;
    let kind = Kind::File { size: SIZE, executable: false };
    let code = vec![Entry { path: "large".into(), kind, source: PathBuf::new() }];
    let mut out = Headers(Vec::new());
    // cut short at once: only the header is wanted
    let fault = write_tar(&ContextSpec { code, ..ContextSpec::default() }, &|_| Ok(Box::new(io::empty())), &mut out);
    assert!(fault.is_err());
    let header = tar::Header::from_byte_slice(&out.0[out.0.len() - 512..]);
    assert_eq!(header.size().unwrap(), SIZE);
}

#[cfg(unix)]
#[test]
fn names_are_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let name = Path::new(std::ffi::OsStr::from_bytes(b"a\xff\nb\"c"));
    let code = vec![Entry { path: name.into(), kind: Kind::File { size: 0, executable: false }, source: name.into() }];
    let mut out = Vec::new();
    write_tar(&ContextSpec { code, ..ContextSpec::default() }, &|_| Ok(Box::new(io::empty())), &mut out).unwrap();
    let mut archive = tar::Archive::new(&out[..]);
    let first = archive.entries().unwrap().nth(1).unwrap().unwrap();
    assert_eq!(&*first.path_bytes(), b"code/a\xff\nb\"c");
}

#[test]
fn a_file_that_changes_is_an_error() {
    for content in ["", "123", "12345", &"x".repeat(200_000)] {
        let disk = Disk::new(&[("log.txt", "1234")]);
        disk.content.borrow_mut().insert("log.txt".into(), content.into());
        let fault = flatten(&disk.tar().unwrap_err());
        assert_eq!(fault.message, "`log.txt` changed while it was read");
        assert_eq!(fault.hints[0], "run the same command again");
    }
    let disk = Disk::new(&[("log.txt", "")]);
    disk.content.borrow_mut().insert("log.txt".into(), "more".into());
    assert!(disk.tar().is_err());
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("input/output error"))
        }
    }
    let disk = Disk::new(&[("a\nb", "1")]);
    let fault = write_tar(&disk.spec, &|_| Ok(Box::new(Broken)), &mut io::sink()).unwrap_err();
    assert_eq!(flatten(&fault).message, r#"`"a\nb"` could not be read: input/output error"#);
}

#[test]
fn the_key_is_that_of_the_content() {
    let key = |files: &[(&str, &str)]| Disk::new(files).key();
    let base = key(&[("a", "1"), ("b", "2")]);
    assert_eq!(base, key(&[("b", "2"), ("a", "1")]));
    assert_ne!(base, key(&[("a", "1"), ("b", "3")]), "content");
    assert_ne!(base, key(&[("a", "1"), ("c", "2")]), "name");
    assert_ne!(base, key(&[("a", "12"), ("b", "")]), "where a file ends");
    assert_ne!(base, key(&[("a", "1"), ("b", "2"), ("c", "")]), "an empty file more");

    let other = |change: fn(&mut ContextSpec)| {
        let mut disk = Disk::new(&[("a", "1"), ("b", "2")]);
        change(&mut disk.spec);
        disk.key()
    };
    assert_eq!(base, other(|_| {}));
    assert_ne!(base, other(|s| s.code[0].kind = Kind::File { size: 1, executable: true }), "mode");
    assert_ne!(base, other(|s| s.code.push(Entry::directory("c", ""))), "an empty folder more");
    assert_ne!(base, other(|s| s.dockerfile.push('\n')), "Dockerfile");
    assert_ne!(base, other(|s| s.platform = "linux/arm64".into()), "platform");
    let settings = [
        other(|s| s.settings = vec!["a".into(), "b".into()]),
        other(|s| s.settings = vec!["ab".into()]),
        other(|s| s.settings = vec!["a".into()]),
        other(|s| s.platform = "a".into()),
    ];
    for (i, one) in settings.iter().enumerate() {
        assert_ne!(base, *one);
        assert!(!settings[..i].contains(one), "{i}");
    }
}

#[test]
fn the_key_of_this_content_never_changes() {
    // if it does, every image of every user is built once more: count up `FORMAT` and say so
    let key = Disk::new(&[("run.py", "print(1)\n")]).key();
    assert_eq!(key.tag(), "t-jr0y7324svc1d11kjz03");
    let repository = Repository::new("localhost:5000", "", None, "lab", "cifar").unwrap();
    let image = ImageSpec { context: ContextSpec::default(), key, repository };
    assert_eq!(image.names("20261123-101500")[0], "localhost:5000/lab/cifar:t-jr0y7324svc1d11kjz03");
    assert_eq!(image.names("20261123-101500")[1], "localhost:5000/lab/cifar:20261123-101500");
}

#[test]
fn a_cut_context_has_no_dockerfile() {
    // wherever it ends: BuildKit takes one that ends between two entries for a whole one
    let disk = Disk::new(&[("a", "1"), ("Dockerfile", "FROM code\n")]);
    disk.content.borrow_mut().insert("a".into(), "2".into());
    let mut sent = Vec::new();
    let expected = Disk::new(&[("a", "1"), ("Dockerfile", "FROM code\n")]).key();
    send(&disk.spec, &|e| disk.read(e), &expected, &mut sent).unwrap_err();
    assert!(sent.len() < disk.tar().unwrap().len());
    let names: Vec<_> = read_back(&sent).into_iter().map(|(name, ..)| name).collect();
    assert!(!names.contains(&"Dockerfile".to_owned()), "{names:?}");
}

#[test]
fn what_is_sent_is_what_was_hashed() {
    for size in [0, 1, 70_000, 262_144 - 3072, 262_144, 1_000_000] {
        let disk = Disk::new(&[("a", &"x".repeat(size))]);
        let mut sent = Vec::new();
        send(&disk.spec, &|e| disk.read(e), &disk.key(), &mut sent).unwrap();
        assert!(sent == disk.tar().unwrap(), "{size}");
    }
}

#[test]
fn the_end_is_held_back_if_anything_changed() {
    for size in [1, 70_000, 1_000_000] {
        let disk = Disk::new(&[("a", &"x".repeat(size)), ("b", "end")]);
        let key = disk.key();
        let whole = disk.tar().unwrap();
        // as long as before, so nothing but the hash can tell
        disk.content.borrow_mut().insert("b".into(), "END".into());
        let mut sent = Vec::new();
        let fault = send(&disk.spec, &|e| disk.read(e), &key, &mut sent).unwrap_err();
        assert_eq!(flatten(&fault).message, "the folder changed while it was sent");
        assert!(sent.len() <= whole.len() - 1024, "{} of {}", sent.len(), whole.len());
        let fault = send(&disk.spec, &|_| Ok(Box::new(io::empty())), &key, &mut sent);
        assert!(flatten(&fault.unwrap_err()).message.ends_with("changed while it was read"));
    }
}

#[test]
fn a_reader_that_has_gone_can_be_told() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for size in [1, 1_000_000] {
        let disk = Disk::new(&[("a", &"x".repeat(size))]);
        let fault = send(&disk.spec, &|e| disk.read(e), &disk.key(), &mut Gone).unwrap_err();
        let cause = fault.chain().find_map(|c| c.downcast_ref::<io::Error>()).unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::BrokenPipe);
    }
}
