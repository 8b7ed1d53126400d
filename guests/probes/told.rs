//! Answers with all that it is told: `METHOD TARGET`, the time, random numbers, its request's body, and what comes of
//! fetching `?url=`. `DIFFERS` in the environment names something to be done otherwise.

use fixtures::p2::wasip2::clocks::{monotonic_clock, wall_clock};
use fixtures::p2::wasip2::random::{insecure, insecure_seed, random};
use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam, outgoing};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    let differs = std::env::var("DIFFERS").unwrap_or_default();
    let url = query::get(&target, "url");
    let mut text = format!("{:?} {target}\n", request.method());
    for name in ["authorization", "x-mine"] {
        let values = request.headers().get(name);
        text += &format!("{name} {}\n", values.first().map_or(0, Vec::len));
    }
    let now = wall_clock::now();
    text += &format!("{}.{}\n", now.seconds, now.nanoseconds);
    text += &format!("{}\n", monotonic_clock::now());
    text += &format!(
        "{:?} {}\n",
        random::get_random_bytes(8),
        random::get_random_u64()
    );
    text += &format!(
        "{} {:?}\n",
        insecure::get_insecure_random_u64(),
        insecure_seed::insecure_seed()
    );
    outgoing::read(request.consume().unwrap(), |chunk| {
        text += &String::from_utf8_lossy(chunk);
        true
    });
    if let Some(url) = &url {
        text += &fetch(url);
    }
    let headers = Fields::new();
    headers.append("x-told", b"same").unwrap();
    headers
        .append(
            "set-cookie",
            random::get_random_u64().to_string().as_bytes(),
        )
        .unwrap();
    eprintln!("told of {target}");
    let mut status = 200;
    match &*differs {
        "header" => headers.set("x-told", &[b"other".to_vec()]).unwrap(),
        "body" => text += "and more\n",
        "status" => status = 404,
        "trap" => unreachable!("it is to trap"),
        "asks" => text += &fetch(&format!("{}&more", url.unwrap_or_default())),
        _ => {}
    }
    p2::respond(out, status, headers, &text);
}

fn fetch(url: &str) -> String {
    let mut text = String::new();
    match outgoing::begin(url).and_then(outgoing::finish) {
        Ok(response) => {
            text += &format!("{}\n", response.status());
            outgoing::read(response.consume().unwrap(), |chunk| {
                text += &String::from_utf8_lossy(chunk);
                true
            });
        }
        Err(error) => text += &format!("{error:?}\n"),
    }
    text
}
