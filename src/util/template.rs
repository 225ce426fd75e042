//! Templates: the only user of minijinja.

use anyhow::Result;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;

use crate::util::error::{Fail, fail, usage};

/// The built-in Dockerfile.
const DOCKERFILE: &str = include_str!("../../templates/Dockerfile.jinja2");

/// The Dockerfile of the NFS server in a cluster.
const NFS_SERVER: &str = include_str!("../../templates/nfs-server/Dockerfile.jinja2");

/// Renders the Dockerfile of the NFS server.
pub fn nfs_server(context: &impl Serialize) -> Result<String> {
    render(NFS_SERVER, "nfs-server/Dockerfile.jinja2", context).map_err(|e| of_ours(&e).into())
}

/// Renders the user's own template `name`, or the built-in one, to a Dockerfile.
///
/// Nothing is escaped: values are checked before or passed through `tojson`.
pub fn dockerfile(template: Option<&str>, name: &str, context: &impl Serialize) -> Result<String> {
    match template {
        Some(own) => render(own, name, context).map_err(|e| of_the_user(&e, name).into()),
        None => render(DOCKERFILE, "Dockerfile.jinja2", context).map_err(|e| of_ours(&e).into()),
    }
}

fn render(source: &str, name: &str, context: &impl Serialize) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // an undefined name must not become an empty string in a Dockerfile
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
        .set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build()?);
    // keeps the information which name is undefined
    environment.set_debug(true);
    environment.add_template(name, source)?;
    let mut text = environment.get_template(name)?.render(Serde(context))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn of_the_user(error: &minijinja::Error, name: &str) -> Fail {
    let place = error.line().map_or_else(|| format!("`{name}`"), |line| format!("`{name}` line {line}"));
    let told = usage(format!("{place}: {}", cause(error)));
    match error.kind() {
        ErrorKind::UndefinedError => told.hint(
            "a template is given `base_image`, `requirements`, `user`, `group`, `neptune` and `secrets`; \
             what may be missing is asked for with `{% if NAME is defined %}`",
        ),
        _ => told,
    }
}

fn of_ours(error: &minijinja::Error) -> Fail {
    fail(format!("the built-in Dockerfile template is wrong, which is a bug of mrunner: {}", cause(error)))
        .details(&format!("{error:#}"))
}

/// The error, with the expression that it is about, if that is known.
fn cause(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let expression = error.range().and_then(|range| error.template_source()?.get(range));
    match expression {
        Some(text) if !text.contains('\n') && !what.contains(text) => format!("{what}: `{text}`"),
        _ => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::error::{Exit, flatten};

    #[derive(Serialize)]
    struct Values {
        base_image: &'static str,
        nothing: Option<&'static str>,
    }

    const VALUES: Values = Values { base_image: "<b> & \"c\"", nothing: None };

    fn own(template: &str) -> Result<String> {
        dockerfile(Some(template), "my.jinja2", &VALUES)
    }

    #[test]
    fn nothing_is_escaped_and_the_last_line_ends() {
        assert_eq!(own("FROM {{ base_image }}").unwrap(), "FROM <b> & \"c\"\n");
        assert_eq!(own("FROM x\n").unwrap(), "FROM x\n");
        assert_eq!(own("A\n  {% if nothing %}\nB\n  {% endif %}\nC\n\n").unwrap(), "A\nC\n\n");
    }

    #[test]
    fn a_string_of_a_command_is_json() {
        let text = own(r#"{{ "a\"b\\ $x\n" | tojson }}"#).unwrap();
        assert_eq!(text, "\"a\\\"b\\\\ $x\\n\"\n");
    }

    #[test]
    fn a_fault_of_the_users_template_names_its_line() {
        let fault = |template: &str| flatten(&own(template).unwrap_err());
        let unknown = fault("FROM a\nRUN {{ bse_image }}\n");
        assert_eq!(unknown.message, "`my.jinja2` line 2: `bse_image` is undefined");
        assert_eq!(unknown.exit, Exit::Usage);
        assert_eq!(unknown.hints.len(), 1);
        let syntax = fault("FROM a\n\n{% if %}\n");
        assert_eq!(syntax.message, "`my.jinja2` line 3: unexpected end of block: `%}`");
        let missing = fault("{% include 'other' %}");
        assert!(missing.message.starts_with("`my.jinja2` line 1: "), "{}", missing.message);
    }

    #[test]
    fn a_fault_of_ours_says_so() {
        let fault = flatten(&dockerfile(None, "", &VALUES).unwrap_err());
        assert!(fault.message.starts_with("the built-in Dockerfile template is wrong, which is a bug of mrunner: "));
        assert_eq!(fault.exit, Exit::Error);
    }
}
