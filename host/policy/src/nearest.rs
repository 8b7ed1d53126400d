//! Finds what a misspelt key was probably meant to be.

/// The candidate nearest to `word`, if any is near enough to be worth suggesting.
///
/// Near enough means that at most a third of the longer word's characters (and at least one) differ, where
/// a swap of neighbours counts as one difference and case, `-` and `_` count as none. Of two equally near
/// candidates the earlier one wins.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = simplify(word);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let simple = simplify(candidate);
            let longest = word.len().max(simple.len());
            // The lengths alone already differ by this much: an adversarially long word costs nothing.
            if word.len().abs_diff(simple.len()) > longest / 3 {
                return None;
            }
            let distance = distance(&word, &simple);
            (distance <= (longest / 3).max(1) && distance < longest)
                .then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn simplify(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            row[j] = (above[j] + 1)
                .min(row[j - 1] + 1)
                .min(above[j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYS: [&str; 6] = ["memory", "cpu", "timeout", "concurrency", "queue", "body"];

    #[test]
    fn slips_of_the_hand_find_their_key() {
        for (slip, key) in [
            ("memroy", "memory"),
            ("Memory", "memory"),
            ("time-out", "timeout"),
            ("concurency", "concurrency"),
            ("cpus", "cpu"),
            ("quue", "queue"),
        ] {
            assert_eq!(nearest(slip, KEYS), Some(key), "{slip}");
        }
    }

    #[test]
    fn other_words_find_none() {
        for word in ["", "x", "disk", "replicas", "🦀"] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
    }

    #[test]
    fn a_swap_is_one_difference() {
        let chars = |word: &str| word.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("memroy"), &chars("memory")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }

    proptest! {
        #[test]
        fn a_known_word_is_nearest_to_itself(at in 0..KEYS.len()) {
            prop_assert_eq!(nearest(KEYS[at], KEYS), Some(KEYS[at]));
        }

        #[test]
        fn distance_is_symmetric(a in ".{0,12}", b in ".{0,12}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
        }
    }
}
