//! What has been verified and need not be again, by a digest that nobody else can make: what it is of is not kept.

use std::fmt;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use ring::digest::{Context, SHA256};
use ring::rand::{SystemRandom, generate};

/// What is remembered under.
pub(super) type Mark = [u8; 32];

/// What makes marks; another one in each process.
#[derive(Clone)]
pub(super) struct Secret([u8; 32]);

impl Secret {
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn new() -> anyhow::Result<Self> {
        let random = generate(&SystemRandom::new());
        let random = random.map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
        Ok(Self(random.expose()))
    }

    /// The mark of parts that each end where no other can: none but the last has the separator, a zero byte.
    pub(super) fn mark(&self, parts: &[&[u8]]) -> Mark {
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        for part in parts {
            context.update(part);
            context.update(&[0]);
        }
        let mut mark = Mark::default();
        mark.copy_from_slice(context.finish().as_ref());
        mark
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What something takes of the memory that there is for it, in bytes.
pub(super) trait Bulky {
    fn bytes(&self) -> u64;
}

#[derive(Clone)]
pub(super) struct Bulk;

impl<V: Bulky> Weighter<Mark, V> for Bulk {
    fn weight(&self, _: &Mark, value: &V) -> u64 {
        value.bytes()
    }
}

pub(super) type Seen<V> = Cache<Mark, V, Bulk>;

/// An empty cache that takes so much memory at most.
pub(super) fn seen<V: Bulky + Clone>(bytes_max: u64, items: usize) -> Seen<V> {
    Cache::with_weighter(items, bytes_max, Bulk)
}
