//! Finds runs in the cluster by their labels.

use anyhow::Result;
use serde_json::Value;

use crate::k8s::manifests::RUN;
use crate::k8s::names::{Namespace, nearest};
use crate::k8s::object::Object;
use crate::k8s::prune::Pruned;
use crate::runs::state::{self, Run};
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::{List, Scope};
use crate::util::error::{Cause, Fail, Refusal, fail, refusal_of};

/// Where to look for runs.
#[derive(Debug, Clone)]
pub struct Lookup<'a> {
    /// The cluster.
    pub cluster: Cluster<'a>,
    /// The namespace that the user set; `None` for all.
    pub namespace: Option<&'a Namespace>,
    /// Where to look if the user can't list all namespaces.
    pub fallback: &'a Namespace,
}

impl<'a> Lookup<'a> {
    /// Limits the lookup to this namespace.
    pub fn within(cluster: Cluster<'a>, namespace: &'a Namespace) -> Self {
        Self { cluster, namespace: Some(namespace), fallback: namespace }
    }

    /// The runs that `selector` matches, oldest first, with one request.
    pub fn runs(&self, selector: &str) -> Result<Vec<Run>> {
        let objects = match self.namespace {
            Some(namespace) => self.ask(Scope::In(namespace), selector)?,
            None => match self.ask(Scope::Everywhere, selector) {
                Err(error) if is_forbidden(&error) => self.ask(Scope::In(self.fallback), selector)?,
                other => other?,
            },
        };
        Ok(state::runs(objects))
    }

    fn ask(&self, scope: Scope, selector: &str) -> Result<Vec<Value>> {
        self.ask_for("jobs,pods", scope, selector)
    }

    fn ask_for(&self, kinds: &str, scope: Scope, selector: &str) -> Result<Vec<Value>> {
        let cmd = self.cluster.kubectl.get(scope, &[kinds], Some(selector), "read the runs");
        let (reply, list) = self.cluster.shell.read_json::<List<Pruned>>(&cmd)?;
        if !reply.succeeded() {
            return Err(self.cluster.kubectl.failure(&reply, &cmd).into());
        }
        Ok(list.map_or(Vec::new(), |list| list.items.into_iter().map(|object| object.0).collect()))
    }

    /// The run `name` with the `ConfigMap`s of its points, with one request if the user can read them; otherwise
    /// without them.
    pub fn find_with_points(&self, name: &str) -> Result<Option<(Run, Vec<Value>)>> {
        if crate::k8s::names::RunName::given(name).is_none() {
            return Ok(None);
        }
        let selector = format!("{RUN}={name}");
        let scope = self.namespace.map_or(Scope::Everywhere, Scope::In);
        let mut objects = match self.ask_for("jobs,pods,configmaps", scope, &selector) {
            Err(error) if is_forbidden(&error) => return Ok(self.find(name)?.map(|run| (run, Vec::new()))),
            other => other?,
        };
        let maps: Vec<Value> = objects.extract_if(.., |object| Object::of(object).kind() == "ConfigMap").collect();
        let run = one(called(name, objects), name)?;
        let Some(run) = run else { return Ok(None) };
        let maps = maps.into_iter().filter(|map| Object::of(map).namespace() == Some(&run.namespace)).collect();
        Ok(Some((run, maps)))
    }

    /// The `ConfigMap`s with a run's points; empty if the user can't read them.
    pub fn points_of(&self, run: &Run) -> Result<Vec<Value>> {
        let Some(namespace) = Namespace::given(&run.namespace) else { return Ok(Vec::new()) };
        match self.ask_for("configmaps", Scope::In(&namespace), &format!("{RUN}={}", run.name)) {
            Err(error) if is_forbidden(&error) => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// The run `name`.
    pub fn run(&self, name: &str) -> Result<Run> {
        match self.find(name)? {
            Some(run) => Ok(run),
            None => Err(self.unknown(name)),
        }
    }

    /// The error for a run that does not exist.
    pub fn unknown(&self, name: &str) -> anyhow::Error {
        let all = match self.runs(RUN) {
            Ok(all) => all,
            Err(error) => return error,
        };
        let place = self.namespace.map_or("in the cluster".to_owned(), |n| format!("in the namespace `{n}`"));
        let error = fail(format!("no run is called `{name}` {place}"));
        if let Some(odd) = all.iter().find(|run| run.name == name) {
            return error
                .fact("cause", format!("the Job `{name}` in `{}` has the label `{RUN}` of another run", odd.namespace))
                .hint(format!(
                    "mrunner creates no such Job; its owner can delete it with `kubectl -n {} delete job {name}`",
                    odd.namespace
                ))
                .into();
        }
        let near = nearest(name, all.iter().map(|run| run.name.as_str()));
        match near {
            Some(near) => Fail { known: Some(Cause::Mistyped), ..error.hint(format!("did you mean `{near}`?")) },
            None => error.hint("see the runs with `kubectl mrunner status`"),
        }
        .into()
    }

    /// The run `name`, `None` if it does not exist.
    pub fn find(&self, name: &str) -> Result<Option<Run>> {
        // a selector can't contain every text, and a name that does not fit is not a run's
        if crate::k8s::names::RunName::given(name).is_none() {
            return Ok(None);
        }
        let mut found = self.runs(&format!("{RUN}={name}"))?;
        found.retain(|run| run.name == name);
        one(found, name)
    }
}

/// The runs whose Jobs are named `name`. Anyone with permission to create Jobs can give theirs the label of another
/// run.
pub(crate) fn called(name: &str, objects: Vec<Value>) -> Vec<Run> {
    let mut found = state::runs(objects);
    found.retain(|run| run.name == name);
    found
}

/// The only run among these.
fn one(mut found: Vec<Run>, name: &str) -> Result<Option<Run>> {
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let places: Vec<_> = found.iter().map(|run| format!("`{}`", run.namespace)).collect();
    Err(fail(format!("runs called `{name}` are in several namespaces: {}", places.join(", ")))
        .hint(format!("name one with `-n {}`", found[0].namespace))
        .into())
}

/// Whether an error is the API server's refusal.
fn is_forbidden(error: &anyhow::Error) -> bool {
    refusal_of(error) == Some(Refusal::Forbidden)
}

/// The error for a run that was deleted while it was watched.
pub fn gone(name: &str) -> Fail {
    fail(format!("the run `{name}` is gone: somebody deleted it"))
}
