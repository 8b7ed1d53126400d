//! What became of an order, a line a service.

use std::time::Duration;

use super::api::{Done, words};
use super::style::{Tone, harmless, paint};
use super::table::{Columns, milliseconds, short};

/// The lines; `took` stands behind each if it is to be known.
pub(super) fn render(done: &Done, took: Option<Duration>, colours: bool) -> String {
    let took = took.map_or_else(String::new, |took| milliseconds(took.as_secs_f64() * 1e3));
    let row = |standing: &super::api::Standing| {
        let revision = standing.revision;
        let digest = standing.digest.as_deref();
        [
            harmless(&standing.service),
            revision.map_or_else(|| "-".to_owned(), |number| format!("revision {number}")),
            words(&standing.outcome),
            digest.map_or_else(
                || "-".to_owned(),
                |digest| format!("sha256:{}", short(digest)),
            ),
            took.clone(),
            standing
                .detail
                .as_deref()
                .map_or_else(String::new, harmless),
        ]
    };
    let rows: Vec<[String; 6]> = done.services.iter().map(row).collect();
    let columns = Columns::of(&[""; 6], [false; 6], &rows);
    let lines = done.services.iter().zip(&rows).map(|(standing, row)| {
        let outcome = tone(&standing.outcome);
        let tones = [
            Tone::Strong,
            Tone::Plain,
            outcome,
            Tone::Faint,
            Tone::Plain,
            Tone::Bad,
        ];
        columns.line(row, tones, colours)
    });
    lines.collect()
}

/// How good the news is, of an outcome or of an event.
pub(super) fn tone(word: &str) -> Tone {
    match word {
        "promoted" | "rolled_back" | "unchanged" => Tone::Good,
        "refused" | "rollout_aborted" => Tone::Bad,
        "deploying" | "stage" | "rollout_begun" | "rollout_step" | "rollout_paused"
        | "rollout_resumed" => Tone::Underway,
        _ => Tone::Plain,
    }
}

/// One line for people on a terminal, where nothing is a line.
pub(super) fn painted(word: &str, colours: bool) -> String {
    paint(&words(word), tone(word), colours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_became_of_a_service() {
        let done = r#"{"services":[{"service":"hello","outcome":"promoted","revision":3,"digest":"sha256:59c90c7443500","generation":7}]}"#;
        let done: Done = serde_json::from_str(done).unwrap();
        assert_eq!(
            render(&done, Some(Duration::from_millis(1_234)), false),
            "hello  revision 3  promoted  sha256:59c90c744350  1.2s\n"
        );
        assert_eq!(
            render(&done, None, false),
            "hello  revision 3  promoted  sha256:59c90c744350\n"
        );
    }

    #[test]
    fn several_line_up_and_what_is_not_known_is_a_dash() {
        let done = r#"{"services":[
            {"service":"a","outcome":"removed","revision":null,"digest":null,"generation":2},
            {"service":"shop\u001b","outcome":"rollout_begun","revision":12,"digest":"sha256:abc","generation":1}]}"#;
        let done: Done = serde_json::from_str(done).unwrap();
        assert_eq!(
            render(&done, None, false),
            "a           -            removed        -\n\
             shop\\u{1b}  revision 12  rollout begun  sha256:abc\n"
        );
    }
}
