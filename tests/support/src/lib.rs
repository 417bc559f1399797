//! The rig: what the tests and the benchmarks of the module controller run against.
//!
//! [`arklet_sim`] stands beside the operator and shares no code with it, so that a misreading of the agent's protocol can't hide
//! by being made on both sides. [`cluster`] runs the operator against a real API server; it reads and writes objects as JSON,
//! for the same reason. [`metrics_api`] is what autoscalers there read. [`bench`] is what the benchmarks measure with,
//! [`recording`] what shows terminal sessions, [`terminal`] a window to run a program in.

#![forbid(unsafe_code)]

pub mod arklet_sim;
pub mod bench;
pub mod cluster;
pub mod metrics_api;
pub mod recording;
pub mod terminal;
