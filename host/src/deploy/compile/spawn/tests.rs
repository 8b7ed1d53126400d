//! How the ways a child can end are told apart.

use std::time::Duration;

use super::*;

const SETTINGS: config::Compile = config::Compile {
    memory: 64 << 20,
    timeout: Duration::from_secs(30),
    parallel: 1,
};

fn shell(script: &str) -> Launch {
    Launch::new("/bin/sh", ["-c", script])
}

async fn run(script: &str, settings: &config::Compile) -> Result<Made, CompileError> {
    let input = File::open("/dev/null").unwrap();
    compile(&shell(script), settings, input, Path::new("/nonexistent")).await
}

#[tokio::test]
async fn a_child_that_hangs_is_killed_and_its_limit_named() {
    let settings = config::Compile {
        timeout: Duration::from_millis(50),
        ..SETTINGS
    };
    let error = run("while :; do :; done", &settings).await.unwrap_err();
    assert!(matches!(error, CompileError::Timeout { .. }), "{error}");
    assert!(
        error.to_string().contains("compile.timeout, which is 50ms"),
        "{error}"
    );
}

#[tokio::test]
async fn deaths_are_told_apart() {
    for (script, words) in [
        (
            "echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$",
            "compile.memory, which is 64MiB",
        ),
        ("kill -XCPU $$", "compile.timeout, which is 30s"),
        ("kill -KILL $$", "killed from outside"),
        (
            "echo Oh no >&2; kill -SEGV $$",
            "crashed on this component (signal: 11 (SIGSEGV)",
        ),
        ("echo Oh no >&2; exit 101", "Oh no"),
        (
            "echo nonsense",
            "crashed on this component (exit status: 0)",
        ),
        (r#"echo '{"refused": ["not this", "because"]}'"#, "not this"),
    ] {
        let error = run(script, &SETTINGS).await.unwrap_err();
        assert!(error.to_string().contains(words), "{script}: {error}");
    }
}

#[tokio::test]
async fn a_flood_of_output_is_read_and_dropped() {
    let script = "head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; echo; echo '{\"failed\": [\"x\"]}'";
    let error = run(script, &SETTINGS).await.unwrap_err();
    assert!(matches!(error, CompileError::Crashed { .. }), "{error}");
}

#[tokio::test]
async fn the_child_inherits_no_environment() {
    let error = run(
        "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | cut -d= -f1 | sort >&2; exit 1",
        &SETTINGS,
    );
    let error = error.await.unwrap_err().to_string();
    assert!(
        error.ends_with(": MALLOC_ARENA_MAX | MIMALLOC_ARENA_RESERVE | RAYON_NUM_THREADS"),
        "{error}"
    );
}

#[test]
fn what_is_no_regular_file_is_never_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for path in [fifo.as_path(), directory.path(), Path::new("/dev/zero")] {
        assert!(
            matches!(open_artifact(path), Err(CompileError::Read { .. })),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(ARTIFACT_BYTES_MAX + 1).unwrap();
    let error = open_artifact(file.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("268435457 bytes, and components of more than 256MiB"),
        "{error}"
    );
}
