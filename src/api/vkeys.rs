//! Names of the second generation (virtual nodes and module pods): labels, taints, values.
//!
//! Everything here is the contract with the Go ModuleController V2 and must not change by a byte. Its documentation and
//! its code don't agree on some keys, so that manifests written after either exist: the current key is written together
//! with the older one, and either is read ([`read_either`]). Must not: decide anything.

use std::collections::BTreeMap;

/// Labels as the newest V2 writes them.
pub mod label {
    /// What an object is; the values are in [`super::component`].
    pub const COMPONENT: &str = "virtual-kubelet.koupleless.io/component";
    /// The environment of a VNode, and of its Lease.
    pub const ENV: &str = "virtual-kubelet.koupleless.io/env";
    /// On a VNode: the base's name, by which modules choose their bases.
    pub const BASE_NAME: &str = "base.koupleless.io/name";
    /// On a VNode: the base's version.
    pub const BASE_VERSION: &str = "base.koupleless.io/version";
    /// On a VNode: the tunnel that found the base; the values are in [`super::tunnel`].
    pub const TUNNEL: &str = "vnode.koupleless.io/tunnel";
    /// On a VNode: what the base is made with; [`super::STACK_JAVA`].
    pub const STACK: &str = "base.koupleless.io/stack";
    /// On a VNode: the cluster that the base counts itself to. Peer Deployments follow the VNodes of one cluster.
    pub const CLUSTER_NAME: &str = "base.koupleless.io/cluster-name";
    /// On a VNode: the base's host name.
    pub const HOST_NAME: &str = "base.koupleless.io/host-name";
    /// On a VNode: the port of the base's agent.
    pub const TUNNEL_PORT: &str = "base.koupleless.io/tunnel-port";
    /// On a Deployment of vPods: [`super::STRATEGY_PEER`] makes its replicas follow the number of VNodes.
    pub const STRATEGY: &str = "virtual-kubelet.koupleless.io/strategy";
    /// On a Deployment of vPods: `true` takes it out of the control of its replicas (true means *skip*).
    pub const REPLICAS_CONTROL: &str = "virtual-kubelet.koupleless.io/replicas-control";
    /// On a VNode: `agent`, which `kubectl get nodes` shows as its role.
    pub const ROLE: &str = "kubernetes.io/role";
    /// On a VNode: `virtual-kubelet`, by which other software knows a node without machine.
    pub const TYPE: &str = "type";
    /// On a node: its host name. Unique, because pod anti-affinity counts by it.
    pub const KUBERNETES_HOSTNAME: &str = "kubernetes.io/hostname";
}

/// Labels as the V2's documentation and older code write them.
pub mod older {
    /// For [`super::label::COMPONENT`].
    pub const COMPONENT: &str = "module-controller.koupleless.io/component";
    /// For [`super::label::BASE_NAME`].
    pub const BASE_NAME: &str = "vnode.koupleless.io/name";
    /// For [`super::label::BASE_VERSION`].
    pub const BASE_VERSION: &str = "vnode.koupleless.io/version";
    /// For [`super::label::STRATEGY`].
    pub const STRATEGY: &str = "module-controller.koupleless.io/strategy";
    /// For [`super::label::REPLICAS_CONTROL`].
    pub const REPLICAS_CONTROL: &str = "module-controller.koupleless.io/replicas-control";
}

/// Values of [`label::COMPONENT`].
pub mod component {
    /// A node that stands for a base.
    pub const VNODE: &str = "vnode";
    /// The Lease of such a node.
    pub const VNODE_LEASE: &str = "vnode-lease";
    /// A pod that stands for modules in a base.
    pub const MODULE: &str = "module";
    /// A Deployment of such pods.
    pub const MODULE_DEPLOYMENT: &str = "module-deployment";
}

/// Values of [`label::TUNNEL`].
pub mod tunnel {
    /// The base announces itself over MQTT.
    pub const MQTT: &str = "mqtt_tunnel_provider";
    /// The base announces itself over HTTP.
    pub const HTTP: &str = "http_tunnel_provider";
    /// The base was found by its pod. This operator's own value.
    pub const DISCOVERY: &str = "pod_discovery";
}

/// Keys of the taints of a VNode, both with effect `NoExecute`.
pub mod taint {
    /// Keeps pods that aren't modules away; its value is [`super::VIRTUAL_NODE_TRUE`].
    pub const VIRTUAL_NODE: &str = "schedule.koupleless.io/virtual-node";
    /// Keeps modules of other environments away; its value is the environment.
    pub const NODE_ENV: &str = "schedule.koupleless.io/node-env";
    /// The effect of both.
    pub const EFFECT: &str = "NoExecute";
}

/// The value of [`taint::VIRTUAL_NODE`].
pub const VIRTUAL_NODE_TRUE: &str = "True";
/// The value of [`label::STACK`].
pub const STACK_JAVA: &str = "java";
/// The value of [`label::STRATEGY`] that makes a Deployment follow the VNodes.
pub const STRATEGY_PEER: &str = "peer";
/// The value of [`label::ROLE`] on a VNode.
pub const ROLE_AGENT: &str = "agent";
/// The value of [`label::TYPE`] on a VNode.
pub const TYPE_VIRTUAL_KUBELET: &str = "virtual-kubelet";
/// The environment variable of a vPod's container that holds the module's version.
pub const BIZ_VERSION_ENV: &str = "BIZ_VERSION";
/// What the image of a container has in it if the container stands for a module.
pub const JAR: &str = ".jar";
/// Where the Leases of all nodes are.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The value of a label under its current key, or else under its older one.
pub fn read_either<'a>(labels: &'a BTreeMap<String, String>, current: &str, older: &str) -> Option<&'a str> {
    labels.get(current).or_else(|| labels.get(older)).map(String::as_str)
}

/// The VNode's name: of its Node and of its Lease.
pub fn vnode_name(identity: &str, env: &str) -> String {
    format!("vnode.{identity}.{env}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_key_is_read_before_the_older_one() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let read = |pairs| read_either(&labels(pairs), label::COMPONENT, older::COMPONENT).map(str::to_owned);
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[(older::COMPONENT, "module")]).as_deref(), Some("module"));
        assert_eq!(read(&[(older::COMPONENT, "a"), (label::COMPONENT, "b")]).as_deref(), Some("b"));
    }
}
