//! As much HTTP/1.1 as an agent speaks, by hand: what matters in a simulator is the exact bytes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of a request's body, as the real agent's limit.
const MAX_BODY: usize = 1 << 20;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// What arrived on a connection.
pub(super) enum Incoming {
    /// A POST: the path without its slash, and the body.
    Post(String, Vec<u8>),
    /// Another method, or something that isn't HTTP.
    NotPost,
    /// A body over the limit.
    TooLarge,
    /// The client went away first.
    Nothing,
}

/// Reads one request.
pub(super) async fn read(stream: &mut TcpStream) -> Incoming {
    let mut bytes = Vec::with_capacity(1024);
    let head_end = loop {
        if let Some(position) = find_end(&bytes) {
            break position;
        }
        if bytes.len() > MAX_HEAD {
            return Incoming::NotPost;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(read) if read > 0 => {}
            _ => return Incoming::Nothing,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut body = bytes.split_off(head_end + 4);
    let Some((path, length)) = parse_head(&head) else {
        return Incoming::NotPost;
    };
    if length > MAX_BODY {
        return Incoming::TooLarge;
    }
    while body.len() < length {
        match stream.read_buf(&mut body).await {
            Ok(read) if read > 0 => {}
            _ => return Incoming::Nothing,
        }
    }
    body.truncate(length);
    Incoming::Post(path, body)
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// The path and the body's length of a POST.
fn parse_head(head: &str) -> Option<(String, usize)> {
    let mut lines = head.split("\r\n");
    let path = lines.next()?.strip_prefix("POST /")?.split(' ').next()?.to_owned();
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
    Some((path, length))
}

/// Sends bytes and closes. A client that is gone already is none of an agent's business.
pub(super) async fn say(mut stream: TcpStream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

/// Sends bytes and leaves the closing to the client.
pub(super) async fn refuse(mut stream: TcpStream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        until_gone(&mut stream).await;
    }
}

/// An answer as real agents frame it: no length, no type, the end of the connection is the end of the body.
pub(super) fn framed(body: &str) -> Vec<u8> {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    [HEAD, body.as_bytes()].concat()
}

/// The answer to anything but a POST, with the real agent's misspelt header.
pub(super) const NOT_POST: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent_Length: 42\r\n\r\nPOST http request only supported by arklet";

/// The answer to a body over the limit.
pub(super) const TOO_LARGE: &[u8] = b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n";

/// Sends 1 GiB of spaces, or as much as the client takes.
pub(super) async fn pour(mut stream: TcpStream) {
    let spaces = [b' '; 16 << 10];
    if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_err() {
        return;
    }
    for _ in 0..(1 << 30) / spaces.len() {
        if stream.write_all(&spaces).await.is_err() {
            return;
        }
    }
}

/// Waits for the client to go away.
pub(super) async fn until_gone(stream: &mut TcpStream) {
    let mut byte = [0; 64];
    while matches!(stream.read(&mut byte).await, Ok(read) if read > 0) {}
}
