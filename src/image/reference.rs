//! Names of images, by the grammar of <https://pkg.go.dev/github.com/distribution/reference>.

use std::fmt;

use serde::Serialize;

use crate::util::error::{Fail, usage};

/// Longest name, the tag and the digest not counted.
pub const NAME_MAX: usize = 255;

/// Longest tag.
const TAG_MAX: usize = 128;

/// An image as a user names it, such as `python:3` or `host:5000/a/b@sha256:…`: surely nothing but
/// that, so it can stand in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct ImageRef {
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The digest of an image's manifest: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Digest(String);

impl ImageRef {
    /// Takes a reference apart; the error says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, Fail> {
        parse(text).map_err(|why| {
            let told = usage(format!("`{}` is not the name of an image: {why}", text.escape_debug()));
            let lower = text.to_lowercase();
            if lower != text && parse(&lower).is_ok() { told.hint(format!("did you mean `{lower}`?")) } else { told }
        })
    }

    /// The name with its registry, as it was given, without tag and digest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry's host and port, if one was given; without one docker takes Docker Hub.
    pub fn host(&self) -> Option<&str> {
        split_host(&self.name).0
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

impl Digest {
    /// A digest as a registry or a builder tells it; `None` if it is none, or not a sha256.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let fits = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(text.to_owned()))
    }

    /// The text, with `sha256:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Result<ImageRef, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("it contains `{}`", c.escape_debug()));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("it starts with `{scheme}://`, which is left out of an image's name"));
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let digest = digest
        .map(|d| {
            Digest::parse(d).ok_or_else(|| format!("`{d}` is not `sha256:` with 64 lower-case hexadecimal digits"))
        })
        .transpose()?;
    // a colon before the last slash belongs to the host's port
    let name_starts = rest.rfind('/').map_or(0, |i| i + 1);
    let (name, tag) = match rest[name_starts..].split_once(':') {
        Some((last, tag)) => (&rest[..name_starts + last.len()], Some(tag)),
        None => (rest, None),
    };
    if let Some(tag) = tag
        && !is_tag(tag)
    {
        return Err(format!(
            "`{tag}` is not a tag: up to {TAG_MAX} letters, digits, `_`, `.`, `-`, no `.` or `-` first"
        ));
    }
    if name.len() > NAME_MAX {
        return Err(format!("it has more than {NAME_MAX} characters"));
    }
    let (host, path) = split_host(name);
    if let Some(host) = host
        && !is_host(host)
    {
        return Err(format!("`{host}` is not a registry's host"));
    }
    if let Some(bad) = path.split('/').find(|c| !is_component(c)) {
        return Err(component_fault(bad));
    }
    if host.is_none() && path.len() == 64 && path.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("64 hexadecimal digits are an image's id".into());
    }
    Ok(ImageRef { name: name.to_owned(), tag: tag.map(str::to_owned), digest })
}

/// docker's rule: what stands before the first slash is a host if it could not be a user's name.
fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':']) || first == "localhost" || first.contains(char::is_uppercase) =>
        {
            (Some(first), path)
        }
        _ => (None, name),
    }
}

/// Whether `host` is a name, an IPv4 or a bracketed IPv6 address, with or without a port.
pub(super) fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_port = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
    let is_label = |l: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !l.is_empty() && l.bytes().all(fits) && !l.starts_with('-') && !l.ends_with('-')
    };
    let is_address = |a: &str| !a.is_empty() && a.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    let named = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(address) => is_address(address),
        None => name.split('.').all(is_label),
    };
    named && port.is_none_or(is_port)
}

/// Whether `text` is one part of an image's path: lower-case letters and digits, joined by `.`, `_`,
/// `__` or any number of `-`.
pub(super) fn is_component(text: &str) -> bool {
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_separator = |s: &[u8]| matches!(s, b"." | b"_" | b"__") || s.iter().all(|&b| b == b'-');
    let bytes = text.as_bytes();
    let ends_well =
        bytes.first().is_some_and(|&b| is_alphanumeric(b)) && bytes.last().is_some_and(|&b| is_alphanumeric(b));
    // between two characters there is an empty separator, which is one of no `-`
    ends_well && bytes.split(|&b| is_alphanumeric(b)).all(is_separator)
}

