//! Module controller.
pub mod api;
pub mod arklet;
pub mod domain;
