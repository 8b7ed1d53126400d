//! The example of a gateway: every command of its README, and its page in a browser.

use std::fs;

use http::Response;
use tokio::process::Command;

use crate::support::browser::Page;
use crate::support::client::full;
use crate::support::guests::root;
use crate::support::setup::Setup;
use crate::support::upstream::Upstream;
use crate::support::verb::skep_in;
use crate::support::wait::within;
use crate::support::websocket_server::Server;
use crate::support::{Host, guest, probe};

const FOLDER: &str = "examples/gateway";

/// What each block of the README says, in the order of the README; the first one starts the host.
const SAID: &[&[&str]] = &[
    &[],
    &[
        "HTTP/1.1 200",
        "etag: ",
        "HTTP/1.1 206",
        "content-range: bytes 0-14/",
        "HTTP/1.1 301",
        "location: /style.css",
        "User-agent: *",
        "HTTP/2 200",
    ],
    &["content-encoding: ", "skep_requests_total"],
    &["HTTP/1.1 401", "www-authenticate: Bearer"],
    &["/me", "x-user: alice", "HTTP/1.1 403"],
    &["Hello from"],
    &[
        "HTTP/1.1 204",
        "access-control-allow-origin: https://pages.example",
        "access-control-allow-headers: authorization",
    ],
    &["idempotency-replayed: true", "HTTP/1.1 422", "HTTP/1.1 400"],
    &[
        "HTTP/1.1 503",
        "retry-after: 3600",
        "a file",
        "\"POST /api/uploads/file.txt HTTP/1.1\" 200",
    ],
];

fn blocks() -> Vec<String> {
    let readme = fs::read_to_string(root().join(FOLDER).join("README.md")).unwrap();
    let blocks = readme.split("\n```sh\n").skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// What stands for the host's admin API, whose address is not known before it runs.
async fn legacy() -> Upstream {
    Upstream::start(async |_request| {
        let line = "skep_requests_total{service=\"site\"} 1\n".repeat(100);
        let answer = Response::builder().header("content-type", "text/plain");
        answer.body(full(line)).unwrap()
    })
    .await
}

/// The example, with `legacy` and `chat` elsewhere.
fn example(legacy: &Upstream, chat: &Server) -> Setup {
    let target = root().join("target").display().to_string();
    let settings = fs::read_to_string(root().join(FOLDER).join("skep.toml")).unwrap();
    let settings = settings
        .replace("../../target", &target)
        .replace("http://127.0.0.1:8081", &legacy.url())
        .replace("http://127.0.0.1:8080", &chat.upstream.url());
    let setup = Host::empty().settings(&settings);
    let public = setup.path().join("public");
    fs::create_dir(&public).unwrap();
    for file in fs::read_dir(root().join(FOLDER).join("public")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), public.join(file.file_name())).unwrap();
    }
    let config = setup.path().join("skep.toml");
    setup
        .serving(config)
        .flag("--tls-listen=127.0.0.1:0")
        .flag("--tls-self-signed")
}

/// Runs commands as they are printed, at the host's addresses and with its files; all that they print.
async fn run(host: Option<&Host>, folder: &str, commands: &str) -> String {
    let mut commands = commands
        .replace("token.sh examples/gateway ", &format!("token.sh {folder} "))
        .replace(
            "examples/gateway/access.log",
            &format!("{folder}/access.log"),
        );
    if let Some(host) = host {
        commands = commands
            .replace("127.0.0.1:8080", &host.gateway.to_string())
            .replace("127.0.0.1:8443", &host.tls[0].to_string());
    }
    let mut shell = Command::new("sh");
    shell
        .args(["-ec", &commands])
        .current_dir(root())
        .kill_on_drop(true);
    let output = within(&commands, shell.output()).await.unwrap();
    assert!(output.status.success(), "{commands}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn every_command_of_the_readme_shows_what_it_says() {
    for built in [guest("hello"), guest("chat"), probe("headers")] {
        assert!(built.is_file());
    }
    let (legacy, chat) = (legacy().await, Server::start().await);
    let setup = example(&legacy, &chat);
    let folder = setup.path().display().to_string();
    let blocks = blocks();
    let issuer = blocks[0].lines().find(|line| line.contains("token.sh"));
    run(None, &folder, issuer.unwrap()).await;
    let host = setup.start().await;
    let config = format!("{folder}/skep.toml");
    let said = skep_in(root(), ["check", &config]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(blocks.len(), SAID.len());
    for (commands, said) in blocks.iter().zip(SAID).skip(1) {
        let found = run(Some(&host), &folder, commands).await;
        for said in *said {
            assert!(found.contains(said), "{commands}\nno {said} in\n{found}");
        }
        assert!(!found.contains("mallory"), "{found}");
    }
    host.stop().await;
}

#[tokio::test]
async fn its_page_is_of_files_and_talks_to_a_service() {
    let (legacy, mut chat) = (legacy().await, Server::start().await);
    let host = example(&legacy, &chat).start().await;
    let page = Page::new().await;
    // The page is the host's: another of its own origin tells what became of it.
    let heard = async |query: &str| {
        let script = format!(
            "const heard = new Promise((done) => addEventListener('message', (event) => done(event.data)));
             const frame = document.createElement('iframe');
             frame.src = 'http://{}/{query}';
             document.body.append(frame);
             return await heard;",
            host.gateway
        );
        page.run(&script).await
    };
    let found = heard("").await;
    assert!(found.contains(": hello from a page"), "{found}");
    let talk = async {
        let mut socket = chat.next().await;
        socket.send("you are b").await;
        let said = socket.text().await;
        socket.send(format!("a server heard {said}")).await;
        socket
    };
    let (found, _socket) = tokio::join!(heard("?chat=/elsewhere/chat"), talk);
    assert!(
        found.contains("a server heard b hello from a page"),
        "{found}"
    );
    host.stop().await;
}
