//! `support-bundle`: what there is, packed into one file.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{
    Api,
    api::{GetParams, LogParams, PostParams},
    core::{GroupVersionKind, Request},
};
use serde_json::Value;

use super::{Stdout, objects, stdout::remark};
use crate::{
    api::keys::{self, label},
    cli::{
        args::Global,
        bundle::{self, Collected, archive},
        cluster::Cluster,
        error::Error,
    },
};

/// Last lines of a log.
const LOG_LINES: i64 = 20_000;
/// Bytes of a log or of metrics.
const TEXT_BYTES: usize = 8 << 20;
/// Where the operator serves its metrics, where its pod says nothing.
const METRICS_PORT: i64 = 8080;

/// Options of `support-bundle`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Holds the objects of koupleless.io, base pods without environment and volumes, Events, the operator's logs and metrics, and
what you may do. Secrets are never read; credentials in addresses are redacted. Look into it before you send it away.

Examples:
  kubectl module support-bundle -A
  kubectl module support-bundle -n shop -o shop.tar.gz --operator-namespace platform")]
pub struct Args {
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// The file, which must not exist
    #[arg(short, long, value_name = "FILE", default_value = "support-bundle.tar.gz")]
    output: PathBuf,
    /// Where the operator runs
    #[arg(long, value_name = "NAME", default_value = "module-deployment-system")]
    operator_namespace: String,
}

/// Collects, packs and writes.
pub async fn run(global: &Global, args: &Args) -> Result<(), Error> {
    let unwritable =
        |error| Error::Usage(format!("cannot write {}: {error}; name another file with -o", args.output.display()));
    // Before the work, so that a wrong name costs none.
    let mut file = OpenOptions::new().write(true).create_new(true).open(&args.output).map_err(unwritable)?;
    let packed = collected(global, args).await.and_then(|(files, packed)| {
        file.write_all(&packed).map_err(unwritable)?;
        Ok((files, packed.len()))
    });
    if packed.is_err() {
        // It is this command's, and would be in the way of the next try.
        let _ = fs::remove_file(&args.output);
    }
    let (files, bytes) = packed?;
    Stdout::new().print(&format!("{}: {files} files, {bytes} bytes; read summary.txt first\n", args.output.display()))
}

/// How many files there are, and all of them in one.
async fn collected(global: &Global, args: &Args) -> Result<(usize, Vec<u8>), Error> {
    let cluster = Cluster::connect(global).await?;
    let mut reader = Reader { cluster: &cluster, collected: Collected::default() };
    reader.versions().await?;
    reader.objects((!args.all_namespaces).then_some(cluster.namespace.as_str())).await;
    reader.operator(&args.operator_namespace).await;
    reader.access(&args.operator_namespace).await;
    let files = bundle::files(&reader.collected);
    let packed = archive::pack("support-bundle", &files)?;
    for missing in &reader.collected.missing {
        remark(&format!("note: {missing}"));
    }
    Ok((files.len(), packed))
}

struct Reader<'a> {
    cluster: &'a Cluster,
    collected: Collected,
}

