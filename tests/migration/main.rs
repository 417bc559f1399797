//! Taking over a cluster from the Go ModuleController V1: a real API server with objects as V1 leaves them, simulated bases
//! that run what V1 installed there, and the operator started over both.
//!
//! [`cluster`] is a whole one, written down from a running V1 (`tests/fixtures/v1`); [`stories`] has one state each, made
//! from V1's contract. The rig is [`rig::cluster`]: `make test`, or
//! `tests/control-plane/with-cluster -- cargo test --test migration`.

mod cluster;
mod dump;
mod stories;
mod v1;
