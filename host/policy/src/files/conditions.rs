//! Conditional requests, in the order that RFC 9110, 13.2.2, gives.

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// With its quotes; a strong one.
    pub etag: &'a str,
    /// When it was last changed, in seconds since 1970.
    pub modified: u64,
}

/// What a request says. Fields that come several times are joined by commas, dates are seconds since 1970; one that
/// can't be read is as if it were not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// `If-Match`
    pub if_match: Option<&'a str>,
    /// `If-None-Match`
    pub if_none_match: Option<&'a str>,
    /// `If-Modified-Since`
    pub if_modified_since: Option<u64>,
    /// `If-Unmodified-Since`
    pub if_unmodified_since: Option<u64>,
    /// `If-Range`, if that is a tag.
    pub if_range: Option<&'a str>,
    /// `If-Range`, if that is a date.
    pub if_range_date: Option<u64>,
}

/// What comes of the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The file is sent: a part of it, if one is asked for.
    Sent,
    /// The file is sent, and all of it: the part that is asked for is another version's.
    SentWhole,
    /// The client has it: 304.
    NotModified,
    /// It is not as the client wants it: 412.
    Failed,
}

impl Conditions<'_> {
    /// What they come to for a file that is there, asked for with GET or HEAD.
    #[must_use]
    pub fn judge(&self, file: Validators<'_>) -> Verdict {
        let is_as_wanted = match (self.if_match, self.if_unmodified_since) {
            (Some(tags), _) => has(tags, file.etag, is_strongly),
            (None, Some(since)) => file.modified <= since,
            (None, None) => true,
        };
        if !is_as_wanted {
            return Verdict::Failed;
        }
        let is_known = match (self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => has(tags, file.etag, is_weakly),
            (None, Some(since)) => file.modified <= since,
            (None, None) => false,
        };
        if is_known {
            return Verdict::NotModified;
        }
        let is_of_this = match (self.if_range, self.if_range_date) {
            (Some(tag), _) => tag.trim() == file.etag,
            (None, Some(date)) => date == file.modified,
            (None, None) => true,
        };
        if is_of_this {
            Verdict::Sent
        } else {
            Verdict::SentWhole
        }
    }
}

fn is_strongly(is_weak: bool) -> bool {
    !is_weak
}

fn is_weakly(_: bool) -> bool {
    true
}

/// Whether a list of tags has this one, compared so. What follows something that is no tag is not read.
fn has(mut tags: &str, etag: &str, counts: impl Fn(bool) -> bool) -> bool {
    if tags.trim() == "*" {
        return true;
    }
    loop {
        tags = tags.trim_start_matches([' ', '\t', ',']);
        let (rest, is_weak) = match tags.strip_prefix("W/") {
            Some(rest) => (rest, true),
            None => (tags, false),
        };
        let Some(end) = rest.strip_prefix('"').and_then(|opaque| opaque.find('"')) else {
            return false;
        };
        let (tag, after) = rest.split_at(end + 2);
        if tag == etag && counts(is_weak) {
            return true;
        }
        tags = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Validators<'_> = Validators {
        etag: "\"v2\"",
        modified: 100,
    };

    fn judge(conditions: Conditions<'_>) -> Verdict {
        conditions.judge(FILE)
    }

    #[test]
    fn tags_are_compared_strongly_for_a_match_and_weakly_for_none() {
        for (tags, strongly, weakly) in [
            ("\"v2\"", true, true),
            ("W/\"v2\"", false, true),
            ("*", true, true),
            (" * ", true, true),
            ("\"v1\", \"v2\"", true, true),
            ("\"v1\",W/\"v2\" , \"v3\"", false, true),
            ("\"a,b\", \"v2\"", true, true),
            ("\"v1\"", false, false),
            ("", false, false),
            ("v2", false, false),
            ("\"v2", false, false),
            ("v1, \"v2\"", false, false),
            ("\"v1\", *", false, false),
            (",,\t\"v2\"", true, true),
        ] {
            let if_match = Some(tags);
            let found = judge(Conditions {
                if_match,
                ..Conditions::default()
            });
            assert_eq!(found == Verdict::Sent, strongly, "{tags}");
            assert_eq!(found == Verdict::Failed, !strongly, "{tags}");
            let if_none_match = Some(tags);
            let found = judge(Conditions {
                if_none_match,
                ..Conditions::default()
            });
            assert_eq!(found == Verdict::NotModified, weakly, "{tags}");
            assert_eq!(found == Verdict::Sent, !weakly, "{tags}");
        }
    }

    #[test]
    fn dates_count_where_there_are_no_tags() {
        for (since, is_newer) in [(99, true), (100, false), (101, false)] {
            let if_modified_since = Some(since);
            let expected = if is_newer {
                Verdict::Sent
            } else {
                Verdict::NotModified
            };
            let of = Conditions {
                if_modified_since,
                ..Conditions::default()
            };
            assert_eq!(judge(of), expected);
            let if_none_match = Some("\"v1\"");
            assert_eq!(
                judge(Conditions {
                    if_none_match,
                    ..of
                }),
                Verdict::Sent
            );
            let if_unmodified_since = Some(since);
            let expected = if is_newer {
                Verdict::Failed
            } else {
                Verdict::Sent
            };
            let of = Conditions {
                if_unmodified_since,
                ..Conditions::default()
            };
            assert_eq!(judge(of), expected);
            let if_match = Some("\"v2\"");
            assert_eq!(judge(Conditions { if_match, ..of }), Verdict::Sent);
        }
    }

    #[test]
    fn what_must_match_is_looked_at_first_and_the_part_last() {
        let if_match = Some("\"v1\"");
        let if_none_match = Some("\"v2\"");
        let if_range = Some("\"v1\"");
        let all = Conditions {
            if_match,
            if_none_match,
            if_range,
            ..Conditions::default()
        };
        assert_eq!(judge(all), Verdict::Failed);
        assert_eq!(
            judge(Conditions {
                if_match: None,
                ..all
            }),
            Verdict::NotModified
        );
        let of_part = Conditions {
            if_range,
            ..Conditions::default()
        };
        assert_eq!(judge(of_part), Verdict::SentWhole);
    }

    #[test]
    fn a_part_is_sent_of_this_very_version_only() {
        for (if_range, if_range_date, expected) in [
            (Some("\"v2\""), None, Verdict::Sent),
            (Some("W/\"v2\""), None, Verdict::SentWhole),
            (Some("\"v1\""), None, Verdict::SentWhole),
            (None, Some(100), Verdict::Sent),
            (None, Some(101), Verdict::SentWhole),
            (None, Some(99), Verdict::SentWhole),
            (None, None, Verdict::Sent),
        ] {
            let of = Conditions {
                if_range,
                if_range_date,
                ..Conditions::default()
            };
            assert_eq!(judge(of), expected, "{of:?}");
        }
    }
}
