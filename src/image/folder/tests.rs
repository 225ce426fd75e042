//! Folders on a real disk.
#![cfg(unix)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Folder, FolderPaths, Level, Requirements, Rules};
use crate::image::{ContextSpec, Key, Kind};
use crate::util::error::{Exit, Fail, flatten};

struct Disk(TempDir);

impl Disk {
    /// Files with their content; a name with `/` at its end is a folder.
    fn new(files: &[(&str, &str)]) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            disk.file(name, content);
        }
        disk
    }

    fn file(&self, name: &str, content: &str) {
        let path = self.path(name);
        let folder = if name.ends_with('/') { &path } else { path.parent().unwrap() };
        fs::create_dir_all(folder).unwrap();
        if !name.ends_with('/') {
            fs::write(path, content).unwrap();
        }
    }

    fn link(&self, name: &str, target: impl AsRef<Path>) {
        symlink(target, self.path(name)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn scan(&self, rules: &Rules) -> Folder {
        Folder::scan(&self.path("f"), rules).unwrap()
    }

    fn fault(&self, rules: &Rules) -> Fail {
        let mut fault = flatten(&Folder::scan(&self.path("f"), rules).unwrap_err());
        let here = self.0.path().canonicalize().unwrap();
        let shorten = |text: &mut String| *text = text.replace(&format!("{}/", here.display()), "");
        shorten(&mut fault.message);
        fault.hints.iter_mut().for_each(shorten);
        fault
    }

    /// The paths in folder `f`, those of folders with `/` at their end.
    fn paths(&self, rules: &Rules) -> Vec<String> {
        paths(&self.scan(rules))
    }

    fn key(&self) -> Key {
        let folder = self.scan(&Rules::default());
        let spec = ContextSpec { code: folder.entries.clone(), ..ContextSpec::default() };
        Key::of(&spec, &|e| folder.open(e)).unwrap()
    }
}

fn paths(folder: &Folder) -> Vec<String> {
    let path = |e: &crate::image::Entry| {
        let slash = if e.kind == Kind::Directory { "/" } else { "" };
        format!("{}{slash}", e.path.to_str().unwrap())
    };
    folder.entries.iter().map(path).collect()
}

fn copying(paths: &[&str]) -> Rules {
    Rules { paths_to_copy: paths.iter().map(|p| (*p).to_owned()).collect(), ..Rules::default() }
}

fn excluding(patterns: &[&str]) -> Rules {
    Rules { exclude: patterns.iter().map(|p| (*p).to_owned()).collect(), ..Rules::default() }
}

fn notes(folder: &Folder) -> Vec<&str> {
    folder.notes.iter().map(|n| n.text.as_str()).collect()
}

#[test]
fn everything_is_found_in_the_order_of_the_bytes() {
    let disk =
        Disk::new(&[("f/b.py", "12"), ("f/a/x", "123"), ("f/a-b", ""), ("f/B", ""), ("f/empty/", ""), ("g", "")]);
    let folder = disk.scan(&Rules::default());
    assert_eq!(paths(&folder), ["B", "a/", "a-b", "a/x", "b.py", "empty/"]);
    assert_eq!(folder.total_bytes, 5);
    let largest: Vec<_> = folder.largest(1).iter().map(|e| e.path.to_str().unwrap()).collect();
    assert_eq!(largest, ["a/x"]);
    assert_eq!(notes(&folder), [""; 0]);
}

#[test]
fn the_key_depends_on_the_content_alone() {
    let files = [("f/a.py", "1"), ("f/b.py", "2"), ("f/c/d.py", "3")];
    let one = Disk::new(&files);
    let mut turned = files;
    turned.reverse();
    let other = Disk::new(&turned);
    let old = fs::File::options().write(true).open(other.path("f/a.py")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    for (path, mode) in [("f/b.py", 0o611), ("f/c/d.py", 0o666), ("f/c", 0o700)] {
        fs::set_permissions(other.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(one.key(), other.key());

    fs::set_permissions(other.path("f/b.py"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_ne!(one.key(), other.key(), "executable");
    other.file("f/b.py", "2");
    fs::set_permissions(other.path("f/b.py"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(one.key(), other.key());
    fs::create_dir(other.path("f/c/empty")).unwrap();
    assert_ne!(one.key(), other.key(), "an empty folder");
}

#[test]
fn what_never_belongs_into_an_image_is_left_out() {
    let disk = Disk::new(&[
        ("f/.git/config", ""),
        ("f/sub/.git", "gitdir: elsewhere"),
        ("f/__pycache__/a.pyc", ""),
        ("f/sub/.DS_Store", ""),
        ("f/env/pyvenv.cfg", ""),
        ("f/env/bin/python", ""),
        ("f/conda/conda-meta/history", ""),
        ("f/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n# mine"),
        ("f/cache/large", ""),
        ("f/no-cache/CACHEDIR.TAG", "Signature: something else"),
        ("f/.mrunnerignore", ""),
        ("f/node_modules/x", ""),
        ("f/.gitignore", "x"),
    ]);
    let folder = disk.scan(&Rules::default());
    let expected = [".gitignore", "no-cache/", "no-cache/CACHEDIR.TAG", "node_modules/", "node_modules/x", "sub/"];
    assert_eq!(paths(&folder), expected);
    let told = notes(&folder);
    assert_eq!(
        told,
        [
            "`cache` is left out: a cache, as its CACHEDIR.TAG says",
            "`conda` is left out: a conda environment",
            "`env` is left out: a virtual environment",
        ]
    );
    assert!(folder.notes.iter().all(|n| n.level == Level::Info));
    // the folder itself may be anything
    let env = Folder::scan(&disk.path("f/env"), &Rules::default()).unwrap();
    assert_eq!(paths(&env), ["bin/", "bin/python", "pyvenv.cfg"]);
}

#[test]
fn our_ignore_file_has_gits_syntax() {
    let ignore = "\u{feff}# a comment\n*.log\n!keep.log\n/data\nbuild/\r\n";
    let disk = Disk::new(&[
        ("f/.mrunnerignore", ignore),
        ("f/.dockerignore", "*"),
        ("f/a.log", ""),
        ("f/sub/b.log", ""),
        ("f/keep.log", ""),
        ("f/data/x", ""),
        ("f/sub/data", ""),
        ("f/build/x", ""),
        ("f/sub/build", ""),
    ]);
    let rest = [".dockerignore", "keep.log", "sub/", "sub/build", "sub/data"];
    assert_eq!(disk.paths(&Rules::default()), rest);
    let excluded = disk.paths(&excluding(&["sub", "!a.log", ".dockerignore"]));
    assert_eq!(excluded, ["a.log", "keep.log"]);
}

#[test]
fn dockers_ignore_file_has_dockers_syntax() {
    let files = ["f/a.md", "f/README.md", "f/d/a.md", "f/d/keep/x", "f/d/e/y", "f/t/u", "f/ab", "f/v/w/z.tmp"];
    let files: Vec<_> = files.iter().map(|f| (*f, "")).collect();
    let check = |ignore: &str, expected: &[&str]| {
        let disk = Disk::new(&files);
        disk.file("f/.dockerignore", ignore);
        let all: Vec<String> = disk.paths(&Rules::default()).into_iter().filter(|p| p != ".dockerignore").collect();
        assert_eq!(all, expected, "{ignore:?}");
    };
    // rooted, unlike git's
    check("*.md\nd\nt\nv\nab", &[]);
    check("*.md\n t/ \n./v//w/../\nab\nd/*", &["d/"]);
    check("*.md\nt\nv\nab\nd/e\nd/keep", &["d/", "d/a.md"]);
    // the last match decides, also below a folder that is left out
    check("*\n!d/keep", &["d/", "d/keep/", "d/keep/x"]);
    check("*\n!d/keep\nd/*", &[]);
    // docker forgets a pattern that changed nothing above
    check("*\n!d/keep\nd", &["d/", "d/keep/", "d/keep/x"]);
    check("d\nt\nv\nab\n*.md\n!README.md", &["README.md"]);
    check("**\n!**/*.md\n**/a.md", &["README.md"]);
    // `**` is any number of folders
    check("**/*.md\nd/**\nt\nab\n**/z.tmp\n", &["d/", "v/", "v/w/"]);
    check("#d\nd\nt\nv\n[a-b]?\n*.md", &[]);
    check("/d\n/t\n../x\n.\n/\n!\nv\nab\n{a,README}.md", &["README.md", "a.md"]);
    check("*/*\n!d\n*.md\nab\nt\nv", &["d/"]);
    check("**.md\nd/keep\nt**\nab\nv", &["d/", "d/e/", "d/e/y"]);
    check("*\n!**y", &["d/", "d/e/", "d/e/y"]);
    check("d\nt\n*.md\na**b\nv**z.tmp", &["v/", "v/w/"]);
}

#[test]
fn a_faulty_pattern_is_named() {
    let disk = Disk::new(&[("f/.mrunnerignore", "ok\na[b\n")]);
    let fault = disk.fault(&Rules::default());
    assert!(fault.message.starts_with("`f/.mrunnerignore` line 2: "), "{}", fault.message);
    assert_eq!(fault.exit, Exit::Usage);
    fs::remove_file(disk.path("f/.mrunnerignore")).unwrap();
    disk.file("f/.dockerignore", "ok\n\n[a\n");
    let fault = disk.fault(&Rules::default());
    assert!(fault.message.starts_with("`f/.dockerignore` line 3: `[a`: "), "{}", fault.message);
    fs::remove_file(disk.path("f/.dockerignore")).unwrap();
    let fault = disk.fault(&excluding(&["a[b"]));
    assert!(fault.message.starts_with("`exclude`, pattern 1: "), "{}", fault.message);
}

#[test]
fn braces_are_ordinary_characters_and_no_pattern_takes_long() {
    let hard = ["*a".repeat(60) + "b", "**/a*/".repeat(30) + "b"].join("\n");
    let disk = Disk::new(&[(&format!("f/{}", "a".repeat(200)), ""), ("f/x.{pt,ckpt}", ""), ("f/x.pt", "")]);
    for ignore_file in ["f/.mrunnerignore", "f/.dockerignore"] {
        disk.file(ignore_file, &format!("*.{{pt,ckpt}}\n{hard}\n"));
        let sent = disk.paths(&Rules::default());
        assert!(!sent.iter().any(|name| name.contains('{')), "{sent:?}");
        assert!(sent.iter().any(|name| name == "x.pt") && sent.iter().any(|name| name.starts_with("aaa")), "{sent:?}");
        fs::remove_file(disk.path(ignore_file)).unwrap();
    }
}

#[test]
fn what_is_to_be_copied_comes_along() {
    let disk = Disk::new(&[
        ("f/.mrunnerignore", "data\nsecret"),
        ("f/data/deep/model.bin", ""),
        ("f/data/deep/__pycache__/x", ""),
        ("f/data/other", ""),
        ("f/secret", ""),
        ("f/run.py", ""),
        ("lib/util.py", ""),
        ("lib/.git/x", ""),
        ("one.txt", ""),
    ]);
    assert_eq!(disk.paths(&Rules::default()), ["run.py"]);
    assert_eq!(
        disk.paths(&copying(&["data/deep", "./secret", "secret"])),
        ["data/", "data/deep/", "data/deep/model.bin", "run.py", "secret"]
    );
    let absolute = disk.path("one.txt");
    assert_eq!(
        disk.paths(&copying(&["../lib", absolute.to_str().unwrap()])),
        ["lib/", "lib/util.py", "one.txt", "run.py"]
    );
    assert_eq!(disk.paths(&copying(&["../f/secret"])), ["run.py", "secret"]);
    assert_eq!(disk.paths(&copying(&["../lib/.git"])), [".git/", ".git/x", "run.py"]);
    assert_eq!(disk.paths(&copying(&["."])).len(), 6);
    assert_eq!(disk.paths(&copying(&["data", "data/deep"])), disk.paths(&copying(&["data"])));

    for (path, message) in [
        ("none", "`none` in `paths_to_copy` does not exist"),
        ("", "`` in `paths_to_copy` names nothing"),
        ("..", "`..` in `paths_to_copy` contains the folder itself"),
        ("/", "`/` in `paths_to_copy` contains the folder itself"),
    ] {
        let fault = disk.fault(&copying(&[path]));
        assert_eq!((fault.message.as_str(), fault.exit), (message, Exit::Usage));
    }
}

#[test]
fn two_things_of_one_name_are_an_error() {
    let disk = Disk::new(&[("f/lib/a", ""), ("lib/b", ""), ("x/lib", "")]);
    let given = disk.path("f").display().to_string();
    let fault = disk.fault(&copying(&["../lib"]));
    let message = fault.message.replace(&given, "f");
    assert_eq!(message, "`f/lib` and `lib` would both be `lib` in the image");
    assert!(
        flatten(&Folder::scan(&disk.path("f"), &copying(&["../x/lib", "../lib"])).unwrap_err())
            .message
            .contains("both")
    );
    // what is left out is in nobody's way
    disk.file("f/.mrunnerignore", "/lib");
    assert_eq!(disk.paths(&copying(&["../lib"])), ["lib/", "lib/b"]);
}

#[test]
fn links_that_stay_inside_are_kept() {
    let disk = Disk::new(&[("f/a/b/c", ""), ("f/left-out/x", ""), ("f/.mrunnerignore", "left-out")]);
    disk.link("f/a/to-c", "b/c");
    disk.link("f/a/b/up", "../../a/to-c");
    disk.link("f/deep", "a/b");
    disk.link("f/around", "deep/../b/./c");
    disk.link("f/self", ".");
    disk.link("f/gone", "nothing/at/all");
    disk.link("f/out", "left-out/x");
    disk.link("f/one", "two");
    disk.link("f/two", "one");
    let folder = disk.scan(&Rules::default());
    let links = folder.entries.iter().filter(|e| matches!(e.kind, Kind::Symlink { .. })).count();
    assert_eq!(links, 9);
    let told = notes(&folder);
    assert_eq!(
        told,
        [
            "the link `gone` points to `nothing/at/all`, which does not exist",
            "the link `one` points to `two`, and so on in a circle",
            "the link `out` points to `left-out/x`, which is left out",
            "the link `two` points to `one`, and so on in a circle",
        ]
    );
    assert!(folder.notes.iter().all(|n| n.level == Level::Warning));
}

#[test]
fn links_that_leave_are_an_error() {
    let targets = ["/etc/hostname", "..", "../f/a", "a/../../g", "up/..", "../gone"];
    for target in targets {
        let disk = Disk::new(&[("f/a/b", ""), ("f/c/d/", ""), ("g", "")]);
        // the way through it can't be told from its text
        disk.link("f/up", "c/d/../..");
        disk.link("f/bad link", target);
        let fault = disk.fault(&Rules::default());
        assert_eq!(fault.message, format!("the link `bad link` leaves the folder: it points to `{target}`"));
        assert_eq!(fault.exit, Exit::Usage);
        let given = disk.path("f").display().to_string();
        let hint = fault.hints[0].replace(&given, "f");
        assert_eq!(hint, "leave it out with `echo '/bad link' >> f/.mrunnerignore`");
        let exists = target != "../gone";
        assert_eq!(fault.hints.len(), if exists { 2 } else { 1 }, "{target}");
        if exists {
            assert_eq!(fault.hints[1], "or take what it points to: `paths_to_copy: [\"bad link\"]`");
        }
        // the hint is true
        disk.file("f/.mrunnerignore", "/bad link\n");
        disk.scan(&Rules::default());
    }
}

#[test]
fn a_link_that_is_to_be_copied_is_what_it_points_to() {
    let disk = Disk::new(&[("f/run.py", ""), ("data/x/y", ""), ("lonely", "")]);
    disk.link("f/data", disk.path("data"));
    disk.link("f/also", "data/x");
    disk.link("f/file", "../lonely");
    disk.link("data/x/z", "../x/y");
    let rules = copying(&["data", "file"]);
    let folder = disk.scan(&rules);
    assert_eq!(paths(&folder), ["also", "data/", "data/x/", "data/x/y", "data/x/z", "file", "run.py"]);
    assert!(matches!(folder.entries[5].kind, Kind::File { .. }));
    assert_eq!(notes(&folder), [""; 0]);
    disk.link("data/x/bad", "../../lonely");
    assert_eq!(disk.fault(&rules).message, "the link `data/x/bad` leaves the folder: it points to `../../lonely`");
    disk.link("f/me", ".");
    assert_eq!(disk.fault(&copying(&["me"])).message, "`me` in `paths_to_copy` points to the folder itself");
}

#[test]
fn any_name_is_kept_to_the_byte() {
    let disk = Disk::new(&[("f/", "")]);
    let names: [&[u8]; 5] = [b"a\nb", b"\"'`$(x)", b"\xff\xfe", "ü 🦀".as_bytes(), b" -rf "];
    for name in names {
        fs::write(disk.path("f").join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let folder = disk.scan(&Rules::default());
    let mut found: Vec<_> = folder.entries.iter().map(|e| e.path.as_os_str().as_bytes()).collect();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    disk.key();
    // what a hint says to write leaves just that one out
    for name in names {
        let pattern = super::rules::pattern_for(Path::new(std::ffi::OsStr::from_bytes(name)));
        for file in [".mrunnerignore", ".dockerignore"] {
            // docker has no way to name a space at an end
            if file == ".dockerignore" && name.ends_with(b" ") {
                continue;
            }
            fs::write(disk.path("f").join(file), format!("{file}\n{pattern}\n")).unwrap();
            let rest = disk.scan(&Rules::default());
            found = rest.entries.iter().map(|e| e.path.as_os_str().as_bytes()).collect();
            assert!(!found.contains(&name), "{pattern} in {file}");
            assert_eq!(found.len(), names.len() - 1, "{pattern} in {file}");
            fs::remove_file(disk.path("f").join(file)).unwrap();
        }
    }
}

#[test]
fn what_is_no_file_is_left_out_with_a_warning() {
    let disk = Disk::new(&[("f/a", "")]);
    let _socket = std::os::unix::net::UnixListener::bind(disk.path("f/s\n")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(disk.path("f/pipe")).status().unwrap();
    assert!(made.success());
    let folder = disk.scan(&Rules::default());
    assert_eq!(paths(&folder), ["a"]);
    let told = notes(&folder);
    assert_eq!(told, ["`\"s\\n\"` is left out: it is a socket", "`pipe` is left out: it is a named pipe"]);
    assert!(folder.notes.iter().all(|n| n.level == Level::Warning));
}

#[test]
fn a_hard_link_is_a_file() {
    let disk = Disk::new(&[("f/a", "12")]);
    fs::hard_link(disk.path("f/a"), disk.path("f/b")).unwrap();
    let folder = disk.scan(&Rules::default());
    assert_eq!((paths(&folder), folder.total_bytes), (vec!["a".into(), "b".into()], 4));
}

#[test]
fn a_root_that_is_none_is_an_error() {
    let disk = Disk::new(&[("f", "")]);
    let fault = |name: &str| flatten(&Folder::scan(Path::new(name), &Rules::default()).unwrap_err());
    assert_eq!(
        disk.fault(&Rules::default()).message,
        format!("`{}` is not a folder", disk.path("f").display())
            .replace(&format!("{}/", disk.0.path().canonicalize().unwrap().display()), "")
    );
    assert_eq!(fault("no/such\nplace").message, "the folder `\"no/such\\nplace\"` does not exist");
    assert_eq!(fault("no").exit, Exit::Usage);
}

#[test]
fn a_file_that_can_not_be_opened_is_told_with_what_to_type() {
    // root can open anything, so the fault is made, not met
    let disk = Disk::new(&[("f/my data/x.bin", "1"), ("f/.dockerignore", "")]);
    let place = FolderPaths::new(&disk.path("f")).unwrap();
    let denied = std::io::ErrorKind::PermissionDenied.into();
    let place = FolderPaths { given: ".".into(), ..place };
    let fault = place.unreadable(&place.root.join("my data/x.bin"), "u+r", &denied);
    assert_eq!(fault.message, "`my data/x.bin` could not be read: permission denied");
    assert_eq!(fault.exit, Exit::Usage);
    assert_eq!(
        fault.hints,
        [
            "make it readable with `chmod u+r 'my data/x.bin'`",
            "leave it out with `echo '/my data/x.bin' >> .dockerignore`",
        ]
    );
    // a file elsewhere can't be left out that way
    assert_eq!(place.unreadable(Path::new("/elsewhere"), "u+r", &denied).hints.len(), 1);
}

#[test]
fn a_file_that_vanishes_is_told() {
    let disk = Disk::new(&[("f/a", "1")]);
    let folder = disk.scan(&Rules::default());
    fs::remove_file(disk.path("f/a")).unwrap();
    let fault = folder.open(&folder.entries[0]).err().unwrap();
    assert_eq!(flatten(&fault).message, "`a` changed while it was read");
}

#[test]
fn requirements_come_with_what_they_include() {
    let disk = Disk::new(&[
        ("r/dev.txt", "-r sub/base.txt\n-c limits.txt\npytest\n"),
        ("r/sub/base.txt", "-r ../dev.txt\n-r deep/more.txt\n"),
        ("r/sub/deep/more.txt", "numpy\n"),
        ("r/limits.txt", "numpy<2\n"),
        ("r/unrelated.txt", ""),
    ]);
    let read = Requirements::read(&disk.path("r/dev.txt")).unwrap();
    assert_eq!(read.name, "dev.txt");
    let found: Vec<_> = read.entries.iter().map(|e| e.path.to_str().unwrap()).collect();
    assert_eq!(found, ["dev.txt", "limits.txt", "sub", "sub/base.txt", "sub/deep", "sub/deep/more.txt"]);
    assert_eq!(read.entries[0].size(), 37);
}

#[test]
fn what_is_wrong_with_requirements_is_told_with_its_line() {
    let fault = |files: &[(&str, &str)]| {
        let disk = Disk::new(files);
        let fault = flatten(&Requirements::read(&disk.path("r/a.txt")).unwrap_err());
        assert_eq!(fault.exit, Exit::Usage);
        fault.message.replace(&format!("{}/", disk.0.path().display()), "")
    };
    assert_eq!(fault(&[("r/", "")]), "the requirements file `r/a.txt` does not exist");
    assert_eq!(
        fault(&[("r/a.txt", "-r b/c.txt"), ("r/b/c.txt", "\n-c d.txt")]),
        "`r/b/c.txt` line 2: the requirements file `r/b/d.txt` does not exist"
    );
    assert_eq!(
        fault(&[("r/a.txt", "-r ../b.txt"), ("b.txt", "")]),
        "`r/a.txt` line 1: `../b.txt` is not in the folder of `r/a.txt`"
    );
    assert_eq!(
        fault(&[("r/a.txt", "numpy\n./b.whl")]),
        "`r/a.txt` line 2: `./b.whl` is a package on this machine, which the image does not have"
    );
    assert_eq!(
        fault(&[("r/a.txt/", "")]).split(": ").next().unwrap(),
        "the requirements file `r/a.txt` could not be read"
    );
}
