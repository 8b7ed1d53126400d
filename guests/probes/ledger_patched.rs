//! As `ledger`, of a newer and compatible version with one more function, and waiting aside.

use exports::test::ledger::plain::{Entry, Guest, Refusal};

wit_bindgen::generate!({
    inline: "
        package test:ledger@0.1.7;

        interface plain {
          record entry { name: string, amount: s64, notes: list<option<string>> }
          variant refusal { unknown(string), too-much(s64) }
          add: func(entry: entry) -> result<u64, refusal>;
          behave: func(how: string) -> string;
          forget: func();
        }

        world provider { export plain; }
    ",
});

struct Ledger;

export!(Ledger);

impl Guest for Ledger {
    fn add(_entry: Entry) -> Result<u64, Refusal> {
        Ok(7)
    }

    fn behave(_how: String) -> String {
        "patched".to_owned()
    }

    fn forget() {}
}
