//! As `ledger`, of a version that is not compatible.

wit_bindgen::generate!({
    inline: "
        package test:ledger@0.2.0;

        interface plain { behave: func(how: string) -> string; }

        world provider { export plain; }
    ",
});

struct Ledger;

export!(Ledger);

impl exports::test::ledger::plain::Guest for Ledger {
    fn behave(how: String) -> String {
        how
    }
}
