//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Families of metrics, each written whole before the next.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// One family that is being written.
#[derive(Debug)]
pub(super) struct Family<'t> {
    text: &'t mut String,
    name: &'static str,
}

impl Text {
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        self.0
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family {
            text: &mut self.0,
            name,
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One number under the family's name.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, &value);
    }

    /// One histogram: how many fell into each bucket (one more than there are `bounds`), and all values added up.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[f64],
        buckets: &[u64],
        sum: f64,
    ) {
        let mut below = 0;
        for (index, count) in buckets.iter().enumerate() {
            below += count;
            let bound = bounds
                .get(index)
                .map_or_else(|| "+Inf".to_owned(), f64::to_string);
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.line("_bucket", &labels, &below);
        }
        self.line("_sum", labels, &sum);
        self.line("_count", labels, &below);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: &dyn Display) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(self.text, value);
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        // Writing to a string can't fail.
        writeln!(self.text, "{end} {value}").ok();
    }
}

fn escape(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str(r"\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_announced_once_and_its_labels_are_escaped() {
        let mut text = Text::default();
        let mut family = text.family("skep_test_total", Kind::Counter, "Back\\slash\nand line.");
        family.sample(&[], 1);
        family.sample(&[("service", "a\"b\\c\nd é"), ("status", "200")], 2.5);
        assert_eq!(
            text.finish(),
            concat!(
                "# HELP skep_test_total Back\\\\slash\\nand line.\n",
                "# TYPE skep_test_total counter\n",
                "skep_test_total 1\n",
                "skep_test_total{service=\"a\\\"b\\\\c\\nd é\",status=\"200\"} 2.5\n",
            )
        );
    }

    #[test]
    fn a_histogram_counts_up_to_everything() {
        let mut text = Text::default();
        let mut family = text.family("t_seconds", Kind::Histogram, "T.");
        family.histogram(&[("service", "a")], &[0.5, 1.0], &[2, 0, 3], 12.25);
        assert_eq!(
            text.finish(),
            concat!(
                "# HELP t_seconds T.\n",
                "# TYPE t_seconds histogram\n",
                "t_seconds_bucket{service=\"a\",le=\"0.5\"} 2\n",
                "t_seconds_bucket{service=\"a\",le=\"1\"} 2\n",
                "t_seconds_bucket{service=\"a\",le=\"+Inf\"} 5\n",
                "t_seconds_sum{service=\"a\"} 12.25\n",
                "t_seconds_count{service=\"a\"} 5\n",
            )
        );
    }
}
