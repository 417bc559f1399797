//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends the process at once.
//!
//! Must not: do any of the ending itself; whoever holds the token does.

use std::io;

use futures::StreamExt;
use futures::stream::{self, Stream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Starts to listen for signals. The token is cancelled by the first one; a second one exits with
/// 128 + its number, as a shell reports a process that a signal has killed.
///
/// Fails if the handlers can't be installed. Needs a Tokio runtime.
pub fn listen() -> io::Result<CancellationToken> {
    let signals = stream::select(arrivals(SignalKind::terminate())?, arrivals(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    tokio::spawn(attend(signals, token.clone(), |code| std::process::exit(code)));
    Ok(token)
}

fn arrivals(kind: SignalKind) -> io::Result<impl Stream<Item = i32> + Send + Unpin> {
    let number = kind.as_raw_value();
    let next = move |mut signal: Signal| async move {
        signal.recv().await?;
        Some((number, signal))
    };
    Ok(stream::unfold(signal(kind)?, next).boxed())
}

async fn attend(
    mut signals: impl Stream<Item = i32> + Send + Unpin,
    token: CancellationToken,
    exit: impl FnOnce(i32) + Send,
) {
    let Some(first) = signals.next().await else {
        return;
    };
    info!(signal = first, "shutting down; a second signal ends at once");
    token.cancel();
    if let Some(second) = signals.next().await {
        warn!(signal = second, "second signal: ending at once");
        exit(128 + second);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI32, Ordering};

    use futures::channel::mpsc;

    use super::*;

    #[tokio::test]
    async fn first_cancels_second_exits() {
        let (mut send, signals) = mpsc::channel(4);
        let (token, code) = (CancellationToken::new(), std::sync::Arc::new(AtomicI32::new(0)));
        let (watched, exited) = (token.clone(), code.clone());
        let attending = tokio::spawn(attend(signals, token, move |c| exited.store(c, Ordering::SeqCst)));
        tokio::task::yield_now().await;
        assert!(!watched.is_cancelled());

        send.try_send(15).unwrap();
        watched.cancelled().await;
        assert_eq!(code.load(Ordering::SeqCst), 0);

        send.try_send(2).unwrap();
        attending.await.unwrap();
        assert_eq!(code.load(Ordering::SeqCst), 130);
    }

    #[tokio::test]
    async fn the_end_of_the_stream_is_no_signal() {
        let token = CancellationToken::new();
        attend(stream::empty(), token.clone(), |_| panic!("no signal, no exit")).await;
        assert!(!token.is_cancelled());
    }

    #[tokio::test]
    async fn handlers_install() {
        assert!(!listen().unwrap().is_cancelled());
    }
}
