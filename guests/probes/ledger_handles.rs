//! Imports a function with a resource in its types, which no other service can provide.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package test:ledger@0.1.0;

        interface books {
          resource book { pages: func() -> u32; }
          open: func(name: string) -> book;
        }

        world client { import books; }
    ",
});

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let pages = test::ledger::books::open("any").pages();
    p2::answer(out, &format!("{pages}\n"));
}
