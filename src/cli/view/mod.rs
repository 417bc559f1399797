//! What a showing verb shows: pure functions from objects and the time to view models, and from those to text.

mod observed;
pub mod standing;
pub mod tree;
pub mod tree_text;

pub use observed::Observed;
