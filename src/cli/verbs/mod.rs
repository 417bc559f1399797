//! One file a verb: its options, and a thin shell that reads, asks [`super::view`] or [`super::change`], writes and prints.

pub mod get;
mod read;
mod stdout;

pub use stdout::Stdout;
