//! A real browser speaks WebSocket with the host, for pages that may.

use crate::support::browser::Page;
use crate::support::{Host, probe};

#[tokio::test]
async fn a_page_talks_to_a_service_and_one_of_another_site_does_not() {
    let page = Page::new().await;
    let origin = page.origin();
    let manifest = format!(
        "[[route]]\npath = \"/may\"\nwebsocket = {{ origins = [\"{origin}\"] }}\n\
         [[route]]\npath = \"/not\"\nwebsocket = true\n"
    );
    let host = Host::with("a", probe("websocket")).manifest("a", &manifest);
    let host = host.start().await;
    let script = format!(
        "const found = [];
         const talk = (path, protocols, said) => new Promise((done) => {{
             const socket = new WebSocket('ws://{}' + path, protocols);
             socket.onopen = () => {{
                 found.push(`open ${{socket.protocol}} ${{socket.extensions}}`);
                 for (const one of said) socket.send(one);
             }};
             socket.onmessage = async ({{ data }}) => {{
                 found.push(typeof data === 'string' ? data : `${{await data.size}} bytes`);
                 if (data === 'last') socket.close(4000);
             }};
             socket.onclose = ({{ code, wasClean }}) => done(found.push(`closed ${{code}} ${{wasClean}}`));
         }});
         await talk('/may?protocol=v2', ['v1', 'v2'], ['gr\u{fc}n', new Uint8Array(3), 'last']);
         await talk('/may', [], ['status 403']);
         await talk('/not', [], []);
         return found.join('; ');",
        host.gateway
    );
    let found = page.run(&script).await;
    let expected = "open v2 ; gr\u{fc}n; 3 bytes; last; closed 4000 true; \
                    open  ; closed 1008 true; closed 1006 false";
    assert_eq!(found, expected);
    host.stop().await;
}
