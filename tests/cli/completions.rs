//! `skep completions`: a script for each shell, with what is there to be typed.

use crate::support::verb::skep;

#[tokio::test]
async fn every_shell_has_a_script_with_all_verbs_and_nothing_hidden() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = skep(["completions", shell]).await;
        assert_eq!((said.code, &*said.error), (Some(0), ""), "{shell}");
        for part in ["up", "new", "build", "check", "ls", "completions", "watch"] {
            assert!(said.output.contains(part), "no {part} for {shell}");
        }
        assert!(!said.output.contains("compile-child"), "{shell}");
    }
}

#[tokio::test]
async fn other_shells_are_usage_errors() {
    skep(["completions", "tcsh"])
        .await
        .assert_refused(2, &["tcsh", "bash"]);
    skep(["completions"]).await.assert_refused(2, &["<SHELL>"]);
}
