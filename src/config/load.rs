//! Reading the files of the configuration.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::contexts::{self, ContextsFile};
use super::docker::Docker;
use super::env_file::{self, Variable};
use super::experiment::{self, Experiment};
use super::fault::visible;
use super::kubeconfig::{self, KubeConfig};
use super::yaml;
use crate::util::error::{Fail, usage};

/// Longest kubeconfig: those of many clusters carry a certificate each.
const MAX_KUBECONFIG: usize = 16 << 20;

/// Longest list of points: 100,000 of them with a KiB each are more than a cluster takes.
const MAX_SWEEP: usize = 64 << 20;

/// The remote contexts in `path`; `None` if there is no such file.
///
/// # Errors
/// All faults of the file at once, or why it can't be read.
pub fn read_contexts(path: &Path) -> Result<Option<ContextsFile>> {
    let Some(text) = read(path, path, yaml::MAX_BYTES)? else { return Ok(None) };
    Ok(Some(contexts::parse(&text, path).map_err(Fail::from)?))
}

/// The text of the remote contexts' file; `None` if there is none.
///
/// # Errors
/// Why it can't be read. What it says is not looked at.
pub fn contexts_text(path: &Path) -> Result<Option<String>> {
    Ok(read(path, path, yaml::MAX_BYTES)?)
}

/// What docker's configuration in `folder` says; what can't be read says nothing.
pub fn read_docker(folder: &Path) -> Docker {
    let text = crate::util::regular_file::read(&folder.join("config.json")).unwrap_or_default();
    Docker::parse(&String::from_utf8_lossy(&text))
}

/// The experiment that `path` describes, run from `folder`.
///
/// The file may come with somebody's repository, so what it names must be in the folder also when
/// its links are followed: a link to a key of the user's would else be published with the image.
///
/// # Errors
/// All faults of the file at once, or why it can't be read.
pub fn read_experiment(path: &Path, folder: &Path) -> Result<Experiment> {
    let text = read(&folder.join(path), path, yaml::MAX_BYTES)?.ok_or_else(|| missing(path))?;
    let experiment = experiment::parse(&text, path).map_err(Fail::from)?;
    let inner = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let requirements = experiment.requirements.iter().map(|file| ("requirements", file));
    for (key, file) in requirements.chain(experiment.paths_to_copy.iter().map(|file| ("paths_to_copy", file))) {
        // what does not exist is told where it is needed
        if fs::canonicalize(folder.join(file)).is_ok_and(|real| !real.starts_with(&inner)) {
            let what =
                format!("{}: `{key}` names {}, a link that leads out of the folder", named(path), named(file.as_ref()));
            let hint = "take its target along by the `paths_to_copy` of your context, or copy it into the folder";
            return Err(usage(what).hint(hint).into());
        }
    }
    Ok(experiment)
}

/// The text of a file that lists the points of a sweep; `-` is stdin.
///
/// # Errors
/// Why it can't be read.
pub fn read_sweep(path: &Path, folder: &Path) -> Result<String> {
    if path != Path::new("-") {
        return Ok(read(&folder.join(path), path, MAX_SWEEP)?.ok_or_else(|| missing(path))?);
    }
    let mut bytes = Vec::new();
    let stdin = io::stdin().lock().take(MAX_SWEEP as u64 + 1).read_to_end(&mut bytes);
    let cannot = |cause: &str| usage(format!("the points on stdin can't be read: {cause}"));
    stdin.map_err(|e| cannot(&e.to_string()))?;
    if bytes.len() > MAX_SWEEP {
        return Err(cannot(&format!("they are longer than {} MiB", MAX_SWEEP >> 20)).into());
    }
    Ok(String::from_utf8(bytes).map_err(|_| cannot("they are not valid UTF-8"))?)
}

/// The variables of the file that `--env-file` names.
///
/// # Errors
/// Why it can't be read, or which line is none of a variable.
pub fn read_env_file(path: &Path) -> Result<Vec<Variable>> {
    let text = read(path, path, yaml::MAX_BYTES)?.ok_or_else(|| missing(path))?;
    Ok(env_file::parse(&text, path)?)
}

