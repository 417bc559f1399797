//! The process: probes, metrics, lease, and the controllers of each scope; the VNode provider beside them or alone.
//!
//! Of the operator nothing is watched, told to an agent or written before the process leads; when it loses the lease or is told to
//! stop, everything is cancelled first and the lease is given back last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    arklet::{self, agents::Agents, client::Bounds, session::Care},
    controllers::{
        census::Census,
        context::Settings,
        run::{self, Scope},
    },
    domain::vnode::keep::Times,
    rehearsal::{self, Report},
    runtime::{
        client,
        flags::{Flags, MqttVersion, Role},
        health::{self, Freshness, Readiness},
        lease::{self, LeaseConfig},
        metrics::Metrics,
        ops::Ops,
        predecessor::{Home, Lookout},
    },
    vnode::{
        self,
        provider::{self, Ground},
        tunnel::{
            Tunnels, http,
            mqtt::{self, commands::Commands, link::Address, packets::Version, tls, topics::Topics},
        },
    },
};

/// Lifetime of a watch (seconds): short enough that one cut silently by a load balancer is noticed.
const WATCH_SECONDS: u32 = 90;
/// Reconciles of one kind at a time.
const CONCURRENCY: u16 = 64;
/// How often the VNode provider asks a base for its list of biz; V2's time.
const BIZ_INTERVAL: Duration = Duration::from_secs(15);
/// `/healthz` fails when the process's own heartbeat is older.
const HEARTBEAT_STALE: Duration = Duration::from_secs(30);

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No signals.
    #[error("signals cannot be listened to: {0}")]
    Signals(#[source] std::io::Error),
    /// No way to the cluster.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// No HTTP client.
    #[error(transparent)]
    Arklet(#[from] arklet::client::SetupError),
    /// An address can't be served.
    #[error(transparent)]
    Health(#[from] health::Error),
    /// The election can't be held.
    #[error(transparent)]
    Lease(#[from] lease::Error),
    /// Another process leads now.
    #[error("the lease was lost: {0}; the process ends so that it is started afresh")]
    LeaseLost(String),
    /// The dry run has no result.
    #[error("dry run: {0}")]
    Rehearsal(#[from] rehearsal::Error),
    /// A V1 came while this process acted.
    #[error("{0}; the process ends, and waits when it is started again")]
    Predecessor(String),
}

/// Runs the operator until `stop`.
pub async fn run(flags: Flags, stop: CancellationToken) -> Result<(), Error> {
    for warning in &flags.warnings {
        tracing::warn!("{warning}");
    }
    let client = client::connect(flags.kubeconfig()).await?;
    let metrics = Arc::new(Metrics::new());
    let readiness = Arc::new(Readiness::new());
    let begin = Begin::default();
    readiness.check("controllers", begin.check());
    // Servers end after the controllers, so that probes answer while work is finished.
    let servers_stop = CancellationToken::new();
    let servers = serve(&flags, &metrics, &readiness, &servers_stop).await?;
    let result = play(&flags, client, metrics, readiness, begin, stop).await;
    servers_stop.cancel();
    for server in servers {
        if let Ok(Err(error)) = server.await {
            tracing::warn!(%error, "a server ended with an error");
        }
    }
    result
}

/// Plays the roles that were asked for, until `stop` or until one of them fails.
async fn play(
    flags: &Flags,
    client: Client,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    begin: Begin,
    stop: CancellationToken,
) -> Result<(), Error> {
    if !flags.plays_vnode() {
        return elect(flags, client, metrics, readiness, begin, stop).await;
    }
    let tunnel = health::bind(&flags.vnode.tunnel_bind_address, "--tunnel-bind-address").await?;
    let http = tunnel.map(|listener| http::Open { listener, token_file: flags.vnode.tunnel_token_file.clone() });
    let settings = provider(flags);
    let tunnels = Tunnels { http, mqtt: mqtt(flags, &settings.client_id), trust: flags.vnode.tunnel_trust };
    let ground = Ground {
        ops: Ops::new(client.clone(), flags.api_concurrency, Arc::clone(&metrics), lease::identity()),
        agents: Arc::new(agents(flags)?),
        metrics: Arc::clone(&metrics),
        readiness: Arc::clone(&readiness),
    };
    if flags.role == Role::VNode {
        begin.stand_by();
        vnode::run(ground, settings, tunnels, stop).await;
        return Ok(());
    }
    // VNodes have Leases of their own: the provider works whether or not this process leads.
    let ending = stop.child_token();
    let provider = tokio::spawn(vnode::run(ground, settings, tunnels, ending.clone()));
    let result = elect(flags, client, metrics, readiness, begin, stop).await;
    ending.cancel();
    if let Err(error) = provider.await {
        tracing::warn!(%error, "the VNode provider did not end in good order");
    }
    result
}

/// What the VNode provider is told.
fn provider(flags: &Flags) -> provider::Settings {
    let own = &flags.vnode;
    provider::Settings {
        env: own.vnode_env.clone(),
        client_id: own.vnode_client_id.clone().unwrap_or_else(lease::identity),
        namespaces: flags.namespaces.clone(),
        discover: own.discover_bases.clone(),
        times: Times::default(),
        health_interval: flags.health_interval,
        biz_interval: BIZ_INTERVAL,
        drain: own.vnode_drain,
        watch_seconds: WATCH_SECONDS,
    }
}

/// What the controllers are told.
fn settings(flags: &Flags) -> Settings {
    Settings {
        care: Care { health_interval: flags.health_interval, min_free_metaspace: flags.min_free_metaspace },
        watch_seconds: WATCH_SECONDS,
        concurrency: CONCURRENCY,
        default_delivery: flags.default_delivery,
        vnode_env: flags.vnode.vnode_env.clone(),
    }
}

/// What the operator would do, without doing it: neither lease nor servers, and nothing is written.
pub async fn dry_run(flags: &Flags) -> Result<Report, Error> {
    let plan = rehearsal::Plan {
        client: client::connect(flags.kubeconfig()).await?,
        agents: Arc::new(agents(flags)?),
        namespaces: flags.namespaces.clone(),
        settings: settings(flags),
    };
    Ok(rehearsal::rehearse(plan).await?)
}

/// The MQTT tunnel that was asked for.
fn mqtt(flags: &Flags, client_id: &str) -> Option<mqtt::Open> {
    let own = &flags.vnode;
    let broker = own.mqtt_broker.as_ref()?;
    let files = tls::Files {
        ca: own.mqtt_ca_file.clone(),
        client: own.mqtt_client_cert_file.clone().zip(own.mqtt_client_key_file.clone()),
    };
    let address = Address {
        host: broker.host.clone(),
        port: broker.port,
        tls: broker.tls.then_some(files),
        version: match own.mqtt_version {
            MqttVersion::V3_1_1 => Version::V4,
            MqttVersion::V5 => Version::V5,
        },
        username: own.mqtt_username.clone(),
        password_file: own.mqtt_password_file.clone(),
        client_id: client_id.to_owned(),
    };
    let commands = Commands::new(Topics::new(&own.vnode_env), bounds(flags), mqtt::commands::RETURN_MS);
    Some(mqtt::Open { address, commands: Arc::new(commands) })
}

/// How long and how much to take from agents.
fn bounds(flags: &Flags) -> Bounds {
    Bounds { install: flags.install_timeout, ..Bounds::default() }
}

/// The way to agents at their addresses.
fn agents(flags: &Flags) -> Result<arklet::client::Client, Error> {
    Ok(arklet::client::Client::new(bounds(flags))?)
}

type Server = tokio::task::JoinHandle<Result<(), health::Error>>;

async fn serve(
    flags: &Flags,
    metrics: &Arc<Metrics>,
    readiness: &Arc<Readiness>,
    stop: &CancellationToken,
) -> Result<Vec<Server>, Error> {
    let mut servers = Vec::new();
    if let Some(listener) = health::bind(&flags.health_probe_bind_address, "--health-probe-bind-address").await? {
        let alive = Freshness::new("heartbeat", HEARTBEAT_STALE);
        tokio::spawn(alive.clone().keep(stop.clone()));
        servers.push(tokio::spawn(health::serve_probes(listener, alive, Arc::clone(readiness), stop.clone())));
    }
    if let Some(listener) = health::bind(&flags.metrics_bind_address, "--metrics-bind-address").await? {
        servers.push(tokio::spawn(health::serve_metrics(listener, Arc::clone(metrics), stop.clone())));
    }
    Ok(servers)
}

/// Leads with or without an election, until `stop`.
async fn elect(
    flags: &Flags,
    client: Client,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    begin: Begin,
    stop: CancellationToken,
) -> Result<(), Error> {
    let namespace = flags.lease_namespace();
    let identity = lease::identity();
    let work =
        Work { flags: flags.clone(), client: client.clone(), metrics, readiness, begin, identity: identity.clone() };
    if !flags.leader_elect {
        return work.lead(stop).await;
    }
    work.begin.stand_by();
    let config = LeaseConfig { identity, ..LeaseConfig::new(&namespace) };
    let (ended, end) = tokio::sync::oneshot::channel();
    let outcome = lease::run(config, client, stop, |stop| async move {
        // In a task of its own: the election renews the lease beside it and drops this future when it is lost.
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { work.lead(stop).await });
        if let Some(Ok(result)) = tasks.join_next().await {
            // Nobody waits any more only if the leadership is lost.
            let _ = ended.send(result);
        }
    })
    .await?;
    match outcome {
        lease::Outcome::Lost(loss) => Err(Error::LeaseLost(format!("{loss:?}"))),
        _ => end.await.unwrap_or(Ok(())),
    }
}

/// How far the process has begun: it is ready once every scope has its watches, or while it stands by.
#[derive(Clone)]
struct Begin {
    census: Arc<Census>,
    expected: Arc<AtomicUsize>,
}

impl Default for Begin {
    fn default() -> Self {
        Self { census: Arc::default(), expected: Arc::new(AtomicUsize::new(usize::MAX)) }
    }
}

impl Begin {
    fn stand_by(&self) {
        self.expect(0);
    }

    fn expect(&self, scopes: usize) {
        self.expected.store(scopes, Ordering::Release);
    }

    fn check(&self) -> impl Fn(Instant) -> Result<(), String> + Send + Sync + 'static + use<> {
        let begin = self.clone();
        move |_| match begin.census.scopes() >= begin.expected.load(Ordering::Acquire) {
            true => Ok(()),
            false => Err("the watches haven't begun".to_owned()),
        }
    }
}

/// What a leader does.
struct Work {
    flags: Flags,
    client: Client,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    begin: Begin,
    identity: String,
}

impl Work {
    /// Acts while no V1 does.
    async fn lead(self, stop: CancellationToken) -> Result<(), Error> {
        let ops =
            Ops::new(self.client.clone(), self.flags.api_concurrency, Arc::clone(&self.metrics), self.identity.clone());
        let flags = &self.flags;
        if flags.ignore_v1 {
            return self.act(ops, stop).await;
        }
        let home = Home { lease: flags.lease_namespace(), pod: flags.pod_namespace() };
        let lookout = Lookout::new(self.client.clone(), &flags.namespaces, home, flags.leader_elect).await;
        // Waiting isn't being unready, but for a V1 that doesn't go by itself.
        self.begin.stand_by();
        if !lookout.wait(&ops, &self.readiness, &stop).await {
            return Ok(());
        }
        let acting = stop.child_token();
        let work = self.act(ops, acting.clone());
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => result,
            Some(seen) = lookout.watch(&stop) => {
                acting.cancel();
                work.await?;
                Err(Error::Predecessor(seen.sentence))
            }
        }
    }

    async fn act(&self, ops: Ops, stop: CancellationToken) -> Result<(), Error> {
        self.metrics.set_leader(true);
        let result = self.control(ops, stop).await;
        self.metrics.set_leader(false);
        result
    }

    async fn control(&self, ops: Ops, stop: CancellationToken) -> Result<(), Error> {
        let agents: Arc<dyn Agents> = Arc::new(agents(&self.flags)?);
        let settings = settings(&self.flags);
        let census = Arc::clone(&self.begin.census);
        let scope = |namespace: Option<String>| Scope {
            nodes: namespace.is_none(),
            namespace,
            ops: ops.clone(),
            arklet: Arc::clone(&agents),
            metrics: Arc::clone(&self.metrics),
            readiness: Arc::clone(&self.readiness),
            settings: settings.clone(),
            census: Arc::clone(&census),
        };
        let scopes: Vec<Scope> = match self.flags.namespaces.as_slice() {
            [] => vec![scope(None)],
            namespaces => namespaces.iter().cloned().map(Some).map(scope).collect(),
        };
        self.begin.expect(scopes.len());
        let (counted, metrics, counting) = (Arc::clone(&census), Arc::clone(&self.metrics), stop.child_token());
        let counter = tokio::spawn(async move { counted.keep(metrics, counting).await });
        let mut running = tokio::task::JoinSet::new();
        for scope in scopes {
            running.spawn(run::run(scope, stop.clone()));
        }
        while running.join_next().await.is_some() {}
        counter.abort();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that a Go V2 beside this one, and whoever watches its VNodes, goes by.
    #[test]
    fn the_provider_keeps_the_contracts_times() {
        let args = ["manager", "vnode", "--discover-bases=app=base"].map(Into::into);
        let settings = provider(&Flags::parse_args(args).expect("good flags"));
        let (seconds, times) = (Duration::from_secs, settings.times);
        assert_eq!((settings.health_interval, settings.biz_interval), (seconds(10), seconds(15)));
        assert_eq!((times.lease.duration, times.lease.renew), (40_000, 10_000));
        assert_eq!((times.unreachable, times.dead), (25_000, 60_000));
        assert_eq!((settings.env.as_str(), settings.discover.as_deref()), ("dev", Some("app=base")));
    }
}
