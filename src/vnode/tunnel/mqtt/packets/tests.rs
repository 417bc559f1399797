//! Bytes of both versions, cut and spoilt.

use super::*;

const BOTH: [Version; 2] = [Version::V4, Version::V5];

fn encoded(version: Version, packet: Outgoing) -> BytesMut {
    let mut bytes = BytesMut::new();
    Packets::new(version).encode(packet, &mut bytes).expect("it can be written");
    bytes
}

/// What we send is what a broker would send on: a message, as it reads it.
fn message(topic: &str, payload: &[u8]) -> Outgoing {
    Outgoing::Publish { topic: topic.to_owned(), payload: payload.to_vec(), expiry: 10 }
}

#[test]
fn a_message_arrives_as_it_left_however_it_is_cut() {
    for version in BOTH {
        let whole = encoded(version, message("a/b", b"hello"));
        for cut in 0..whole.len() {
            let mut packets = Packets::new(version);
            let mut bytes = BytesMut::from(&whole[..cut]);
            assert_eq!(packets.decode(&mut bytes).expect("no error"), None, "{version:?} {cut}");
            bytes.extend_from_slice(&whole[cut..]);
            let want = Incoming::Message { topic: "a/b".into(), payload: b"hello".to_vec(), retained: false };
            assert_eq!(packets.decode(&mut bytes).expect("no error"), Some(want), "{version:?} {cut}");
            assert!(bytes.is_empty());
        }
    }
}

#[test]
fn nothing_is_sent_as_retained_or_more_than_once() {
    for version in BOTH {
        // The low bits of a message's first byte: duplicate, QoS, retain.
        assert_eq!(encoded(version, message("a", b"b"))[0], 0x30, "{version:?}");
    }
    let v5 = encoded(Version::V5, message("a", b"b"));
    assert!(v5.windows(5).any(|window| window == [2, 0, 0, 0, 10]), "the time until which it is of use: {v5:?}");
}

#[test]
fn a_message_that_is_too_long_is_skipped_and_the_next_is_read() {
    for version in BOTH {
        let mut bytes = encoded(version, message("a", &vec![b'x'; LONGEST + 1]));
        let length = bytes.len();
        bytes.extend_from_slice(&encoded(version, message("a", b"next")));
        let mut packets = Packets::new(version);
        let mut found = Vec::new();
        // In pieces, as from a socket.
        let mut arrived = BytesMut::new();
        while !bytes.is_empty() {
            arrived.extend_from_slice(&bytes.split_to(bytes.len().min(64 << 10)));
            while let Some(packet) = packets.decode(&mut arrived).expect("no error") {
                found.push(packet);
            }
            assert!(arrived.len() <= 64 << 10, "it isn't collected");
        }
        let next = Incoming::Message { topic: "a".into(), payload: b"next".to_vec(), retained: false };
        assert_eq!(found, [Incoming::TooLong(length), next], "{version:?}");
    }
}

#[test]
fn the_brokers_packets_are_understood() {
    let read = |version, bytes: &[u8]| Packets::new(version).decode(&mut BytesMut::from(bytes));
    for (version, bytes, want) in [
        (Version::V4, &[0x20, 2, 0, 0][..], Incoming::Connected(None)),
        (Version::V4, &[0x20, 2, 0, 4], Incoming::Refused("BadUserNamePassword".into())),
        (Version::V4, &[0x90, 4, 0, 1, 0, 0x80], Incoming::Subscribed(vec![1])),
        (Version::V4, &[0xd0, 0], Incoming::Other),
        (
            Version::V4,
            &[0x31, 4, 0, 1, b'a', b'b'],
            Incoming::Message { topic: "a".into(), payload: b"b".to_vec(), retained: true },
        ),
        (Version::V5, &[0x20, 3, 0, 0, 0], Incoming::Connected(None)),
        (Version::V5, &[0x20, 6, 0, 0, 3, 19, 0, 7], Incoming::Connected(Some(7))),
        (Version::V5, &[0x20, 3, 0, 0x87, 0], Incoming::Refused("NotAuthorized".into())),
        (Version::V5, &[0x90, 5, 0, 1, 0, 0x87, 0], Incoming::Subscribed(vec![0])),
        (Version::V5, &[0xe0, 2, 0x8e, 0], Incoming::Ended("SessionTakenOver".into())),
        (Version::V5, &[0xd0, 0], Incoming::Other),
    ] {
        let found = read(version, bytes);
        assert_eq!(found.as_ref().ok(), Some(&Some(want)), "{version:?} {bytes:?}: {found:?}");
    }
}

#[test]
fn what_is_no_mqtt_is_an_error() {
    for version in BOTH {
        for bytes in [&[0x20, 0xff, 0xff, 0xff, 0xff][..], &[0, 0]] {
            assert!(Packets::new(version).decode(&mut BytesMut::from(bytes)).is_err(), "{version:?} {bytes:?}");
        }
    }
}

#[test]
fn a_session_begins_with_nothing_of_an_earlier_one() {
    let connect = |version| {
        let login = Some(("user".to_owned(), "word".to_owned()));
        encoded(version, Outgoing::Connect { client: "me".into(), keep_alive: 20, login })
    };
    for (version, level) in [(Version::V4, 4), (Version::V5, 5)] {
        let bytes = connect(version);
        // After "MQTT": the version, then user, password and a clean session.
        assert_eq!(bytes[8..10], [level, 0b1100_0010], "{version:?} {bytes:?}");
    }
    // A subscription that wants nothing that was kept: MQTT 5 can say so.
    let subscribe = encoded(Version::V5, Outgoing::Subscribe(vec!["a/+".into()]));
    assert_eq!(subscribe.last(), Some(&0b0010_0000), "{subscribe:?}");
}
