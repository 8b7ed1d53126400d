//! A body of any size costs the host little memory, and a reader who waits makes the sender wait.

use std::fs;

use bytes::Bytes;
use http::Request;

use crate::support::client::streamed;
use crate::support::{Host, guest};

const PATIENT: &str = "[limits]\nbody = \"2GiB\"\ncpu = \"120s\"\n";
const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: usize = 1024;
/// What the process may grow by: buffers of sockets are the kernel's.
const GROWTH_KIB_MAX: u64 = 8 << 10;
/// More than all buffers between two ends of a connection and a guest hold.
const STALL_CHUNKS_MAX: usize = 128;

/// The most memory that the process has had, in KiB.
fn peak(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_gibibyte_passes_through_a_guest_in_a_few_mebibytes() {
    let host = Host::with("echo", guest("echo"))
        .manifest("echo", PATIENT)
        .alone()
        .start()
        .await;
    let chunk = Bytes::from(vec![b'x'; CHUNK_BYTES]);
    for mut connection in host.both().await {
        // Whatever is there once, for any body.
        let request = Request::post("/echo")
            .body(crate::support::client::full(chunk.clone()))
            .unwrap();
        assert_eq!(connection.send(request).await.bytes().len(), CHUNK_BYTES);
        let before = peak(&host);

        let (mut upload, body) = streamed();
        let mut reply = connection
            .open(Request::post("/echo").body(body).unwrap())
            .await
            .unwrap();
        let sends = async {
            for _ in 0..CHUNKS {
                assert!(upload.send(chunk.clone()).await);
            }
            drop(upload);
        };
        let takes = async {
            let mut taken = 0;
            while let Some(part) = reply.chunk().await {
                taken += part.len();
            }
            taken
        };
        let ((), taken) = futures::join!(sends, takes);
        assert_eq!(taken, CHUNKS * CHUNK_BYTES);
        // The kernel counts in batches: a peak may read lower than it did.
        let grown = peak(&host).saturating_sub(before);
        println!(
            "{} MiB through a guest: the peak grew by {grown} KiB from {before} KiB",
            taken >> 20
        );
        assert!(
            grown <= GROWTH_KIB_MAX,
            "the peak grew by {grown} KiB from {before} KiB"
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_stalls_the_upload() {
    // The host gives up where nothing moves: that is how the test knows that nothing does.
    let host = Host::with("echo", guest("echo"))
        .manifest("echo", PATIENT)
        .settings("[timeouts]\nbody_idle = \"1s\"\n")
        .start()
        .await;
    let chunk = vec![b'x'; CHUNK_BYTES];
    let mut wire = host.wire().await;
    wire.send("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 1073741824\r\n\r\n")
        .await;
    let mut sent = 0;
    while wire.try_send(&chunk).await {
        sent += 1;
        assert!(
            sent < STALL_CHUNKS_MAX,
            "the host took {sent} MiB that nobody reads"
        );
    }
    let line = host
        .log_line("the request given up", |line| {
            !line.field("cause").is_empty()
        })
        .await;
    assert_eq!(line.field("blame"), "caller", "{}", line.text());
    host.stop().await;
}
