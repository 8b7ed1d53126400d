//! Artifacts through the real child, which is this test program run again.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::fixture::{HANDLER_02, HANDLER_03, component, laborious, module};
use super::*;
use crate::cli::compile_child;

const SETTINGS: config::Compile = config::Compile {
    memory: 512 << 20,
    timeout: Duration::from_secs(60),
    parallel: 2,
};

static ENGINES: LazyLock<Arc<Engines>> = LazyLock::new(|| {
    let pool = config::Pool {
        instances: 4,
        memory_max: 64 << 20,
    };
    Arc::new(Engines::new(&pool).unwrap())
});

/// Not a test: what the other tests start as their compile child. The test harness takes the child's
/// arguments for the names of further tests, of which there are none.
#[test]
#[ignore = "run by the other tests"]
fn act_as_the_child() {
    let arguments: Vec<_> = std::env::args().collect();
    let [.., output, memory, cpu, host] = arguments.as_slice() else {
        return;
    };
    let (Ok(memory), Ok(cpu_seconds), Ok(host)) = (memory.parse(), cpu.parse(), host.parse())
    else {
        return;
    };
    println!();
    let arguments = compile_child::Args {
        output: output.into(),
        memory,
        cpu_seconds,
        host,
    };
    assert_eq!(
        compile_child::run(&arguments),
        std::process::ExitCode::SUCCESS
    );
}

fn this_test_program() -> Launch {
    let child = "deploy::compile::tests::act_as_the_child";
    Launch::new(
        "/proc/self/exe",
        [
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
            child,
        ],
    )
}

/// Starts the child from a process that is not this one, as if this one were gone.
fn by_another_process() -> Launch {
    let child = "\"$0\" --exact --ignored --nocapture --test-threads=1 \
                 deploy::compile::tests::act_as_the_child \"$@\" | cat";
    let this = std::env::current_exe().unwrap();
    Launch::new(
        "/bin/sh",
        ["-c".into(), child.into(), this.into_os_string()],
    )
}

struct Bench {
    directory: tempfile::TempDir,
    compiler: Compiler,
}

impl Bench {
    fn with(settings: config::Compile, launch: Launch) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let compiler = compiler(directory.path(), settings, launch);
        Self {
            directory,
            compiler,
        }
    }

    fn new() -> Self {
        Self::with(SETTINGS, this_test_program())
    }

    fn artifact(&self, bytes: &[u8]) -> Artifact {
        let path = self.directory.path().join("artifact.wasm");
        fs::write(&path, bytes).unwrap();
        Artifact {
            digest: Digest::of(bytes),
            path,
        }
    }

    async fn compile(&self, bytes: &[u8]) -> Result<Compiled, CompileError> {
        self.compiler.compile(&self.artifact(bytes)).await
    }

    fn images(&self) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("cache")).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "cwasm"))
            .collect()
    }
}

fn compiler(directory: &Path, settings: config::Compile, launch: Launch) -> Compiler {
    let cache = CacheDir::open(&directory.join("cache")).unwrap();
    Compiler::new(cache, settings, Arc::clone(&ENGINES), launch).unwrap()
}

fn no_child() -> Launch {
    Launch::new("/nonexistent", ["x"])
}

#[tokio::test]
async fn each_kind_is_compiled_once_and_then_comes_from_the_cache() {
    let bench = Bench::new();
    for (bytes, kind) in [
        (component(&[], &[HANDLER_02]), ArtifactKind::Http02),
        (component(&[], &[HANDLER_03]), ArtifactKind::Http03),
        (module(&[], "_start"), ArtifactKind::Command),
    ] {
        let first = bench.compile(&bytes).await.unwrap();
        assert_eq!(
            (first.kind, first.cached, first.digest),
            (kind, false, Digest::of(&bytes))
        );
        let second = bench.compile(&bytes).await.unwrap();
        assert_eq!((second.kind, second.cached), (kind, true));
    }
}

#[tokio::test]
async fn a_component_that_is_in_use_is_not_loaded_again() {
    let bench = Bench::new();
    let bytes = module(&[], "_start");
    let first = bench.compile(&bytes).await.unwrap();
    let second = bench.compile(&bytes).await.unwrap();
    assert!(Arc::ptr_eq(&first.component, &second.component));
    // Nor by two who begin at once.
    let of_other = component(&[], &[HANDLER_02]);
    bench.compile(&of_other).await.unwrap();
    let artifact = bench.artifact(&of_other);
    let both = [&artifact, &artifact].map(|artifact| bench.compiler.compile(artifact));
    let both = futures::future::try_join_all(both).await.unwrap();
    assert!(Arc::ptr_eq(&both[0].component, &both[1].component));
    assert!(!first.cached && second.cached);
    let image = second.component.image_range();
    // Pages that others use stay.
    let before = resident_kib(&second.component);
    second.unload_pages();
    assert_eq!(resident_kib(&second.component), before);
    let unused = Arc::downgrade(&first.component);
    drop((first, second));
    assert!(unused.upgrade().is_none(), "{image:?} is given back");
    assert!(bench.compile(&bytes).await.unwrap().cached);
}

