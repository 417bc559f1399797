//! What a showing verb shows: pure functions from objects and the time to view models, and from those to text.

pub mod bases;
pub mod batches;
pub mod diff;
pub mod events;
pub mod history;
pub mod observed;
pub mod standing;
pub mod status;
pub mod tree;
pub mod tree_text;
pub mod why;

pub use observed::Observed;

#[cfg(test)]
mod golden_tests;
