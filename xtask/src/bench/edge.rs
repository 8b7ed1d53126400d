//! What the gateway's policies cost: each alone and several together beside the same route without any, and TLS and
//! compression beside nginx doing the same.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;

use super::contender::{self, Make};
use super::report::Figures;
use super::server::Server;
use super::{CONNECTIONS, Scale, folder, guest, load, progress};
use crate::command::{self, root};

/// Items of the JSON that is compressed, some 40 bytes each.
const ITEMS_COUNT: u32 = 1600;

const JWT: &str = "[edge.auth.jwt]\njwks = \"keys.json\"\nissuer = \"bench\"\naudience = \"shop\"\nclaims = { sub = \"x-user\" }\n";
const RATE: &str = "[edge.rate_limit]\nrequests_per_second = 1000000\n";
const CORS: &str = "[edge.cors]\norigins = [\"https://shop.example\"]\n";
const ACCESS_LOG: &str = "[access_log]\nfile = \"access.log\"\nformat = \"combined\"\n";
const TLS: &str = "[tls]\ncertificate = [{ cert = \"cert.pem\", key = \"key.pem\" }]\n";
const FIXED: &str = "[[route]]\npath = \"/hello\"\nrespond = { body = \"Hello\" }\n";
const GZIP: &str = "[edge.compression]\ncodings = [\"gzip\"]\n";
const ITEMS: &str = "[[route]]\npath = \"/hello\"\n\
    respond = { file = \"items.json\", headers = { content-type = \"application/json\" } }\n";

/// One server and the requests that it gets.
struct Row {
    name: &'static str,
    make: Make,
    scheme: &'static str,
    headers: Vec<String>,
}

/// Where the port stands in a configuration.
const PORT: &str = "@PORT@";

const NGINX: &str = "worker_processes 2; daemon off; pid nginx.pid; error_log error.log;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000; server { listen 127.0.0.1:@PORT@";
const NGINX_TLS: &str = " ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;
location / { return 200 \"Hello\"; } } }";
const NGINX_GZIP: &str = "; gzip on; gzip_types application/json; gzip_comp_level 5;
location /hello { default_type application/json; alias items.json; } } }";

/// Measures every row once a round.
pub(super) fn measure(scale: &Scale, figures: &mut Figures) -> anyhow::Result<()> {
    let home = folder().join("edge");
    fs::create_dir_all(&home)?;
    let rows = rows(&home)?;
    // What is to be told apart is less than what a machine's speed changes by in seconds: many short rounds.
    let (rounds, seconds) = (scale.rounds * 2, scale.seconds.div_ceil(2));
    let progress = progress(rounds * rows.len());
    for _ in 0..rounds {
        for row in &rows {
            progress.set_message(row.name);
            let server = Server::start(row.name, &row.make)?;
            let url = format!("{}://{}/hello", row.scheme, server.address);
            ready(&url, &row.headers)?;
            let flags = row.headers.iter().flat_map(|header| ["-H", header]);
            let flags: Vec<&OsStr> = flags.map(OsStr::new).collect();
            let load = |seconds| load::run_with(&url, CONNECTIONS, seconds, &flags);
            load(1)?;
            figures.add(row.name, "req/s", load(seconds)?.rate);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

fn rows(home: &Path) -> anyhow::Result<Vec<Row>> {
    let token = material(home)?;
    let signed = vec![
        format!("authorization: Bearer {token}"),
        "origin: https://shop.example".to_owned(),
    ];
    let row = |name, make, scheme, headers: &[String]| Row {
        name,
        make,
        scheme,
        headers: headers.to_vec(),
    };
    let policies = |name, settings: &[&str]| {
        let make = skep(home, &settings.concat(), "", false);
        row(name, make, "http", &signed)
    };
    let packed = ["accept-encoding: gzip".to_owned()];
    Ok(vec![
        policies("skep, no policy", &[]),
        policies("skep, JWT", &[JWT]),
        policies("skep, rate limit", &[RATE]),
        policies("skep, CORS", &[CORS]),
        policies("skep, access log", &[ACCESS_LOG]),
        policies("skep, four policies", &[ACCESS_LOG, JWT, RATE, CORS]),
        row("skep, TLS", skep(home, TLS, FIXED, true), "https", &[]),
        row("nginx, TLS", nginx(home, NGINX_TLS), "https", &[]),
        row(
            "skep, gzip",
            skep(home, GZIP, ITEMS, false),
            "http",
            &packed,
        ),
        row("nginx, gzip", nginx(home, NGINX_GZIP), "http", &packed),
    ])
}

/// Everything that the servers read; a token that is good for an hour.
fn material(home: &Path) -> anyhow::Result<String> {
    let item = |number| {
        format!(
            "{{\"sku\":\"item-{number}\",\"price\":{},\"left\":{}}}",
            number * 37 % 1000,
            number % 17
        )
    };
    let items: Vec<_> = (0..ITEMS_COUNT).map(item).collect();
    fs::write(home.join("items.json"), format!("[{}]", items.join(",\n")))?;
    let mut certificate = Command::new("openssl");
    certificate.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    certificate.args([
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]);
    command::run(certificate.current_dir(home).stderr(Stdio::null()))?;
    let mut token = Command::new(root().join("examples/gateway/token.sh"));
    let output = token.arg(home).args(["bench", "shop", "wrk"]).output()?;
    ensure!(output.status.success(), "token.sh failed: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The host with hello at /hello.
fn skep(home: &Path, settings: &str, manifest: &'static str, over_tls: bool) -> Make {
    let home = home.to_owned();
    let settings = format!("services = \"services\"\n{settings}");
    Box::new(move |port| {
        let services = home.join("services");
        fs::create_dir_all(&services)?;
        fs::copy(guest("hello")?, services.join("hello.wasm"))?;
        fs::write(services.join("hello.toml"), manifest)?;
        fs::copy(home.join("items.json"), services.join("items.json"))?;
        let config = home.join("skep.toml");
        fs::write(&config, &settings)?;
        let mut command = contender::host(&config, if over_tls { 0 } else { port })?;
        command.arg("--admin=127.0.0.1:0");
        if over_tls {
            command.arg(format!("--tls-listen=127.0.0.1:{port}"));
        }
        Ok(command)
    })
}

/// nginx, as Debian has it, with the rest of its configuration.
fn nginx(home: &Path, rest: &'static str) -> Make {
    let home = home.to_owned();
    Box::new(move |port| {
        let config = [NGINX, rest].concat().replace(PORT, &port.to_string());
        fs::write(home.join("nginx.conf"), config)?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&home)
            .args(["-c", "nginx.conf", "-e", "error.log"]);
        Ok(command)
    })
}

/// Waits until the server answers with 200.
fn ready(url: &str, headers: &[String]) -> anyhow::Result<()> {
    let mut curl = Command::new("curl");
    curl.args([
        "-sfk",
        "-o",
        "/dev/null",
        "--retry",
        "120",
        "--retry-delay",
        "1",
        "--retry-all-errors",
    ]);
    curl.args(headers.iter().flat_map(|header| ["-H", header]));
    command::run(curl.arg(url))
}
