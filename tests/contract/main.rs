//! The contract with a real API server: what V1 stored is read and written without loss, what the schema and the
//! admission policy let in, what the installed role may do, and what the API server does by itself.
//!
//! No operator runs here, but in `hpa`, where a real autoscaler and the operator meet, and in `rollout`, where its replicas
//! take turns. The server is the one of
//! KUBECONFIG; `tests/control-plane/with-cluster` starts one. Tests run side by side, each in a namespace of its own, and
//! wait for conditions, never for a time.

mod cascade;
mod chart;
mod chart_provider;
mod chart_values;
mod cluster;
mod columns;
mod events;
mod flow_control;
mod hpa;
mod install;
mod limits;
mod owners;
mod policies;
mod refused;
mod rights;
mod rollout;
mod scale;
mod schema;
mod stored;
mod v1;
mod verdict;
