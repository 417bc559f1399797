//! Where bases announce themselves.
//!
//! However an announcement travels ([`http`], [`mqtt`]), it ends in [`Reception`]: whether it is believed, which base it is about, and what
//! the base is told. How commands travel back to the base is the business of [`crate::arklet::agents::Agents`]. So another
//! way to bases is another module beside these and another arm in `ways.rs`.
//!
//! Must not: believe an address that no pod has, unless told so: whoever can announce a base gets the modules of others.

pub mod http;
pub mod mqtt;
pub mod wire;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt, api::ListParams};

use self::wire::{BaseMetadata, BaselineBiz, Heartbeat};
use super::{discovery, provider::Provider, state::Found, state::VNode};
use crate::{
    api::{keys, vkeys},
    arklet::{client::Endpoint, session::BaseId},
    domain::{names, vnode::node::VBase},
    runtime::{flags::TunnelTrust, kinds::BasePod},
};

/// For how long an address counts as that of the pod that it was found to be (milliseconds).
const BELIEVED_MS: i64 = 60_000;
/// No question to the API server may take longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A base that was heard within this time keeps its device, and its device stays its own (milliseconds); bases announce
/// themselves every 10 to 12 s.
const TAKEN_MS: i64 = 25_000;
/// For how long an address that no pod has isn't looked for again, where anybody may name it (milliseconds).
const UNKNOWN_MS: i64 = 5_000;
/// Addresses that are remembered as nobody's.
const UNKNOWN: usize = 4_096;

/// The tunnels that are open.
pub struct Tunnels {
    /// Over HTTP.
    pub http: Option<http::Open>,
    /// Over MQTT.
    pub mqtt: Option<mqtt::Open>,
    /// Who is believed.
    pub trust: TunnelTrust,
}

/// How an announcement came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over HTTP.
    Http {
        /// The address that it came from.
        peer: IpAddr,
    },
    /// Over MQTT: a broker doesn't tell where from.
    Mqtt {
        /// What the base calls itself in its topics.
        device: String,
    },
}

/// Why an announcement has no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It says too little, or nonsense.
    #[error("{0}")]
    Unusable(String),
    /// It isn't believed.
    #[error("{0}")]
    NotBelieved(String),
    /// It can't be checked now.
    #[error("{0}")]
    NotNow(String),
}

/// Takes announcements.
pub struct Reception {
    provider: Arc<Provider>,
    trust: TunnelTrust,
    /// The pod behind an address, and until when that is believed.
    pods: Mutex<HashMap<IpAddr, (BaseId, i64)>>,
    /// Addresses that no pod has, and until when that is believed.
    unknown: Mutex<HashMap<IpAddr, i64>>,
}

impl Reception {
    /// A reception that believes as `trust` says.
    pub fn new(provider: Arc<Provider>, trust: TunnelTrust) -> Self {
        Self { provider, trust, pods: Mutex::default(), unknown: Mutex::default() }
    }

