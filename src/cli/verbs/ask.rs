//! Asks the agents of bases from outside of the cluster: through the API server's proxy to pods, or directly.

use std::time::{Duration, Instant};

use axum::http::{Request, header::CONTENT_TYPE};
use clap::ValueEnum;
use futures::{AsyncReadExt, StreamExt, stream};

use crate::{
    arklet::{
        client::{Bounds, Client as Arklet, Endpoint},
        wire::{Biz, Metaspace, Reply},
    },
    cli::{cluster::Cluster, error::Error, view::bases::Answer},
    runtime::kinds::BasePod,
};

/// How many bases are asked at once.
const AT_ONCE: usize = 16;
/// How long a base may take; a healthy one needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of an answer is read (bytes).
const LONGEST: u64 = 1 << 20;

/// How agents are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// Through the API server (the right to create pods/proxy)
    #[default]
    Proxy,
    /// At the pods' addresses, from where this command runs
    Direct,
    /// Not at all: what Modules say is shown
    None,
}

/// Asks every base; each answer with the pod's UID.
pub async fn all(cluster: &Cluster, pods: &[BasePod], via: Via) -> Result<Vec<(String, Answer)>, Error> {
    let direct = match via {
        Via::Direct => {
            let bounds = Bounds { connect: PATIENCE, query: PATIENCE, ..Bounds::default() };
            let client = Arklet::new(bounds).map_err(std::io::Error::other)?;
            Some(client)
        }
        _ => None,
    };
    let answers = stream::iter(pods).map(|pod| {
        let direct = direct.as_ref();
        async move { (pod.uid().to_owned(), one(cluster, pod, via, direct).await) }
    });
    Ok(answers.buffer_unordered(AT_ONCE).collect().await)
}

async fn one(cluster: &Cluster, pod: &BasePod, via: Via, direct: Option<&Arklet>) -> Answer {
    if via == Via::None {
        return Answer::NotAsked("not asked (--via none)".to_owned());
    }
    if pod.status.pod_ip.is_none() || pod.is_ending() {
        return Answer::NotAsked("not asked: the pod has no address, or is ending".to_owned());
    }
    let began = Instant::now();
    let asked = async {
        match direct {
            Some(client) => directly(client, pod).await,
            None => proxied(cluster, pod).await,
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok((biz, metaspace, heard))) => {
            let latency = heard.duration_since(began).as_millis();
            Answer::Heard { biz, metaspace, latency: u64::try_from(latency).unwrap_or(u64::MAX) }
        }
        Ok(Err(why)) => Answer::Silent(why),
        Err(_) => Answer::Silent(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// The list, the metaspace, and when the list was there.
type Heard = (Vec<Biz>, Option<Metaspace>, Instant);

async fn directly(client: &Arklet, pod: &BasePod) -> Result<Heard, String> {
    let ip = pod.status.pod_ip.as_deref().and_then(|ip| ip.parse().ok());
    let at = Endpoint { ip: ip.ok_or("the pod's address cannot be read")?, port: pod.arklet_port() };
    let biz = client.query_all(at).await.map_err(|error| error.to_string())?;
    let heard = Instant::now();
    let health = client.health(at).await.ok();
    Ok((biz, health.and_then(|health| health.metaspace), heard))
}

async fn proxied(cluster: &Cluster, pod: &BasePod) -> Result<Heard, String> {
    let list = post(cluster, pod, "queryAllBiz").await?;
    let heard = Instant::now();
    let biz = Reply::parse(&list).and_then(|reply| reply.biz_list());
    let biz = biz.map_err(|error| format!("its answer cannot be read: {error}"))?;
    // A base without a health command, or with one that fails, is a base all the same.
    let health = post(cluster, pod, "health").await.ok();
    let metaspace = health.and_then(|body| Reply::parse(&body).ok()?.metaspace());
    Ok((biz, metaspace, heard))
}

async fn post(cluster: &Cluster, pod: &BasePod, command: &str) -> Result<Vec<u8>, String> {
    let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}:{}/proxy/{command}",
        namespace.as_deref().unwrap_or_default(),
        name.as_deref().unwrap_or_default(),
        pod.arklet_port()
    );
    let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(b"{}".to_vec());
    let request = request.map_err(|error| error.to_string())?;
    let answer = cluster.client.request_stream(request).await.map_err(|error| refusal(&error))?;
    let mut body = Vec::new();
    answer.take(LONGEST).read_to_end(&mut body).await.map_err(|error| error.to_string())?;
    Ok(body)
}

fn refusal(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            "not asked: you may not create pods/proxy; ask for that right, or use --via direct".to_owned()
        }
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
