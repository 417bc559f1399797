//! Module controller.
pub mod api;
pub mod arklet;
pub mod controllers;
pub mod domain;
pub mod process;
pub mod runtime;
