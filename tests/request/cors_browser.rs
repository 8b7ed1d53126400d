//! A real browser lets a page read what the route's policy lets it read, and nothing else.

use crate::support::browser::Page;
use crate::support::{Host, probe};

/// A host that lets `origin` do all, one that lets it read, and one that does not know it: `/all`, `/read`, `/none`.
async fn host(origin: &str) -> Host {
    let route =
        |path: &str, policy: &str| format!("[[route]]\npath = \"/{path}/{{*rest}}\"\n{policy}\n");
    let routes = [
        route(
            "all",
            &format!(
                "[route.edge.cors]\norigins = [\"{origin}\"]\nmethods = [\"PUT\"]\n\
                 headers = [\"x-token\"]\nexpose_headers = [\"x-run\"]\ncredentials = true"
            ),
        ),
        route("read", "[route.edge.cors]\norigins = \"*\""),
        route(
            "none",
            "[route.edge.cors]\norigins = \"https://other.example\"",
        ),
        route("bare", ""),
    ];
    Host::with("a", probe("as_told"))
        .manifest("a", &routes.concat())
        .start()
        .await
}

#[tokio::test]
async fn a_page_reads_what_it_may_and_nothing_else() {
    let page = Page::new().await;
    let host = host(&page.origin()).await;
    let url = format!("http://{}", host.gateway);
    let script = format!(
        "const found = [];
         const ask = async (path, init) => {{
             try {{
                 const answer = await fetch('{url}' + path, init);
                 const text = await answer.text();
                 found.push(`${{path}} ${{answer.status}} ${{text.length}} ${{answer.headers.has('x-run')}}`);
             }} catch (error) {{
                 found.push(`${{path}} ${{error.name}}`);
             }}
         }};
         const put = {{ method: 'PUT', headers: {{ 'x-token': '1' }}, credentials: 'include' }};
         await ask('/all/x?bytes=5', put);
         await ask('/all/x?status=404', put);
         await ask('/all/x?end=trap', put);
         await ask('/all/x?bytes=5', {{ method: 'DELETE' }});
         await ask('/read/x?bytes=5', {{}});
         await ask('/read/x?bytes=5', put);
         await ask('/read/x?bytes=5', {{ credentials: 'include' }});
         await ask('/none/x?bytes=5', {{}});
         await ask('/bare/x?bytes=5', {{}});
         return found.join('\\n');"
    );
    let found = page.run(&script).await;
    let lines: Vec<_> = found.lines().collect();
    let [ok, missing, trapped, rest @ ..] = &lines[..] else {
        panic!("{found}");
    };
    assert_eq!(*ok, "/all/x?bytes=5 200 5 true");
    assert_eq!(*missing, "/all/x?status=404 404 0 true");
    // Problem details, whose length is their own business.
    assert!(trapped.starts_with("/all/x?end=trap 502 "), "{trapped}");
    let expected = [
        "/all/x?bytes=5 TypeError",
        "/read/x?bytes=5 200 5 false",
        "/read/x?bytes=5 TypeError",
        "/read/x?bytes=5 TypeError",
        "/none/x?bytes=5 TypeError",
        "/bare/x?bytes=5 TypeError",
    ];
    assert_eq!(rest, expected);
    host.stop().await;
}

#[tokio::test]
async fn a_page_reads_what_was_compressed() {
    let page = Page::new().await;
    let host = Host::with("a", probe("as_told"))
        .manifest("a", "[edge.cors]\norigins = \"*\"\nexpose_headers = [\"content-encoding\"]\n[edge.compression]\n")
        .start()
        .await;
    let url = format!(
        "http://{}/a?h1=content-type:text/html&bytes=100000",
        host.gateway
    );
    let script = format!(
        "const answer = await fetch('{url}');
         return answer.headers.get('content-encoding') + ' ' + (await answer.text()).length;"
    );
    let found = page.run(&script).await;
    // Which coding it takes without TLS is the browser's business.
    let (coding, length) = found.split_once(' ').unwrap();
    assert!(["zstd", "br", "gzip"].contains(&coding), "{found}");
    assert_eq!(length, "100000");
    host.stop().await;
}
