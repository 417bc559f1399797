//! One connection to the broker, from its first byte to its last.
//!
//! Commands are taken from the moment on at which the broker has confirmed all subscriptions, so that no answer is missed,
//! and none outlives the connection: what wasn't written then was not sent. Must not: wait for anything without a bound, or
//! for whoever takes the messages.

use std::{future::Future, io, path::PathBuf, sync::Arc, time::Duration};

use futures::{Sink, SinkExt, Stream, StreamExt};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::{codec::Framed, sync::CancellationToken};

use super::{
    packets::{Broken, Incoming, Outgoing, Packets, Version},
    tls,
};

/// For each step of connecting, and for a packet to be written.
const STEP: Duration = Duration::from_secs(10);
/// Between two signs of life, unless the broker wants them more often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where the broker is and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS; `None`: whoever is on the way reads along.
    pub tls: Option<tls::Files>,
    /// MQTT's version.
    pub version: Version,
    /// The user.
    pub username: Option<String>,
    /// The file with the password; read at each connection.
    pub password_file: Option<PathBuf>,
    /// The name of this client, which no other may have.
    pub client_id: String,
}

/// Why there is no connection, or no longer; one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// No TCP connection.
    #[error("the broker {0} can't be reached: {1}")]
    Unreachable(String, String),
    /// The TLS handshake failed.
    #[error("no TLS with the broker: {0}; see --mqtt-ca-file, --mqtt-client-cert-file and --mqtt-broker")]
    Tls(String),
    /// A file of the own can't be used.
    #[error("{0}")]
    Files(String),
    /// The broker refuses the session.
    #[error("the broker refuses this client: {0}; see --mqtt-username, --mqtt-password-file and --mqtt-version")]
    Refused(String),
    /// The broker refuses a subscription.
    #[error("the broker lets this client not subscribe to {0}; allow it in the broker's access rules")]
    Denied(String),
    /// The broker ended it.
    #[error("the broker ended the connection: {0}")]
    ByBroker(String),
    /// The broker says nothing.
    #[error("the broker is silent")]
    Silent,
    /// It broke.
    #[error("the connection to the broker broke: {0}")]
    Broken(Broken),
}

impl From<Broken> for Ended {
    /// Where the broker refuses this client's certificate, TLS 1.3 says so only after the handshake has ended here.
    fn from(broken: Broken) -> Self {
        let refused = match &broken {
            Broken::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
            Broken::Packet(_) => None,
        };
        match refused {
            Some(alert @ rustls::Error::AlertReceived(_)) => Self::Tls(alert.to_string()),
            _ => Self::Broken(broken),
        }
    }
}

/// A message to be sent.
pub struct Parcel {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// For how long it may be of use (seconds).
    pub expiry: u32,
    /// Told once it is written, or broke off; dropped where it wasn't tried.
    pub written: oneshot::Sender<Result<(), String>>,
}

/// What happens on a connection.
pub trait Listener: Send + Sync {
    /// The subscriptions stand: parcels put in here are sent.
    fn open(&self, parcels: mpsc::Sender<Parcel>);
    /// A message arrived. Must not block.
    fn message(&self, topic: &str, payload: &[u8]);
    /// One of so many bytes was left out.
    fn too_long(&self, bytes: usize);
}

trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

type Wire = Framed<Box<dyn Pipe>, Packets>;

/// Connects, subscribes and carries messages until the connection ends; `Ok` once `stop` fired.
pub async fn run(
    address: &Address,
    filters: &[String],
    listener: &dyn Listener,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    let talk = async {
        let mut wire = Framed::new(connect(address).await?, Packets::new(address.version));
        let keep_alive = greet(&mut wire, address).await?;
        subscribe(&mut wire, filters, listener).await?;
        carry(wire, keep_alive, listener, stop).await
    };
    tokio::select! {
        ended = talk => ended,
        // While it carries it ends in good order by itself.
        () = async { stop.cancelled().await; tokio::time::sleep(STEP).await } => Ok(()),
    }
}

async fn connect(address: &Address) -> Result<Box<dyn Pipe>, Ended> {
    let unreachable = |why: String| Ended::Unreachable(format!("{}:{}", address.host, address.port), why);
    let connecting = bounded(TcpStream::connect((address.host.as_str(), address.port)));
    let stream = connecting.await.map_err(|error| unreachable(error.to_string()))?;
    // A command is one small packet.
    stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    let Some(files) = &address.tls else { return Ok(Box::new(stream)) };
    let config = tls::config(files).map_err(Ended::Files)?;
    let name = ServerName::try_from(address.host.clone()).map_err(|error| Ended::Tls(error.to_string()))?;
    let connecting = bounded(TlsConnector::from(Arc::new(config)).connect(name, stream));
    Ok(Box::new(connecting.await.map_err(|error| Ended::Tls(error.to_string()))?))
}

async fn bounded<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STEP, step).await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
}

