//! Parses what a user writes for a path in the storage. Pure.

use std::ffi::OsStr;

use crate::transfer::shown;
use crate::util::error::{Fail, usage};

/// The folder at a volume's root that belongs to mrunner.
pub const OWN: &[u8] = b".mrunner";

/// A path in a project's storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Files of a run: `RUN`, `RUN/POINT`, `RUN/POINT/PATH`.
    Run {
        /// The name of the run, and of its folder.
        run: String,
        /// The path, which begins with the run.
        path: Vec<u8>,
    },
    /// Anything in a project's storage: `PROJECT:PATH`, or `:PATH` for the current project.
    Project {
        /// The project, if it is given.
        project: Option<String>,
        /// The path in its storage; empty for the root.
        path: Vec<u8>,
        /// Whether it ended in `/`, so that it is a folder.
        folder: bool,
    },
}

impl Source {
    /// Parses an argument.
    pub fn parse(word: &OsStr) -> Result<Self, Fail> {
        let bytes = word.as_encoded_bytes();
        let colon = bytes.iter().position(|&b| b == b':');
        let slash = bytes.iter().position(|&b| b == b'/');
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| usage(format!("`{}` can't be a name", shown(bytes))))
        };
        match colon {
            // a name in a run's folder may contain a colon
            Some(at) if slash.is_none_or(|slash| at < slash) => {
                let project = text(&bytes[..at])?;
                let path = tidy(&bytes[at + 1..])?;
                let project = (!project.is_empty()).then_some(project);
                Ok(Self::Project { project, path, folder: bytes.ends_with(b"/") })
            }
            _ => {
                let path = tidy(bytes)?;
                let run = text(path.split(|&b| b == b'/').next().unwrap_or_default())?;
                if run.is_empty() || bytes.starts_with(b"/") {
                    return Err(usage(format!("`{}` is not a path in the storage", shown(bytes)))
                        .hint("name a run such as `train-3f9k2m1a`, or a project with a path such as `vision:data`"));
                }
                Ok(Self::Run { run, path })
            }
        }
    }

    /// Returns the path in the volume.
    pub fn path(&self) -> &[u8] {
        match self {
            Self::Run { path, .. } | Self::Project { path, .. } => path,
        }
    }

    /// Returns the default name here; `None` for a project whose name cannot be a file's.
    pub fn last_name(&self) -> Option<&[u8]> {
        let name = match (self.path(), self) {
            ([], Self::Project { project, .. }) => project.as_ref()?.as_bytes(),
            (path, _) => path.rsplit(|&b| b == b'/').next()?,
        };
        (!name.is_empty() && !name.contains(&b'/')).then_some(name)
    }

    /// Returns an error for the folder that belongs to mrunner.
    pub fn may_be_changed(&self) -> Result<(), Fail> {
        let first = self.path().split(|&b| b == b'/').next().unwrap_or_default();
        if first == OWN {
            return Err(usage("`.mrunner` in the storage belongs to mrunner, and cannot be changed"));
        }
        Ok(())
    }
}

/// Normalizes a path below a volume's root: one `/` between names, and none around them.
pub fn tidy(path: &[u8]) -> Result<Vec<u8>, Fail> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                return Err(usage(format!("the path `{}` has `..` in it", shown(path)))
                    .hint("paths begin at the root of the storage"));
            }
            _ => names.push(name),
        }
    }
    Ok(names.join(&b'/'))
}

/// Appends `name` to `path`.
pub fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    match (path, name) {
        (path, []) => path.to_vec(),
        ([], name) => name.to_vec(),
        _ => [path, name].join(&b'/'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(word: &str) -> Source {
        Source::parse(OsStr::new(word)).unwrap()
    }

    #[test]
    fn a_run_a_point_and_a_project_are_told_apart() {
        let run = |run: &str, path: &str| Source::Run { run: run.into(), path: path.into() };
        let project = |project: Option<&str>, path: &str, folder| Source::Project {
            project: project.map(str::to_owned),
            path: path.into(),
            folder,
        };
        assert_eq!(parsed("train-1"), run("train-1", "train-1"));
        assert_eq!(parsed("train-1/0/"), run("train-1", "train-1/0"));
        assert_eq!(parsed("train-1/0/a:b"), run("train-1", "train-1/0/a:b"));
        assert_eq!(parsed("vision:"), project(Some("vision"), "", false));
        assert_eq!(parsed("vision:/data//./a/"), project(Some("vision"), "data/a", true));
        assert_eq!(parsed(":data"), project(None, "data", false));
        assert_eq!(parsed("my project:a b:c"), project(Some("my project"), "a b:c", false));
    }

    #[test]
    fn nothing_leads_out_of_the_storage() {
        for word in ["", "/etc", "..", "train-1/../x", "vision:../x", "vision:a/../../b", "./"] {
            assert!(Source::parse(OsStr::new(word)).is_err(), "{word}");
        }
    }

    #[test]
    fn it_is_called_by_its_last_name() {
        let name = |word: &str| parsed(word).last_name().map(|n| String::from_utf8(n.to_vec()).unwrap());
        assert_eq!(name("train-1").as_deref(), Some("train-1"));
        assert_eq!(name("train-1/0/metrics.json").as_deref(), Some("metrics.json"));
        assert_eq!(name("vision:").as_deref(), Some("vision"));
        assert_eq!(name("vision:data/set").as_deref(), Some("set"));
        assert_eq!(name(":"), None);
    }

    #[test]
    fn what_mrunner_keeps_is_not_changed() {
        assert!(parsed("vision:.mrunner/runs").may_be_changed().is_err());
        assert!(parsed("vision:data/.mrunner").may_be_changed().is_ok());
    }
}
