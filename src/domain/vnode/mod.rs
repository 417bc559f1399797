//! Virtual nodes: every base a node, every module a pod on it.
//!
//! | question | file |
//! |---|---|
//! | what does the Node of a base look like, what differs from it | `node` |
//! | whose is the Lease of a VNode, when is it renewed or taken over | `lease` |
//! | what to do about a VNode now: make it, report it, end it | `keep` |
//! | which modules does a vPod ask for, what becomes of it | `vpod` |
//! | what does a vPod's status say | `status` |
//! | in which order are statuses written, so that traffic never ends | `order` |
//! | how many replicas does a peer Deployment have | `peer` |

pub mod keep;
pub mod lease;
pub mod node;
pub mod order;
pub mod peer;
pub mod status;
pub mod vpod;
