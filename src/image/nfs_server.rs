//! The image of the NFS server that runs in a cluster: made of a template and three files of our own.

use std::io::{self, Read};

use anyhow::Result;
use serde::Serialize;

use crate::image::context::ContextSpec;
use crate::image::entry::{self, Entry, Kind};
use crate::image::reference::ImageRef;
use crate::util::error::fail;
use crate::util::template;

/// What it is built on, where nobody says otherwise.
pub const BASE_IMAGE: &str = "debian:bookworm-slim";

/// What the template copies.
const FILES: [(&str, &str); 3] = [
    ("ganesha.conf", include_str!("../../templates/nfs-server/ganesha.conf")),
    ("ready", include_str!("../../templates/nfs-server/ready")),
    ("start", include_str!("../../templates/nfs-server/start")),
];

#[derive(Serialize)]
struct Values<'a> {
    base_image: &'a ImageRef,
}

/// The build context.
pub fn context(base_image: &ImageRef, platform: &str) -> Result<ContextSpec> {
    let file = |(name, text): &(&str, &str)| Entry {
        path: name.into(),
        kind: Kind::File { size: text.len() as u64, executable: false },
        source: name.into(),
    };
    let mut code: Vec<Entry> = FILES.iter().map(file).collect();
    entry::sort(&mut code);
    Ok(ContextSpec {
        dockerfile: template::nfs_server(&Values { base_image })?,
        platform: platform.to_owned(),
        code,
        ..ContextSpec::default()
    })
}

/// Opens one of its files.
pub fn open(entry: &Entry) -> Result<Box<dyn Read>> {
    let found = FILES.iter().find(|(name, _)| entry.path.as_os_str() == *name);
    let (_, text) = found.ok_or_else(|| fail(format!("`{}` is no file of the NFS server", entry.path.display())))?;
    Ok(Box::new(io::Cursor::new(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Key;

    #[test]
    fn the_context_holds_all_that_the_dockerfile_needs() {
        let base = ImageRef::parse(BASE_IMAGE).unwrap();
        let context = context(&base, "linux/amd64").unwrap();
        assert!(context.dockerfile.starts_with("FROM debian:bookworm-slim\n"), "{}", context.dockerfile);
        let mut tar = Vec::new();
        crate::image::context::write_tar(&context, &open, &mut tar).unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let names: Vec<_> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["code/", "code/ganesha.conf", "code/ready", "code/start", "Dockerfile"]);
        let other = super::context(&ImageRef::parse("ubuntu:24.04").unwrap(), "linux/amd64").unwrap();
        assert_ne!(Key::of(&context, &open).unwrap(), Key::of(&other, &open).unwrap());
    }
}
