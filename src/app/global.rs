//! The flags of every verb.

use clap::Args;

/// Flags that can stand anywhere behind `mrunner`.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Remote context, or kubeconfig context of that name
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help = "Remote context or kubeconfig context [env: MRUNNER_CONTEXT]"
    )]
    pub context: Option<String>,
    /// Namespace [default: the project's own]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The flags for kubectl.
    #[command(flatten)]
    pub kubernetes: Kubernetes,
}

/// Flags handed to each kubectl as they were given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kubernetes options")]
pub struct Kubernetes {
    /// kubeconfig context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub kube_context: Option<String>,
    /// kubeconfig file to use
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// Time to wait for one answer of the API server, such as `5s`
    #[arg(long, global = true, value_name = "TIME")]
    pub request_timeout: Option<String>,
    /// kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,
    /// kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,
    /// User to impersonate
    #[arg(long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub as_user: Option<String>,
    /// Group to impersonate; can be repeated
    #[arg(long, global = true, value_name = "GROUP", hide_short_help = true)]
    pub as_group: Vec<String>,
    /// UID to impersonate
    #[arg(long, global = true, value_name = "UID", hide_short_help = true)]
    pub as_uid: Option<String>,
    /// Extra attribute of the user to impersonate; can be repeated; needs kubectl 1.34
    #[arg(long, global = true, value_name = "KEY=VALUE", hide_short_help = true)]
    pub as_user_extra: Vec<String>,
    /// Address of the API server
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,
    /// Bearer token to authenticate with
    ///
    /// kubectl gets it in a private file, not on its command line.
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true)]
    pub token: Option<String>,
    /// Server name for checking the API server's certificate
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,
    /// Certificate file of the authority that signed the API server's certificate
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub certificate_authority: Option<String>,
    /// Client certificate file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_certificate: Option<String>,
    /// Client key file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_key: Option<String>,
    /// kubectl's cache directory
    #[arg(long, global = true, value_name = "FOLDER", hide_short_help = true)]
    pub cache_dir: Option<String>,
    /// Do not check the API server's certificate
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,
    /// Require the versions of kubectl and the API server to match
    #[arg(long, global = true, hide_short_help = true)]
    pub match_server_version: bool,
    /// Disable compression of responses
    #[arg(long, global = true, hide_short_help = true)]
    pub disable_compression: bool,
    /// Treat warnings of the API server as errors
    #[arg(long, global = true, hide_short_help = true)]
    pub warnings_as_errors: bool,
    /// Log level of kubectl, 0 to 10
    #[arg(short = 'v', long = "v", global = true, value_name = "LEVEL", hide_short_help = true)]
    pub verbosity: Option<u8>,
    /// Log level of single source files of kubectl, as `PATTERN=LEVEL,...`
    #[arg(long, global = true, value_name = "PATTERNS", hide_short_help = true)]
    pub vmodule: Option<String>,
}

/// The kubeconfig's user that `--token` logs in as.
pub const TOKEN_USER: &str = "mrunner-token";

impl Kubernetes {
    /// The flags as kubectl takes them, the context apart. A token is not among them: it stands in
    /// [`Kubernetes::token_config`], as the user [`TOKEN_USER`].
    pub fn forwarded(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let user = if self.token.is_some() { Some(TOKEN_USER.to_owned()) } else { self.user.clone() };
        // `--kubeconfig` would hide the file that the token is in; KUBECONFIG names both then
        let kubeconfig = self.kubeconfig.clone().filter(|_| self.token.is_none());
        let verbosity = self.verbosity.map(|level| level.to_string());
        for (name, value) in [
            ("kubeconfig", &kubeconfig),
            ("cluster", &self.cluster),
            ("user", &user),
            ("as", &self.as_user),
            ("as-uid", &self.as_uid),
            ("server", &self.server),
            ("tls-server-name", &self.tls_server_name),
            ("certificate-authority", &self.certificate_authority),
            ("client-certificate", &self.client_certificate),
            ("client-key", &self.client_key),
            ("cache-dir", &self.cache_dir),
            ("request-timeout", &self.request_timeout),
            ("v", &verbosity),
            ("vmodule", &self.vmodule),
        ] {
            if let Some(value) = value {
                // one word where a value may begin with a dash, as a name in a kubeconfig may
                if value.starts_with('-') {
                    flags.push(format!("--{name}={value}"));
                } else {
                    flags.extend([format!("--{name}"), value.clone()]);
                }
            }
        }
        for group in &self.as_group {
            flags.extend(["--as-group".to_owned(), group.clone()]);
        }
        for extra in &self.as_user_extra {
            flags.extend(["--as-user-extra".to_owned(), extra.clone()]);
        }
        for (name, is_set) in [
            ("insecure-skip-tls-verify", self.insecure_skip_tls_verify),
            ("match-server-version", self.match_server_version),
            ("disable-compression", self.disable_compression),
            ("warnings-as-errors", self.warnings_as_errors),
        ] {
            if is_set {
                flags.push(format!("--{name}"));
            }
        }
        flags
    }

    /// Whether kubectl's log was asked for, which it writes to stderr.
    pub fn wants_log(&self) -> bool {
        self.verbosity.is_some_and(|level| level > 0) || self.vmodule.is_some()
    }

    /// The kubeconfig file that holds the token.
    pub fn token_config(&self) -> Option<String> {
        let token = self.token.as_ref()?;
        let user = serde_json::json!({ "name": TOKEN_USER, "user": { "token": token } });
        Some(serde_json::json!({ "apiVersion": "v1", "kind": "Config", "users": [user] }).to_string())
    }
}
