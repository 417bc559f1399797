//! The API server as the verbs see it: a client for the chosen context and namespace, and reads that explain themselves.

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;

use super::{
    args::{Global, Selection},
    diagnosis,
    error::Error,
    hint::Chosen,
};
use crate::{api::ModuleDeployment, runtime::client};

/// What the API server's audit log shows.
const AGENT: &str = concat!("kubectl-module/", env!("CARGO_PKG_VERSION"));
/// How many objects one answer holds.
const PAGE: u32 = 500;

/// A cluster, and the namespace that is meant in it.
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace: the option, else that of the context.
    pub namespace: String,
    /// How it was chosen, for commands that are suggested.
    pub chosen: Chosen,
}

impl Cluster {
    /// Finds the cluster as kubectl does: --kubeconfig, else KUBECONFIG, else ~/.kube/config; in a pod its own.
    pub async fn connect(global: &Global) -> Result<Self, Error> {
        let mut config = config(global).await?;
        config.auth_info.impersonate = global.impersonate.clone().or(config.auth_info.impersonate);
        if !global.impersonate_group.is_empty() {
            config.auth_info.impersonate_groups = Some(global.impersonate_group.clone());
        }
        let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = client::build_as(config, AGENT, global.request_timeout)?;
        Ok(Self { client, namespace, chosen: Chosen::of(global) })
    }

    /// Objects of a kind in a namespace; `None`: in all of them.
    pub fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// All objects of a kind that a label selector matches, page by page.
    pub async fn list<K>(&self, namespace: Option<&str>, selector: Option<&str>) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.list_where(namespace, selector, None).await
    }

    /// As [`Cluster::list`], of those that a field selector matches too.
    pub async fn list_where<K>(
        &self,
        namespace: Option<&str>,
        selector: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api = self.api::<K>(namespace);
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selector.map(str::to_owned);
        params.field_selector = fields.map(str::to_owned);
        let mut found = Vec::new();
        loop {
            let page = api.list(&params).await.map_err(|error| Error::of(format!("list {}", K::plural(&())), error))?;
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            found.extend(page.items);
            if params.continue_token.is_none() {
                return Ok(found);
            }
        }
    }

    /// One ModuleDeployment.
    pub async fn deployment(&self, name: &str) -> Result<ModuleDeployment, Error> {
        let api = self.api::<ModuleDeployment>(Some(&self.namespace));
        match api.get(name).await {
            Ok(found) => Ok(found),
            Err(kube::Error::Api(status)) if status.code == 404 && status.message.contains(name) => {
                Err(Error::NotFound {
                    kind: "ModuleDeployment",
                    name: name.to_owned(),
                    namespace: self.namespace.clone(),
                    hint: "`kubectl module get` shows those that are there, `kubectl module get -A` those of all namespaces"
                        .to_owned(),
                })
            }
            Err(error) => Err(Error::of(format!("get the ModuleDeployment {name}"), error)),
        }
    }

    /// The ModuleDeployments that are meant, by namespace and name.
    pub async fn deployments(&self, selection: &Selection) -> Result<Vec<ModuleDeployment>, Error> {
        let mut found = Vec::new();
        for name in &selection.names {
            found.push(self.deployment(name).await?);
        }
        if selection.names.is_empty() {
            found = self.list(self.scope(selection), selection.selector.as_deref()).await?;
        }
        found.sort_by_key(|deployment| (deployment.namespace(), deployment.name_any()));
        Ok(found)
    }

    /// The namespace that is meant; `None`: all of them.
    pub fn scope(&self, selection: &Selection) -> Option<&str> {
        (!selection.all_namespaces).then_some(self.namespace.as_str())
    }
}

/// The address of the API server that these options choose, to be named where it doesn't answer.
pub async fn server(global: &Global) -> Option<String> {
    let url = config(global).await.ok()?.cluster_url.to_string();
    Some(url.trim_end_matches('/').to_owned())
}

async fn config(global: &Global) -> Result<Config, Error> {
    let which = which(global);
    let unusable = |error: &KubeconfigError| Error::Usage(diagnosis::kubeconfig(&which, error));
    let options = KubeConfigOptions {
        context: global.context.clone(),
        cluster: global.cluster.clone(),
        user: global.user.clone(),
    };
    let content = match kubeconfig(global) {
        Ok(content) => content,
        // In a pod there is no kubeconfig, and none was asked for.
        Err(_)
            if global.kubeconfig.is_none()
                && global.context.is_none()
                && from_environment().is_none()
                && in_a_pod() =>
        {
            return Config::incluster()
                .map_err(|error| Error::Usage(format!("cannot use this pod's account: {error}; name a --kubeconfig")));
        }
        Err(error) => return Err(unusable(&error)),
    };
    let (context, cluster, user) = (global.context.as_deref(), global.cluster.as_deref(), global.user.as_deref());
    if let Some(unknown) = diagnosis::unknown(&which, &content, context, cluster, user) {
        return Err(Error::Usage(unknown));
    }
    Config::from_custom_kubeconfig(content, &options).await.map_err(|error| unusable(&error))
}

/// The kubeconfig that is meant, as kubectl finds it.
pub fn kubeconfig(global: &Global) -> Result<Kubeconfig, KubeconfigError> {
    match global.kubeconfig.as_deref().filter(|file| !file.as_os_str().is_empty()) {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    }
}

fn from_environment() -> Option<String> {
    std::env::var("KUBECONFIG").ok().filter(|files| !files.is_empty())
}

fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// What the kubeconfig is called in a sentence.
fn which(global: &Global) -> String {
    let named = global.kubeconfig.as_ref().map(|file| file.display().to_string()).filter(|file| !file.is_empty());
    named.or_else(from_environment).unwrap_or_else(|| "~/.kube/config".to_owned())
}

/// Milliseconds since the epoch.
pub fn now() -> i64 {
    Timestamp::now().as_millisecond()
}
