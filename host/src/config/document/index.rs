//! Where each key of a document stands.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The places of all keys, and of all items of arrays under their index.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<Vec<String>, Spans>);

#[derive(Debug)]
struct Spans {
    key: Range<usize>,
    value: Range<usize>,
}

impl Index {
    pub(super) fn of(table: &DeTable<'_>) -> Self {
        let mut index = Self::default();
        index.add_table(&mut Vec::new(), table);
        index
    }

    /// The offset of what `keys` lead to, or of the nearest place above that is there.
    pub(super) fn offset(&self, keys: &[String]) -> Option<usize> {
        (1..=keys.len())
            .rev()
            .find_map(|depth| self.0.get(&keys[..depth]))
            .map(|spans| spans.key.start)
    }

    /// The keys that lead to what stands at `offset`.
    pub(super) fn keys(&self, offset: usize) -> Option<&[String]> {
        let holds = |span: &Range<usize>| span.start == offset || span.contains(&offset);
        self.0
            .iter()
            .filter(|(_, spans)| holds(&spans.key) || holds(&spans.value))
            .map(|(keys, _)| keys.as_slice())
            .max_by_key(|keys| keys.len())
    }

    fn add_table(&mut self, above: &mut Vec<String>, table: &DeTable<'_>) {
        for (key, value) in table {
            self.add(above, key.get_ref().to_string(), key.span(), value);
        }
    }

    fn add(
        &mut self,
        above: &mut Vec<String>,
        name: String,
        key: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        above.push(name);
        let spans = Spans {
            key,
            value: value.span(),
        };
        self.0.insert(above.clone(), spans);
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(above, table),
            DeValue::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.add(above, i.to_string(), item.span(), item);
                }
            }
            _ => {}
        }
        above.pop();
    }
}
