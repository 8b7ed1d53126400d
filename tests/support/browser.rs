//! A page in a headless browser, on an origin of its own, and what its script finds.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::wait::within;

const BROWSER: &str = "chromium";
/// No sandbox, since tests may run as root; nothing that asks the world outside.
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
];

/// An origin that serves one page.
#[derive(Debug)]
pub(crate) struct Page {
    listener: TcpListener,
}

impl Page {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    /// As browsers say it.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Opens the page in a browser and runs `script` in it, the body of an asynchronous function; what it returns, as text,
    /// or `NAME: MESSAGE` of the error that it ends with.
    pub(crate) async fn run(&self, script: &str) -> String {
        let page = format!(
            "<!doctype html><title>test</title><script type=module>\n\
             const script = async () => {{ {script} }};\n\
             const found = await script().catch((error) => `${{error.name}}: ${{error.message}}`);\n\
             await fetch('/found', {{ method: 'POST', body: String(found) }});\n</script>\n"
        );
        let _browser = Browser::open(&self.origin());
        within("a page in chromium", self.serve(&page)).await
    }

    /// Serves the page until it has told what it found. Connections are served beside each other, since a browser opens
    /// some that it does not use.
    async fn serve(&self, page: &str) -> String {
        let mut served = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted.unwrap();
                    served.spawn(serve(stream, page.to_owned()));
                }
                Some(found) = served.join_next() => {
                    if let Some(found) = found.unwrap() {
                        return found;
                    }
                }
            }
        }
    }
}

/// Answers one request; what was found, if it tells that.
async fn serve(mut stream: TcpStream, page: String) -> Option<String> {
    let (head, body) = request(&mut stream).await?;
    let (status, content) = match head.split(' ').nth(1) {
        Some("/found") => ("204 No Content", ""),
        Some("/") => ("200 OK", page.as_str()),
        _ => ("404 Not Found", ""),
    };
    let length = content.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/html; charset=utf-8\r\n\
         content-length: {length}\r\n\r\n{content}"
    );
    drop(stream.write_all(answer.as_bytes()).await);
    head.starts_with("POST /found ").then_some(body)
}

/// A request's head and body; None if there is none on the connection.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A browser with a profile of its own, which ends with all its processes.
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(BROWSER);
        command
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let child = command.spawn();
        Self {
            child: child.expect("chromium, which `cargo xtask setup` installs"),
            _profile: profile,
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let id = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(group) = id {
            // It may have ended by itself.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}
