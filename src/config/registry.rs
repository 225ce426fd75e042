//! Where images are published: `registry_url`, or the flag of that name.

use std::fmt;

use super::fault::{Wrong, must_be, wrong};

/// A registry, with the folder in it that all images of a context share.
///
/// Its Display is what stands in front of an image's name: `gcr.io`, `127.0.0.1:5000/team`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Registry {
    /// The host, in lower case, with its port if one was given.
    pub host: String,
    /// What follows the host, without slashes around it; empty for most.
    pub path: String,
    /// It was written with `http://`: spoken to without TLS.
    pub insecure_scheme: bool,
}

const HINT: &str = "write a URL such as `https://gcr.io` or `http://127.0.0.1:5000`";

impl Registry {
    /// Reads `https://gcr.io`, `http://127.0.0.1:5000`, or `host:port/path` without a scheme.
    ///
    /// # Errors
    /// For anything that docker would not take as the beginning of an image's name.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => ("https".to_owned(), text),
        };
        // before any message that repeats the text: what stands there may be a password
        if rest.contains('@') {
            let hint = "log in with `docker login`, or set `registry_username` and `registry_password_env`";
            return Err(wrong("must not hold a user or a password").hint(hint));
        }
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(must_be("a URL with `https://` or `http://`", text).hint(HINT));
        }
        if rest.contains(['?', '#']) {
            return Err(wrong("must not hold a query").hint(HINT));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
        let host = host.to_ascii_lowercase();
        if !is_host(&host) || path.is_some_and(str::is_empty) {
            return Err(must_be("the URL of a registry", text).hint(HINT));
        }
        // docker takes `team/image` for Docker Hub's user `team`
        if !host.contains(['.', ':']) && host != "localhost" {
            let port = if scheme == "http" { 80 } else { 443 };
            let what = "has a host without dot or port, which docker takes for a user of Docker Hub";
            return Err(wrong(what).hint(format!("write `{scheme}://{host}:{port}`")));
        }
        let path = path.unwrap_or_default();
        if path.chars().any(char::is_uppercase) {
            let hint = format!("did you mean `{}`?", path.to_lowercase());
            return Err(wrong(format!("has upper-case letters in its path, `{path}`")).hint(hint));
        }
        if !path.is_empty() && !path.split('/').all(is_component) {
            return Err(must_be("the URL of a registry", text).hint(HINT));
        }
        Ok(Self { host, path: path.to_owned(), insecure_scheme: scheme == "http" })
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            if after.is_empty() {
                return true;
            }
            let Some(port) = after.strip_prefix(':') else { return false };
            return is_port(port);
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.chars().all(fits) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A path component of an image's name (distribution/reference: `alpha-numeric [separator alpha-numeric]*`).
fn is_component(part: &str) -> bool {
    let is_separator = |c: char| matches!(c, '.' | '_' | '-');
    let words_fit =
        part.split(is_separator).all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    let separators_fit = part
        .split(|c: char| !is_separator(c))
        .filter(|run| !run.is_empty())
        .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
    words_fit && separators_fit && !part.is_empty() && !part.starts_with(is_separator) && !part.ends_with(is_separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write() {
        for (text, shown, insecure) in [
            ("https://gcr.io", "gcr.io", false),
            ("https://gcr.io/", "gcr.io", false),
            ("http://127.0.0.1:5000", "127.0.0.1:5000", true),
            ("registry.lab:5000/team/a", "registry.lab:5000/team/a", false),
            ("localhost", "localhost", false),
            ("HTTPS://Europe-Docker.pkg.dev/lab-1/images/", "europe-docker.pkg.dev/lab-1/images", false),
            ("[::1]:5000/a", "[::1]:5000/a", false),
            ("registry:5000", "registry:5000", false),
            ("docker.io/anna__x/b--c", "docker.io/anna__x/b--c", false),
        ] {
            let registry = Registry::parse(text).unwrap();
            assert_eq!((registry.to_string().as_str(), registry.insecure_scheme), (shown, insecure), "{text}");
        }
    }

    #[test]
    fn what_docker_would_not_take() {
        for text in [
            "",
            "https://",
            "://gcr.io",
            "ftp://gcr.io",
            "gcr.io:",
            "gcr.io:0",
            "gcr.io:99999",
            "gcr.io:+1",
            "gcr.io:5000:5000",
            "a b.io",
            "gcr.io/Team",
            "gcr.io/a//b",
            "gcr.io/a:b",
            "gcr.io/-a",
            "gcr.io/a.",
            "gcr.io/a..b",
            "gcr.io/a___b",
            "gcr.io?x",
            "gcr.io/a?b",
            "gcr.io/a#b",
            "-a.io",
            "a..io",
            "[::1",
            "[x]:1",
            "[::1]5",
            "myregistry",
            "myregistry/team",
            "gcr.io//",
        ] {
            assert!(Registry::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_way_out_is_told() {
        assert_eq!(Registry::parse("http://reg").unwrap_err().hint.unwrap(), "write `http://reg:80`");
        let upper = Registry::parse("gcr.io/Team").unwrap_err();
        assert_eq!(upper, wrong("has upper-case letters in its path, `Team`").hint("did you mean `team`?"));
    }

    #[test]
    fn a_password_is_not_repeated() {
        let Wrong { message, hint } = Registry::parse("https://anna:hunter2@gcr.io").unwrap_err();
        assert_eq!(message, "must not hold a user or a password");
        assert!(!hint.unwrap().contains("hunter2"));
    }
}
