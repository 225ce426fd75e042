//! Files from and to a volume: the real helper on this machine, behind a `kubectl port-forward` that cuts,
//! corrupts and loses.

mod cuts;
mod destination;
mod download;
mod helper;
mod look;
mod records;
mod upload;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::support::World;

/// A world whose project `vision` has a volume, and that does not wait: seconds are milliseconds.
pub fn world() -> World {
    let mut world = World::new();
    volume(&mut world);
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    world
}

/// From now on the project `vision` has a volume, the folder `volume`, and the cluster runs helpers.
pub fn volume(world: &mut World) {
    fs::create_dir(world.path("volume")).unwrap();
    fs::create_dir(world.path("faults")).unwrap();
    let claim = r#"{"kind": "PersistentVolumeClaim", "metadata": {"name": "storage", "annotations": {"mrunner/project-name": "vision"}}, "spec": {"accessModes": ["ReadWriteMany"]}}"#;
    world.write("claim.json", claim);
    let pod = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pod");
    let pod = pod.to_str().unwrap();
    world.on("*' get pvc/storage '*", r#"cat "$world/claim.json"; exit 0"#);
    // others than a helper's Job are only taken
    let create = format!(
        r#"cat "$call.stdin"; grep -q '"mrunner/helper"' "$call.stdin" || exit 0; exec {pod} create "$world" <"$call.stdin""#
    );
    world.on("*' create '*", &create);
    for (pattern, what) in
        [("get pods -l mrunner/helper", "get"), ("port-forward ", "forward"), ("delete jobs ", "delete")]
    {
        world.on(&format!("*' {pattern}'*"), &format!(r#"exec {pod} {what} "$world" "$*""#));
    }
}

/// Bytes that no two blocks of a file have in common.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    const BLOCK: usize = 4096;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(length + BLOCK);
    while bytes.len() < length {
        // each block begins with its number, and is else the same: to draw all of them takes long
        block[..8].copy_from_slice(&bytes.len().to_le_bytes());
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(length);
    bytes
}

/// All that is below a folder, by the bytes of its path: the content of files, where links lead.
pub fn tree(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    fn walk(folder: &Path, top: &Path, found: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            let content = if kind.is_symlink() {
                [b"-> ", fs::read_link(&path).unwrap().as_os_str().as_bytes()].concat()
            } else if kind.is_dir() {
                walk(&path, top, found);
                b"/".to_vec()
            } else if kind.is_file() {
                fs::read(&path).unwrap()
            } else {
                b"?".to_vec()
            };
            found.insert(path.strip_prefix(top).unwrap().as_os_str().as_bytes().to_vec(), content);
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// That two folders hold the same, byte for byte; contents are not printed.
#[track_caller]
pub fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (tree(a), tree(b));
    let names = |tree: &BTreeMap<Vec<u8>, Vec<u8>>| {
        tree.keys().map(|k| String::from_utf8_lossy(k).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&a), names(&b));
    for (name, content) in &a {
        assert!(b[name] == *content, "`{}` differs", String::from_utf8_lossy(name));
    }
}