#[tokio::test]
async fn an_image_gives_its_memory_back_and_is_whole_when_it_is_used_again() {
    let bench = Bench::new();
    let compiled = bench.compile(&module(&[], "_start")).await.unwrap();
    // Reads all of it.
    let image = compiled.component.serialize().unwrap();
    let before = resident_kib(&compiled.component);
    assert!(before as usize >= image.len() >> 10, "{before} KiB");
    compiled.unload_pages();
    // A page that was changed while it was loaded stays.
    let after = resident_kib(&compiled.component);
    assert!(after * 4 < before, "{after} of {before} KiB");
    assert_eq!(compiled.component.serialize().unwrap(), image);
}

/// Of the component's image.
fn resident_kib(component: &Component) -> u64 {
    let image = component.image_range();
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_image = false;
    let mut resident = 0;
    for line in maps.lines() {
        let address = line.split_once('-').map(|(from, _)| from);
        let address = address.and_then(|from| usize::from_str_radix(from, 16).ok());
        if let Some(address) = address {
            is_image = (image.start.addr()..image.end.addr()).contains(&address);
        } else if let (true, Some(kib)) = (is_image, line.strip_prefix("Rss:")) {
            let kib = kib.trim().strip_suffix(" kB").unwrap();
            resident += kib.parse::<u64>().unwrap();
        }
    }
    resident
}

#[tokio::test]
async fn a_restart_with_a_warm_cache_starts_no_child_and_opens_no_artifact() {
    let bench = Bench::new();
    let bytes = component(&[], &[HANDLER_02]);
    let artifact = bench.artifact(&bytes);
    bench.compiler.compile(&artifact).await.unwrap();
    fs::remove_file(&artifact.path).unwrap();
    let restarted = compiler(bench.directory.path(), SETTINGS, no_child());
    assert!(restarted.compile(&artifact).await.unwrap().cached);
}

#[tokio::test]
async fn a_damaged_image_is_compiled_again() {
    let bench = Bench::new();
    let bytes = component(&[], &[HANDLER_02]);
    bench.compile(&bytes).await.unwrap();
    let images = bench.images();
    let [image] = images.as_slice() else {
        panic!("{images:?}")
    };
    let mut damaged = fs::read(image).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    // Replaced, not overwritten: the first component still has the old file mapped.
    fs::remove_file(image).unwrap();
    fs::write(image, damaged).unwrap();
    assert!(!bench.compile(&bytes).await.unwrap().cached);
    assert!(bench.compile(&bytes).await.unwrap().cached);
}

#[tokio::test]
async fn services_that_share_an_artifact_have_it_compiled_once() {
    let bench = Bench::new();
    let artifact = bench.artifact(&component(&[], &[HANDLER_02]));
    let compiler = &bench.compiler;
    let all = futures::future::join_all((0..5).map(|_| compiler.compile(&artifact))).await;
    let compiled = all
        .into_iter()
        .filter(|one| !one.as_ref().unwrap().cached)
        .count();
    assert_eq!(compiled, 1);
}

#[tokio::test]
async fn a_refusal_comes_back_with_its_causes() {
    let bench = Bench::new();
    let error = bench.compile(b"\0asm\x0d\0\x01\0\x01").await.unwrap_err();
    assert!(error.to_string().contains("cut short"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("unexpected end"), "{cause}");
}

#[tokio::test]
async fn a_child_whose_host_is_gone_when_it_starts_compiles_nothing() {
    let bench = Bench::with(SETTINGS, by_another_process());
    let bytes = component(&[], &[HANDLER_02]);
    let error = anyhow::Error::from(bench.compile(&bytes).await.unwrap_err());
    assert!(
        format!("{error:#}").contains("the host is gone"),
        "{error:#}"
    );
    assert!(bench.images().is_empty());
}

#[tokio::test]
async fn a_file_that_changed_is_not_taken_for_what_it_was() {
    let bench = Bench::new();
    let artifact = Artifact {
        digest: Digest::of(b"before"),
        ..bench.artifact(&component(&[], &[HANDLER_02]))
    };
    let error = bench.compiler.compile(&artifact).await.unwrap_err();
    assert!(matches!(error, CompileError::Changed { .. }), "{error}");
    assert!(bench.images().is_empty());
}

#[tokio::test]
async fn a_compiler_short_of_memory_names_the_limit_and_harms_nobody() {
    let bench = Bench::with(
        config::Compile {
            memory: 48 << 20,
            ..SETTINGS
        },
        this_test_program(),
    );
    let error = bench.compile(&laborious(40, 20_000)).await.unwrap_err();
    assert!(
        error.to_string().contains("compile.memory, which is 48MiB"),
        "{error}"
    );
    assert!(bench.images().is_empty());
}

#[tokio::test]
async fn a_compiler_that_takes_too_long_is_stopped() {
    let settings = config::Compile {
        timeout: Duration::from_millis(200),
        memory: 2 << 30,
        ..SETTINGS
    };
    let bench = Bench::with(settings, this_test_program());
    let error = bench.compile(&laborious(400, 20_000)).await.unwrap_err();
    assert!(matches!(error, CompileError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_host_without_its_program_says_so() {
    let bench = Bench::with(SETTINGS, no_child());
    let error = bench
        .compile(&component(&[], &[HANDLER_02]))
        .await
        .unwrap_err();
    assert!(matches!(error, CompileError::Host(_)), "{error}");
}