/// What kubectl sees of `files`, those of `$KUBECONFIG` or the one at home; missing ones are skipped.
///
/// # Errors
/// All faults of all files at once, or why one can't be read.
pub fn read_kubeconfig(files: &[PathBuf]) -> Result<KubeConfig> {
    let (mut texts, mut missing) = (Vec::new(), Vec::new());
    for file in files {
        match read(file, file, MAX_KUBECONFIG)? {
            Some(text) => texts.push((file.clone(), text)),
            None => missing.push(file.clone()),
        }
    }
    let merged = kubeconfig::merge(texts).map_err(Fail::from)?;
    Ok(KubeConfig { missing, ..merged })
}

/// The one file that `--kubeconfig` names, which has to be there.
///
/// # Errors
/// As [`read_kubeconfig`], and when there is no such file.
pub fn read_explicit_kubeconfig(file: &Path) -> Result<KubeConfig> {
    let none = || usage(format!("there is no file {}, which `--kubeconfig` names", named(file)));
    let text = read(file, file, MAX_KUBECONFIG)?.ok_or_else(none)?;
    Ok(kubeconfig::merge(vec![(file.to_owned(), text)]).map_err(Fail::from)?)
}

/// The text of the file at `place`, which messages call `path`; `None` if it is not there.
fn read(place: &Path, path: &Path, most: usize) -> Result<Option<String>, Fail> {
    // said before it is opened: opening a FIFO waits for somebody to write to it
    let metadata = match fs::metadata(place) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return not_found(place, path),
        Err(e) => return Err(unreadable(path, &e)),
    };
    // the usual way to say "no file"
    if path == Path::new("/dev/null") {
        return Ok(Some(String::new()));
    }
    let named = named(path);
    if metadata.is_dir() {
        return Err(usage(format!("{named} is a directory, not a file")).hint("name the file in it"));
    }
    if !metadata.is_file() {
        return Err(
            usage(format!("{named} is not a regular file")).hint("write what it gives to a file, and name that")
        );
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(place).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|e| unreadable(path, &e))?;
    if bytes.len() > most {
        let hint = format!("see whether it is the right file: `ls -l {}`", path.display());
        return Err(usage(format!("{named} is longer than {} MiB", most >> 20)).hint(hint));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(e) => {
            let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = good.split(|byte| *byte == b'\n').count();
            let fail = usage(format!("{named} line {line}: this is not text in UTF-8"));
            Err(fail.hint("save the file with the encoding UTF-8"))
        }
    }
}

/// Nothing is there, which may be fine; a link to nothing is a mistake.
fn not_found(place: &Path, path: &Path) -> Result<Option<String>, Fail> {
    match fs::read_link(place) {
        Ok(target) => {
            let target = visible(&target.display().to_string());
            let fail = usage(format!("{} is a symbolic link to `{target}`, which is not there", named(path)));
            Err(fail.hint(look(path)))
        }
        Err(_) => Ok(None),
    }
}

fn missing(path: &Path) -> Fail {
    usage(format!("there is no file {}", named(path)))
}

fn unreadable(path: &Path, error: &io::Error) -> Fail {
    // `os error 40` says nothing to a reader
    let error = error.to_string();
    let cause = error.split(" (os error").next().unwrap_or_default().to_lowercase();
    usage(format!("{} can't be read: {cause}", named(path))).hint(look(path))
}

fn look(path: &Path) -> String {
    visible(&format!("look at it with `ls -ld {}`", path.display()))
}

