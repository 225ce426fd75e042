//! Programs that a repository's configuration names.

use std::fs;

use super::{lines, sh, world};
use crate::support::World;

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
