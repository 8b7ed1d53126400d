//! Changes of headers, ready to be made.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::edge::HeaderEdits;

/// Changes of headers, in the order in which they are made.
#[derive(Debug)]
pub(super) struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    pub(super) fn of(edits: &HeaderEdits) -> Self {
        // Names and values were checked when they were read.
        let pair = |(name, value): &(String, String)| {
            let name = HeaderName::try_from(name).ok()?;
            Some((name, HeaderValue::try_from(value).ok()?))
        };
        let remove = edits.remove.iter();
        Self {
            remove: remove
                .filter_map(|name| HeaderName::try_from(name).ok())
                .collect(),
            set: edits.set.iter().filter_map(pair).collect(),
            add: edits.add.iter().filter_map(pair).collect(),
        }
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_can_be_added_again_and_what_is_set_has_one_value() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let edits = Edits::of(&HeaderEdits {
            remove: vec!["a".to_owned(), "gone".to_owned()],
            set: vec![pair("b", "set")],
            add: vec![pair("a", "added"), pair("c", "added")],
        });
        let mut headers = HeaderMap::new();
        for name in ["a", "b", "b", "c", "gone", "other"] {
            let value = HeaderValue::from_static("old");
            headers.append(HeaderName::from_static(name), value);
        }
        edits.apply(&mut headers);
        let all = |name: &str| {
            let values = headers.get_all(name).iter();
            values
                .map(|value| value.to_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(all("a"), ["added"]);
        assert_eq!(all("b"), ["set"]);
        assert_eq!(all("c"), ["old", "added"]);
        assert_eq!((all("gone").len(), all("other").len()), (0, 1));
    }
}
