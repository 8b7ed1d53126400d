//! A service that is a folder: which file a path names, whether it is sent, and which part of it.

use std::fs;
use std::os::unix::fs::symlink;

use http::{Method, Request};
use tokio::process::Command;

use crate::support::client::{Connection, empty};
use crate::support::setup::Setup;
use crate::support::tls::sha256;
use crate::support::wait::within;
use crate::support::{Answer, Host};

const PAGE: &str = "<!doctype html><title>home</title>";

/// A host that serves these files of a folder at `/site`, with what the manifest says besides.
fn site(manifest: &str, files: &[(&str, &str)]) -> Setup {
    let setup = Host::empty().manifest("site", &format!("files = \"public\"\n{manifest}"));
    let folder = setup.services().join("public");
    for (name, contents) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    setup
}

async fn ask(host: &Host, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    host.request(request.body(empty()).unwrap()).await
}

fn assert_no_file(answer: &Answer) {
    assert_eq!(answer.status(), 404, "{answer:?}");
    assert_eq!(answer.problem().r#type, "urn:skep:fault:no_file");
}

async fn assert_only_read(connection: &mut Connection) {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let request = Request::builder().method(method).uri("/site/");
        let refused = connection.send(request.body(empty()).unwrap()).await;
        let allow = refused.header("allow");
        assert_eq!((refused.status(), allow), (405, Some("GET, HEAD")));
        refused.problem();
    }
}

#[tokio::test]
async fn files_have_types_and_folders_an_index() {
    let files = [
        ("index.html", PAGE),
        ("a/style.css", "p{}"),
        ("a/index.html", "<p>a"),
        ("empty/x", ""),
        ("with space/é.txt", "é"),
    ];
    let host = site("cache_control = \"max-age=60\"\n", &files)
        .start()
        .await;
    for mut connection in host.both().await {
        let page = connection.get("/site/").await;
        assert_eq!((page.status(), page.text()), (200, PAGE));
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(
            page.header("content-length"),
            Some(&*PAGE.len().to_string())
        );
        assert_eq!(page.header("accept-ranges"), Some("bytes"));
        assert_eq!(page.header("cache-control"), Some("max-age=60"));
        assert!(page.header("etag").is_some() && page.header("last-modified").is_some());
        let style = connection.get("/site/a/style.css").await;
        assert_eq!(
            style.header("content-type"),
            Some("text/css; charset=utf-8")
        );
        assert_eq!(connection.get("/site/a/").await.text(), "<p>a");
        assert_eq!(
            connection.get("/site/with%20space/%C3%A9.txt").await.text(),
            "é"
        );
        assert_eq!(
            connection
                .get("/site/empty/x")
                .await
                .header("content-length"),
            Some("0")
        );
        for (path, location) in [
            ("/site", "./site/"),
            ("/site?q", "./site/?q"),
            ("/site/a?x=1", "./a/?x=1"),
        ] {
            let moved = connection.get(path).await;
            assert_eq!(
                (moved.status(), moved.header("location")),
                (301, Some(location))
            );
        }
        for path in [
            "/site/b",
            "/site/a/b",
            "/site/index.html/",
            "/site/empty/",
            "/site/empty",
        ] {
            assert_no_file(&connection.get(path).await);
        }
        let head = Request::head("/site/").body(empty()).unwrap();
        let head = connection.send(head).await;
        assert_eq!(head.header("content-length"), page.header("content-length"));
        assert_eq!(head.bytes(), b"");
        assert_only_read(&mut connection).await;
    }
    let kind = host.admin("/v1/services/site").await.json()["kind"].clone();
    assert_eq!(kind, "files");
    host.stop().await;
}

#[tokio::test]
async fn what_is_edited_shows_at_once_and_what_the_client_has_is_not_sent() {
    let host = site("", &[("a.txt", "one")]).start().await;
    let path = "/site/a.txt";
    let first = host.get(path).await;
    let (etag, date) = (
        first.header("etag").unwrap(),
        first.header("last-modified").unwrap(),
    );
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let weak = format!("W/{etag}");
    let several = format!("\"x\", {etag}");
    for (name, value, status) in [
        ("if-none-match", etag, 304),
        ("if-none-match", &*weak, 304),
        ("if-none-match", &*several, 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"x\"", 200),
        ("if-none-match", "rubbish", 200),
        ("if-modified-since", date, 304),
        ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("if-modified-since", "rubbish", 200),
        ("if-match", etag, 200),
        ("if-match", "*", 200),
        ("if-match", &*weak, 412),
        ("if-match", "\"x\"", 412),
        ("if-unmodified-since", date, 200),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
    ] {
        let answer = ask(&host, path, &[(name, value)]).await;
        assert_eq!(answer.status(), status, "{name}: {value}");
        assert_eq!(answer.text(), if status == 200 { "one" } else { "" });
        if status == 304 {
            assert_eq!(answer.header("etag"), Some(etag));
        }
    }
    fs::write(host.path().join("services/public/a.txt"), "other").unwrap();
    let second = ask(&host, path, &[("if-none-match", etag)]).await;
    assert_eq!((second.status(), second.text()), (200, "other"));
    fs::remove_file(host.path().join("services/public/a.txt")).unwrap();
    assert_no_file(&host.get(path).await);
    host.stop().await;
}

