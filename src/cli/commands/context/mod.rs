//! `context`: shows and changes remote contexts.

mod add;
mod editor;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::App;
use crate::app::target::{self, Target};
use crate::config::contexts::KEYS;
use crate::config::edit::{self, Change, scalar};
use crate::config::save::Held;
use crate::config::{self, contexts};
use crate::tools::cmd::quote;
use crate::util::error::{Fail, fail, usage};
use crate::util::ui::Table;

/// The arguments of `context`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner context list\n  kubectl mrunner context add lab --registry-url https://registry.example.com/team --use\n  kubectl mrunner context edit lab --set 'resources={cpu: 4, mem: 8G}'"
)]
pub struct ContextArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List remote contexts, and the kubeconfig contexts
    #[command(after_help = "Example:\n  kubectl mrunner context list -o name")]
    List(ListArgs),
    /// Show the settings of a context, as YAML
    #[command(after_help = "Example:\n  kubectl mrunner context show lab")]
    Show {
        /// Context [default: the one that `run` would use]
        name: Option<String>,
    },
    /// Print the current context
    #[command(after_help = "Example:\n  kubectl mrunner context current")]
    Current,
    /// Add a context
    Add(Box<add::AddArgs>),
    /// Edit the file in your editor, or set single keys
    Edit(EditArgs),
    /// Set the current context
    #[command(visible_alias = "set-active", after_help = "Example:\n  kubectl mrunner context use lab")]
    Use {
        /// Context
        name: String,
    },
    /// Copy a context
    #[command(after_help = "Example:\n  kubectl mrunner context copy lab lab-gpu")]
    Copy {
        /// Context
        from: String,
        /// Name of the copy
        to: String,
    },
    /// Delete contexts; the clusters are not changed
    #[command(after_help = "Example:\n  kubectl mrunner context delete lab-gpu --yes")]
    Delete {
        /// Contexts
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Leave the headings of the table out
    #[arg(long)]
    no_headers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
    Name,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner context edit\n  kubectl mrunner context edit lab --set default_pvc_size=100G --unset queue"
)]
struct EditArgs {
    /// Context whose keys to change
    #[arg(required_if_eq_any = [("set", ""), ("unset", "")])]
    name: Option<String>,
    /// Set a key, its value in YAML; can be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "name")]
    set: Vec<String>,
    /// Remove a key; can be repeated
    #[arg(long, value_name = "KEY", requires = "name")]
    unset: Vec<String>,
}

/// Shows or changes contexts.
pub fn exec(args: &ContextArgs, app: &App) -> Result<()> {
    match &args.verb {
        Verb::List(args) => list(args, app),
        Verb::Show { name } => show(name.as_deref(), app),
        Verb::Current => current(app),
        Verb::Add(args) => add::exec(args, app),
        Verb::Edit(args) if args.set.is_empty() && args.unset.is_empty() => editor::exec(args.name.as_deref(), app),
        Verb::Edit(args) => set(args, app),
        Verb::Use { name } => {
            let mut file = Held::take(&app.places.contexts)?;
            let known = target::kubeconfig(app).is_ok_and(|kube| kube.contexts.iter().any(|c| c.name == *name));
            file.change(&Change::Use(name)).map_err(|error| only_in_kubeconfig(error, known, name))?;
            file.save()?;
            app.ui.say(format!("the current context is `{name}`"));
            Ok(())
        }
        Verb::Copy { from, to } => {
            let mut file = Held::take(&app.places.contexts)?;
            file.change(&Change::Copy(from, to))?;
            file.save()?;
            app.ui.say(format!("`{from}` copied as `{to}`"));
            Ok(())
        }
        Verb::Delete { names, yes } => delete(names, *yes, app),
    }
}

fn only_in_kubeconfig(error: anyhow::Error, known: bool, name: &str) -> anyhow::Error {
    if !known {
        return error;
    }
    usage(format!("`{name}` is a context of the kubeconfig, and no remote context"))
        .hint(format!("make one for it with `kubectl mrunner context add {}`", quote(name.as_ref())))
        .hint(format!(
            "or make it the kubeconfig's current one with `kubectl config use-context {}`",
            quote(name.as_ref())
        ))
        .into()
}

fn list(args: &ListArgs, app: &App) -> Result<()> {
    let contexts = target::contexts(app)?;
    let kubeconfig = target::kubeconfig(app)?;
    let chosen = Target::choose(app, &contexts, &kubeconfig).ok();
    let current = chosen.and_then(|t| t.remote.map(|r| r.name).or(t.kube_context));
    let remotes = contexts.contexts.iter().map(|context| Listed {
        name: &context.name,
        kind: "remote",
        kube: target::kube_context_of(context, &kubeconfig),
        namespace: context.namespace.as_ref().map(ToString::to_string),
        registry: context.registry_url.as_ref().map(ToString::to_string),
    });
    let only_kube = kubeconfig.contexts.iter().filter(|kube| contexts.get(&kube.name).is_none()).map(|kube| Listed {
        name: &kube.name,
        kind: "kubeconfig",
        kube: Some(kube.name.clone()),
        namespace: kube.namespace.clone(),
        registry: None,
    });
    let all: Vec<Listed> = remotes.chain(only_kube).collect();
    let is_current = |listed: &Listed| current.as_deref() == Some(listed.name);
    let document = || -> Value {
        let one = |l: &Listed| json!({"name": l.name, "kind": l.kind, "current": is_current(l), "kubeContext": l.kube, "namespace": l.namespace, "registry": l.registry});
        json!({ "kind": "List", "items": all.iter().map(one).collect::<Vec<_>>() })
    };
    match args.output {
        Format::Json => app.ui.answer(serde_json::to_string_pretty(&document())?),
        Format::Yaml => app.ui.answer(serde_yaml::to_string(&document())?.trim_end()),
        Format::Name => all.iter().try_for_each(|listed| app.ui.answer(crate::util::ui::line(listed.name))),
        Format::Table if all.is_empty() => {
            app.ui.say("no contexts found; add one with `kubectl mrunner context add NAME`");
            Ok(())
        }
        Format::Table => {
            let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let heading =
                ["CURRENT", "NAME", "KIND", "KUBE CONTEXT", "NAMESPACE", "REGISTRY"].map(str::to_owned).to_vec();
            let rows = all.iter().map(|l| {
                let mark = if is_current(l) { "*" } else { "" };
                vec![
                    mark.to_owned(),
                    l.name.to_owned(),
                    l.kind.to_owned(),
                    or_dash(&l.kube),
                    or_dash(&l.namespace),
                    or_dash(&l.registry),
                ]
            });
            let rows: Vec<_> = (!args.no_headers).then_some(heading).into_iter().chain(rows).collect();
            app.ui.answer(Table::default().lines(&rows, app.ui.room()))
        }
    }
}

