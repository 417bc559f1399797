//! The whole system: a real API server, the operator, simulated bases, and what a user does and sees.
//!
//! Each test is a story in a namespace of its own; they run side by side and are mostly waiting, so
//! `RUST_TEST_THREADS=8` is right even for two cores. The rig is [`rig::cluster`]: `make test`, or
//! `tests/control-plane/with-cluster -- cargo test --test scenarios`.

mod base_rollout;
mod batches;
mod commands;
mod deadline;
mod deletion;
mod elastic;
mod faults;
mod input;
mod jars;
mod lifecycle;
mod manifests;
mod ownership;
mod peer;
mod quota;
mod restarts;
mod scale;
mod service;
mod shared;
mod timelines;
mod tool;
mod upgrade;
mod walk;
