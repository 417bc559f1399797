//! Arklet, the agent in every base: what it says, and how to ask it.

pub mod agents;
pub mod client;
pub(crate) mod outcome;
pub mod session;
pub mod wire;
