//! A folder that came from somebody else: an archive, a clone, a share. Looking at it runs nothing of it, whatever it
//! configures. Each test first shows that its canaries are alive.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::support::World;

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
    let output = Command::new("bash").args(["-c", &script, "sh"]).arg(&root).env("HOME", world.path("home")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

fn lines(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Looks at the folder `vision` in each way that there is, and tells which commit was noted.
#[track_caller]
fn looked_at(world: &World) -> Option<String> {
    fs::remove_file(world.path("ran")).ok();
    let shown = world.run(&["run", "--dry-run=client", "train.py"]).ok().stdout;
    let saved = world.path("saved");
    fs::remove_dir_all(&saved).ok();
    world.run(&["run", "--out", saved.to_str().unwrap(), "train.py"]).ok();
    world.run(&["run", "train.py"]).ok();
    let noted = world.submissions().last().unwrap().json()["metadata"]["annotations"]["mrunner/git-commit"].clone();
    let ran = fs::read_to_string(world.path("ran")).unwrap_or_default();
    assert_eq!(ran, "", "the folder ran a program of its own");
    let noted = noted.as_str().map(str::to_owned);
    assert!(noted.is_none() || shown.contains(noted.as_deref().unwrap()), "{shown}");
    noted
}

/// That a plain `git status` there runs a canary, so that the test would see one.
#[track_caller]
fn canaries_live(world: &World) {
    sh(world, "cd \"$world/vision\"; git status >/dev/null 2>&1 </dev/null || true; test -s \"$world/ran\"");
}

/// Sets up the folder `vision` by a script, which prints the commit that is to be noted.
#[track_caller]
fn check(script: &str, alive: bool, suffix: &str) {
    let world = world();
    let commit = lines(&sh(&world, script));
    assert_eq!(commit.len(), 40, "{commit}");
    // twice, as the first proof may have git write its index anew
    assert_eq!(looked_at(&world), Some(format!("{commit}{suffix}")), "{script}");
    if alive {
        canaries_live(&world);
    }
    assert_eq!(looked_at(&world), Some(format!("{commit}{suffix}")), "{script}");
}

#[test]
fn no_program_of_a_repository_is_run() {
    check("begin $world/vision; arm . .git; git rev-parse HEAD", true, "");
    check("begin $world/vision; arm . .git; echo 'print(2)' >train.py; git rev-parse HEAD", true, "-dirty");
    check("begin $world/vision; arm . .git; echo x >new; git rev-parse HEAD", true, "-dirty");
    // packed, and in a folder below the repository's
    check("begin $world/vision; quiet gc; git rev-parse HEAD; arm . .git", true, "");
}

#[test]
fn nor_by_an_include_or_a_configuration_of_the_work_tree() {
    let include = "cp $world/programs .git/more; : >$world/programs; arm . .git";
    check(&format!("begin $world/vision; {include}; git config include.path more; git rev-parse HEAD"), true, "");
    check(
        &format!("begin $world/vision; {include}; git config includeIf.gitdir:/.path more; git rev-parse HEAD"),
        true,
        "",
    );
    check(
        &format!(
            "begin $world/vision; {include}; git config extensions.worktreeConfig true; git rev-parse HEAD; mv .git/more .git/config.worktree"
        ),
        true,
        "",
    );
}

#[test]
fn nor_in_a_linked_work_tree_a_submodule_or_a_repository_elsewhere() {
    check(
        "begin $world/main; quiet worktree add $world/vision; cd $world/vision; git rev-parse HEAD; arm . $world/main/.git",
        true,
        "",
    );
    let submodule = "begin $world/sub; begin $world/main; quiet submodule add $world/sub vision; quiet commit -m sub";
    let moved = "cd $world; mv main/vision main/.git .; mv .git git; sed -i s,../.git,../git, vision/.git";
    check(&format!("{submodule}; git -C vision rev-parse HEAD; arm vision .git/modules/vision; {moved}"), true, "");
    // one below the folder, which git looks into by another git
    let below = "begin $world/sub; begin $world/vision; quiet submodule add $world/sub sub; quiet commit -m sub; git rev-parse HEAD";
    check(&format!("{below}; arm sub .git/modules/sub"), true, "");
    check(&format!("{below}; arm sub .git/modules/sub; echo 1 >sub/new"), true, "-dirty");
    check(&format!("{below}; quiet -C sub commit --allow-empty -m two; arm sub .git/modules/sub"), true, "-dirty");
    check(
        "begin $world/vision; git rev-parse HEAD; mv .git $world/elsewhere; echo \"gitdir: $world/elsewhere\" >.git; arm . $world/elsewhere",
        true,
        "",
    );
}

#[test]
fn submodules_that_have_no_end_hold_nobody_up() {
    // the repository in itself, again and again
    check(
        "begin $world/vision; ln -s . sub; for i in $(seq 100); do printf '[submodule \"%s\"]\\n\\tpath = sub\\n' $i; done >.gitmodules
         quiet add .; quiet commit -m sub; git rev-parse HEAD",
        false,
        "",
    );
    // and some that git waits for
    let world = world();
    let script = "begin $world/sub; begin $world/vision; for i in 1 2 3; do quiet submodule add $world/sub s$i; done; quiet commit -m sub
                  for i in 1 2 3; do rm .git/modules/s$i/index; mkfifo .git/modules/s$i/index; done; git rev-parse HEAD";
    let commit = lines(&sh(&world, script));
    let begun = std::time::Instant::now();
    let shown = world.run(&["run", "--dry-run=client", "train.py"]).ok().stdout;
    assert!(shown.contains(&format!("{commit}-unchecked")), "{shown}");
    assert!(begun.elapsed().as_secs() < 18, "{:?}", begun.elapsed());
}

#[test]
fn nor_to_fetch_what_a_repository_lacks_or_for_another_owner() {
    // git would ask the remote for the tree
    check(
        "begin $world/vision; git rev-parse HEAD; tree=$(git rev-parse HEAD^{tree}); arm . .git; git config --remove-section filter.x; git config --unset core.fsmonitor
         git config core.repositoryFormatVersion 1; git config extensions.partialClone origin; rm .git/objects/${tree%${tree#??}}/${tree#??}",
        true,
        "-unchecked",
    );
    if lines(&sh(&world(), "id -u")) == "0" {
        check("begin $world/vision; arm . .git; git rev-parse HEAD; chown -R 12345 .", false, "");
    }
}

#[test]
fn a_filter_of_the_users_own_is_not_run_in_the_folder() {
    let own = r#"printf '[filter "x"]\n\tclean = python3 -m own\n\trequired = true\n[core]\n\texcludesFile = %s/ignored\n' $world >$world/home/.gitconfig; echo .idea >$world/ignored"#;
    let folder = r#"begin $world/vision; git rev-parse HEAD; echo "open('$world/ran', 'w')" >own.py; mkdir -p .git/info; echo own.py >.git/info/exclude; touch -d 2001-01-01 *; echo x >.idea"#;
    for (more, suffix) in [
        ("true", ""),
        // it is not known what the filter would make of it
        ("echo 2 >train.py", "-unchecked"),
        ("echo 2 >data.txt", "-dirty"),
        ("echo 2 >train.py; echo 2 >data.txt", "-dirty"),
        ("echo 2 >train.py; rm data.txt", "-dirty"),
    ] {
        check(&format!("{own}; {folder}; {more}"), false, suffix);
    }
    // it would
    let world = world();
    let asked = "unset GIT_CONFIG_GLOBAL; git status >&2 || true; test -e $world/ran";
    sh(&world, &format!("{own}; {folder}; {asked}"));
}

#[test]
fn no_variable_that_git_knows_makes_it_run_one() {
    let every = r#"
        begin $world/vision; git rev-parse HEAD; arm . .git
        git help --config | grep -F . | sed 's/<[^>]*>/x/g; s/\*$/x/; s/ .*//' |
          grep -viE '^(core.(bare|repositoryformatversion|worktree)|extensions\.)' | while read -r name; do
            section=${name%%.*} key=${name##*.} rest=${name#*.}
            [[ $rest == "$key" ]] || section="$section \"${rest%.*}\""
            printf '[%s]\n\t%s = "%s"\n' "$section" "$key" "$canary"
          done >>.git/config
        test $(wc -l <.git/config) -gt 1000
    "#;
    // git itself stops at the first of them that is no number
    check(every, false, "");
}

#[test]
fn what_is_no_repository_or_none_that_git_would_take_is_none() {
    for script in [
        "mkdir $world/vision; cd $world/vision",
        "begin $world/vision; rm -rf .git; mkfifo .git",
        "begin $world/vision; rm -rf .git; echo 'gitdir: /dev/zero' >.git",
        "begin $world/vision; rm .git/HEAD; mkfifo .git/HEAD",
        "begin $world/vision; ln -sf /dev/zero .git/HEAD",
        "begin $world/vision; echo 'ref: refs/heads/../../../secret' >.git/HEAD; git rev-parse HEAD >$world/secret || true",
    ] {
        let world = world();
        sh(&world, &format!("{script}; echo 'print(1)' >train.py"));
        assert_eq!(looked_at(&world), None, "{script}");
    }
    // what can't be compared is not said to be the same
    check("begin $world/vision; git rev-parse HEAD; echo garbage >.git/index", false, "-unchecked");
    check("begin $world/vision; git rev-parse HEAD; git update-index --split-index", false, "");
}

/// A program called `name` in `folder`, which leaves a file `ran`.
fn trap(world: &World, name: &str) {
    world.write(name, format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n", world.path("ran").display()));
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_program_that_lies_in_the_folder_is_not_taken_for_one_of_the_path() {
    let tools = ["git", "kubectl", "docker", "gcloud", "python3", "myedit", "docker-credential-x", "kind", "minikube"];
    for relative in ["", ".", "bin", "../vision", "./"] {
        let mut world = world();
        sh(&world, "begin $world/vision");
        for tool in tools {
            trap(&world, &format!("vision/{tool}"));
            trap(&world, &format!("vision/bin/{tool}"));
        }
        world.write("vision/spec.py", "experiments_list = [{'parameters': {'a': 1}}]\n");
        let path = format!("{relative}:{}:/usr/bin:/bin:{relative}", world.path("bin").display());
        // what an absolute entry has is found behind a relative one
        world.env("PATH", &path).env("LD_LIBRARY_PATH", ":/usr/local/lib").env("EDITOR", "myedit");
        world.write("bin/myedit", "#!/bin/sh\n: >\"${0%/*}/../edited\"\n");
        fs::set_permissions(world.path("bin/myedit"), fs::Permissions::from_mode(0o755)).unwrap();
        world.first("*", "printf '%s|%s\\n' \"x\" \"$LD_LIBRARY_PATH\" >>\"$world/lists\"");
        world.run(&["run", "--sweep", "spec.py", "train.py"]).ok();
        world.run(&["status"]).ok();
        world.run(&["doctor"]);
        world.run(&["context", "edit"]).ok();
        assert!(world.path("edited").exists());
        assert!(!world.path("ran").exists(), "{relative:?}: {}", world.read("ran"));
        let lists = world.read("lists");
        assert!(lists.lines().count() > 5 && lists.lines().all(|line| line.ends_with("|/usr/local/lib")), "{lists}");
    }
    // nothing but the folder's own: then there is none
    let mut world = world();
    world.write("vision/train.py", "");
    trap(&world, "vision/docker");
    trap(&world, "vision/kubectl");
    world.env("PATH", ":.:");
    let outcome = world.run(&["status"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("`kubectl` was not found"), "{outcome:?}");
    assert!(!world.path("ran").exists());
}

#[test]
fn a_spec_file_is_asked_by_python_alone() {
    let mut world = world();
    for module in [
        "json",
        "site",
        "sitecustomize",
        "usercustomize",
        "mrunner",
        "munch",
        "traceback",
        "types",
        "copy",
        "encodings",
    ] {
        world.write(&format!("vision/{module}.py"), format!("open({:?}, 'a').write('{module}')\n", world.path("ran")));
    }
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", &path);
    let folder = world.path("vision");
    for variable in ["PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"] {
        world.env(variable, folder.to_str().unwrap());
    }
    world.env("PYTHONSTARTUP", "json.py").env("PYTHONINSPECT", "1").env("PYTHONWARNINGS", "error::x.y");
    world.write("vision/train.py", "");
    world.write("vision/plain.py", "experiments_list = [{'parameters': {'a': 1}}]\n");
    world.run(&["run", "--dry-run", "--sweep", "plain.py", "train.py"]).ok();
    assert!(!world.path("ran").exists(), "{}", world.read("ran"));
    // what it imports by itself is the script's own business, from the folder and from beside it
    world.write("vision/specs/beside.py", "value = 7\n");
    world.write("vision/own.py", "value = 8\n");
    let imports = "import beside, own\nexperiments_list = [{'parameters': {'a': beside.value, 'b': own.value}}]\n";
    world.write("vision/specs/spec.py", imports);
    let outcome = world.run(&["run", "--dry-run", "--sweep", "specs/spec.py", "train.py"]).ok();
    assert!(outcome.stdout.contains(r#"{\"a\":7,\"b\":8}"#), "{}", outcome.stdout);
    // but nothing there comes before a module of Python's, and to a script elsewhere the folder is nothing
    let ran = format!("open({:?}, 'a')\nvalue = 9\n", world.path("ran"));
    for module in ["random", "specs/random"] {
        world.write(&format!("vision/{module}.py"), &ran);
    }
    let random = "import random\nexperiments_list = [{'parameters': {'a': random.choice([7])}}]\n";
    let missing = "try:\n  from own import value\nexcept ImportError:\n  value = 7\n";
    let grid = format!("{random}{missing}experiments_list.append({{'parameters': {{'a': value}}}})\n");
    for (file, script) in [("vision/specs/grid.py", random), ("specs/grid.py", &grid)] {
        world.write(file, script);
        let spec = world.path(file);
        let outcome = world.run(&["run", "--dry-run", "--sweep", spec.to_str().unwrap(), "train.py"]).ok();
        assert!(outcome.stdout.contains(r#"{\"a\":7}"#) && !outcome.stdout.contains(r#"{\"a\":8}"#), "{outcome:?}");
        assert!(!world.path("ran").exists(), "{file}");
    }
    // nobody named it
    world.write("vision/mrunner.yaml", "name: x\nsweep: spec.py\n");
    world.write("vision/spec.py", format!("open({:?}, 'a')\n", world.path("ran")));
    assert_eq!(world.run(&["run", "--dry-run", "train.py"]).code, 2);
    assert!(!world.path("ran").exists());
}

#[test]
fn settings_that_lie_in_the_folder_are_not_taken_for_the_users() {
    for home in ["", ".", "home", "./"] {
        let mut world = world();
        sh(&world, "begin $world/vision");
        for (file, text) in [
            (".kube/config", "current-context: evil\ncontexts: [{name: evil, context: {cluster: evil, user: evil}}]\n"),
            (
                ".config/mrunner/config.yaml",
                "current_context: evil\ncontexts:\n  evil: {type: kubernetes, storage: /s, registry_url: evil.test/x}\n",
            ),
            (".docker/config.json", r#"{"credHelpers": {"evil.test": "evil"}}"#),
            ("config.json", r#"{"credHelpers": {"evil.test": "evil"}}"#),
            (".gitconfig", "[core]\n\tfsmonitor = ./canary\n"),
        ] {
            world.write(&format!("vision/{file}"), text);
            world.write(&format!("vision/home/{file}"), text);
        }
        world.env("HOME", home);
        for args in [&["context", "list"][..], &["status"], &["run", "--dry-run", "train.py"], &["doctor"]] {
            let outcome = world.run(args);
            assert!(!outcome.stdout.contains("evil") && !outcome.stderr.contains("evil"), "{home:?} {outcome:?}");
        }
    }
}
