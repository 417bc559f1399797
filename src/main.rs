//! `module-controller`: parses flags and runs the operator.

use std::process::ExitCode;

use module_controller::{
    process,
    runtime::{flags::Flags, logging, shutdown},
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
    match serve(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
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
