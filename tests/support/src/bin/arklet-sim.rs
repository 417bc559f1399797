//! The simulator on its own, for benchmarks: every address of this machine is a base until SIGTERM, then the counts are
//! printed as one line of JSON.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rig::arklet_sim::{BaseConfig, Sim};
use tokio::signal::unix::{SignalKind, signal};

/// Simulated bases on every address of this machine.
#[derive(Parser)]
struct Flags {
    /// Port on which all of them listen.
    #[arg(long, default_value_t = 1238)]
    port: u16,
    /// How long each install takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    install_delay_ms: u64,
    /// How long each uninstall takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    uninstall_delay_ms: u64,
    /// A second version of a name becomes the active one.
    #[arg(long)]
    activate_new: bool,
    /// Connections to the event loop of a running operation wait for its end, as on a real base.
    #[arg(long)]
    event_loops: bool,
}

// One thread is enough for thousands of calls a second, and leaves the machine to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let config = BaseConfig {
        install_delay: Duration::from_millis(flags.install_delay_ms),
        uninstall_delay: Duration::from_millis(flags.uninstall_delay_ms),
        activate_new: flags.activate_new,
        hang_every_fourth_during_install: flags.event_loops,
        log_questions: false,
        ..BaseConfig::default()
    };
    match run(flags.port, config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("arklet-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(port: u16, config: BaseConfig) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sim = Sim::start_with(port, config).await?;
    eprintln!("arklet-sim: listening on port {}", sim.port());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let violations = sim.violations();
    let report = serde_json::json!({"bases": sim.addresses().len(), "counts": sim.totals(), "violations": violations});
    println!("{report}");
    Ok(())
}
