//! Virtual nodes: a real API server, the real scheduler and controllers, the VNode provider, simulated bases.
//!
//! The vPods are of plain Deployments, StatefulSets, DaemonSets and by hand, or the operator makes them. Each test is a
//! story in a namespace of its own. The rig is [`rig::cluster`]: `make test`, or
//! `tests/control-plane/with-cluster -- cargo test --test vnode`.

mod contract;
mod delivery;
mod documented;
mod kinds;
mod lifecycle;
mod losses;
mod moving;
mod mqtt;
mod tunnel;
mod updates;