    /// A base announces itself.
    pub async fn heartbeat(&self, way: Way, beat: Heartbeat) -> Result<(), Refusal> {
        let (via, peer, device) = match way {
            Way::Http { peer } => (vkeys::tunnel::HTTP, Some(peer), None),
            Way::Mqtt { device } => (vkeys::tunnel::MQTT, None, Some(device)),
        };
        let ip: IpAddr = beat
            .local_ip
            .parse()
            .map_err(|_| Refusal::Unusable(format!("localIP {:?} is no address", beat.local_ip)))?;
        // The device is where the base listens, whatever else it calls itself.
        let told = device.as_deref().unwrap_or(&beat.base_metadata.identity);
        if told.is_empty() {
            return Err(Refusal::Unusable("baseMetadata.identity is empty".to_owned()));
        }
        let identity = names::identity(told);
        let id = match self.trust {
            TunnelTrust::Pod => self.pod_at(ip, peer).await?,
            // One that has no pod has its identity.
            TunnelTrust::Anybody => {
                BaseId { namespace: String::new(), pod: identity.clone(), uid: format!("announced/{identity}") }
            }
        };
        let port = beat.port.filter(|port| *port > 0).unwrap_or(keys::ARKLET_DEFAULT_PORT);
        let known = self.provider.bases.of_pod(&id.uid);
        let before = known.as_ref().and_then(|vnode| vnode.state().found.clone());
        if let Some(device) = &device {
            self.check_device(&id, device)?;
        }
        let vnode = match known.filter(|_| before.as_ref().is_some_and(is_discovered)) {
            // Its pod tells more than it does.
            Some(vnode) => vnode,
            None => self.provider.found(Found {
                facts: VBase {
                    identity: match &before {
                        Some(before) => before.facts.identity.clone(),
                        None => self.known_identity(via, ip)?.unwrap_or(identity),
                    },
                    name: beat.base_metadata.name,
                    version: beat.base_metadata.version,
                    cluster: beat.base_metadata.cluster_name,
                    ip: ip.to_string(),
                    hostname: beat.local_host_name,
                    port,
                    tunnel: via,
                    env: self.provider.settings.env.clone(),
                },
                id,
                at: Endpoint { ip, port },
                restarts: before.map_or(0, |before| before.restarts),
                device,
            }),
        };
        let active = beat.state.is_empty() || beat.state.eq_ignore_ascii_case("ACTIVATED");
        vnode.state().heard.inactive = !active;
        vnode.answered(self.provider.clock.now(), None, None);
        Ok(())
    }

    /// The identity of the VNode that stands for this address already, from before this process began. Some bases say
    /// another one with every announcement.
    fn known_identity(&self, via: &str, ip: IpAddr) -> Result<Option<String>, Refusal> {
        let nodes = &self.provider.nodes;
        if !nodes.is_complete() {
            return Err(Refusal::NotNow("the VNodes aren't known yet".to_owned()));
        }
        let ip = ip.to_string();
        let stands_for = |node: &Node| {
            let addresses = node.status.iter().filter_map(|status| status.addresses.as_ref()).flatten();
            let here = addresses.into_iter().any(|known| known.type_ == "InternalIP" && known.address == ip);
            here && node.labels().get(vkeys::label::TUNNEL).map(String::as_str) == Some(via)
        };
        let found = nodes.all().into_iter().find(|node| stands_for(node));
        let suffix = format!(".{}", self.provider.settings.env);
        Ok(found.and_then(|node| Some(node.name_any().strip_prefix("vnode.")?.strip_suffix(&suffix)?.to_owned())))
    }

    /// Whether a base may be this device. A broker doesn't tell who announces a pod's address: whoever was there first is
    /// believed while it is heard.
    fn check_device(&self, id: &BaseId, device: &str) -> Result<(), Refusal> {
        let now = self.provider.clock.now();
        let present = |vnode: &VNode| {
            let state = vnode.state();
            let heard = state.heard.answered.is_some_and(|at| now.saturating_sub(at) < TAKEN_MS);
            state.found.clone().filter(|_| heard)
        };
        let own = self.provider.bases.of_pod(&id.uid).and_then(|vnode| present(&vnode));
        let own = own.and_then(|found| found.device);
        match own {
            Some(own) if own == device => return Ok(()),
            Some(own) => {
                let pod = &id.pod;
                return Err(Refusal::NotBelieved(format!("the pod {pod} is announced as {own} already, not {device}")));
            }
            None => {}
        }
        let others = self.provider.bases.all();
        let mut others = others.iter().filter_map(|vnode| present(vnode)).filter(|found| found.id.uid != id.uid);
        match others.find(|found| found.device.as_deref() == Some(device)) {
            Some(other) => {
                Err(Refusal::NotBelieved(format!("{device} is the pod {} already, not {}", other.id.pod, id.pod)))
            }
            None => Ok(()),
        }
    }

    /// What the base of a device should have; `None` where another provider looks after it, or nobody knows it yet.
    pub fn baseline_of_device(&self, device: &str) -> Option<Vec<BaselineBiz>> {
        let is_meant = |vnode: &Arc<VNode>| {
            let state = vnode.state();
            state.acts && state.found.as_ref().is_some_and(|found| found.device.as_deref() == Some(device))
        };
        let vnode = self.provider.bases.all().into_iter().find(is_meant)?;
        Some(self.modules_on(&vnode))
    }

