//! The packets of MQTT 3.1.1 and 5 that this client needs, in one shape.
//!
//! Bytes are written and read by rumqttc. Everything is sent and taken at most once (QoS 0): a broker keeps no command for a
//! base that is away and delivers none twice, and what is lost is asked for again. Nothing is ever retained: there is no
//! field for it. A message that is too long is skipped and doesn't end the connection, or whoever may publish could keep us
//! from it. Must not: do IO.

use bytes::{Buf, BytesMut};
use rumqttc::{mqttbytes as v4, v5::mqttbytes as v5};
use tokio_util::codec::{Decoder, Encoder};

/// Longest packet that is taken; a list of biz may have as much as over HTTP.
pub const LONGEST: usize = 1 << 20;

/// The version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// A packet to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Begins a session that ends with the connection.
    Connect {
        /// The name of this client: no two may have it.
        client: String,
        /// A sign of life follows the last one after this time (seconds).
        keep_alive: u16,
        /// User and password.
        login: Option<(String, String)>,
    },
    /// Asks for all messages on these topics, and none that was retained before.
    Subscribe(Vec<String>),
    /// A message, never retained.
    Publish {
        /// Where to.
        topic: String,
        /// What.
        payload: Vec<u8>,
        /// After this time the broker shall forget it (seconds); MQTT 3.1.1 can't say it.
        expiry: u32,
    },
    /// A sign of life.
    Ping,
    /// Ends the session.
    Disconnect,
}

/// A packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The session begins. The broker may ask for signs of life more often (seconds).
    Connected(Option<u16>),
    /// There is no session, for this reason.
    Refused(String),
    /// Which subscriptions aren't granted, by their place.
    Subscribed(Vec<usize>),
    /// A message.
    Message {
        /// Where.
        topic: String,
        /// What.
        payload: Vec<u8>,
        /// Whether the broker had kept it: it is from before the subscription.
        retained: bool,
    },
    /// One of so many bytes was left out.
    TooLong(usize),
    /// The broker ends the session, for this reason.
    Ended(String),
    /// Anything else: at least the broker is there.
    Other,
}

/// What arrived isn't MQTT, or what is to be sent can't be.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A packet can't be read or written.
    #[error("this is no MQTT of the version asked for: {0}")]
    Packet(String),
}

/// Packets from bytes and back.
#[derive(Debug)]
pub struct Packets {
    version: Version,
    /// Bytes to come of a packet that is left out.
    skip: usize,
}

impl Packets {
    /// Of this version.
    pub fn new(version: Version) -> Self {
        Self { version, skip: 0 }
    }
}

impl Decoder for Packets {
    type Item = Incoming;
    type Error = Broken;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Incoming>, Broken> {
        let skipped = self.skip.min(bytes.len());
        bytes.advance(skipped);
        self.skip -= skipped;
        if self.skip > 0 {
            return Ok(None);
        }
        let Some(length) = length(bytes)? else { return Ok(None) };
        if length > LONGEST {
            self.skip = length;
            return Ok(Some(Incoming::TooLong(length)));
        }
        if bytes.len() < length {
            bytes.reserve(length - bytes.len());
            return Ok(None);
        }
        let mut packet = bytes.split_to(length);
        match self.version {
            Version::V4 => v4::v4::Packet::read(&mut packet, LONGEST).map(from_v4).map_err(broken).map(Some),
            Version::V5 => v5::v5::Packet::read(&mut packet, None).map(from_v5).map_err(broken).map(Some),
        }
    }
}

impl Encoder<Outgoing> for Packets {
    type Error = Broken;

    fn encode(&mut self, packet: Outgoing, bytes: &mut BytesMut) -> Result<(), Broken> {
        match self.version {
            Version::V4 => to_v4(packet).write(bytes, usize::MAX).map_err(broken)?,
            Version::V5 => to_v5(packet).write(bytes, None).map_err(broken)?,
        };
        Ok(())
    }
}

/// The length of the packet that begins here, once its head is there.
fn length(bytes: &BytesMut) -> Result<Option<usize>, Broken> {
    let mut rest = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        rest |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some(rest + place + 2));
        }
    }
    if bytes.len() < 5 { Ok(None) } else { Err(Broken::Packet("a length without end".to_owned())) }
}

