//! What is left of each item. Counted in an instance that is used again, and lost with it, until there is a database.

use std::sync::Mutex;

use exports::shop::inventory::stock::{Guest, Level, Refusal};

wit_bindgen::generate!({ path: "../wit", world: "inventory", generate_all });

static STOCK: Mutex<[(&str, u32); 3]> =
    Mutex::new([("bread", 1_000_000), ("honey", 1_000_000), ("skep", 2)]);

struct Inventory;

export!(Inventory);

impl Guest for Inventory {
    fn levels() -> Vec<Level> {
        let stock = STOCK.lock().unwrap();
        let levels = stock.iter().map(|(sku, left)| Level {
            sku: (*sku).to_owned(),
            left: *left,
        });
        levels.collect()
    }

    fn reserve(sku: String, count: u32) -> Result<u32, Refusal> {
        let mut stock = STOCK.lock().unwrap();
        let item = stock.iter_mut().find(|(of, _)| *of == sku);
        let (_, left) = item.ok_or(Refusal::UnknownItem)?;
        *left = left.checked_sub(count).ok_or(Refusal::SoldOut)?;
        Ok(*left)
    }

    fn release(sku: String, count: u32) {
        let mut stock = STOCK.lock().unwrap();
        if let Some((_, left)) = stock.iter_mut().find(|(of, _)| *of == sku) {
            *left += count;
        }
    }
}
