//! What a single value must look like to be of use to Kubernetes, docker and the script.

use super::fault::{Wrong, must_be, shown, wrong};
use crate::k8s::manifests::pod_metadata::is_reserved;
use crate::k8s::quantity::Quantity;

/// Something to show in one line: not empty, no control characters.
pub fn one_line(text: &str) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return Err(wrong("must not be empty"));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(wrong(format!("must not hold the control character `{}`", c.escape_default()))),
        None => Ok(()),
    }
}

/// Anything that the operating system can hand to a process.
pub fn no_nul(text: &str) -> Result<(), Wrong> {
    if text.contains('\0') { Err(wrong("must not hold a NUL character")) } else { Ok(()) }
}

/// `[A-Za-z_][A-Za-z0-9_]*`, as every shell takes it.
pub fn env_name(text: &str) -> Result<(), Wrong> {
    if is_env_name(text) {
        return Ok(());
    }
    Err(wrong("is no name of an environment variable").hint("use letters, digits and `_`, a digit not first"))
}

fn is_env_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(fits) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// The name of a variable that holds a secret. The text is not repeated: it may be the secret.
pub fn secret_env_name(text: &str) -> Result<String, Wrong> {
    if is_env_name(text) {
        return Ok(text.to_owned());
    }
    let hint = "write the name of the variable, never the password";
    Err(wrong("must be the name of an environment variable").hint(hint))
}

/// The path of a directory on Linux: absolute and nowhere upwards.
pub fn absolute_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return Err(must_be("an absolute path", text).hint("write a path such as `/storage`"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(wrong(format!("must not lead upwards by `..`, as `{}` does", shown(text))));
    }
    Ok(text.to_owned())
}

/// Where a volume can be mounted in a container.
pub fn mount_path(text: &str) -> Result<String, Wrong> {
    let path = absolute_path(text)?;
    if path.split('/').all(|part| part.is_empty() || part == ".") {
        return Err(wrong("must not be the root of the container").hint("write a path such as `/storage`"));
    }
    // Kubernetes refuses such a mountPath
    if path.contains(':') {
        return Err(wrong("must not hold a `:`"));
    }
    Ok(path)
}

/// A path inside the experiment's folder: a file that came with a repository reaches nothing else.
pub fn inner_path(text: &str) -> Result<String, Wrong> {
    let upwards = text.split(['/', '\\']).any(|part| part == "..");
    let drive = text.as_bytes().get(1) == Some(&b':');
    if upwards || drive || text.starts_with(['/', '\\', '~']) {
        return Err(must_be("a path inside the experiment's folder", text));
    }
    Ok(text.to_owned())
}

/// A DNS subdomain, which most objects of Kubernetes have as a name.
pub fn object_name(text: &str) -> Result<String, Wrong> {
    let label = |part: &str| crate::k8s::names::Namespace::given(part).is_some();
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    let hint = "use lower-case letters, digits, `-` and `.`";
    Err(must_be("the name of a Kubernetes object", text).hint(hint))
}

/// A label's value, which may be empty.
pub fn label_value(text: &str) -> Result<(), Wrong> {
    if text.is_empty() || is_label_name(text) {
        return Ok(());
    }
    let hint = "use at most 63 letters, digits, `-`, `_` and `.`, the first and last a letter or digit";
    Err(must_be("the value of a label", text).hint(hint))
}

/// A label's key, with or without a domain in front.
pub fn label_key(text: &str) -> Result<(), Wrong> {
    let (domain, name) = text.rsplit_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    if is_label_name(name) && domain.is_none_or(|domain| object_name(domain).is_ok()) {
        return Ok(());
    }
    Err(wrong("is no key of a label").hint("write a key such as `node.kubernetes.io/instance-type`"))
}

/// A label that a context may give to pods.
pub fn pod_label(text: &str) -> Result<(), Wrong> {
    label_key(text)?;
    own(text)
}

/// An annotation that a context may give to pods.
pub fn pod_annotation(text: &str) -> Result<(), Wrong> {
    let key = label_key(&text.to_ascii_lowercase());
    key.map_err(|_| wrong("is no key of an annotation").hint("write a key such as `sidecar.istio.io/inject`"))?;
    own(text)
}

fn own(key: &str) -> Result<(), Wrong> {
    if is_reserved(key) { Err(wrong("is set by mrunner or Kubernetes itself")) } else { Ok(()) }
}

fn is_label_name(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let fits = |c: char| edge(c) || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&text.len()) && text.chars().all(fits) && text.starts_with(edge) && text.ends_with(edge)
}

/// An image's name as docker takes it; whether it exists is docker's answer.
pub fn image(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-/:@[]".contains(c);
    if text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') {
        return Ok(text.to_owned());
    }
    Err(must_be("the name of an image", text).hint("write a name such as `python:3`"))
}

