//! docker: building and publishing an image with BuildKit, asking a registry about one.

use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::tools::cmd::Cmd;
use crate::tools::reply::Reply;
use crate::util::json::{list, text};

/// A build whose context comes on stdin.
#[derive(Debug, Clone, PartialEq)]
pub struct Build<'a> {
    /// The references to publish it under, in one push.
    pub tags: &'a [String],
    /// Such as `linux/amd64`.
    pub platform: &'a str,
    /// Whether the base image's tag is looked up again.
    pub pull: bool,
    /// Where the digest is written, as JSON.
    pub metadata: &'a Path,
    /// Whether a person watches.
    pub live: bool,
    /// Variables of this process that the build may read, and that stay out of the image.
    pub secrets: &'a [String],
    /// Whether it is published, or only kept by this machine's docker.
    pub push: bool,
}

/// Logs in to a registry, the password not on the command line.
pub fn login(host: &str, user: &str, password: &str, variable: &str) -> Cmd {
    Cmd::new("docker", format!("log in to `{host}` as `{user}`"))
        .args(["login", "--username", user, "--password-stdin", host])
        .hidden(password, format!("${variable}"))
}

/// Builds and publishes an image; the Dockerfile is in the context.
pub fn build(build: &Build) -> Cmd {
    let mut cmd = Cmd::new("docker", if build.push { "build and publish the image" } else { "build the image" })
        .args(["buildx", "build"]);
    cmd = cmd.arg(if build.push { "--push" } else { "--load" });
    // an attestation would give every build another digest, even a fully cached one (buildkit#5894)
    cmd = cmd.arg("--provenance=false").arg("--platform").arg(build.platform);
    if build.pull {
        cmd = cmd.arg("--pull");
    }
    for name in build.secrets {
        // from the environment: a value in `--secret` would be on the command line
        cmd = cmd.arg("--secret").arg(format!("id={name},env={name}"));
    }
    for tag in build.tags {
        cmd = cmd.arg("--tag").arg(tag);
    }
    // the only place where the digest of what was pushed is told; --iidfile gives the image's id
    cmd = cmd.arg("--metadata-file").arg(build.metadata);
    // `auto` would also be plain without a terminal; said so that it does not depend on the version
    cmd = cmd.arg(if build.live { "--progress=auto" } else { "--progress=plain" });
    cmd.arg("-").stream("context.tar").shown()
}

/// The digest of the image that a build published, from its metadata file.
pub fn digest_of_build(metadata: &str) -> Option<String> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let digest = text(&metadata, &["containerimage.digest"])?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

/// Asks the registry for the image behind a reference. Needs neither Docker Engine nor BuildKit, and
/// is the cheaper of the two questions; but only its yes can be trusted, see [`look_again`].
///
/// A registry without TLS is found only if `plain` says that it may be one.
pub fn inspect(reference: &str, plain: bool) -> Cmd {
    // without --verbose it prints a manifest laid out anew, whose digest can't be told
    let cmd =
        Cmd::new("docker", format!("ask the registry for `{reference}`")).args(["manifest", "inspect", "--verbose"]);
    let cmd = if plain { cmd.arg("--insecure") } else { cmd };
    cmd.arg(reference).deadline(Duration::from_secs(60)).brief()
}

