//! Nothing of one request's memory is visible to another: linear memories, globals and tables come from a pool whose
//! slots are used again and again, by the same component most often, by another where there are few.

use futures::future::{join, join_all};

use crate::support::{Host, fault};

const ROUNDS: u32 = 100;
const AT_ONCE: usize = 16;
/// Words of the 12 MiB that `find_memory` looks through.
const WORDS: u64 = 192 * 8192;
/// Looking through that takes its time where the processor is shared with other tests.
const PATIENCE: &str = "cpu = \"20s\"\ntimeout = \"50s\"\n";

#[tokio::test]
async fn an_instance_finds_nothing_of_the_one_before() {
    let host = fill_and_find(1).await;
    for _ in 0..ROUNDS {
        for path in ["/fill", "/find?fill"] {
            assert_eq!(host.get(path).await.text(), "filled\n");
            assert_nothing_found(&host).await;
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn many_instances_find_nothing_of_each_other() {
    let host = fill_and_find(AT_ONCE).await;
    for _ in 0..ROUNDS {
        let others = join_all((0..AT_ONCE / 2).map(|_| host.get("/fill")));
        let own = join_all((0..AT_ONCE / 2).map(|_| host.get("/find?fill")));
        let find = join_all((0..AT_ONCE / 2).map(|_| assert_nothing_found(&host)));
        let ((others, own), _) = join(join(others, own), find).await;
        for answer in others.into_iter().chain(own) {
            assert_eq!(answer.text(), "filled\n");
        }
    }
    // The search finds what is there.
    let planted = host.get("/find?plant").await;
    assert!(planted.text().starts_with("found 512 of "), "{planted:?}");
    assert_nothing_found(&host).await;
    host.stop().await;
}

#[tokio::test]
async fn a_revision_finds_nothing_of_the_one_before() {
    const SWAPS: u64 = 20;
    const REQUESTS: usize = 8;
    // A pool so small that the revisions can't have slots of their own.
    let host = Host::empty()
        .manifest("find", &format!("[limits]\nconcurrency = 2\n{PATIENCE}"))
        .settings("[pool]\ninstances = 2\n")
        .start()
        .await;
    for swap in 1..=SWAPS {
        let fills = swap % 2 == 1;
        host.deploy(
            "find",
            fault(if fills { "fill_memory" } else { "find_memory" }),
        );
        host.promoted("find", swap).await;
        if fills {
            for answer in join_all((0..REQUESTS).map(|_| host.get("/find"))).await {
                assert_eq!(answer.text(), "filled\n");
            }
        } else {
            join_all((0..REQUESTS).map(|_| assert_nothing_found(&host))).await;
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn globals_and_tables_start_afresh() {
    const REQUESTS: u32 = 1000;
    let host = Host::empty()
        .component("fresh", &marker(""))
        .component("marked", &marker("call $mark"))
        .start()
        .await;
    let mut connection = host.connect().await;
    for _ in 0..REQUESTS {
        assert_eq!(connection.get("/fresh").await.text(), "clean\n");
    }
    // The search finds what is there.
    assert_eq!(connection.get("/marked").await.text(), "left over\n");
    assert_eq!(connection.get("/fresh").await.text(), "clean\n");
    host.stop().await;
}

async fn fill_and_find(at_once: usize) -> Host {
    let manifest = format!("[limits]\nconcurrency = {at_once}\n{PATIENCE}");
    Host::with("fill", fault("fill_memory"))
        .manifest("fill", &manifest)
        .and("find", fault("find_memory"))
        .manifest("find", &manifest)
        .settings(&format!("[pool]\ninstances = {}\n", 2 * at_once))
        .start()
        .await
}

async fn assert_nothing_found(host: &Host) {
    let answer = host.get("/find").await;
    let text = answer.text();
    assert!(text.starts_with("found 0 of "), "{text}");
    let words: u64 = text.split(' ').nth(3).unwrap().parse().unwrap();
    assert!(words >= WORDS, "looked through all: {text}");
}

/// A program that looks for marks in its globals, tables and memory, then leaves some. Does `first` before it looks.
fn marker(first: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (global $global (mut i64) (i64.const 0))
            (table $table 64 funcref)
            (elem declare func $mark)
            (data (i32.const 64) "content-type: text/plain\n\nclean\n")
            (data (i32.const 128) "content-type: text/plain\n\nleft over\n")
            (func $mark (local $slot i32)
                (global.set $global (i64.const -1))
                (i64.store (i32.const 100000) (i64.const -1))
                (loop $next
                    (table.set $table (local.get $slot) (ref.func $mark))
                    (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $slot) (i32.const 64)))))
            (func $marks (result i32) (local $slot i32) (local $found i32)
                (local.set $found (i64.ne (global.get $global) (i64.const 0)))
                (local.set $found (i32.or (local.get $found)
                    (i64.ne (i64.load (i32.const 100000)) (i64.const 0))))
                (loop $next
                    (local.set $found (i32.or (local.get $found)
                        (i32.eqz (ref.is_null (table.get $table (local.get $slot))))))
                    (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $slot) (i32.const 64))))
                (local.get $found))
            (func (export "_start")
                {first}
                (if (call $marks)
                    (then (i32.store (i32.const 0) (i32.const 128)) (i32.store (i32.const 4) (i32.const 36)))
                    (else (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 32))))
                call $mark
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    );
    wat::parse_str(text).unwrap()
}
