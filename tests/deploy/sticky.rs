//! Who is to stay on one revision does, for as long as its part of the requests does not shrink.

use std::collections::BTreeMap;

use http::Request;

use crate::support::client::{Body, Connection, get};
use crate::support::rollouts::{PATIENT, answered_by, with_id};
use crate::support::{Host, probe};

const PATH: &str = "/a?lines=1";
const CLIENTS: usize = 40;

/// Which revision answers each client, three times each: the same every time, unless the weight is growing.
async fn who_gets_what(
    clients: &mut [Client],
    is_growing: bool,
    mark: impl Fn(&Client) -> Request<Body>,
) -> BTreeMap<usize, String> {
    let mut by_client = BTreeMap::new();
    for (number, client) in clients.iter_mut().enumerate() {
        for _ in 0..3 {
            let request = mark(client);
            let answer = client.connection.send(request).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            if let Some(cookie) = answer.header("set-cookie") {
                assert_eq!(client.cookie, None, "one cookie is enough");
                let (pair, rest) = cookie.split_once("; ").unwrap();
                assert!(pair.starts_with("skep-rollout-a="), "{cookie}");
                assert_eq!(rest, "Max-Age=86400; Path=/; HttpOnly; SameSite=Lax");
                client.cookie = Some(pair.to_owned());
            }
            let found = answered_by(&answer).to_owned();
            let before = by_client.insert(number, found.clone());
            let may_move = |before: &str| is_growing && before == "a";
            let stays = before.is_none_or(|before| before == found || may_move(&before));
            assert!(stays, "client {number} is on {found} now");
        }
    }
    by_client
}

struct Client {
    number: usize,
    connection: Connection,
    cookie: Option<String>,
}

/// As the weight grows, nobody comes back from the candidate, and somebody goes there.
async fn stay(sticky: &str, mark: impl Fn(&Client) -> Request<Body>) {
    // A check takes more requests of the candidate than all clients together send before it is wanted.
    let manifest = format!(
        "[rollout]\nstrategy = \"canary\"\nsticky = \"{sticky}\"\n\
         steps = [{{ weight = 30, pause = \"10ms\" }}, {{ weight = 60 }}]\n\
         [rollout.analysis]\ninterval = \"50ms\"\nminimum_samples = 150\n{PATIENT}"
    );
    let host = Host::with("a", probe("revision_a"))
        .manifest("a", &manifest)
        .start()
        .await;
    host.deploy("a", probe("revision_b"));
    host.rollout_begun("a").await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let source = [127, 0, 0, 100 + number as u8];
        clients.push(Client {
            number,
            connection: Connection::http1_from(source, host.gateway).await,
            cookie: None,
        });
    }
    let on = |by_client: &BTreeMap<usize, String>, revision: &str| {
        let found = by_client.iter().filter(|(_, found)| *found == revision);
        found.map(|(client, _)| *client).collect::<Vec<_>>()
    };
    let first = who_gets_what(&mut clients, false, &mark).await;
    let at_first = on(&first, "b");
    assert!((1..CLIENTS).contains(&at_first.len()), "{first:?}");

    while host.told("rollout goes on", "a") == 0 {
        who_gets_what(&mut clients, true, &mark).await;
    }
    let then = who_gets_what(&mut clients, false, &mark).await;
    let at_last = on(&then, "b");
    let stayed = at_first.iter().all(|client| at_last.contains(client));
    assert!(stayed, "{at_first:?} {at_last:?}");
    assert!(at_last.len() > at_first.len(), "{at_first:?} {at_last:?}");
    host.stop().await;
}

#[tokio::test]
async fn by_a_header() {
    stay("header:x-user", |client| {
        let mut request = get(PATH);
        let user = format!("user-{}", client.number).parse().unwrap();
        request.headers_mut().insert("x-user", user);
        request
    })
    .await;
}

#[tokio::test]
async fn by_address() {
    stay("client", |_| get(PATH)).await;
}

#[tokio::test]
async fn by_a_cookie_that_the_host_sets() {
    stay("cookie", |client| {
        let mut request = with_id(PATH, client.number);
        if let Some(cookie) = &client.cookie {
            let headers = request.headers_mut();
            // It is the cookie that counts.
            headers.remove("x-request-id");
            headers.insert("cookie", format!("x=1; {cookie}").parse().unwrap());
        }
        request
    })
    .await;
}
