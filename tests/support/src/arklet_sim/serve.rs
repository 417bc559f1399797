//! The listener, and a connection from its acceptance to its end: event loops, faults, parsing, one command.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Shared;
use super::base::BaseCell;
use super::config::Fault;
use super::http::{self, Incoming};
use super::operate::{Parameters, Request};
use super::record::Command;
use super::reply;
use super::state::{BaseState, LOOPS};

/// Accepts for ever. All connections end with this future.
pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Which address was called is what tells one base from another.
                    if let Ok(local) = stream.local_addr() {
                        connections.spawn(connection(stream, local.ip(), Arc::clone(&shared)));
                    }
                }
                // Out of file descriptors, most likely: some close by themselves.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut stream: TcpStream, ip: IpAddr, shared: Arc<Shared>) {
    let base = shared.base(ip);
    let (event_loop, epoch, reset) = base.change(&shared, |state| {
        let event_loop = state.connections % LOOPS;
        state.connections += 1;
        state.counts.connections += 1;
        let reset = state.faults.iter().any(|f| f.fault == Fault::Reset && f.only.is_none());
        (event_loop, state.epoch, reset)
    });
    if reset {
        let _ = stream.set_zero_linger();
        return;
    }
    let (path, body) = match http::read(&mut stream).await {
        Incoming::Post(path, body) => (path, body),
        Incoming::NotPost => return http::say(stream, http::NOT_POST).await,
        Incoming::TooLarge => return http::refuse(stream, http::TOO_LARGE).await,
        Incoming::Nothing => return,
    };
    // The end of the JVM ends its connections too.
    let ended = |state: &BaseState| (state.epoch != epoch).then_some(());
    tokio::select! {
        biased;
        _ = base.wait(None, ended) => {}
        () = command(stream, &path, &body, Arc::clone(&base), shared, event_loop) => {}
    }
}

async fn command(
    mut stream: TcpStream,
    path: &str,
    body: &[u8],
    base: Arc<BaseCell>,
    shared: Arc<Shared>,
    event_loop: usize,
) {
    let command = Command::of(path);
    // A loop that carries out an operation reads nothing; it does so later, even if the client has given up by then.
    let free = |state: &BaseState| {
        let free = !state.config.hang_every_fourth_during_install || state.busy[event_loop] == 0;
        free.then_some(())
    };
    base.wait(None, free).await;
    // As in reality: no answer, and the connection stays.
    let Some(parameters) = Parameters::parse(body) else {
        return http::until_gone(&mut stream).await;
    };
    base.record(&shared, command, &parameters);
    let fault = base.change(&shared, |state| state.fault_for(command));
    let request = Request { base: Arc::clone(&base), shared: Arc::clone(&shared), command, parameters };
    match fault {
        None => {
            if let Some(answer) = occupying(request, event_loop).await {
                http::say(stream, &http::framed(&answer)).await;
            }
        }
        Some(fault) => misbehave(fault, stream, request, event_loop).await,
    }
}

/// Carries a command out; its event loop does nothing else meanwhile.
async fn occupying(request: Request, event_loop: usize) -> Option<String> {
    if !request.command.is_operation() {
        return request.answer().await;
    }
    let (base, shared) = (Arc::clone(&request.base), Arc::clone(&request.shared));
    let epoch = base.change(&shared, |state| {
        state.busy[event_loop] += 1;
        state.epoch
    });
    let answer = request.answer().await;
    base.change(&shared, |state| {
        if state.epoch == epoch {
            state.busy[event_loop] -= 1;
        }
    });
    answer
}

async fn misbehave(fault: Fault, mut stream: TcpStream, request: Request, event_loop: usize) {
    let base = Arc::clone(&request.base);
    match fault {
        Fault::Reset => {
            let _ = stream.set_zero_linger();
        }
        Fault::Hang => hang(&mut stream, &base).await,
        Fault::HangAfter => {
            occupying(request, event_loop).await;
            hang(&mut stream, &base).await;
        }
        Fault::CloseAfter => drop(occupying(request, event_loop).await),
        Fault::Truncated => {
            if let Some(answer) = occupying(request, event_loop).await {
                let bytes = http::framed(&answer);
                http::say(stream, &bytes[..bytes.len() - answer.len().div_ceil(2)]).await;
            }
        }
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            if let Some(answer) = occupying(request, event_loop).await {
                http::say(stream, &http::framed(&answer)).await;
            }
        }
        Fault::Throws(cause) => http::say(stream, &http::framed(&reply::threw(&cause, &[&cause]))).await,
        Fault::Status500 => {
            http::say(stream, b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\nout of order")
                .await;
        }
        Fault::Garbage => http::say(stream, &http::framed("<html>\u{1}\u{fffd} this is no JSON {{{")).await,
        Fault::Redirect(to) => {
            let head = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\n\r\n");
            http::say(stream, head.as_bytes()).await;
        }
        Fault::Huge => http::pour(stream).await,
    }
}

/// Says nothing until the client goes away or the faults are lifted.
async fn hang(stream: &mut TcpStream, base: &BaseCell) {
    let healed = |state: &BaseState| state.faults.is_empty().then_some(());
    // A fault that was for once is used up already: only the client ends that one.
    if base.read(|state| state.faults.is_empty()) {
        return http::until_gone(stream).await;
    }
    tokio::select! {
        _ = base.wait(None, healed) => {}
        () = http::until_gone(stream) => {}
    }
}