/// The digest in the answer to [`inspect`]; `None` for every other answer, also that there are
/// several images behind the reference.
pub fn digest_of_image(reply: &Reply) -> Option<String> {
    let answer: Value = serde_json::from_slice(&reply.stdout).ok().filter(|_| reply.succeeded())?;
    let digest = text(&answer, &["Descriptor", "digest"])?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

/// Asks the registry for the manifest behind a reference, byte for byte.
///
/// [`inspect`] says "no such manifest" also where it was refused (docker/cli,
/// `cli/registry/client/fetcher.go`, `continueOnError`); this tells the two apart. It starts three
/// processes for that, and speaks without TLS to this machine only.
pub fn look_again(reference: &str) -> Cmd {
    Cmd::new("docker", format!("ask the registry for `{reference}`"))
        .args(["buildx", "imagetools", "inspect", "--raw", reference])
        .deadline(Duration::from_secs(60))
}

/// Asks the registry for the configuration of an image of one platform.
pub fn config(reference: &str) -> Cmd {
    Cmd::new("docker", format!("ask the registry for the platform of `{reference}`"))
        .args(["buildx", "imagetools", "inspect", "--format", "{{json .Image}}", reference])
        .deadline(Duration::from_secs(60))
}

/// What a registry says about a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is there, with this digest (`sha256:…`).
    Yes(String),
    /// The registry answers and does not have it.
    No,
    /// The registry did not answer the question.
    Unknown(RegistryProblem),
}

/// Why a registry did not answer the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryProblem {
    /// It wants another login, or this user may not.
    Denied,
    /// Nothing answers at its address.
    Unreachable,
    /// docker has no buildx.
    NoBuildx,
    /// Anything else.
    Other,
}

/// Reads the answer to [`look_again`]; of [`inspect`]'s, that nothing is there.
pub fn published(reply: &Reply) -> Published {
    if reply.succeeded() {
        // a manifest's digest is the hash of its bytes (OCI image specification, "Digests")
        return Published::Yes(format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&reply.stdout))));
    }
    let words = reply.stderr.as_str();
    let has = |any: &[&str]| any.iter().any(|w| words.contains(w));
    if words.trim_end().ends_with(": not found") || words.starts_with("no such manifest: ") {
        Published::No
    } else if has(&["unknown command", "is not a docker command"]) {
        Published::Unknown(RegistryProblem::NoBuildx)
    } else if has(&["401 Unauthorized", "403 Forbidden", "authorization failed", "insufficient_scope", "no basic auth"])
    {
        Published::Unknown(RegistryProblem::Denied)
    } else if has(&[
        "connection refused",
        "no such host",
        "i/o timeout",
        "no route to host",
        "connection reset",
        "EOF",
        "no answer in",
    ]) {
        Published::Unknown(RegistryProblem::Unreachable)
    } else {
        Published::Unknown(RegistryProblem::Other)
    }
}

/// What to do about `problem` with the registry at `host`.
pub fn hint(problem: RegistryProblem, host: &str) -> String {
    match problem {
        RegistryProblem::Denied => format!("log in with `docker login {host}`"),
        RegistryProblem::Unreachable => format!("is the registry `{host}` up, and its address right?"),
        RegistryProblem::NoBuildx => BUILDX.to_owned(),
        RegistryProblem::Other => format!("try `docker login {host}`"),
    }
}

/// How to get buildx.
pub const BUILDX: &str = "install docker's buildx plugin (Debian, Ubuntu: `apt-get install docker-buildx-plugin` or \
                      `docker-buildx`): https://docs.docker.com/build/install-buildx/";

/// Asks docker for itself, its plugins and its engine: one question for all three.
pub fn info() -> Cmd {
    Cmd::new("docker", "ask docker about itself")
        .args(["info", "--format", "{{json .}}"])
        .deadline(Duration::from_secs(20))
        .brief()
}

/// A view of the answer to [`info`]. With the engine down, docker still tells about itself.
#[derive(Debug, Clone, Copy)]
pub struct Info<'a>(&'a Value);

impl<'a> Info<'a> {
    /// Views an answer.
    pub fn of(answer: &'a Value) -> Self {
        Self(answer)
    }

    /// The version of the engine, if that answers.
    pub fn engine(self) -> Option<&'a str> {
        text(self.0, &["ServerVersion"]).filter(|version| !version.is_empty())
    }

    /// The version of docker itself.
    pub fn client(self) -> Option<&'a str> {
        text(self.0, &["ClientInfo", "Version"])
    }

    /// The version of its buildx plugin.
    pub fn buildx(self) -> Option<&'a str> {
        let mut plugins = list(self.0, &["ClientInfo", "Plugins"]).iter();
        text(plugins.find(|plugin| text(plugin, &["Name"]) == Some("buildx"))?, &["Version"])
    }

    /// Why the engine does not answer.
    pub fn error(self) -> Option<&'a str> {
        list(self.0, &["ServerErrors"]).iter().filter_map(Value::as_str).next_back()
    }
}

