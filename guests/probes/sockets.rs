//! Tries to get at the network and at files as any program would, and answers a line for each try: `NAME allowed`, or
//! `NAME denied: ERROR`. It connects to port `?tcp=` and sends to port `?udp=` of this machine.

use std::fmt::Display;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    let at = |name| (Ipv4Addr::LOCALHOST, query::number(&target, name, 0) as u16);
    let send = || UdpSocket::bind(at("any"))?.send_to(b"hello", at("udp"));
    let tries = [
        tried("connect", TcpStream::connect(at("tcp"))),
        tried("listen", TcpListener::bind(at("any"))),
        tried("send", send()),
        tried("resolve", "localhost:80".to_socket_addrs()),
        tried("open", File::open("/etc/hostname")),
        tried("create", File::create("skep-was-here")),
        tried("list", fs::read_dir("/")),
    ];
    p2::answer(out, &tries.concat());
}

fn tried<T>(name: &str, result: Result<T, impl Display>) -> String {
    match result {
        Ok(_) => format!("{name} allowed\n"),
        Err(error) => format!("{name} denied: {error}\n"),
    }
}