    /// What a base should have: the modules of the vPods that are bound to its VNode.
    pub fn baseline(&self, peer: IpAddr, base: &BaseMetadata) -> Vec<BaselineBiz> {
        let name = vkeys::vnode_name(&names::identity(&base.identity), &self.provider.settings.env);
        let address = |vnode: &Arc<VNode>| vnode.state().found.as_ref().map(|found| found.at.ip);
        let bases = &self.provider.bases;
        // The identity of some bases changes from one announcement to the next; their address doesn't.
        let by_address = || bases.all().into_iter().find(|vnode| address(vnode) == Some(peer));
        let vnode = match self.trust {
            TunnelTrust::Pod => by_address(),
            TunnelTrust::Anybody => bases.named(&name).or_else(by_address),
        };
        vnode.map(|vnode| self.modules_on(&vnode)).unwrap_or_default()
    }

    fn modules_on(&self, vnode: &VNode) -> Vec<BaselineBiz> {
        let pods = self.provider.pods.on(&vnode.name);
        let staying = pods.iter().filter(|pod| !pod.deleting);
        let modules = staying.flat_map(|pod| &pod.modules).filter_map(|module| {
            Some(BaselineBiz {
                biz_name: module.name.clone(),
                biz_version: module.version.clone()?,
                biz_url: module.image.clone(),
            })
        });
        modules.collect()
    }

    /// The running pod that has this address; the announcement has to come from there, where it is known where it comes from.
    async fn pod_at(&self, ip: IpAddr, peer: Option<IpAddr>) -> Result<BaseId, Refusal> {
        if let Some(peer) = peer.filter(|peer| *peer != ip) {
            return Err(Refusal::NotBelieved(format!("{peer} announces a base at {ip}")));
        }
        let now = self.provider.clock.now();
        let known = self.pods.lock().unwrap_or_else(PoisonError::into_inner).get(&ip).cloned();
        if let Some((id, until)) = known
            && now < until
        {
            return Ok(id);
        }
        let nobody = || Refusal::NotBelieved(format!("no running pod has the address {ip}"));
        if peer.is_none() && self.unknown().get(&ip).is_some_and(|until| now < *until) {
            return Err(nobody());
        }
        let found = self.look_for(ip).await.map_err(Refusal::NotNow)?;
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.retain(|_, (_, until)| now < *until);
        match found {
            Some(id) => {
                pods.insert(ip, (id.clone(), now + BELIEVED_MS));
                Ok(id)
            }
            None => {
                let mut unknown = self.unknown();
                unknown.retain(|_, until| now < *until);
                if unknown.len() < UNKNOWN {
                    unknown.insert(ip, now + UNKNOWN_MS);
                }
                Err(nobody())
            }
        }
    }

    fn unknown(&self) -> MutexGuard<'_, HashMap<IpAddr, i64>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_for(&self, ip: IpAddr) -> Result<Option<BaseId>, String> {
        let settings = &self.provider.settings;
        let params = ListParams::default().fields(&format!("status.podIP={ip}"));
        for scope in settings.scopes() {
            let client = self.provider.ops.client();
            let api: Api<BasePod> = match &scope {
                Some(namespace) => Api::namespaced(client, namespace),
                None => Api::all(client),
            };
            let listed = match tokio::time::timeout(TIMEOUT, api.list(&params)).await {
                Ok(Ok(listed)) => listed,
                Ok(Err(error)) => return Err(format!("the pod can't be looked for: {error}")),
                Err(_) => return Err("the API server doesn't answer in time".to_owned()),
            };
            let found = listed.items.iter().find_map(|pod| discovery::base_of(pod, &settings.env));
            if let Some(found) = found {
                return Ok(Some(found.id));
            }
        }
        Ok(None)
    }
}

fn is_discovered(found: &Found) -> bool {
    found.facts.tunnel == vkeys::tunnel::DISCOVERY
}
