//! The rig: what the tests and the benchmarks of the module controller run against.
//!
//! It stands beside the operator and shares no code with it, so that a misreading of the agent's protocol can't hide by being
//! made on both sides.

#![forbid(unsafe_code)]

pub mod arklet_sim;
