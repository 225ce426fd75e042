//! The variables that tools are given. Pure.

use std::env::{join_paths, split_paths};
use std::ffi::{OsStr, OsString};

/// Lists of folders in which programs, libraries and modules are looked for.
#[rustfmt::skip]
const LISTS: &[&str] = &[
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH",
    "DYLD_FALLBACK_FRAMEWORK_PATH", "PYTHONPATH", "PERL5LIB", "PERLLIB", "RUBYLIB", "NODE_PATH", "LUA_PATH", "LUA_CPATH",
];

/// Each variable, and its value.
pub type Variables = Vec<(OsString, OsString)>;

/// These variables, such that no tool looks for a part of itself in the current folder, which may be anybody's: lists
/// lose the entries that are relative to it, of which the empty one is the usual accident.
pub fn without_relative_entries(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
    let one = |(name, value): (OsString, OsString)| {
        if !LISTS.iter().any(|list| is_called(&name, list)) {
            return Some((name, value));
        }
        // glibc takes `;` for a separator as well
        let fits = |folder: &std::path::PathBuf| {
            folder.is_absolute() && (cfg!(windows) || !folder.as_os_str().as_encoded_bytes().contains(&b';'))
        };
        let kept = join_paths(split_paths(&value).filter(fits)).ok()?;
        (!kept.is_empty()).then_some((name, kept))
    };
    variables.into_iter().filter_map(one).collect()
}

/// The value of the variable called `name`.
pub fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a OsStr> {
    variables.iter().find(|(known, _)| is_called(known, name)).map(|(_, value)| value.as_os_str())
}

fn is_called(variable: &OsStr, name: &str) -> bool {
    if cfg!(windows) { variable.eq_ignore_ascii_case(name) } else { variable == name }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn lists_lose_what_is_relative() {
        let kept = |name: &str, value: &str| {
            let all = without_relative_entries([(name.into(), value.into())]);
            all.first().map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        assert_eq!(kept("PATH", "/a:.:/b::bin:../x:").as_deref(), Some("/a:/b"));
        assert_eq!(kept("LD_LIBRARY_PATH", ":/usr/local/cuda/lib64").as_deref(), Some("/usr/local/cuda/lib64"));
        assert_eq!(kept("LD_LIBRARY_PATH", "/a;.:/b").as_deref(), Some("/b"));
        assert_eq!(kept("PYTHONPATH", "."), None);
        assert_eq!(kept("PATH", ""), None);
        assert_eq!(kept("OTHER", ".").as_deref(), Some("."));
    }
}