#[tokio::test]
async fn a_part_of_a_file_is_sent_of_the_version_that_the_client_has() {
    let long: String = (0..300_000)
        .map(|at| char::from(b'a' + (at % 26) as u8))
        .collect();
    let host = site("", &[("short.txt", "0123456789"), ("long.txt", &long)])
        .start()
        .await;
    let short = "/site/short.txt";
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, Some("bytes 0-0/10"), "0"),
        ("bytes=4-", 206, Some("bytes 4-9/10"), "456789"),
        ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=0-99", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("bytes=5-4", 200, None, "0123456789"),
        ("lines=0-1", 200, None, "0123456789"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=99999999999999999999-", 416, Some("bytes */10"), ""),
    ] {
        let answer = ask(&host, short, &[("range", range)]).await;
        assert_eq!((answer.status(), answer.text()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
    }
    let etag = host.get(short).await.header("etag").unwrap().to_owned();
    for (if_range, status) in [(&*etag, 206), ("\"x\"", 200), (&*format!("W/{etag}"), 200)] {
        let answer = ask(
            &host,
            short,
            &[("range", "bytes=0-0"), ("if-range", if_range)],
        )
        .await;
        assert_eq!(answer.status(), status, "{if_range}");
    }
    let whole = host.get("/site/long.txt").await;
    assert_eq!(whole.text(), long);
    for (first, last) in [
        (0, 70_000),
        (65_535, 65_536),
        (65_536, 200_000),
        (299_999, 299_999),
        (10, 20),
    ] {
        let range = format!("bytes={first}-{last}");
        let answer = ask(&host, "/site/long.txt", &[("range", &range)]).await;
        assert_eq!(answer.status(), 206);
        assert!(answer.text() == &long[first..=last], "{range}");
    }
    host.stop().await;
}

/// Paths that clients resolve before they ask.
const DOTS: &[&str] = &[
    "/../secret",
    "/%2e%2e/secret",
    "/.%2e/secret",
    "/%2e%2e%2fsecret",
    "/a/../../secret",
    "/..%5csecret",
    "/a/./b",
];
/// Paths of what is elsewhere, hidden or no file.
const OTHERS: &[&str] = &[
    "/%252e%252e/secret",
    "/%c0%ae%c0%ae/secret",
    "/%ff",
    "/a%00",
    "/a%2fb",
    "//secret",
    "//a/b",
    "/a//b",
    "/.env",
    "/%2eenv",
    "/.git/config",
    "/out",
    "/passwd",
    "/up/secret",
    "/up/",
    "/loop",
    "/dangling",
    "/pipe",
    "/pipe/",
];

#[tokio::test]
async fn no_path_leads_out_of_the_folder_or_to_what_is_hidden() {
    let files = [
        (".env", "secret"),
        (".git/config", "secret"),
        (".well-known/x", "public"),
        ("a/b", "b"),
    ];
    let setup = site("", &files);
    setup.put("secret", "secret");
    let folder = setup.services().join("public");
    let root = fs::canonicalize(&folder).unwrap();
    symlink("../secret", folder.join("out")).unwrap();
    symlink("/etc/passwd", folder.join("passwd")).unwrap();
    symlink("..", folder.join("up")).unwrap();
    symlink("a/b", folder.join("in")).unwrap();
    symlink(root.join("a/b"), folder.join("in_too")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let host = setup.start().await;
    let dots = DOTS.iter().map(|path| (path, 400));
    for (path, status) in dots.chain(OTHERS.iter().map(|path| (path, 404))) {
        let request = format!("GET /site{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = host.raw(request).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{path}: {answer}");
        assert!(
            !answer.contains("secret\n") && !answer.contains("root:"),
            "{path}: {answer}"
        );
    }
    for path in ["/in", "/in_too", "/a/b", "/a/%62"] {
        assert_eq!(
            host.get(&format!("/site{path}")).await.text(),
            "b",
            "{path}"
        );
    }
    assert_eq!(host.get("/site/.well-known/x").await.text(), "public");
    let long = host.get(&format!("/site/{}", "a".repeat(4_000))).await;
    assert_no_file(&long);
    host.stop().await;
}

#[tokio::test]
async fn no_way_to_write_a_path_leads_past_the_route_that_guards_it() {
    let routes = format!(
        "[[route]]\npath = \"/{{*rest}}\"\n[[route]]\npath = \"/private/{{*rest}}\"\n\
         [route.edge.auth.api_key]\nkeys = [{{ name = 'ci', sha256 = '{}' }}]\n",
        sha256(b"a key of some length")
    );
    let files = [("private/x", "secret"), ("y", "public")];
    let host = site(&routes, &files).start().await;
    for mut connection in host.both().await {
        assert_eq!(connection.get("/%79").await.text(), "public");
        for (path, status) in [
            ("/private/x", 401),
            ("/%70rivate/x", 401),
            ("/privat%65/x", 401),
            ("/%2570rivate/x", 404),
            ("/%%37%30rivate/x", 404),
            ("/y/../private/x", 400),
            ("/y/%2e%2E/private/x", 400),
            ("/./private/x", 400),
        ] {
            let answer = connection.get(path).await;
            assert_eq!(answer.status(), status, "{path}: {answer:?}");
            assert!(!answer.text().contains("secret"), "{path}: {answer:?}");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_folder_behind_a_rewrite_is_where_its_client_asked_for_it() {
    let routes = "[[route]]\npath = \"/docs/{*rest}\"\nrewrite = \"/pages/v2/{rest}\"\n\
                  [[route]]\npath = \"/latest\"\nrewrite = \"/pages/v2\"\n\
                  [[route]]\npath = \"/here/\"\nrewrite = \"/pages/v2\"\n";
    let files = [
        ("pages/v2/index.html", "two"),
        ("pages/v2/a/index.html", "a"),
    ];
    let host = site(routes, &files).start().await;
    for (path, location) in [
        ("/docs/a", "./a/"),
        ("/latest", "./latest/"),
        ("/latest?x=1", "./latest/?x=1"),
    ] {
        let moved = host.get(path).await;
        assert_eq!(
            (moved.status(), moved.header("location")),
            (301, Some(location)),
            "{path}"
        );
    }
    assert_eq!(host.get("/docs/a/").await.text(), "a");
    // It would be sent where it is.
    assert_no_file(&host.get("/here/").await);
    host.stop().await;
}

#[tokio::test]
async fn an_application_of_one_page_answers_for_paths_that_are_no_file() {
    let host = site(
        "spa = \"index.html\"\n",
        &[("index.html", PAGE), ("a.js", "1")],
    )
    .start()
    .await;
    for path in ["/site/", "/site/users/7", "/site/missing.js"] {
        let answer = host.get(path).await;
        assert_eq!((answer.status(), answer.text()), (200, PAGE), "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=utf-8")
        );
    }
    assert_eq!(host.get("/site/a.js").await.text(), "1");
    assert_no_file(&host.get("/site/.env").await);
    host.stop().await;
}

#[tokio::test]
async fn curl_goes_on_with_a_download_and_asks_again_for_what_it_has() {
    let setup = site("", &[("a.txt", "0123456789")]);
    let folder = setup.path().to_owned();
    fs::write(folder.join("part"), "0123").unwrap();
    let host = setup.start().await;
    let url = format!("http://{}/site/a.txt", host.gateway);
    let curl = async |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command
            .current_dir(&folder)
            .args(["-sS", "--path-as-is"])
            .args(arguments)
            .arg(&url);
        let output = within("curl", command.output()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = ["-w", "%{http_code}"];
    assert_eq!(
        curl(&["-C", "-", "-o", "part", shown[0], shown[1]]).await,
        "206"
    );
    assert_eq!(
        fs::read_to_string(folder.join("part")).unwrap(),
        "0123456789"
    );
    let saving = ["--etag-save", "etag", "--etag-compare", "etag", "-o", "got"];
    let twice = [&saving[..], &shown[..]].concat();
    assert_eq!(curl(&twice).await, "200");
    assert_eq!(curl(&twice).await, "304");
    assert_eq!(
        curl(&["-z", "part", "-o", "new", shown[0], shown[1]]).await,
        "304"
    );
    host.stop().await;
}

#[tokio::test]
async fn many_slow_readers_of_large_files_leave_others_their_files() {
    let long = "x".repeat(8 << 20);
    let host = site(
        "[limits]\nconcurrency = 64\n",
        &[("long", &long), ("short", "s")],
    )
    .start()
    .await;
    let mut slow = Vec::new();
    for _ in 0..32 {
        let mut wire = host.wire().await;
        wire.send("GET /site/long HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        wire.head().await;
        slow.push(wire);
    }
    host.works_on("site", 32).await;
    assert_eq!(host.get("/site/short").await.text(), "s");
    drop(slow);
    host.works_on("site", 0).await;
    host.stop().await;
}
