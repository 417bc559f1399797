//! `module-controller`: parses flags and runs the operator.

use std::process::ExitCode;

use module_controller::{
    process,
    runtime::{
        flags::{Flags, Output},
        logging, shutdown,
    },
};

/// The system's allocators keep what a busy minute took (glibc) or are slow (musl, of which the image is made).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let flags = match Flags::parse_args(std::env::args_os()) {
        Ok(flags) => flags,
        Err(exit) => {
            if exit.code == 0 {
                print!("{}", exit.message);
            } else {
                eprintln!("{}", exit.message);
            }
            return ExitCode::from(exit.code);
        }
    };
    if let Err(error) = logging::init(flags.log_format, flags.log_level.as_deref()) {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    if flags.dry_run {
        return rehearse(&flags);
    }
    match serve(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what would be done; 2 where that can't be told.
#[tokio::main(flavor = "current_thread")]
async fn rehearse(flags: &Flags) -> ExitCode {
    match process::dry_run(flags).await {
        Ok(report) => {
            match flags.output {
                Output::Table => print!("{report}"),
                Output::Json => println!("{:#}", report.json()),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(2)
        }
    }
}

// One thread: the operator waits for others nearly all of its time. With more of them it took a tenth more memory and
// processor time, and was no faster.
#[tokio::main(flavor = "current_thread")]
async fn serve(flags: Flags) -> Result<(), process::Error> {
    let stop = shutdown::listen().map_err(process::Error::Signals)?;
    process::run(flags, stop).await
}
