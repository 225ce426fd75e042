//! `context edit`: opens the file in the user's editor.

use std::path::Path;

use anyhow::{Context, Result};

use crate::app::App;
use crate::config::save::{self, Held};
use crate::config::{self, ContextsFile, contexts, edit};
use crate::tools::cmd::{Cmd, quote};
use crate::util::error::{Fail, fail, flatten, usage};
use crate::util::files;

/// Edits the file in the user's editor. It is checked afterwards, and the edit is saved while it has faults.
pub(super) fn exec(name: Option<&str>, app: &App) -> Result<()> {
    let path = &app.places.contexts;
    let text = config::contexts_text(path)?.unwrap_or_default();
    save::require_file(path)?;
    check_name(name, &text, path)?;
    let kept = app.places.state.join("edit.yaml");
    let base = app.places.state.join("edit.base.yaml");
    let cmd = editor(&app.places.editor, &kept)?;
    let taken_up = config::contexts_text(&kept)?;
    // the text from which the saved edit started: the file may have changed since then
    let began = if taken_up.is_some() { config::contexts_text(&base)?.unwrap_or_default() } else { text.clone() };
    if taken_up.is_some() {
        app.ui.say(format!("going on with the edit that was kept; to begin anew: `rm {}`", quote(kept.as_os_str())));
    } else {
        begin(app, &text, &kept, &base)?;
    }
    let stays = |error: Fail| -> anyhow::Error {
        let drop = format!("drop it with `rm {}`", quote(kept.as_os_str()));
        error.hint(format!("the edit is kept: go on with `kubectl mrunner context edit`, or {drop}")).into()
    };
    let status = app.shell.attach(&cmd).map_err(|error| {
        if taken_up.is_none() {
            drop_edit(&kept, &base);
        }
        Fail { hints: vec!["choose another with `export EDITOR=nano`".to_owned()], ..flatten(&error) }
    })?;
    let edited = config::contexts_text(&kept)?;
    let unchanged = edited.as_deref().is_none_or(|edited| edited == text || (text.is_empty() && edited == NEW_FILE));
    if !status.success() {
        let name = &app.places.editor;
        let error = fail(format!("the editor `{name}` failed ({status}), and `{}` is as it was", path.display()));
        if unchanged {
            drop_edit(&kept, &base);
            return Err(error.hint("choose another with `export EDITOR=nano`").into());
        }
        return Err(stays(error));
    }
    let Some(edited) = edited.filter(|_| !unchanged) else {
        drop_edit(&kept, &base);
        app.ui.say("nothing changed");
        return Ok(());
    };
    // the faults are those of the edited file
    let parsed: Result<ContextsFile, Fail> = contexts::parse(&edited, &kept).map_err(Fail::from);
    parsed.map_err(&stays)?;
    let held = Held::take(path)?;
    if held.text != began {
        // reported once: the next save replaces the file
        files::replace(&base, held.text.as_bytes()).context("failed to keep the edit")?;
        return Err(changed_meanwhile(path, &kept).into());
    }
    held.replace(&edited)?;
    drop_edit(&kept, &base);
    app.ui.say(format!("`{}` saved", path.display()));
    Ok(())
}

/// An error if there are contexts, but none of this name.
fn check_name(name: Option<&str>, text: &str, path: &Path) -> Result<(), Fail> {
    let contexts = contexts::parse(text, path).unwrap_or_default();
    match name.filter(|name| !contexts.contexts.is_empty() && contexts.get(name).is_none()) {
        Some(name) => Err(edit::unknown(name, &contexts, path)),
        None => Ok(()),
    }
}

/// Copies the file for editing.
fn begin(app: &App, text: &str, kept: &Path, base: &Path) -> Result<()> {
    files::make_private(&app.places.state)?;
    let start = if text.is_empty() { NEW_FILE } else { text };
    files::replace(base, text.as_bytes()).context("failed to begin the edit")?;
    files::replace(kept, start.as_bytes()).context("failed to begin the edit")
}

fn changed_meanwhile(path: &Path, kept: &Path) -> Fail {
    let (path, kept) = (path.as_os_str(), kept.as_os_str());
    fail(format!("`{}` was changed by somebody else in the meantime", Path::new(path).display()))
        .hint(format!("the edit is kept; see what differs with `diff {} {}`", quote(path), quote(kept)))
        .hint("take over what is to stay and save with `kubectl mrunner context edit`, which replaces the file then")
}

const NEW_FILE: &str = "\
# Remote contexts of kubectl mrunner: clusters with their registry, storage and limits.
# For example:
#
# current_context: lab
# contexts:
#   lab:
#     type: kubernetes
#     storage: /storage
#     registry_url: https://registry.example.com/team
#     kube_context: lab-admin
#     storage_class: nfs
#     resources: {cpu: 4, mem: 8G}
";

fn drop_edit(kept: &Path, base: &Path) {
    fs_err::remove_file(kept).ok();
    fs_err::remove_file(base).ok();
}

fn editor(words: &str, file: &Path) -> Result<Cmd, Fail> {
    let split = shlex::split(words).filter(|words| !words.is_empty());
    let Some((program, args)) = split.as_ref().and_then(|words| words.split_first()) else {
        return Err(
            usage(format!("`EDITOR` is `{words}`, which is no command")).hint("set it such as `export EDITOR=nano`")
        );
    };
    Ok(Cmd::new(program, "start the editor").args(args).arg(file))
}
