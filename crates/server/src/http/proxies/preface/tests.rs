use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{super::super::front_door::memory, *};

/// Builds a preface.
fn preface(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

fn ipv4() -> Vec<u8> {
    // From 198.51.100.7:4711 to 192.0.2.1:443.
    preface(0x21, 0x11, &[198, 51, 100, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 0xbb])
}

fn ipv6() -> Vec<u8> {
    let source = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
    preface(0x21, 0x21, &[&source[..], &[0; 16], &[0x12, 0x67, 1, 0xbb]].concat())
}

/// Reads a preface that arrives byte by byte, after which the client has closed its half. Returns what was read, and what is left.
async fn read_all(bytes: &[u8]) -> (Result<Option<String>, String>, Vec<u8>) {
    let (mut client, mut server) = memory::pair();
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let read = read(&server).await;
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
    (read.map(|client| client.map(|client| client.to_string())).map_err(|error| error.to_string()), rest)
}

#[tokio::test]
async fn a_preface_names_the_client_and_nothing_after_it_is_read() {
    let long = preface(0x21, 0x11, &[&ipv4()[HEADER..], &[0xea; LIMIT - HEADER - 12]].concat());
    for (preface, expected) in [
        (ipv4(), Some("198.51.100.7:4711")),
        (ipv6(), Some("[2001:db8::7]:4711")),
        (long, Some("198.51.100.7:4711")),
        (preface(0x20, 0x00, &[]), None),
        (preface(0x20, 0x11, &ipv4()[HEADER..]), None),
        (preface(0x20, 0xff, &[1, 2, 3]), None),
        (preface(0x21, 0x00, &[4, 0, 1, 0]), None),
        (preface(0x21, 0x12, &ipv4()[HEADER..]), None),
        (preface(0x21, 0x31, &[0; 216]), None),
    ] {
        let (read, rest) = read_all(&[&preface[..], b"GET / HTTP/1.1"].concat()).await;
        assert_eq!(read, Ok(expected.map(str::to_owned)), "{preface:?}");
        assert_eq!(rest, b"GET / HTTP/1.1");
    }
}

#[tokio::test]
async fn an_invalid_preface_is_an_error_that_says_why() {
    let mut too_long = preface(0x21, 0x11, &[0; 12]);
    too_long[14..16].copy_from_slice(&2033_u16.to_be_bytes());
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "does not begin with a preface"),
        (b"\x16\x03\x01\x02\x00", "does not begin with a preface"),
        (b"\r\n\r\nGET / HTTP/1.1", "does not begin with a preface"),
        (b"PROXX TCP4", "does not begin with a preface"),
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n", "version 1"),
        (b"", "ended within the preface"),
        (&too_long, "more than 2 KiB"),
        (&preface(0x11, 0x11, &ipv4()[HEADER..]), "version or command"),
        (&preface(0x31, 0x11, &ipv4()[HEADER..]), "version or command"),
        (&preface(0x22, 0x11, &ipv4()[HEADER..]), "version or command"),
        (&preface(0x21, 0x13, &ipv4()[HEADER..]), "family is unknown"),
        (&preface(0x21, 0x41, &ipv4()[HEADER..]), "family is unknown"),
        (&preface(0x21, 0x11, &[198, 51, 100, 7]), "IPv4 addresses are cut short"),
        (&preface(0x21, 0x21, &ipv4()[HEADER..]), "IPv6 addresses are cut short"),
    ] {
        let error = read_all(bytes).await.0.unwrap_err();
        assert!(error.contains(expected), "{bytes:?}: {error}");
    }
}

#[tokio::test]
async fn a_preface_cut_anywhere_is_an_error() {
    for whole in [ipv4(), ipv6(), preface(0x20, 0x00, &[0; 40])] {
        for cut in 0..whole.len() {
            let (read, rest) = read_all(&whole[..cut]).await;
            assert!(read.unwrap_err().contains("ended within"), "cut at {cut}");
            assert_eq!(rest, b"");
        }
    }
}

#[tokio::test]
async fn a_changed_byte_never_yields_another_client_unless_it_is_part_of_the_address() {
    let whole = ipv4();
    let source = [16, 17, 18, 19, 24, 25];
    for at in 0..whole.len() {
        for change in 1..=u8::MAX {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            match read_all(&bytes).await.0 {
                Ok(Some(client)) => {
                    let is_whole = client == "198.51.100.7:4711";
                    // A length that is too small would be an error; one that is too large waits for bytes that never arrive.
                    assert_eq!(is_whole, !source.contains(&at), "byte {at} changed by {change}: {client}");
                }
                Ok(None) => assert!([12, 13].contains(&at), "byte {at} changed by {change}"),
                Err(_) => assert!(at < HEADER, "byte {at} changed by {change}"),
            }
        }
    }
}
