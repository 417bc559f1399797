//! One file a verb: its options, and a thin shell that reads, asks [`super::view`] or [`super::change`], writes and prints.

pub mod abort;
pub mod apply;
pub mod ask;
pub mod bases;
pub mod completion;
pub mod confirm;
pub mod create;
pub mod get;
pub mod history;
mod leaders;
pub mod logs_why;
pub mod migrate;
mod objects;
pub mod pause;
mod read;
pub mod scale;
pub mod set_version;
mod shown;
pub mod status;
mod stdout;
pub mod support_bundle;
pub mod undo;
pub mod validate;
mod window;

pub use stdout::{Stdout, look_of_errors, remark};