/// The id of a Google project, also one of a domain (`example.com:lab`).
pub fn google_project(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    if text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(text.to_owned());
    }
    Err(must_be("the id of a Google project", text).hint("list yours with `gcloud projects list`"))
}

/// A host's name or address.
pub fn host(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if text.chars().all(fits) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err(must_be("the name or address of a host", text))
}

/// A Kubernetes quantity.
pub fn quantity(text: &str) -> Result<Quantity, Wrong> {
    Quantity::parse(text)
        .map_err(|fail| Wrong { hint: fail.hints.into_iter().next(), ..must_be("a Kubernetes quantity", text) })
}

/// A size of `/dev/shm`: bytes, or `0`.
pub fn shm(text: &str) -> Result<Quantity, Wrong> {
    if text == "0" { quantity(text) } else { bytes(text) }
}

/// How much of a log is kept: there must be room for a beginning and for an end of several parts.
pub fn keep_logs_max(text: &str) -> Result<Quantity, Wrong> {
    let most = bytes(text)?;
    if most.amount() < f64::from(16 << 20) {
        return Err(wrong(format!("must be `16Mi` or more, not `{text}`")));
    }
    Ok(most)
}

/// A quantity of bytes. `8` or `8m` would be taken as eight bytes or less, which nobody means.
pub fn bytes(text: &str) -> Result<Quantity, Wrong> {
    let bytes = quantity(text)?;
    if bytes.amount() >= 1024.0 {
        return Ok(bytes);
    }
    let number = text.trim_end_matches('m');
    let hint = if number.bytes().all(|b| b.is_ascii_digit()) {
        format!("did you mean `{number}G`?")
    } else {
        "write an amount such as `8G`".to_owned()
    };
    Err(wrong(format!("is an amount of bytes, and `{text}` is less than one KiB")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_log_has_room_for_its_ends() {
        assert_eq!(keep_logs_max("100Mi").unwrap().as_str(), "100Mi");
        for text in ["8Mi", "8", "0", "16M", "x"] {
            assert!(keep_logs_max(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths() {
        for good in ["/storage", "/a/b/", "/mnt/a..b", "/x/."] {
            assert_eq!(mount_path(good).unwrap(), good);
        }
        for bad in ["storage", "~/x", "/", "//", "/.", "/a/../b", "/..", "/a:b", "C:/x"] {
            assert!(mount_path(bad).is_err(), "{bad}");
        }
        for good in ["requirements.txt", "./a/b", "a..b", "..a/b"] {
            assert_eq!(inner_path(good).unwrap(), good);
        }
        for bad in ["/etc/passwd", "../x", "a/../../x", "..", "~/x", "\\x", "a\\..\\..\\x", "C:\\x"] {
            assert!(inner_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names() {
        for (name, good) in [("A_1", true), ("_", true), ("", false), ("1A", false), ("A-B", false), ("Ä", false)] {
            assert_eq!(env_name(name).is_ok(), good, "{name}");
        }
        for (key, good) in [
            ("a", true),
            ("cloud.google.com/gke-nodepool", true),
            ("A/b", false),
            ("a/", false),
            ("/a", false),
            ("a/b/c", false),
        ] {
            assert_eq!(label_key(key).is_ok(), good, "{key}");
        }
        assert!(label_value("").is_ok() && label_value("NVIDIA-A100_x.y").is_ok());
        assert!(label_value("-a").is_err() && label_value(&"a".repeat(64)).is_err());
        assert!(object_name("nfs-client.v2").is_ok() && object_name("Fast").is_err() && object_name("a..b").is_err());
        assert!(image("localhost:5000/a/b:c@sha256:0").is_ok());
        assert!(image("-v").is_err() && image("a b").is_err() && image("python:3$(x)").is_err());
        assert!(google_project("example.com:lab-1").is_ok() && google_project("My Project").is_err());
        assert!(host("10.0.0.1").is_ok() && host("fd00::1").is_ok() && host("a/b").is_err() && host("-a").is_err());
    }

    #[test]
    fn quantities_say_what_was_meant() {
        assert_eq!(
            quantity("8GB").unwrap_err(),
            wrong("must be a Kubernetes quantity, not `8GB`").hint("did you mean `8G`?")
        );
        assert_eq!(bytes("8m").unwrap_err().hint.unwrap(), "did you mean `8G`?");
        assert_eq!(bytes("8").unwrap_err().message, "is an amount of bytes, and `8` is less than one KiB");
        assert_eq!(bytes("1Ki").unwrap().as_str(), "1Ki");
    }

    #[test]
    fn a_secret_is_not_repeated() {
        let Wrong { message, hint } = secret_env_name("hunter2!").unwrap_err();
        assert!(!format!("{message}{hint:?}").contains("hunter2"));
    }
}