impl Reader<'_> {
    fn missing(&mut self, what: &str, error: kube::Error) {
        self.collected.missing.push(Error::of(format!("read {what}"), error).to_string());
    }

    /// Nothing is in a bundle of a cluster that doesn't answer.
    async fn versions(&mut self) -> Result<(), Error> {
        const WHAT: &str = "the API server's version";
        match self.cluster.client.apiserver_version().await {
            Ok(version) => self.collected.server = version.git_version,
            Err(error @ kube::Error::Api(_)) => self.missing(WHAT, error),
            Err(error) => return Err(Error::of(format!("read {WHAT}"), error)),
        }
        Ok(())
    }

    /// All objects of a kind; none, and a note, where they may not be read.
    async fn list(&mut self, namespace: Option<&str>, gvk: &GroupVersionKind, selector: &str) -> Vec<Value> {
        let listed = objects::list(self.cluster, namespace, gvk, selector).await;
        listed.unwrap_or_else(|error| {
            self.missing(&format!("{} of {}", gvk.kind, namespace.unwrap_or("all namespaces")), error);
            Vec::new()
        })
    }

    async fn objects(&mut self, namespace: Option<&str>) {
        let mut all = Vec::new();
        for kind in ["ModuleDeployment", "ModuleReplicaSet", "Module", "ModuleTemplate"] {
            all.extend(self.list(namespace, &GroupVersionKind::gvk(keys::GROUP, keys::VERSION, kind), "").await);
        }
        let bases: BTreeSet<(String, String)> = all.iter().filter_map(base_of).collect();
        let names: BTreeSet<(String, String)> = all.iter().map(place).collect();
        let pods = self.list(namespace, &GroupVersionKind::gvk("", "v1", "Pod"), "").await;
        let pods: Vec<Value> = pods.into_iter().filter(is_base).collect();
        let owners: BTreeSet<(String, String)> = pods.iter().map(place).chain(names).collect();
        all.extend(pods);
        let deployments = self.list(namespace, &GroupVersionKind::gvk("apps", "v1", "Deployment"), "").await;
        all.extend(deployments.into_iter().filter(|deployment| bases.contains(&place(deployment))));
        let services = self.list(namespace, &GroupVersionKind::gvk("", "v1", "Service"), "").await;
        all.extend(services.into_iter().filter(is_of_a_module));
        let events = self.list(namespace, &GroupVersionKind::gvk("events.k8s.io", "v1", "Event"), "").await;
        let about = |event: &Value| {
            let text = |field: &str| event["regarding"][field].as_str().unwrap_or_default().to_owned();
            owners.contains(&(text("namespace"), text("name")))
        };
        all.extend(events.into_iter().filter(about));
        for object in all {
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            let file = format!("objects/{}/{kind}s", place(&object).0);
            self.put(file, object);
        }
    }

    fn put(&mut self, file: String, object: Value) {
        match self.collected.objects.iter_mut().find(|(name, _)| *name == file) {
            Some((_, objects)) => objects.push(object),
            None => self.collected.objects.push((file, vec![object])),
        }
    }

    /// The operator's workloads, its logs, this and the last ones, and its metrics.
    async fn operator(&mut self, namespace: &str) {
        let gvk = GroupVersionKind::gvk("", "v1", "Pod");
        let pods = self.list(Some(namespace), &gvk, "control-plane").await;
        if pods.is_empty() {
            let hint = format!(
                "no pod of the operator was found in {namespace}; name its namespace with --operator-namespace"
            );
            self.collected.missing.push(hint);
        }
        let mut names: Vec<(String, i64)> = pods.iter().map(|pod| (place(pod).1, metrics_port(pod))).collect();
        names.sort();
        for (name, port) in names {
            for previous in [false, true] {
                self.log(namespace, &name, previous).await;
            }
            self.metrics(namespace, &name, port).await;
        }
        for pod in pods {
            self.put(format!("operator/{namespace}/pods"), pod);
        }
        for deployment in
            self.list(Some(namespace), &GroupVersionKind::gvk("apps", "v1", "Deployment"), "control-plane").await
        {
            self.put(format!("operator/{namespace}/deployments"), deployment);
        }
    }

    async fn log(&mut self, namespace: &str, pod: &str, previous: bool) {
        let api: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let params = LogParams { previous, tail_lines: Some(LOG_LINES), timestamps: true, ..LogParams::default() };
        let file = format!("operator/{namespace}/{pod}{}.log", if previous { ".previous" } else { "" });
        match api.logs(pod, &params).await {
            Ok(text) => self.collected.texts.push((file, last(text))),
            // A container that never restarted has none.
            Err(kube::Error::Api(status)) if previous && status.code == 400 => {}
            Err(error) => self.missing(&file, error),
        }
    }

    async fn metrics(&mut self, namespace: &str, pod: &str, port: i64) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy");
        let Ok(request) = Request::new(path).get("metrics", &GetParams::default()) else { return };
        match self.cluster.client.request_text(request).await {
            Ok(text) => self.collected.texts.push((format!("operator/{namespace}/{pod}.metrics"), last(text))),
            Err(error) => self.missing(&format!("metrics of {namespace}/{pod}"), error),
        }
    }

    /// What this user may do, as far as the verbs need it.
    async fn access(&mut self, operator: &str) {
        let here = self.cluster.namespace.clone();
        for (verb, group, resource, namespace) in [
            ("list", keys::GROUP, "moduledeployments", &*here),
            ("create", keys::GROUP, "moduledeployments", &here),
            ("patch", keys::GROUP, "moduledeployments", &here),
            ("delete", keys::GROUP, "moduledeployments", &here),
            ("list", keys::GROUP, "modulereplicasets", &here),
            ("list", keys::GROUP, "modules", &here),
            ("patch", keys::GROUP, "modules", &here),
            ("list", "", "pods", &here),
            ("list", "", "services", &here),
            ("list", "events.k8s.io", "events", &here),
            ("list", "apps", "deployments", &here),
            ("get", "", "pods/log", operator),
            ("get", "", "pods/proxy", operator),
        ] {
            let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(r, s)| (r, Some(s)));
            let what =
                format!("{verb} {resource}{} in {namespace}", subresource.map(|s| format!("/{s}")).unwrap_or_default());
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            };
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
                ..Default::default()
            };
            let api: Api<SelfSubjectAccessReview> = Api::all(self.cluster.client.clone());
            match api.create(&PostParams::default(), &review).await {
                Ok(answer) => self.collected.access.push((what, answer.status.is_some_and(|status| status.allowed))),
                Err(error) => return self.missing("what you may do", error),
            }
        }
    }
}

fn place(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// The base Deployment that a ModuleDeployment names.
fn base_of(object: &Value) -> Option<(String, String)> {
    let name = object.pointer("/spec/baseDeploymentName").and_then(Value::as_str)?;
    Some((place(object).0, name.to_owned()))
}

/// Whether a pod carries one of the operator's labels.
fn is_base(pod: &Value) -> bool {
    let labels = pod["metadata"]["labels"].as_object();
    labels.is_some_and(|labels| labels.keys().any(|key| key.contains(keys::GROUP)))
}

fn is_of_a_module(service: &Value) -> bool {
    let selector = service["spec"]["selector"].as_object();
    selector.is_some_and(|selector| selector.keys().any(|key| key.starts_with(label::TRAFFIC_PREFIX)))
}

/// The port named `metrics` of the pod's containers.
fn metrics_port(pod: &Value) -> i64 {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let ports = containers.into_iter().flatten().filter_map(|container| container["ports"].as_array()).flatten();
    ports
        .filter(|port| port["name"] == "metrics")
        .find_map(|port| port["containerPort"].as_i64())
        .unwrap_or(METRICS_PORT)
}

/// The end of a text that is too long.
fn last(text: String) -> String {
    let mut from = text.len().saturating_sub(TEXT_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    if from == 0 { text } else { format!("[{from} bytes before this are left out]\n{}", &text[from..]) }
}
