//! Taking over a cluster from the Go ModuleController V1: a real API server with objects as V1 leaves them, simulated bases
//! that run what V1 installed there, and the operator started over both.
//!
//! [`cluster`] is a whole one, written down from a running V1 (`tests/fixtures/v1`); [`stories`] has one state each, made
//! from V1's contract. [`running_v1`]: a V1 that still runs; [`rehearsal`]: the dry run; [`way_back`]: back to V1;
//! [`manual`]: the commands of docs/migration.md. The rig is [`rig::cluster`]: `make test`, or
//! `tests/control-plane/with-cluster -- cargo test --test migration`.

mod cluster;
mod dump;
mod leftovers;
mod manual;
mod process;
mod rehearsal;
mod running_v1;
mod stories;
mod v1;
mod v1_kinds;
mod way_back;