fn named(path: &Path) -> String {
    format!("`{}`", visible(&path.display().to_string()))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::util::error::{Exit, flatten};

    const GOOD: &str = "contexts: {lab: {type: kubernetes, storage: /s, registry_url: gcr.io}}\n";

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            fs::write(self.path(name), content).unwrap();
            self.path(name)
        }

        /// The failure with the directory's own name taken out.
        fn told<T>(&self, result: Result<T>) -> (String, Vec<String>) {
            let fail = flatten(&result.err().unwrap());
            assert_eq!(fail.exit, Exit::Usage);
            let here = format!("{}/", self.0.path().display());
            let mut lines = fail.details;
            lines.extend(fail.hints);
            (fail.message.replace(&here, ""), lines.iter().map(|line| line.replace(&here, "")).collect())
        }
    }

    #[test]
    fn a_good_file_is_read_also_behind_a_link() {
        let dir = Dir::new();
        let file = dir.file("config.yaml", GOOD);
        symlink(&file, dir.path("link")).unwrap();
        assert_eq!(read_contexts(&file).unwrap().unwrap().contexts.len(), 1);
        assert_eq!(read_contexts(&dir.path("link")).unwrap().unwrap().contexts.len(), 1);
        assert!(read_contexts(Path::new("/dev/null")).unwrap().unwrap().contexts.is_empty());
        assert_eq!(read_experiment(&dir.file("e", "name: a"), Path::new("")).unwrap().name.as_deref(), Some("a"));
    }

    #[test]
    fn a_missing_file() {
        let dir = Dir::new();
        let nowhere = dir.path("no");
        assert!(read_contexts(&nowhere).unwrap().is_none());
        assert_eq!(dir.told(read_experiment(&nowhere, Path::new(""))).0, "there is no file `no`");
        assert_eq!(dir.told(read_explicit_kubeconfig(&nowhere)).0, "there is no file `no`, which `--kubeconfig` names");
        let there = dir.file("k", "current-context: a");
        let config = read_kubeconfig(&[nowhere, there.clone()]).unwrap();
        assert_eq!((config.current.as_deref(), config.files), (Some("a"), vec![there.clone()]));
        assert_eq!(read_explicit_kubeconfig(&there).unwrap().current.as_deref(), Some("a"));
        assert_eq!(read_kubeconfig(&[]).unwrap(), KubeConfig::default());
    }

    #[test]
    fn all_faults_become_one_failure() {
        let dir = Dir::new();
        let (message, details) = dir.told(read_contexts(&dir.file("config.yaml", "context: x\ncurrent_contxt: y\n")));
        assert_eq!(message, "`config.yaml` has 2 faults");
        let expected = [
            "line 1: context: is not a known key, did you mean `contexts`?",
            "line 2: current_contxt: is not a known key, did you mean `current_context`?",
        ];
        assert_eq!(details, expected);
        assert_eq!(dir.told(read_experiment(&dir.file("e.yaml", ""), Path::new(""))).0, "`e.yaml` is empty");
    }

    #[test]
    fn what_is_no_file() {
        let dir = Dir::new();
        let (message, hints) = dir.told(read_contexts(dir.0.path()));
        assert!(message.ends_with("is a directory, not a file"), "{message}");
        assert_eq!(hints, ["name the file in it"]);

        symlink(dir.path("loop"), dir.path("loop")).unwrap();
        let (message, hints) = dir.told(read_contexts(&dir.path("loop")));
        assert_eq!(message, "`loop` can't be read: too many levels of symbolic links");
        assert_eq!(hints, ["look at it with `ls -ld loop`"]);

        symlink("gone", dir.path("dangling")).unwrap();
        let (message, _) = dir.told(read_contexts(&dir.path("dangling")));
        assert_eq!(message, "`dangling` is a symbolic link to `gone`, which is not there");

        let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).unwrap();
        assert_eq!(dir.told(read_contexts(&dir.path("socket"))).0, "`socket` is not a regular file");
        assert_eq!(dir.told(read_contexts(Path::new("/dev/zero"))).0, "`/dev/zero` is not a regular file");
    }

    #[test]
    fn a_file_that_others_may_not_read() {
        // root can read anything, so the fault is made, not met
        let denied = io::Error::from_raw_os_error(13);
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        let fault = unreadable(Path::new("config.yaml"), &denied);
        assert_eq!(fault.message, "`config.yaml` can't be read: permission denied");
        assert_eq!(fault.hints, ["look at it with `ls -ld config.yaml`"]);
    }

    #[test]
    fn what_is_no_text() {
        let dir = Dir::new();
        let (message, hints) = dir.told(read_contexts(&dir.file("latin1", b"a: b\nc: \xe9\n")));
        assert_eq!(message, "`latin1` line 2: this is not text in UTF-8");
        assert_eq!(hints, ["save the file with the encoding UTF-8"]);
        assert_eq!(
            dir.told(read_contexts(&dir.file("utf16", b"\xff\xfea\0"))).0,
            "`utf16` line 1: this is not text in UTF-8"
        );
        let (message, hints) = dir.told(read_contexts(&dir.file("long", " ".repeat(yaml::MAX_BYTES + 1))));
        assert_eq!(message, "`long` is longer than 1 MiB");
        assert_eq!(hints, ["see whether it is the right file: `ls -l long`"]);
        assert!(read_contexts(&dir.file("full", "#".repeat(yaml::MAX_BYTES))).unwrap().is_some());
    }

    #[test]
    fn a_path_forges_no_line() {
        let dir = Dir::new();
        assert_eq!(
            dir.told(read_experiment(&dir.path("a\nerror: b"), Path::new(""))).0,
            "there is no file `a\\nerror: b`"
        );
    }
}
