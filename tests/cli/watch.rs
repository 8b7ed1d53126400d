//! `skep up --watch`: what is saved is served, what does not compile is told, and nothing is built without a reason.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::log::Line;
use crate::support::setup::Setup;
use crate::support::wait::{until, within};
use crate::support::{Host, Sources, probe};

#[tokio::test]
async fn an_edit_is_served_and_a_mistake_is_not() {
    let sources = Sources::new("edited").await;
    let setup = Host::empty().serving(sources.at("")).watching();
    let host = setup.start().await;
    let says = async || host.get("/edited").await.text().to_owned();
    assert_eq!(says().await, "Hello from edited\n", "it is built first");
    let missing = host
        .log
        .all(|line| line.says("deployment refused", "edited"));
    assert!(
        missing.is_empty(),
        "what is being built is no mistake: {missing:?}"
    );

    sources.edit("Hello from", "Good morning from");
    host.promoted("edited", 2).await;
    assert_eq!(says().await, "Good morning from edited\n");

    sources.edit("fn answer(", "fn anwser(");
    host.log_line("what the compiler says", |line| {
        line.text().contains("cannot find function `answer`")
    })
    .await;
    let failed = "build failed; what runs goes on running";
    host.log_line("the failed build", |line| line.says(failed, "edited"))
        .await;
    assert_eq!(says().await, "Good morning from edited\n");

    sources.edit("fn anwser(", "fn answer(");
    sources.edit("Good morning", "Good evening");
    host.promoted("edited", 3).await;
    assert_eq!(says().await, "Good evening from edited\n");
    host.stop().await;
}

/// A drop-in that is made of what the test hands to its build.
struct Made {
    folder: PathBuf,
}

impl Made {
    /// Its build waits for a component at a pipe, having said which process it is.
    fn below(setup: &Setup) -> Self {
        let folder = setup.services().join("made");
        fs::create_dir_all(folder.join("src")).unwrap();
        let made = Self { folder };
        mknodat(
            CWD,
            made.at("gate"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        made.edit("first");
        made.describe("");
        made
    }

    fn at(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn describe(&self, more: &str) {
        let build = "command = \"echo $$ > pid; cat gate > .made && mv .made made.wasm\"";
        let text = format!("component = \"made.wasm\"\n[build]\n{build}\n{more}");
        fs::write(self.at(".service.toml"), text).unwrap();
        fs::rename(self.at(".service.toml"), self.at("service.toml")).unwrap();
    }

    fn edit(&self, text: &str) {
        fs::write(self.at("src/text"), text).unwrap();
    }

    /// Hands a component to the build that is under way, or to the next.
    async fn hand(&self, component: impl AsRef<Path>) {
        let bytes = fs::read(component).unwrap();
        let handed = tokio::fs::write(self.at("gate"), bytes);
        within("a build to take a component", handed).await.unwrap();
    }
}

/// Waits for the start of this many builds.
async fn begun(host: &Host, number: usize) {
    let what = format!("build {number} to begin");
    host.nth_line(&what, number, is_begin).await;
}

fn is_begin(line: &Line) -> bool {
    line.says("building", "made")
}

#[tokio::test]
async fn nothing_is_built_without_a_reason_and_what_changes_meanwhile_once_more() {
    let setup = Host::with("other", probe("revision_a")).watching();
    let made = Made::below(&setup);
    let host = setup.launch().await;
    host.promoted("other", 1).await;
    made.hand(probe("revision_a")).await;
    host.promoted("made", 1).await;

    made.edit("second");
    begun(&host, 2).await;
    made.edit("third, while the second is built");
    made.edit("fourth");
    made.hand(probe("revision_a")).await;
    begun(&host, 3).await;
    made.hand(probe("revision_b")).await;
    host.promoted("made", 2).await;

    for ignored in ["target/x", ".hidden", "src/.text.swp", "src/target/y"] {
        fs::create_dir_all(made.at(ignored).parent().unwrap()).unwrap();
        fs::write(made.at(ignored), "").unwrap();
    }
    fs::copy(probe("revision_a"), made.at("made.wasm")).unwrap();
    host.promoted("made", 3).await;
    // Another way to build it is tried; the same component is the same revision.
    made.describe("watch = [\"src/*\"]\n");
    begun(&host, 4).await;
    made.hand(probe("revision_a")).await;
    made.edit("fifth");
    begun(&host, 5).await;
    made.hand(probe("revision_b")).await;
    host.promoted("made", 4).await;
    assert_eq!(host.log.all(is_begin).len(), 5);
    host.stop().await;
}

#[tokio::test]
async fn a_build_ends_with_the_host() {
    let setup = Host::empty().watching();
    let made = Made::below(&setup);
    let host = setup.launch().await;
    let pid = until("the build to say who it is", async || {
        let pid = fs::read_to_string(made.at("pid")).ok()?;
        pid.trim().parse::<u32>().ok()
    })
    .await;
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    host.stop().await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn a_folder_without_sources_is_told() {
    let host = Host::with("a", probe("revision_a"))
        .watching()
        .start()
        .await;
    host.log_line("that there is nothing to build", |line| {
        line.level() == "WARN" && line.message().contains("there is nothing to build")
    })
    .await;
    assert_eq!(host.revision_at("/a").await, "a");
    host.stop().await;
}
