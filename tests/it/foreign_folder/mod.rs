//! A folder from somebody else: an archive, a clone, a share. Nothing in it is run, whatever it configures. Each test first
//! shows that its canaries work.

mod git;
mod programs;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support::{World, program};

/// All that git runs by its documentation (git-config(1), gitattributes(5), githooks(5), gitmodules(5)), as the script
/// `canary`, in a file `programs`: for the local configuration, included ones, and those of work trees and submodules.
const PROGRAMS: &str = r#"
cat >"$world/programs" <<END
[core]
	fsmonitor = $canary
	pager = $canary
	editor = $canary
	askPass = $canary
	sshCommand = $canary
	gitProxy = $canary
	alternateRefsCommand = $canary
	hooksPath = $world/hooks
	attributesFile = $world/attributes
[sequence]
	editor = $canary
[filter "x"]
	clean = $canary
	smudge = $canary
[filter "y"]
	process = $canary
	required = true
[diff]
	external = $canary
	tool = x
	submodule = log
[diff "x"]
	command = $canary
	textconv = $canary
[merge "x"]
	driver = $canary
[difftool "x"]
	cmd = $canary
	path = $canary
[mergetool "x"]
	cmd = $canary
	path = $canary
[interactive]
	diffFilter = $canary
[pager]
	status = $canary
	rev-parse = $canary
	config = $canary
[alias]
	status = !$canary
	rev-parse = !$canary
	config = !$canary
[gpg]
	program = $canary
[gpg "ssh"]
	program = $canary
	defaultKeyCommand = $canary
[commit]
	gpgSign = true
[log]
	showSignature = true
[status]
	submoduleSummary = true
[credential]
	helper = !$canary
[remote "origin"]
	url = ext::$canary
	uploadpack = $canary
	receivepack = $canary
	vcs = x
	promisor = true
	partialclonefilter = tree:0
[protocol]
	allow = always
[uploadpack]
	packObjectsHook = $canary
[trailer "x"]
	command = $canary
	cmd = $canary
[submodule "sub"]
	update = !$canary
	ignore = none
[tar "x"]
	command = $canary
[browser "x"]
	cmd = $canary
[man "x"]
	cmd = $canary
[instaweb]
	httpd = $canary
[sendemail]
	smtpServer = $canary
	sendmailCmd = $canary
[imap]
	tunnel = $canary
[guitool "x"]
	cmd = $canary
[gc]
	recentObjectsHook = $canary
[hook "x"]
	command = $canary
	event = post-index-change
[safe]
	directory = *
END
mkdir -p "$world/hooks"
for hook in post-index-change fsmonitor-watchman reference-transaction post-checkout pre-auto-gc query-watchman; do
  cp "$canary" "$world/hooks/$hook"
done
echo '* filter=x diff=x merge=x' >"$world/attributes"
# a repository that has it all, of which each file looks changed to git until it has read it
arm() { # its work tree, and its git directory
  cat "$world/programs" >>"$2/config"
  cp "$world/hooks/"* "$2/hooks/" 2>/dev/null || { mkdir -p "$2/hooks"; cp "$world/hooks/"* "$2/hooks/"; }
  mkdir -p "$2/info"
  printf '*.py filter=x diff=x\n*.txt filter=y\n' >"$2/info/attributes"
  touch -d '2001-01-01' "$1"/*.py "$1"/*.txt
}
quiet() { git -c user.name=a -c user.email=a@b -c protocol.file.allow=always "$@" >/dev/null 2>&1; }
begin() {
  mkdir -p "$1"; cd "$1"
  quiet init
  echo 'print(1)' >train.py; echo hello >data.txt; printf '*.py filter=x\n' >.gitattributes
  quiet add .; quiet commit -m first
}
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
"#;

/// A world with the real git, and a script that leaves a file `ran` and passes its input on.
fn world() -> World {
    let mut world = World::new();
    world.without("git");
    let canary = format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\nexec cat\n", world.path("ran").display());
    world.write("canary", canary);
    fs::set_permissions(world.path("canary"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", &path);
    fs::remove_dir_all(world.path("vision")).unwrap();
    world
}

#[track_caller]
fn sh(world: &World, script: &str) -> Output {
    let script = format!("set -e\nworld=$1 canary=$1/canary\n{PROGRAMS}\n{script}");
    let root = world.path("").canonicalize().unwrap();
    let output = program("bash").args(["-c", &script, "sh"]).arg(&root).env("HOME", world.path("home")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn lines(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