struct Listed<'a> {
    name: &'a str,
    kind: &'a str,
    kube: Option<String>,
    namespace: Option<String>,
    registry: Option<String>,
}

fn current(app: &App) -> Result<()> {
    let target = Target::resolve(app)?;
    let name =
        target.remote.map(|remote| remote.name).or(target.kube_context).ok_or_else(|| {
            fail("no context is current").hint("add one with `kubectl mrunner context add NAME --use`")
        })?;
    app.ui.answer(crate::util::ui::line(&name))
}

fn show(name: Option<&str>, app: &App) -> Result<()> {
    let contexts = target::contexts(app)?;
    let kubeconfig = target::kubeconfig(app)?;
    let target = match name {
        Some(name) => Target::named(app, name, &contexts, &kubeconfig)?,
        None => Target::choose(app, &contexts, &kubeconfig)?,
    };
    app.ui.tell("context", target.describe());
    let Some(remote) = &target.remote else {
        app.ui.say("it has no settings of mrunner's own; `kubectl mrunner context add` gives it some");
        return Ok(());
    };
    let text = config::contexts_text(&app.places.contexts)?.unwrap_or_default();
    let mut keys = contexts::written(&text, &remote.name);
    let mut default = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            keys.entry(key).or_insert_with(|| value.into());
        }
    };
    default("kube_context", target.kube_context.clone());
    default(
        "default_pvc_size",
        Some(remote.default_pvc_size.as_ref().map_or(contexts::DEFAULT_PVC_SIZE.to_owned(), ToString::to_string)),
    );
    let document = json!({ "contexts": { remote.name.clone(): keys } });
    app.ui.answer(serde_yaml::to_string(&document)?.trim_end())
}

fn delete(names: &[String], yes: bool, app: &App) -> Result<()> {
    if !yes {
        let before = target::contexts(app)?;
        if let Some(name) = names.iter().find(|name| before.get(name).is_none()) {
            return Err(edit::unknown(name, &before, &app.places.contexts).into());
        }
        let which = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if !app.ui.can_ask() {
            return Err(usage(format!("delete {which}? nobody can be asked")).hint("say so with `--yes`").into());
        }
        let answer = app.ui.ask(&format!("delete {which} from `{}`? y/N", app.places.contexts.display()), "");
        if !answer.is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")) {
            return Err(fail("nothing was deleted").into());
        }
    }
    let mut file = Held::take(&app.places.contexts)?;
    let before = config::read_contexts(&app.places.contexts)?.unwrap_or_default().current_context;
    let mut after = None;
    for name in names {
        after = file.change(&Change::Delete(name))?.current_context;
    }
    file.save()?;
    for name in names {
        app.ui.say(format!("`{name}` deleted"));
    }
    if before.is_some() && after.is_none() {
        app.ui.warn("it was the current context; choose another with `kubectl mrunner context use NAME`");
    }
    Ok(())
}

/// Parses `KEY=VALUE` into a known key and a value in YAML.
fn pair(text: &str) -> Result<(String, String), Fail> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| usage(format!("`{text}` has no `=`")).hint("write it such as `--set default_pvc_size=100G`"))?;
    let key = known_key(key)?;
    let value = value.trim();
    // a word with a special meaning in YAML is meant literally
    let plain = !value.starts_with(['{', '[', '"', '\'']) && !matches!(value, "true" | "false");
    Ok((key, if plain { scalar(value) } else { value.to_owned() }))
}

fn known_key(key: &str) -> Result<String, Fail> {
    if KEYS.contains(&key) && key != "name" {
        return Ok(key.to_owned());
    }
    let error = usage(format!("`{key}` is no key that can be set"));
    Err(match crate::k8s::names::nearest(key, KEYS.iter().copied()) {
        Some(near) if key != "name" => error.hint(format!("did you mean `{near}`?")),
        _ => error.hint("for another name: `kubectl mrunner context copy FROM TO`"),
    })
}

fn set(args: &EditArgs, app: &App) -> Result<()> {
    let Some(name) = &args.name else { return Ok(()) };
    let pairs = args.set.iter().map(|text| pair(text)).collect::<Result<Vec<_>, _>>()?;
    let mut file = Held::take(&app.places.contexts)?;
    let before = file.text.clone();
    for (key, value) in &pairs {
        file.change(&Change::Set(name, key, Some(value)))?;
    }
    for key in &args.unset {
        file.change(&Change::Set(name, &known_key(key)?, None))?;
    }
    if file.text == before {
        app.ui.say("nothing changed");
        return Ok(());
    }
    file.save()?;
    app.ui.say(format!("`{name}` changed"));
    Ok(())
}
