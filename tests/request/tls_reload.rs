//! Certificates take over from each other while the host runs; what can't be used changes nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::process::Signal;
use rustls::version::TLS12;

use crate::support::log::Line;
use crate::support::setup::Setup;
use crate::support::tls::{Authority, Pair};
use crate::support::wait::until;
use crate::support::{Host, guest};

const NAME: &str = "shop.example";
const TAKEN: &str = "a new certificate is used from now on";
const REFUSED: &str = "files of TLS have changed and can't be used; what was there before stays";

fn setup(pair: &Pair) -> Setup {
    Host::with("a", guest("hello"))
        .file("0.pem", &pair.pem)
        .file("0.key", pair.key.serialize_pem())
        .settings(
            "[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = [{ cert = \"0.pem\", key = \"0.key\" }]\n",
        )
}

fn says(what: &'static str) -> impl Fn(&Line) -> bool {
    move |line| line.field("message") == what
}

/// Puts a file beside skep.toml in one step.
fn replace(host: &Host, name: &str, content: &str) {
    let incoming = host.path().join("new");
    fs::write(&incoming, content).unwrap();
    fs::rename(&incoming, host.path().join(name)).unwrap();
}

#[tokio::test]
async fn a_new_pair_takes_over_and_connections_go_on() {
    let authority = Authority::new();
    let pairs = [0; 4].map(|_| authority.issue(&[NAME]));
    let host = setup(&pairs[0]).start().await;
    let client = authority.trusting();
    let mut old = client.connect(host.tls[0], NAME).await;
    assert_eq!(old.get("/a").await.status(), 200);
    assert_eq!(client.shown(host.tls[0], NAME).await, pairs[0].der);
    for (number, pair) in pairs.iter().enumerate().skip(1) {
        let key = pair.key.serialize_pem();
        match number {
            1 => {
                replace(&host, "0.key", &key);
                replace(&host, "0.pem", &pair.pem);
            }
            2 => {
                fs::write(host.path().join("0.pem"), &pair.pem).unwrap();
                fs::write(host.path().join("0.key"), &key).unwrap();
            }
            // As Kubernetes mounts secrets.
            _ => {
                fs::write(host.path().join("linked.pem"), &pair.pem).unwrap();
                fs::write(host.path().join("linked.key"), &key).unwrap();
                for file in ["pem", "key"] {
                    let new = host.path().join("new");
                    symlink(format!("linked.{file}"), &new).unwrap();
                    fs::rename(&new, host.path().join(format!("0.{file}"))).unwrap();
                }
            }
        }
        let line = host
            .nth_line("a new certificate", number, says(TAKEN))
            .await;
        assert_eq!(line.field("names"), NAME);
        assert_eq!(client.shown(host.tls[0], NAME).await, pair.der);
        assert_eq!(old.get("/a").await.status(), 200);
    }
    assert!(host.log.all(says(REFUSED)).is_empty());
    host.stop().await;
}

#[tokio::test]
async fn a_bad_pair_is_logged_and_the_one_before_stays() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(&[NAME]), authority.issue(&[NAME]));
    let host = setup(&first).start().await;
    let client = authority.trusting();
    let half = &second.pem[..second.pem.len() / 2];
    for (number, (name, content, what)) in [
        (
            "0.key",
            &*second.key.serialize_pem(),
            "0.key: is not the key of",
        ),
        (
            "0.pem",
            half,
            "0.pem: is not PEM: an -----END …----- line is missing",
        ),
        ("0.pem", "", "0.pem: has no certificate"),
    ]
    .into_iter()
    .enumerate()
    {
        replace(&host, name, content);
        let line = host
            .nth_line("what is refused", number + 1, says(REFUSED))
            .await;
        assert!(line.field("error").contains(what), "{}", line.text());
        assert!(line.text().contains("\"ERROR\""), "{}", line.text());
        assert_eq!(client.shown(host.tls[0], NAME).await, first.der);
    }
    fs::remove_file(host.path().join("0.pem")).unwrap();
    let line = host.nth_line("what is refused", 4, says(REFUSED)).await;
    assert!(
        line.field("error").contains("does not exist"),
        "{}",
        line.text()
    );
    replace(&host, "0.pem", &second.pem);
    host.log_line("a new certificate", says(TAKEN)).await;
    assert_eq!(client.shown(host.tls[0], NAME).await, second.der);
    host.stop().await;
}

#[tokio::test]
async fn certificates_may_exchange_their_names_but_not_share_one() {
    let authority = Authority::new();
    let (a, b) = (
        authority.issue(&["a.example"]),
        authority.issue(&["b.example"]),
    );
    let host = setup(&a)
        .file("1.pem", &b.pem)
        .file("1.key", b.key.serialize_pem())
        .settings(
            "[tls]\ncertificate = [{ cert = \"0.pem\", key = \"0.key\" }, { cert = \"1.pem\", key = \"1.key\" }]\n",
        )
        .start()
        .await;
    let client = authority.trusting();
    let (new_a, new_b) = (
        authority.issue(&["a.example"]),
        authority.issue(&["b.example"]),
    );
    replace(&host, "0.pem", &new_b.pem);
    replace(&host, "0.key", &new_b.key.serialize_pem());
    let line = host.log_line("what is refused", says(REFUSED)).await;
    assert!(
        line.field("error").contains("is for \"b.example\""),
        "{}",
        line.text()
    );
    assert_eq!(client.shown(host.tls[0], "b.example").await, b.der);
    replace(&host, "1.pem", &new_a.pem);
    replace(&host, "1.key", &new_a.key.serialize_pem());
    host.nth_line("both new", 2, says(TAKEN)).await;
    assert_eq!(client.shown(host.tls[0], "a.example").await, new_a.der);
    assert_eq!(client.shown(host.tls[0], "b.example").await, new_b.der);
    host.stop().await;
}

#[tokio::test]
async fn a_signal_asks_for_a_look_and_authorities_are_looked_at_as_well() {
    let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let host = setup(&servers.issue(&[NAME]))
        .file("clients.pem", clients.pem())
        .settings("[tls]\nclient_ca = \"clients.pem\"\n")
        .start()
        .await;
    let shows = |authority: &Authority| {
        let pair = authority.client("Shop", "till");
        servers.trusting().only(&TLS12).showing(&pair)
    };
    shows(&clients).shake(host.tls[0], NAME).await.unwrap();
    shows(&others).shake(host.tls[0], NAME).await.unwrap_err();
    replace(&host, "clients.pem", &others.pem());
    host.signal(Signal::HUP);
    let taken = says("new authorities of clients are used from now on");
    host.log_line("new authorities", taken).await;
    until("the others' clients", async || {
        shows(&others).shake(host.tls[0], NAME).await.ok()
    })
    .await;
    shows(&clients).shake(host.tls[0], NAME).await.unwrap_err();
    host.stop().await;
}

#[tokio::test]
async fn a_key_that_others_can_read_is_warned_of() {
    let authority = Authority::new();
    let setup = setup(&authority.issue(&[NAME]));
    let key = setup.path().join("0.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let host = setup.start().await;
    let warning = "others than its owner can read this private key; `chmod 600` it";
    let line = host.log_line("a warning", says(warning)).await;
    assert_eq!(line.field("file"), key.to_str().unwrap());
    let setup = host.stop().await;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let host = setup.start().await;
    assert!(host.log.all(says(warning)).is_empty());
    host.stop().await;
}
