//! A real browser takes a folder of files for a site: documents, styles, modules, parts and what it has already.

use crate::support::Host;
use crate::support::browser::Page;

#[tokio::test]
async fn a_page_of_files_works_as_on_any_server() {
    let page = Page::new().await;
    let origin = page.origin();
    let host = Host::empty();
    let site = host.path().join("services/site");
    std::fs::create_dir_all(site.join("public/deep")).unwrap();
    let write =
        |name: &str, text: &str| std::fs::write(site.join("public").join(name), text).unwrap();
    write(
        "index.html",
        "<!doctype html><link rel=stylesheet href=style.css><h1>it</h1><script type=module src=app.mjs></script>",
    );
    write("style.css", "h1 { color: rgb(1, 2, 3) }");
    write("deep/part.mjs", "export const part = 'imported';");
    write(
        "app.mjs",
        &format!(
            "import {{ part }} from './deep/part.mjs';
             const found = [part, getComputedStyle(document.querySelector('h1')).color];
             const some = await fetch('style.css', {{ headers: {{ range: 'bytes=0-1' }} }});
             found.push(some.status, await some.text());
             const again = await fetch('style.css', {{ cache: 'no-cache' }});
             found.push(again.status, (await again.text()).length);
             found.push((await fetch('nowhere')).status);
             await fetch('{origin}/found', {{ method: 'POST', mode: 'no-cors', body: found.join(' ') }});"
        ),
    );
    let manifest = "files = \"public\"\n[edge.response_headers]\nset = { x-content-type-options = \"nosniff\" }\n";
    std::fs::write(site.join("service.toml"), manifest).unwrap();
    let host = host.start().await;
    let script = format!(
        "location.href = 'http://{}/site/'; await new Promise(() => {{}});",
        host.gateway
    );
    let found = page.run(&script).await;
    assert_eq!(found, "imported rgb(1, 2, 3) 206 h1 200 26 404");
    host.stop().await;
}
