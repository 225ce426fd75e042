//! The flags that go with every verb.

use clap::Args;

/// Flags that can stand anywhere behind `mrunner`.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// The remote context, else the kubeconfig context of that name
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help = "The remote context, else the kubeconfig context of that name [env: MRUNNER_CONTEXT]"
    )]
    pub context: Option<String>,
    /// The namespace, instead of the project's own
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
    /// The kubeconfig context to use, whatever the remote context says
    #[arg(long, global = true, value_name = "NAME")]
    pub kube_context: Option<String>,
    /// The kubeconfig file to use
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// How long to wait for one answer of the API server, such as `5s`
    #[arg(long, global = true, value_name = "TIME")]
    pub request_timeout: Option<String>,
    /// The kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,
    /// The kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,
    /// The user to impersonate
    #[arg(long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub as_user: Option<String>,
    /// A group to impersonate; can be repeated
    #[arg(long, global = true, value_name = "GROUP", hide_short_help = true)]
    pub as_group: Vec<String>,
    /// The address of the API server
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,
    /// Where kubectl keeps its cache
    #[arg(long, global = true, value_name = "FOLDER", hide_short_help = true)]
    pub cache_dir: Option<String>,
    /// Do not check the API server's certificate
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,
}

impl Kubernetes {
    /// The flags as kubectl takes them, the context apart.
    pub fn forwarded(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut forward = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                flags.extend([format!("--{name}"), value.clone()]);
            }
        };
        forward("kubeconfig", &self.kubeconfig);
        forward("cluster", &self.cluster);
        forward("user", &self.user);
        forward("as", &self.as_user);
        forward("server", &self.server);
        forward("cache-dir", &self.cache_dir);
        forward("request-timeout", &self.request_timeout);
        for group in &self.as_group {
            flags.extend(["--as-group".to_owned(), group.clone()]);
        }
        if self.insecure_skip_tls_verify {
            flags.push("--insecure-skip-tls-verify".to_owned());
        }
        flags
    }
}