/// Why `text` is no part of an image's path.
pub(super) fn component_fault(text: &str) -> String {
    if text.is_empty() {
        return "a part of it is empty".into();
    }
    if text.contains(char::is_uppercase) {
        return format!("`{text}` has upper-case letters");
    }
    format!("`{text}` is not made of lower-case letters and digits, joined by `.`, `_`, `__` or `-`")
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fits = |b: u8| is_word(b) || b == b'.' || b == b'-';
    (1..=TAG_MAX).contains(&tag.len()) && tag.bytes().all(fits) && tag.bytes().next().is_some_and(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn every_form_is_taken_apart_and_put_together() {
        for (text, host, name, tag) in [
            ("python", None, "python", None),
            ("python:3", None, "python", Some("3")),
            ("library/python:3.12-slim_x", None, "library/python", Some("3.12-slim_x")),
            ("localhost/a", Some("localhost"), "localhost/a", None),
            ("localhost:5000/a/b:c", Some("localhost:5000"), "localhost:5000/a/b", Some("c")),
            (
                "europe-west4-docker.pkg.dev/p/r/i:1",
                Some("europe-west4-docker.pkg.dev"),
                "europe-west4-docker.pkg.dev/p/r/i",
                Some("1"),
            ),
            ("[::1]:5000/a", Some("[::1]:5000"), "[::1]:5000/a", None),
            ("Host/a", Some("Host"), "Host/a", None),
            ("a.b_c__d---e/f", Some("a.b_c__d---e"), "", None),
            ("x/a.b_c__d---e", None, "x/a.b_c__d---e", None),
            ("a:5000", None, "a", Some("5000")),
        ] {
            if name.is_empty() {
                assert!(ImageRef::parse(text).is_err(), "{text}");
                continue;
            }
            let image = ImageRef::parse(text).unwrap();
            assert_eq!((image.host(), image.name(), image.tag()), (host, name, tag), "{text}");
            assert_eq!(image.to_string(), text);
            let pinned = ImageRef::parse(&format!("{text}@{DIGEST}")).unwrap();
            assert_eq!((pinned.name(), pinned.digest().unwrap().as_str()), (name, DIGEST));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = format!("{}/a", "x".repeat(254));
        for (text, why) in [
            ("", "`` is not the name of an image: it is empty"),
            ("a b", "it contains ` `"),
            ("a\nRUN evil", "`a\\nRUN evil` is not the name of an image: it contains `\\n`"),
            ("a\u{a0}", "it contains `\\u{a0}`"),
            ("https://gcr.io/a", "it starts with `https://`"),
            ("Python:3", "`Python` has upper-case letters"),
            ("$IMAGE", "`$IMAGE` has upper-case letters"),
            ("${x}", "`${x}` is not made of lower-case letters and digits"),
            ("--platform=x", "`--platform=x` is not made of"),
            ("a/", "a part of it is empty"),
            ("/a", "a part of it is empty"),
            ("a//b", "a part of it is empty"),
            ("a..b", "`a..b` is not made of"),
            ("a___b", "`a___b` is not made of"),
            ("a_-b", "`a_-b` is not made of"),
            ("-a", "`-a` is not made of"),
            ("a-", "`a-` is not made of"),
            ("a:", "`` is not a tag"),
            ("a:.b", "`.b` is not a tag"),
            ("a:b:c", "`b:c` is not a tag"),
            ("a:5000/b:", "`` is not a tag"),
            ("a..b/c", "`a..b` is not a registry's host"),
            ("a:x/c", "`a:x` is not a registry's host"),
            ("a@sha256:12", "`sha256:12` is not `sha256:` with 64"),
            ("a@md5:12", "`md5:12` is not `sha256:` with 64"),
            (&long, "it has more than 255 characters"),
            (&DIGEST[7..], "64 hexadecimal digits are an image's id"),
        ] {
            let fault = ImageRef::parse(text).unwrap_err();
            assert!(fault.message.contains(why), "{text:?}: {}", fault.message);
        }
    }

    #[test]
    fn upper_case_is_a_slip() {
        assert_eq!(ImageRef::parse("Python:3").unwrap_err().hints, ["did you mean `python:3`?"]);
    }
}
