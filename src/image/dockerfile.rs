//! The Dockerfile, from checked values.

use anyhow::Result;
use serde::Serialize;

use crate::image::reference::ImageRef;
use crate::util::template;

/// What a Dockerfile's template is given; `templates/Dockerfile.jinja2` tells users the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DockerfileContext {
    /// The base image.
    pub base_image: ImageRef,
    /// The requirements file's name in `requirements/`, if there is one.
    pub requirements: Option<String>,
    /// The user that the experiment runs as.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Whether the script is started by `neptune run`.
    pub neptune: bool,
    /// Names of variables that the build may read while it installs the requirements.
    pub secrets: Vec<String>,
}

/// A template that the user brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its file, as the user named it.
    pub name: String,
    /// Its text.
    pub source: String,
}

impl DockerfileContext {
    /// The Dockerfile, by the user's own template or the built-in one.
    pub fn render(&self, own: Option<&Template>) -> Result<String> {
        match own {
            Some(template) => template::dockerfile(Some(&template.source), &template.name, self),
            None => template::dockerfile(None, "", self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> DockerfileContext {
        DockerfileContext {
            base_image: ImageRef::parse("python:3").unwrap(),
            requirements: None,
            user: 1000,
            group: 1000,
            neptune: false,
            secrets: Vec::new(),
        }
    }

    /// Compares with `tests/data/image/NAME.Dockerfile`; `MRUNNER_BLESS=1` writes it instead.
    fn golden(name: &str, text: &str) {
        let file = format!("{}/tests/data/image/{name}.Dockerfile", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("MRUNNER_BLESS").is_some() {
            std::fs::write(&file, text).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap();
        assert!(text == expected, "{file} differs (MRUNNER_BLESS=1 writes it anew); it is now:\n{text}");
    }

    #[test]
    fn plain() {
        golden("plain", &values().render(None).unwrap());
    }

    #[test]
    fn with_requirements() {
        let values = DockerfileContext { requirements: Some("requirements.txt".into()), ..values() };
        golden("requirements", &values.render(None).unwrap());
    }

    #[test]
    fn with_secrets() {
        let secrets = vec!["INDEX_TOKEN".into(), "OTHER".into()];
        let values = DockerfileContext { requirements: Some("requirements.txt".into()), secrets, ..values() };
        golden("secrets", &values.render(None).unwrap());
    }

    #[test]
    fn as_root() {
        golden("root", &DockerfileContext { user: 0, group: 0, ..values() }.render(None).unwrap());
    }

    #[test]
    fn with_the_users_template() {
        let source = "FROM {{ base_image }} AS base\n\
                      {% if requirements is none %}\nRUN echo no requirements\n{% endif %}\n\
                      {% if neptune %}\nRUN pip install neptune\n{% endif %}\n\
                      COPY --chown={{ user }}:{{ group }} code/ /srv/\nWORKDIR /srv";
        let own = Template { name: "docker/Dockerfile.jinja2".into(), source: source.into() };
        golden("own", &values().render(Some(&own)).unwrap());
    }

    #[test]
    fn no_name_of_a_requirements_file_adds_an_instruction() {
        let name = "a\"]\nRUN evil <<EOF $HOME \\";
        let hostile = DockerfileContext { requirements: Some(name.into()), ..values() };
        let text = hostile.render(None).unwrap();
        let usual = DockerfileContext { requirements: Some("requirements.txt".into()), ..values() };
        assert_eq!(text.lines().count(), usual.render(None).unwrap().lines().count());
        let run = text.lines().find(|l| l.contains("\"install\"")).unwrap();
        let json = &run[run.find('[').unwrap()..];
        let command: Vec<String> = serde_json::from_str(json).unwrap();
        assert_eq!(command.last().unwrap(), &format!("/tmp/mrunner-requirements/{name}"));
        assert!(!text.contains("<<"), "a heredoc: {text}");
    }
}
