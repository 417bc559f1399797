//! The scrape's text: names, labels, units.

use super::*;

fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn everything_counted_is_in_the_scrape() {
    let metrics = Metrics::new();
    let modules = metrics.reconcile(Controller::Module);
    modules.observe(ReconcileResult::Settled, Duration::from_millis(3));
    modules.clone().observe(ReconcileResult::Timeout, Duration::from_secs(30));
    metrics.api_write(ApiResource::Module, ApiVerb::Status, ApiResult::Conflict);
    metrics.agent_call(AgentCommand::Install, AgentOutcome::Unknown, Duration::from_secs(20));
    metrics.set_sessions(7);
    metrics.set_modules(Phase::Available, 5);
    metrics.set_bases(BaseState::NotReady, 2);
    metrics.set_leader(true);
    let text = metrics.encode().unwrap();
    for (series, want) in [
        (r#"module_controller_reconciles_total{controller="module",result="settled"}"#, 1.0),
        (r#"module_controller_reconciles_total{controller="module",result="timeout"}"#, 1.0),
        (r#"module_controller_reconciles_total{controller="module",result="retry"}"#, 0.0),
        (r#"module_controller_reconcile_duration_seconds_count{controller="module"}"#, 2.0),
        (r#"module_controller_reconcile_duration_seconds_bucket{le="0.005",controller="module"}"#, 1.0),
        (r#"module_controller_reconcile_duration_seconds_bucket{le="30.0",controller="module"}"#, 2.0),
        (r#"module_controller_api_writes_total{resource="modules",verb="status",result="conflict"}"#, 1.0),
        (r#"module_controller_agent_calls_total{command="install",outcome="unknown"}"#, 1.0),
        (r#"module_controller_agent_call_duration_seconds_sum{command="install"}"#, 20.0),
        ("module_controller_sessions", 7.0),
        (r#"module_controller_modules{phase="available"}"#, 5.0),
        (r#"module_controller_modules{phase="pending"}"#, 0.0),
        (r#"module_controller_bases{state="not_ready"}"#, 2.0),
        ("module_controller_leader", 1.0),
        (concat!(r#"module_controller_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#), 1.0),
    ] {
        assert_eq!(value(&text, series), Some(want), "{series} in\n{text}");
    }
    for series in ["process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds"] {
        assert!(value(&text, series).is_some_and(|v| v > 0.0), "{series} in\n{text}");
    }
    assert!(value(&text, "process_cpu_seconds_total").is_some(), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_load_of_bases_is_told_by_base_deployment_and_forgotten_with_it() {
    let metrics = Metrics::new();
    let load = fleet::BaseLoad {
        namespace: "n".into(),
        deployment: "base".into(),
        modules: vec![1, 4, 4],
        waiting: [(WaitReason::Full, 3)].into(),
    };
    metrics.set_fleet(&[load]);
    let text = metrics.encode().unwrap();
    for (stat, want) in [("min", 1.0), ("average", 3.0), ("max", 4.0), ("wanted", 12.0)] {
        let series = format!(r#"module_controller_base_modules{{namespace="n",deployment="base",stat="{stat}"}}"#);
        assert_eq!(value(&text, &series), Some(want), "{series} in\n{text}");
    }
    for (reason, want) in [("full", 3.0), ("no_bases", 0.0)] {
        let series =
            format!(r#"module_controller_waiting_modules{{namespace="n",deployment="base",reason="{reason}"}}"#);
        assert_eq!(value(&text, &series), Some(want), "{series} in\n{text}");
    }
    metrics.set_fleet(&[]);
    assert!(!metrics.encode().unwrap().contains(r#"deployment="base""#));
}

#[test]
fn two_sets_share_nothing() {
    let (a, b) = (Metrics::new(), Metrics::new());
    a.set_sessions(3);
    assert_eq!(value(&b.encode().unwrap(), "module_controller_sessions"), Some(0.0));
}

#[test]
fn label_values_are_distinct_and_plain() {
    fn check<T: Copy + PartialEq + fmt::Debug>(all: &[T], text: fn(T) -> &'static str) {
        for (index, value) in all.iter().enumerate() {
            let word = text(*value);
            assert!(!word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{value:?}");
            assert!(all[..index].iter().all(|earlier| text(*earlier) != word), "{value:?} twice");
        }
    }
    check(&Controller::ALL, Controller::as_str);
    check(&ReconcileResult::ALL, ReconcileResult::as_str);
    check(&ApiResource::ALL, ApiResource::as_str);
    check(&ApiVerb::ALL, ApiVerb::as_str);
    check(&ApiResult::ALL, ApiResult::as_str);
    check(&AgentCommand::ALL, AgentCommand::as_str);
    check(&AgentOutcome::ALL, AgentOutcome::as_str);
    check(&Phase::ALL, Phase::as_str);
    check(&BaseState::ALL, BaseState::as_str);
    for (index, result) in ReconcileResult::ALL.into_iter().enumerate() {
        assert_eq!(result as usize, index, "handles are indexed by the variant's number");
    }
}
