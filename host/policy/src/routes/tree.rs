//! A tree of path segments. At each segment a literal comes before a parameter and a parameter before the
//! rest of the path; a branch that leads nowhere is left again.
//!
//! Literals are found by hash, so a look-up visits no more nodes for more siblings: its cost follows from the
//! request's path. (Written here because the field's router crates refuse `/a/{x}` beside `/a/{*rest}`.)

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::method::Method;
use super::path::Segment;

/// What stands at the ends of paths: a value for each method named, and one for every other method.
#[derive(Debug)]
pub(super) struct Endpoint<T> {
    any: Option<T>,
    named: BTreeMap<Method, T>,
}

impl<T> Endpoint<T> {
    /// The value that answers `method`: of a route that names it, else (for HEAD) of one that names GET, else
    /// of one that names none.
    pub(super) fn accept(&self, method: &str) -> Option<&T> {
        self.named
            .get(method)
            .or_else(|| {
                if method == "HEAD" {
                    self.named.get("GET")
                } else {
                    None
                }
            })
            .or(self.any.as_ref())
    }

    /// The methods that routes name here.
    pub(super) fn methods(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(Method::as_str)
    }

    /// Puts `value` in; gives back what already stands there.
    fn put(&mut self, method: Option<&Method>, value: T) -> Result<(), &T> {
        match method {
            Some(method) => match self.named.entry(method.clone()) {
                Entry::Occupied(taken) => Err(taken.into_mut()),
                Entry::Vacant(free) => {
                    free.insert(value);
                    Ok(())
                }
            },
            None => match &mut self.any {
                Some(taken) => Err(taken),
                free => {
                    *free = Some(value);
                    Ok(())
                }
            },
        }
    }
}

impl<T> Default for Endpoint<T> {
    fn default() -> Self {
        Self {
            any: None,
            named: BTreeMap::new(),
        }
    }
}

/// The paths below one place.
#[derive(Debug)]
pub(super) struct Node<T> {
    here: Endpoint<T>,
    rest: Endpoint<T>,
    parameter: Option<Box<Node<T>>>,
    literals: Map<Box<str>, Node<T>>,
}

/// Hashed without a seed: what is in it is the operator's alone, and look-ups cost the same in every process.
pub(super) type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            here: Endpoint::default(),
            rest: Endpoint::default(),
            parameter: None,
            literals: Map::default(),
        }
    }
}

impl<T> Node<T> {
    /// Puts `value` at a pattern for one method, or for all that are not named there (`None`).
    ///
    /// # Errors
    /// What already stands at that pattern for that method.
    pub(super) fn insert(
        &mut self,
        pattern: &[Segment],
        method: Option<&Method>,
        value: T,
    ) -> Result<(), &T> {
        match pattern.split_first() {
            None => self.here.put(method, value),
            Some((Segment::Rest, _)) => self.rest.put(method, value),
            Some((Segment::Parameter, below)) => self
                .parameter
                .get_or_insert_default()
                .insert(below, method, value),
            Some((Segment::Literal(text), below)) => self
                .literals
                .entry(text.clone())
                .or_default()
                .insert(below, method, value),
        }
    }

    /// Shows `take` the endpoints that a path (without its first slash) ends at, the most specific first,
    /// until it takes one. Goes no deeper than the longest pattern.
    pub(super) fn search<'t, R>(
        &'t self,
        path: Option<&str>,
        take: &mut impl FnMut(&'t Endpoint<T>) -> Option<R>,
    ) -> Option<R> {
        #[cfg(test)]
        visits::count();
        let Some(path) = path else {
            return take(&self.here);
        };
        let (segment, below) = match path.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (path, None),
        };
        let literal = self.literals.get(segment);
        let parameter = self.parameter.as_deref().filter(|_| !segment.is_empty());
        for branch in [literal, parameter].into_iter().flatten() {
            let found = branch.search(below, take);
            if found.is_some() {
                return found;
            }
        }
        if path.is_empty() {
            None
        } else {
            take(&self.rest)
        }
    }
}

/// Counts the nodes that a look-up visits, on the test's own thread.
#[cfg(test)]
pub(super) mod visits {
    use std::cell::Cell;

    thread_local!(static VISITS: Cell<usize> = const { Cell::new(0) });

    pub(super) fn count() {
        VISITS.set(VISITS.get() + 1);
    }

    /// The nodes visited since last asked.
    pub(in crate::routes) fn take() -> usize {
        VISITS.take()
    }
}