/// Asks the Docker Engine whether it is there: for telling why a build failed.
pub fn ping() -> Cmd {
    Cmd::new("docker", "reach the Docker Engine")
        .args(["version", "--format", "{{json .Server.Version}}"])
        .deadline(Duration::from_secs(10))
}

/// Asks docker for its buildx plugin: for telling why a build failed.
pub fn buildx() -> Cmd {
    Cmd::new("docker", "look for docker's buildx plugin").args(["buildx", "version"]).deadline(Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_one_command() {
        let tags = ["reg/p/x:t-1".to_owned(), "reg/p/x:20261123-101500".to_owned()];
        let cmd = build(&Build {
            tags: &tags,
            platform: "linux/amd64",
            pull: false,
            metadata: Path::new("m.json"),
            live: false,
            secrets: &["TOKEN".to_owned()],
            push: true,
        });
        assert_eq!(
            cmd.to_string(),
            "docker buildx build --push --provenance=false --platform linux/amd64 --secret id=TOKEN,env=TOKEN --tag reg/p/x:t-1 \
             --tag reg/p/x:20261123-101500 --metadata-file m.json --progress=plain - < context.tar"
        );
    }

    #[test]
    fn the_digest_is_in_the_metadata() {
        let recorded = r#"{"buildx.build.ref": "default/default/x", "containerimage.digest": "sha256:a698"}"#;
        assert_eq!(digest_of_build(recorded).as_deref(), Some("sha256:a698"));
        assert_eq!(digest_of_build("{}"), None);
        assert_eq!(digest_of_build(""), None);
    }

    #[test]
    fn not_there_and_no_answer_are_different() {
        let answer = |words: &str| published(&Reply::failed(words));
        // recorded from buildx 0.38.2
        assert_eq!(answer("ERROR: 127.0.0.1:5000/p/x:t-2: not found\n"), Published::No);
        for (words, problem) in [
            (
                "ERROR: failed to do request: Head \"http://127.0.0.1:5999/v2/p/x/manifests/t-1\": dial tcp 127.0.0.1:5999: connect: connection refused\n",
                RegistryProblem::Unreachable,
            ),
            (
                "ERROR: unexpected status from HEAD request to http://127.0.0.1:5601/v2/p/x/manifests/t-1: 401 Unauthorized\n",
                RegistryProblem::Denied,
            ),
            (
                "ERROR: unexpected status from HEAD request to http://127.0.0.1:5603/v2/p/x/manifests/t-1: 503 Service Unavailable\n",
                RegistryProblem::Other,
            ),
            (
                "docker: unknown command: docker buildx\n\nRun 'docker --help' for more information\n",
                RegistryProblem::NoBuildx,
            ),
        ] {
            assert_eq!(answer(words), Published::Unknown(problem), "{words}");
        }
    }

    #[test]
    fn the_cheap_question_is_trusted_with_a_digest_alone() {
        let one = Reply::succeeded_with(r#"{"Ref": "r/x:1", "Descriptor": {"digest": "sha256:04c4"}, "Raw": ""}"#);
        assert_eq!(digest_of_image(&one).as_deref(), Some("sha256:04c4"));
        let several = Reply::succeeded_with(r#"[{"Ref": "r/x:1", "Descriptor": {"digest": "sha256:04c4"}}]"#);
        assert_eq!(digest_of_image(&several), None);
        assert_eq!(digest_of_image(&Reply::failed("no such manifest: r/x:1")), None);
    }

    #[test]
    fn a_digest_is_the_hash_of_the_manifest() {
        let digest = published(&Reply::succeeded_with("{}"));
        assert_eq!(
            digest,
            Published::Yes("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a".into())
        );
    }
}
