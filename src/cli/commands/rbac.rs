//! `rbac`: prints the smallest Role that works.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::app::App;
use crate::app::target::Target;
use crate::k8s::manifests::pretty;
use crate::k8s::names::Namespace;
use crate::k8s::rbac::{
    CLUSTER_WIDE, FOR_DELETING, FOR_PULL_SECRET, FOR_QUEUES, FOR_VOLUMES, IN_NAMESPACE, binding, role, service_account,
    subject,
};
use crate::util::error::usage;
use crate::util::ui::line;

/// The arguments of `rbac`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner rbac --project vision --for-user anna | kubectl apply -f -\n  kubectl mrunner rbac -n lab-anna --for-serviceaccount lab-anna:trainer --cluster-wide"
)]
pub struct RbacArgs {
    /// Project whose namespace the Role is for
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Name of the Role
    #[arg(long, value_name = "NAME", default_value = "mrunner")]
    name: String,
    /// User to bind the Role to; can be repeated
    #[arg(long = "for-user", value_name = "USER")]
    users: Vec<String>,
    /// Group to bind the Role to; can be repeated
    #[arg(long = "for-group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Service account to bind the Role to; can be repeated
    #[arg(long = "for-serviceaccount", value_name = "NAMESPACE:NAME")]
    accounts: Vec<String>,
    /// Add a `ClusterRole` with the optional cluster-wide rights
    #[arg(long)]
    cluster_wide: bool,
    /// Add the right to create pull secrets (`registry_username`)
    #[arg(long)]
    pull_secret: bool,
    /// Add the rights to read Kueue's queues and workloads
    #[arg(long)]
    queue: bool,
    /// Add the rights to manage volumes and delete projects
    ///
    /// For administrators of the cluster's storage: these rights reach the data of others.
    #[arg(long)]
    volumes: bool,
    /// Output format; YAML explains each rule in a comment
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Prints the Role. Contacts no cluster.
pub fn exec(args: &RbacArgs, app: &App) -> Result<()> {
    let given = app.global.namespace.as_deref().map(|name| {
        Namespace::given(name)
            .ok_or_else(|| usage(format!("`{name}` can't be a namespace")).hint("such as `-n lab-anna`"))
    });
    let named = given.transpose()?.or_else(|| args.project.as_deref().map(Namespace::of_project));
    let namespace = match named {
        Some(namespace) => namespace,
        None => Target::resolve(app).ok().and_then(|target| target.namespace).ok_or_else(|| {
            usage("for which namespace?").hint("name it with `-n NAMESPACE`, or by its project with `--project NAME`")
        })?,
    };
    let mut rights = IN_NAMESPACE.to_vec();
    if args.pull_secret {
        rights.extend(FOR_PULL_SECRET);
    }
    if args.queue {
        rights.extend(FOR_QUEUES);
    }
    let mut everywhere = if args.cluster_wide { CLUSTER_WIDE.to_vec() } else { Vec::new() };
    if args.volumes {
        rights.extend(FOR_DELETING);
        everywhere.extend(FOR_VOLUMES);
    }
    let subjects = subjects(args)?;
    let place = Some(namespace.as_str());
    let mut documents = vec![("Role", role("Role", &args.name, place, &rights), rights)];
    if !subjects.is_empty() {
        documents.push(("RoleBinding", binding("Role", &args.name, place, &subjects), vec![]));
    }
    if !everywhere.is_empty() {
        documents.push(("ClusterRole", role("ClusterRole", &args.name, None, &everywhere), everywhere));
        if !subjects.is_empty() {
            documents.push(("ClusterRoleBinding", binding("ClusterRole", &args.name, None, &subjects), vec![]));
        }
    }
    if args.output == Format::Json {
        let items: Vec<&Value> = documents.iter().map(|(_, document, _)| document).collect();
        return app.ui.answer(pretty(&json!({ "apiVersion": "v1", "kind": "List", "items": items })).trim_end());
    }
    let mut text = String::new();
    for (kind, document, rights) in &documents {
        text.push_str("---\n");
        for right in rights {
            let optional = if right.optional { "; optional" } else { "" };
            text.push_str(&format!("# {} {}: to {}{optional}\n", right.verbs.join(", "), right.resource, right.why));
        }
        if rights.is_empty() {
            text.push_str(&format!("# the {kind} gives it to them\n"));
        }
        text.push_str(&serde_yaml::to_string(document)?);
    }
    app.ui.answer(text.trim_end())
}

fn subjects(args: &RbacArgs) -> Result<Vec<Value>> {
    let mut subjects: Vec<Value> = args.users.iter().map(|name| subject("User", name)).collect();
    subjects.extend(args.groups.iter().map(|name| subject("Group", name)));
    for account in &args.accounts {
        let Some((namespace, name)) = account.split_once(':').filter(|(a, b)| !a.is_empty() && !b.is_empty()) else {
            return Err(usage(format!("`{}` is no service account", line(account)))
                .hint("write it such as `--for-serviceaccount lab-anna:trainer`")
                .into());
        };
        subjects.push(service_account(namespace, name));
    }
    Ok(subjects)
}
