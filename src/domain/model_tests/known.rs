//! What is known to be broken, and when: the rules look away there, and nowhere else.
//!
//! Each function is one fault of a plan, with its shortest course. Whoever mends the plan takes the function out, and
//! the rule bites. Nothing may be added here without such a course.

use super::{
    events::Config,
    state::{Base, State},
};

/// `uninstall_then_install` on fewer bases than D: the old Module must stay, because nothing else serves, and the new
/// one waits beside it for an end that never comes. That is as it should be, but nobody is told: it counts as placed.
pub fn untold(config: &Config, state: &State) -> bool {
    let shut_out = |base: &Base| base.places().count() > 1 && base.serves();
    let short = state.bases.len() < usize::from(state.desired);
    config.policy == "uninstall_then_install" && short && state.bases.iter().any(shut_out)
}
