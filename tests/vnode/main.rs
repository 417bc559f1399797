//! Virtual nodes: a real API server, the real scheduler and controllers, the VNode provider, simulated bases.
//!
//! Nothing here needs the operator: the vPods are of plain Deployments, StatefulSets, DaemonSets and by hand. Each test is a
//! story in a namespace of its own. The rig is [`rig::cluster`]: `make test`, or
//! `tests/control-plane/with-cluster -- cargo test --test vnode`.

mod kinds;
mod lifecycle;
mod losses;
mod updates;
