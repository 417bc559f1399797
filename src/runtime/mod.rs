//! What every controller needs around it: the process (flags, logging, signals, lease, probes, metrics) and
//! the way to the API server.
//!
//! Must not: know what a module is; decisions are in [`crate::domain`], and what to do about them is in the
//! controllers.

pub mod bases;
pub mod cache;
pub mod client;
pub mod clock;
pub mod events;
pub mod flags;
pub mod health;
pub mod index;
pub mod kinds;
pub mod lease;
pub mod logging;
pub mod metadata;
pub mod metrics;
pub mod ops;
mod pace;
pub mod predecessor;
pub mod shutdown;
pub mod vnodes;
pub mod watch_health;
