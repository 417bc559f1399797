//! One file a verb: its options, and a thin shell that reads, asks [`super::view`] or [`super::change`], writes and prints.

pub mod completion;
pub mod create;
pub mod get;
pub mod migrate;
mod objects;
mod read;
mod stdout;
pub mod support_bundle;
pub mod validate;

pub use stdout::Stdout;
