//! A guest opens no sockets, resolves no names and finds no files, although its standard library may ask for them.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};

use crate::support::{Host, probe};

#[tokio::test]
async fn a_guest_gets_at_neither_the_network_nor_files() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    let tcp = listener.local_addr().unwrap().port();
    let udp = datagrams.local_addr().unwrap().port();
    // What the manifest allows is allowed for HTTP, by which the host connects and not the guest.
    let manifest = format!("[allow]\nhosts = [\"http://127.0.0.1:{tcp}\"]\n");
    let host = Host::with("a", probe("sockets"))
        .manifest("a", &manifest)
        .start()
        .await;
    let answer = host.get(&format!("/a?tcp={tcp}&udp={udp}")).await;
    let lines: Vec<_> = answer.text().lines().collect();
    let tries = [
        "connect", "listen", "send", "resolve", "open", "create", "list",
    ];
    assert_eq!(lines.len(), tries.len(), "{lines:#?}");
    for (tried, line) in tries.iter().zip(&lines) {
        assert!(line.starts_with(&format!("{tried} denied: ")), "{lines:#?}");
    }
    // On one machine, what a guest had sent would be here by now.
    let none = ErrorKind::WouldBlock;
    assert_eq!(listener.accept().unwrap_err().kind(), none);
    assert_eq!(datagrams.recv(&mut [0; 16]).unwrap_err().kind(), none);
    host.stop().await;
}
