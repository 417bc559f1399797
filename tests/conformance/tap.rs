//! A relay between the client and a base that keeps what the base said: an operation can't be asked for twice, once for its
//! words and once for what the client makes of them.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use module_controller::arklet::client::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A relay for one connection.
pub struct Tap {
    pub at: Endpoint,
    heard: Arc<Mutex<Vec<u8>>>,
    relay: JoinHandle<()>,
}

impl Tap {
    /// Listens for one connection to hand on to `base`.
    pub async fn to(base: Endpoint) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let at = listener.local_addr().expect("its address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let relay = tokio::spawn(relay(listener, base, Arc::clone(&heard)));
        Self { at: Endpoint { ip: at.ip(), port: at.port() }, heard, relay }
    }

    /// What the base said so far.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("no panic").clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn relay(listener: TcpListener, base: Endpoint, heard: Arc<Mutex<Vec<u8>>>) {
    let Ok((client, _)) = listener.accept().await else {
        return;
    };
    let Ok(base) = TcpStream::connect((base.ip, base.port)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_base, mut to_base) = base.into_split();
    let answer = async {
        let mut buffer = [0; 4096];
        while let Ok(read) = from_base.read(&mut buffer).await {
            if read == 0 {
                break;
            }
            heard.lock().expect("no panic").extend_from_slice(&buffer[..read]);
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    // The client sends no end before it leaves: when it does, the base's connection goes too.
    tokio::select! {
        () = answer => {}
        _ = copy(&mut from_client, &mut to_base) => {}
    }
}