/// Begins the session; gives the time between two signs of life.
async fn greet(wire: &mut Wire, address: &Address) -> Result<Duration, Ended> {
    let login = match &address.username {
        None => None,
        Some(user) => Some((user.clone(), password(address)?)),
    };
    let keep_alive = u16::try_from(KEEP_ALIVE.as_secs() * 2).unwrap_or(u16::MAX);
    send(wire, Outgoing::Connect { client: address.client_id.clone(), keep_alive, login }).await?;
    match receive(wire, STEP).await? {
        Incoming::Connected(asked) => Ok(between_signs(asked)),
        Incoming::Refused(why) => Err(Ended::Refused(why)),
        _ => Err(Ended::ByBroker("its first packet is no answer to ours".to_owned())),
    }
}

/// The time between two signs of life, where the broker asks for one within so many seconds; 0 asks for none.
fn between_signs(asked: Option<u16>) -> Duration {
    let asked = asked.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(u64::from(seconds.max(2))) / 2);
    asked.map_or(KEEP_ALIVE, |asked| asked.min(KEEP_ALIVE))
}

fn password(address: &Address) -> Result<String, Ended> {
    let Some(file) = &address.password_file else { return Ok(String::new()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Ended::Files(format!("the password file {} can't be read: {error}", file.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn subscribe(wire: &mut Wire, filters: &[String], listener: &dyn Listener) -> Result<(), Ended> {
    send(wire, Outgoing::Subscribe(filters.to_vec())).await?;
    let until = Instant::now() + STEP;
    loop {
        match receive(wire, until.saturating_duration_since(Instant::now())).await? {
            Incoming::Subscribed(denied) => {
                let denied = denied.first().and_then(|place| filters.get(*place));
                return denied.map_or(Ok(()), |filter| Err(Ended::Denied(filter.clone())));
            }
            packet => take(packet, listener)?,
        }
    }
}

/// Carries messages both ways. Reading and writing wait for nothing of each other: a broker that doesn't take what is
/// written goes on being read.
async fn carry(
    wire: Wire,
    keep_alive: Duration,
    listener: &dyn Listener,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    let (mut sink, mut stream) = wire.split();
    let (sender, mut parcels) = mpsc::channel(WAITING);
    listener.open(sender);
    let reading = async {
        loop {
            // Each sign of life is answered.
            let packet = receive(&mut stream, keep_alive * 2).await?;
            take(packet, listener)?;
        }
    };
    let writing = async {
        let mut ticks = tokio::time::interval(keep_alive);
        loop {
            tokio::select! {
                () = stop.cancelled() => return send(&mut sink, Outgoing::Disconnect).await,
                _ = ticks.tick() => send(&mut sink, Outgoing::Ping).await?,
                parcel = parcels.recv() => match parcel {
                    Some(parcel) => write(&mut sink, parcel).await?,
                    None => return Ok(()),
                },
            }
        }
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

/// Parcels that may wait to be written.
const WAITING: usize = 256;

async fn write(sink: &mut (impl Sink<Outgoing, Error = Broken> + Unpin), parcel: Parcel) -> Result<(), Ended> {
    // Nobody waits any more: a command that comes late is worse than none.
    if parcel.written.is_closed() {
        return Ok(());
    }
    let Parcel { topic, payload, expiry, written } = parcel;
    let sent = send(sink, Outgoing::Publish { topic, payload, expiry }).await;
    // Whoever asked may be gone by now.
    let _ = written.send(sent.as_ref().map_err(ToString::to_string).copied());
    sent
}

fn take(packet: Incoming, listener: &dyn Listener) -> Result<(), Ended> {
    match packet {
        Incoming::Message { topic, payload, retained: false } => listener.message(&topic, &payload),
        Incoming::Message { topic, .. } => {
            tracing::debug!(topic, "a retained message is from before and has no effect")
        }
        Incoming::TooLong(bytes) => listener.too_long(bytes),
        Incoming::Ended(why) => return Err(Ended::ByBroker(why)),
        Incoming::Refused(_) | Incoming::Connected(_) | Incoming::Subscribed(_) | Incoming::Other => {}
    }
    Ok(())
}

async fn receive(
    stream: &mut (impl Stream<Item = Result<Incoming, Broken>> + Unpin),
    time: Duration,
) -> Result<Incoming, Ended> {
    match timeout(time, stream.next()).await {
        Ok(Some(packet)) => Ok(packet?),
        Ok(None) => Err(Ended::ByBroker("no reason given".to_owned())),
        Err(_) => Err(Ended::Silent),
    }
}

async fn send(sink: &mut (impl Sink<Outgoing, Error = Broken> + Unpin), packet: Outgoing) -> Result<(), Ended> {
    timeout(STEP, sink.send(packet)).await.map_err(|_| Ended::Silent)?.map_err(Ended::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_life_follow_each_other_as_the_broker_asks() {
        for (asked, seconds) in
            [(None, 10), (Some(0), 10), (Some(1), 1), (Some(7), 3), (Some(20), 10), (Some(u16::MAX), 10)]
        {
            assert_eq!(between_signs(asked).as_secs(), seconds, "{asked:?}");
        }
    }
}
