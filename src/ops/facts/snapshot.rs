//! The folder of an experiment as it is sent.

use std::io::ErrorKind::NotFound;
use std::io::Read;

use anyhow::Result;

use super::notices::{Early, Facts, Gatherer};
use crate::image::entry::shown;
use crate::image::folder::{Folder, Level, Requirements, Rules};
use crate::image::{ContextSpec, DockerfileContext, Entry, Key, Template};
use crate::plan::Build;
use crate::request::{BuildRequest, Sources};
use crate::tools::cluster::Cluster;
use crate::tools::cmd::quote;
use crate::tools::shell::{Interruptible, or_interrupted};
use crate::util::error::{fail, usage};
use crate::util::regular_file;
use crate::util::ui::size;

/// The user is warned of a context larger than this, with its largest files.
const LARGE: u64 = 200 << 20;

/// What would be sent, and what opens its files.
#[derive(Debug)]
pub struct Snapshot {
    /// The files to send.
    pub context: ContextSpec,
    /// The key of the context.
    pub key: Key,
    /// The scanned folder.
    folder: Folder,
}

impl Snapshot {
    /// Reads all files for the key.
    fn new(folder: Folder, context: ContextSpec) -> Result<Self> {
        let key = Key::of(&context, &|entry| open(&folder, entry)).map_err(or_interrupted)?;
        Ok(Self { context, key, folder })
    }

    /// Opens the file of an entry; reading ends when the user interrupts.
    pub fn open(&self, entry: &Entry) -> Result<Box<dyn Read>> {
        open(&self.folder, entry)
    }
}

fn open(folder: &Folder, entry: &Entry) -> Result<Box<dyn Read>> {
    Ok(Box::new(Interruptible(folder.open(entry)?)))
}

/// Looks at the folder of a build that was planned before; an error if it has changed.
pub fn rescan(cluster: Cluster, build: &Build, early: Early) -> Facts<Snapshot> {
    Gatherer::gather(cluster, |gatherer| {
        let dockerfile = |_| Ok(build.dockerfile.clone());
        let (folder, context) = gatherer.scan(&build.sources, dockerfile, &build.platform, build.settings.clone())?;
        gatherer.hand_over(early);
        let snapshot = Snapshot::new(folder, context)?;
        if snapshot.key.as_str() != build.key {
            return Err(fail(format!("the folder `{}` has changed since", build.sources.folder.display()))
                .hint("submit what it holds now as a new run, with `kubectl mrunner run`")
                .into());
        }
        Ok(snapshot)
    })
}

impl Gatherer<'_> {
    pub(super) fn snapshot(&mut self, build: &BuildRequest, run_as: (u32, u32), early: Early) -> Result<Snapshot> {
        let own = build.template.as_ref().map(|file| {
            let source = regular_file::read(file)
                .and_then(|text| String::from_utf8(text).map_err(std::io::Error::other))
                .map_err(|e| {
                    let cause = if e.kind() == NotFound { "it does not exist".to_owned() } else { e.to_string() };
                    usage(format!("the template `{}` can't be read: {cause}", file.display()))
                        .hint("name a file with `--template FILE`, or leave the flag out for the built-in one")
                })?;
            Ok::<_, anyhow::Error>(Template { name: file.display().to_string(), source })
        });
        let own = own.transpose()?;
        let dockerfile = |requirements: Option<String>| {
            let (user, group) = run_as;
            let values = DockerfileContext {
                base_image: build.base_image.clone(),
                requirements,
                user,
                group,
                neptune: build.neptune,
                secrets: build.secrets.clone(),
            };
            values.render(own.as_ref())
        };
        let (folder, context) = self.scan(&build.sources, dockerfile, &build.platform, Vec::new())?;
        self.hand_over(early);
        Snapshot::new(folder, context)
    }

    fn scan(
        &mut self,
        sources: &Sources,
        dockerfile: impl FnOnce(Option<String>) -> Result<String>,
        platform: &str,
        settings: Vec<String>,
    ) -> Result<(Folder, ContextSpec)> {
        let requirements = sources.requirements.as_deref().map(Requirements::read).transpose()?;
        let rules = Rules { exclude: sources.exclude.clone(), paths_to_copy: sources.paths_to_copy.clone() };
        let mut folder = Folder::scan(&sources.folder, &rules)?;
        for note in &folder.notes {
            if note.level == Level::Warning {
                self.warn(&note.text);
            }
        }
        if folder.total_bytes > LARGE {
            self.warn(format!("the folder holds {} to be sent; its largest files:", size(folder.total_bytes)));
            let largest = folder.largest(5);
            for entry in largest.iter().filter(|entry| entry.size() >= 1 << 20) {
                self.say(format!("  {:>9}  {}", size(entry.size()), shown(&entry.path)));
            }
            if let Some(first) = largest.first() {
                let pattern = format!("/{}", first.path.display());
                self.say(format!(
                    "  leave out what the experiment does not need, such as with `echo {} >> .mrunnerignore`",
                    quote(pattern.as_ref())
                ));
            }
        }
        let context = ContextSpec {
            dockerfile: dockerfile(requirements.as_ref().map(|r| r.name.clone()))?,
            platform: platform.to_owned(),
            settings,
            requirements: requirements.map(|r| r.entries).unwrap_or_default(),
            code: std::mem::take(&mut folder.entries),
        };
        Ok((folder, context))
    }
}
