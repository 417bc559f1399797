//! Which virtual node stands for which base: by the base's address.
//!
//! Follows the watch of nodes. Must not: decide what is done on a node, or keep anything of real ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::{cache::Cache, kinds::BaseNode};
use crate::api::vkeys::label;

/// The virtual nodes of a cluster.
pub struct VNodes {
    nodes: Arc<Cache<BaseNode>>,
    /// Only those of this environment count.
    env: String,
    by_ip: RwLock<BTreeMap<String, BTreeSet<String>>>,
}

impl VNodes {
    /// Those of the environment `env` among `nodes`.
    pub fn new(nodes: Arc<Cache<BaseNode>>, env: String) -> Self {
        Self { nodes, env, by_ip: RwLock::default() }
    }

    /// Takes note of a node as it is, or that it is gone. Says whose base's address is concerned.
    pub fn note(&self, node: &BaseNode, gone: bool) -> Option<String> {
        let ip = node.base_ip().filter(|_| node.is_virtual())?;
        let mut by_ip = self.by_ip.write().unwrap_or_else(PoisonError::into_inner);
        let wanted = node.labels().get(label::ENV) == Some(&self.env);
        if wanted && !gone {
            by_ip.entry(ip.to_owned()).or_default().insert(node.name_any());
        } else if let Some(names) = by_ip.get_mut(ip) {
            names.remove(&node.name_any());
            if names.is_empty() {
                by_ip.remove(ip);
            }
        }
        Some(ip.to_owned())
    }

    /// The node that stands for the base at this address; of several the first by name.
    pub fn at(&self, ip: &str) -> Option<Arc<BaseNode>> {
        let names = self.by_ip.read().unwrap_or_else(PoisonError::into_inner).get(ip).cloned()?;
        // One that has another address by now stands elsewhere.
        let mut nodes = names.iter().filter_map(|name| self.nodes.get(&ObjectRef::new(name)));
        nodes.find(|node| node.base_ip() == Some(ip))
    }
}