fn broken(error: impl std::fmt::Display) -> Broken {
    Broken::Packet(error.to_string())
}

fn to_v4(packet: Outgoing) -> v4::v4::Packet {
    use v4::{QoS, v4::*};
    match packet {
        Outgoing::Connect { client, keep_alive, login } => {
            let mut connect = Connect::new(client);
            connect.keep_alive = keep_alive;
            connect.clean_session = true;
            if let Some((user, password)) = login {
                connect.set_login(user, password);
            }
            Packet::Connect(connect)
        }
        Outgoing::Subscribe(filters) => {
            let filters = filters.into_iter().map(|filter| SubscribeFilter::new(filter, QoS::AtMostOnce));
            let mut subscribe = Subscribe::new_many(filters);
            subscribe.pkid = 1;
            Packet::Subscribe(subscribe)
        }
        Outgoing::Publish { topic, payload, .. } => Packet::Publish(Publish::new(topic, QoS::AtMostOnce, payload)),
        Outgoing::Ping => Packet::PingReq,
        Outgoing::Disconnect => Packet::Disconnect,
    }
}

fn from_v4(packet: v4::v4::Packet) -> Incoming {
    use v4::v4::*;
    match packet {
        Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, .. }) => Incoming::Connected(None),
        Packet::ConnAck(ack) => Incoming::Refused(format!("{:?}", ack.code)),
        Packet::SubAck(ack) => {
            let denied = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Failure);
            Incoming::Subscribed(places(&ack.return_codes, denied))
        }
        Packet::Publish(Publish { topic, payload, retain, .. }) => {
            Incoming::Message { topic, payload: payload.into(), retained: retain }
        }
        Packet::Disconnect => Incoming::Ended("no reason given".to_owned()),
        _ => Incoming::Other,
    }
}

fn to_v5(packet: Outgoing) -> v5::v5::Packet {
    use v5::{QoS, v5::*};
    match packet {
        Outgoing::Connect { client, keep_alive, login } => {
            let mut properties = ConnectProperties::new();
            properties.session_expiry_interval = Some(0);
            properties.max_packet_size = u32::try_from(LONGEST).ok();
            let connect = Connect { keep_alive, client_id: client, clean_start: true, properties: Some(properties) };
            Packet::Connect(connect, None, login.map(|(user, password)| Login::new(user, password)))
        }
        Outgoing::Subscribe(filters) => {
            let filters = filters.into_iter().map(|filter| {
                let mut filter = Filter::new(filter, QoS::AtMostOnce);
                filter.retain_forward_rule = RetainForwardRule::Never;
                filter
            });
            let mut subscribe = Subscribe::new_many(filters, None);
            subscribe.pkid = 1;
            Packet::Subscribe(subscribe)
        }
        Outgoing::Publish { topic, payload, expiry } => {
            let properties =
                PublishProperties { message_expiry_interval: Some(expiry), ..PublishProperties::default() };
            Packet::Publish(Publish::new(topic, QoS::AtMostOnce, payload, Some(properties)))
        }
        Outgoing::Ping => Packet::PingReq(PingReq),
        Outgoing::Disconnect => Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)),
    }
}

fn from_v5(packet: v5::v5::Packet) -> Incoming {
    use v5::v5::*;
    match packet {
        Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, properties, .. }) => {
            Incoming::Connected(properties.and_then(|properties| properties.server_keep_alive))
        }
        Packet::ConnAck(ack) => Incoming::Refused(format!("{:?}", ack.code)),
        Packet::SubAck(ack) => {
            let denied = |code: &SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
            Incoming::Subscribed(places(&ack.return_codes, denied))
        }
        Packet::Publish(Publish { topic, payload, retain, .. }) => match String::from_utf8(topic.into()) {
            Ok(topic) => Incoming::Message { topic, payload: payload.into(), retained: retain },
            Err(_) => Incoming::Other,
        },
        Packet::Disconnect(end) => Incoming::Ended(format!("{:?}", end.reason_code)),
        _ => Incoming::Other,
    }
}

fn places<T>(codes: &[T], denied: impl Fn(&T) -> bool) -> Vec<usize> {
    codes.iter().enumerate().filter(|(_, code)| denied(code)).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests;
