//! Killed at any moment, a host that is started again knows all that it has acknowledged, and serves nothing half-done.
//!
//! `SKEP_KILLS` says how many kills, `SKEP_KILL_SEED` from which seed: a run draws what it printed.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures::future::{join_all, select};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::Host;
use crate::support::orders::{Orders, Stand};
use crate::support::setup::Setup;
use crate::support::version::Version;
use crate::support::wait::until;

const KILLS: u32 = 320;
/// Hosts at a time, each with a state folder of its own.
const WORLDS: u32 = 2;
/// After which time the host is killed at the latest: a bit more than what a deployment takes.
const LIFE_MS_MAX: u64 = 60;
/// Revisions beside the live ones that are kept.
const HISTORY: usize = 3;
/// A rollout that goes on by itself once, and then waits for an operator.
const CANARY: &str = "[rollout]\nstrategy = \"canary\"\n\
    steps = [{ weight = 30, pause = \"20ms\" }, { weight = 60 }]\n";
/// What a service comes from.
const FILES: &str = "files";
const ORDERED: [&str; 2] = ["one", "two"];
const VERSIONS: u16 = 12;
/// Lines of the log after which a host is killed at once, to hit what comes behind them.
const MOMENTS: [&str; 5] = [
    "deployment begins",
    "revision promoted",
    "rollout begun",
    "rollout goes on",
    "revision retired",
];

#[derive(Debug, Clone, Copy)]
enum Act {
    Put(Version),
    Canary(Version),
    Promote,
    Abort,
    Pause,
    Rollback,
    Remove,
    /// A drop-in is put into the folder.
    File(Version),
    FileGone,
}

/// What somebody did to a service, and what the host said to that, if it came to it.
#[derive(Debug)]
struct Done {
    act: Act,
    said: Option<(u16, Value)>,
}

/// Draws (Steele et al., SplitMix64).
#[derive(Debug)]
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// One state folder, and all that is known of what lies there.
struct World {
    draws: Draws,
    stands: BTreeMap<&'static str, Stand>,
    /// What every revision is that has ever been seen.
    known: BTreeMap<(&'static str, u64), String>,
    /// Those of them that have been the running one.
    ran: BTreeSet<(&'static str, u64)>,
    kills: u32,
    acknowledged: u32,
    in_doubt: u32,
}

#[tokio::test]
async fn whatever_was_acknowledged_survives_kills_at_any_moment() {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse::<u64>().unwrap());
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed = number("SKEP_KILL_SEED").unwrap_or(now.as_millis() as u64);
    let kills = number("SKEP_KILLS").map_or(KILLS, |kills| kills as u32);
    println!("SKEP_KILL_SEED={seed} SKEP_KILLS={kills}");
    let began = std::time::Instant::now();
    let worlds = (0..WORLDS).map(|world| async move {
        let mut world = World {
            draws: Draws(seed + u64::from(world)),
            stands: BTreeMap::new(),
            known: BTreeMap::new(),
            ran: BTreeSet::new(),
            kills: 0,
            acknowledged: 0,
            in_doubt: 0,
        };
        world.live(kills.div_ceil(WORLDS)).await;
        world
    });
    let worlds = join_all(worlds).await;
    let sum = |figure: fn(&World) -> u32| worlds.iter().map(figure).sum::<u32>();
    let (acknowledged, in_doubt) = (sum(|one| one.acknowledged), sum(|one| one.in_doubt));
    println!(
        "{} kills in {:?}: {acknowledged} orders had been acknowledged, {in_doubt} were in doubt",
        sum(|one| one.kills),
        began.elapsed()
    );
    // Kills that all came too early or too late would prove nothing.
    assert!(acknowledged > kills / 10, "{acknowledged} acknowledged");
    assert!(in_doubt > kills / 10, "{in_doubt} in doubt");
}

impl World {
    async fn live(&mut self, kills: u32) {
        let mut setup = Host::empty()
            .version(FILES, Version(0))
            .settings(&format!("revision_history_limit = {HISTORY}\n"));
        let mut file = Some(Version(0));
        let mut done = BTreeMap::from([(FILES, Done::of(Act::File(Version(0))))]);
        while self.kills < kills {
            let host = setup.start().await;
            self.check(&host, &done, file).await;
            (setup, done) = self.round(host, &mut file).await;
            self.kills += 1;
            if self.draws.below(4) == 0 {
                self.kill_while_it_starts(&setup).await;
            }
        }
        let host = setup.start().await;
        self.check(&host, &done, file).await;
        host.stop().await;
    }

    /// Has things done to two services, and kills the host meanwhile.
    async fn round(
        &mut self,
        host: Host,
        file: &mut Option<Version>,
    ) -> (Setup, BTreeMap<&'static str, Done>) {
        let ordered = self.draws.one_of(&ORDERED);
        let act = self.act_on(ordered);
        let mut tasks = vec![(ordered, act, spawn(&host, ordered, act).await)];
        let mut done = BTreeMap::new();
        if self.draws.below(2) == 0 {
            let act = self.act_on_files(*file);
            *file = match act {
                Act::File(version) => Some(version),
                _ => None,
            };
            match *file {
                Some(version) => host.deploy_version(FILES, version),
                None => host.remove(&format!("{FILES}.wasm")),
            }
            done.insert(FILES, Done::of(act));
        } else {
            let other = ORDERED[usize::from(ordered == ORDERED[0])];
            let act = self.act_on(other);
            tasks.push((other, act, spawn(&host, other, act).await));
        }
        self.wait_for_the_moment(&host).await;
        let seen = host.log.clone();
        let setup = host.kill().await;
        for (name, act, task) in tasks {
            let said = task.await.unwrap();
            done.insert(name, Done { act, said });
        }
        for line in seen.all(|line| line.message() == "revision promoted") {
            let names = [FILES, ORDERED[0], ORDERED[1]];
            let name = names
                .into_iter()
                .find(|name| line.field("service") == *name);
            let revision = line.field("revision").parse().unwrap();
            self.is_known(name.unwrap(), revision, &line.field("digest"));
        }
        (setup, done)
    }

    async fn wait_for_the_moment(&mut self, host: &Host) {
        let life = sleep(Duration::from_millis(self.draws.below(LIFE_MS_MAX)));
        if self.draws.below(3) > 0 {
            return life.await;
        }
        let moment = self.draws.one_of(&MOMENTS);
        let so_far = host.log.all(|line| line.message() == moment).len();
        let next = host.nth_line(moment, so_far + 1, |line| line.message() == moment);
        // It may not come.
        drop(
            select(
                pin!(next),
                pin!(sleep(Duration::from_millis(2 * LIFE_MS_MAX))),
            )
            .await,
        );
    }

    /// Once more, before it has told anybody anything.
    async fn kill_while_it_starts(&mut self, setup: &Setup) {
        let mut command = setup.command();
        let quiet = std::process::Stdio::null;
        let mut host = command
            .kill_on_drop(true)
            .stdout(quiet())
            .stderr(quiet())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(self.draws.below(LIFE_MS_MAX))).await;
        host.kill().await.unwrap();
        self.kills += 1;
    }

    fn act_on(&mut self, name: &'static str) -> Act {
        let stand = self.stands.get(name).cloned().unwrap_or_default();
        let version = self.other_than(&stand);
        if stand.candidate.is_some() && self.draws.below(4) > 0 {
            return self.draws.one_of(&[Act::Promote, Act::Abort, Act::Pause]);
        }
        match self.draws.below(10) {
            0..4 => Act::Put(version),
            4..7 => Act::Canary(version),
            7..9 => Act::Rollback,
            _ => Act::Remove,
        }
    }

    fn act_on_files(&mut self, file: Option<Version>) -> Act {
        if file.is_some() && self.draws.below(6) == 0 {
            return Act::FileGone;
        }
        let stand = self.stands[FILES].clone();
        Act::File(self.other_than(&stand))
    }

    /// A version that is neither what answers nor what is rolled out.
    fn other_than(&mut self, stand: &Stand) -> Version {
        let live = [&stand.running, &stand.candidate];
        let live: BTreeSet<_> = live
            .into_iter()
            .flatten()
            .map(|(_, digest)| digest)
            .collect();
        loop {
            let version = Version(self.draws.below(u64::from(VERSIONS)) as u16);
            if !live.contains(&version.digest()) {
                return version;
            }
        }
    }

    /// What one number was once, it is for ever.
    fn is_known(&mut self, name: &'static str, revision: u64, digest: &str) {
        let known = self.known.entry((name, revision));
        let known = known.or_insert_with(|| digest.to_owned());
        assert_eq!(known, digest, "revision {revision} of {name}");
    }

    /// All that must be true of a host that has just been started again.
    async fn check(
        &mut self,
        host: &Host,
        done: &BTreeMap<&'static str, Done>,
        file: Option<Version>,
    ) {
        let followed = file.map(Version::digest);
        until("the file to be followed", async || {
            let running = host.stand(FILES).await.running;
            (running.map(|(_, digest)| digest) == followed).then_some(())
        })
        .await;
        let mut needed = BTreeSet::new();
        for name in [FILES, ORDERED[0], ORDERED[1]] {
            let before = self.stands.get(name).cloned().unwrap_or_default();
            let after = host.stand(name).await;
            self.is_allowed(name, &before, &after, done.get(name));
            self.ran
                .extend(after.running.iter().map(|(number, _)| (name, *number)));
            for (revision, digest) in &after.kept {
                self.is_known(name, *revision, digest);
            }
            let live =
                usize::from(after.running.is_some()) + usize::from(after.candidate.is_some());
            assert!(after.kept.len() <= live + HISTORY, "{name}: {after:?}");
            answers_as_listed(host, name, &after).await;
            needed.extend(after.kept.values().cloned());
            self.stands.insert(name, after);
        }
        let what = format!("the artifacts to be {needed:?} and nothing else");
        until(&what, async || (host.artifacts() == needed).then_some(())).await;
        let state = std::fs::read_dir(host.state()).unwrap();
        let mut left = state.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(!left.any(|name| name.starts_with(".tmp-")));
    }

    /// What was acknowledged is so; what was not is so or as before.
    fn is_allowed(
        &mut self,
        name: &'static str,
        before: &Stand,
        after: &Stand,
        done: Option<&Done>,
    ) {
        let digests = |stand: &Stand| {
            let digest =
                |one: &Option<(u64, String)>| one.as_ref().map(|(_, digest)| digest.clone());
            (digest(&stand.running), digest(&stand.candidate))
        };
        let story = format!("{name} was {before:?}, then {done:?}, and is {after:?}");
        let result = done.and_then(|done| {
            let has_run = |number| self.ran.contains(&(name, number));
            done.act.result(before, has_run)
        });
        let acknowledged = done.and_then(|done| done.said.as_ref());
        match acknowledged {
            Some((200, said)) => {
                self.acknowledged += 1;
                let standing = &said["services"][0];
                let result = result.unwrap_or_else(|| digests(before));
                assert_eq!(digests(after), result, "{story}");
                let live = [&after.running, &after.candidate];
                let numbers: Vec<u64> = live.into_iter().flatten().map(|one| one.0).collect();
                if let Some(revision) = standing["revision"].as_u64()
                    && standing["outcome"] != "rollout_aborted"
                {
                    assert!(numbers.contains(&revision), "{story}");
                }
                if after.running.is_some() {
                    assert!(
                        after.generation >= standing["generation"].as_u64(),
                        "{story}"
                    );
                }
            }
            Some((status, _)) => {
                assert!(matches!(status, 404 | 409 | 422), "{story}");
                assert_eq!(digests(after), digests(before), "{story}");
            }
            None => {
                self.in_doubt += u32::from(done.is_some());
                let is_as_before = digests(after) == digests(before);
                let is_done = Some(digests(after)) == result;
                assert!(is_as_before || is_done, "{story}");
                // Two revisions may be of one component: what looks as before may be done.
                if !is_done {
                    assert_eq!(after.running, before.running, "{story}");
                }
            }
        }
        if after.running.is_some() && before.running.is_some() {
            assert!(after.generation >= before.generation, "{story}");
        }
    }
}

impl Done {
    fn of(act: Act) -> Self {
        Self { act, said: None }
    }
}

impl Act {
    /// The digests of what answers and of what is rolled out afterwards; None if there is nothing to be done.
    fn result(
        self,
        before: &Stand,
        has_run: impl Fn(u64) -> bool,
    ) -> Option<(Option<String>, Option<String>)> {
        let running = before.running.clone();
        let candidate = before.candidate.clone().map(|(_, digest)| digest);
        match self {
            Self::Put(version) | Self::File(version) => Some((Some(version.digest()), None)),
            Self::Canary(version) => Some(match running {
                Some((_, running)) => (Some(running), Some(version.digest())),
                None => (Some(version.digest()), None),
            }),
            Self::Promote => candidate.map(|candidate| (Some(candidate), None)),
            Self::Abort => candidate.map(|_| (running.map(|(_, digest)| digest), None)),
            Self::Pause => None,
            Self::Rollback => {
                let current = running?.0;
                let mut older = before.kept.range(..current).rev();
                let older = older.find(|(number, _)| has_run(**number));
                older.map(|(_, digest)| (Some(digest.clone()), None))
            }
            Self::Remove | Self::FileGone => Some((None, None)),
        }
    }
}

/// Has it done in the background; the outcome is what the host said.
async fn spawn(
    host: &Host,
    name: &'static str,
    act: Act,
) -> tokio::task::JoinHandle<Option<(u16, Value)>> {
    // While the host is there for sure.
    let mut orders = Orders::to(host.admin).await;
    tokio::spawn(async move {
        match act {
            Act::Put(version) => orders.deploy(name, version, "").await,
            Act::Canary(version) => orders.deploy(name, version, CANARY).await,
            Act::Promote => orders.command(name, "promote", json!({"full": true})).await,
            Act::Abort => orders.command(name, "abort", json!({})).await,
            Act::Pause => orders.command(name, "pause", json!({})).await,
            Act::Rollback => orders.command(name, "rollback", json!({})).await,
            Act::Remove => orders.remove(name).await,
            Act::File(_) | Act::FileGone => unreachable!("nobody is told of files"),
        }
    })
}

/// What is served is a version as a whole, and the one that is listed.
async fn answers_as_listed(host: &Host, name: &str, stand: &Stand) {
    let answer = host.get(&format!("/{name}")).await;
    let Some((_, running)) = &stand.running else {
        assert_eq!(answer.status(), 404, "{name}: {answer:?}");
        return;
    };
    assert_eq!(answer.status(), 200, "{name}: {answer:?}");
    let version = Version::of(answer.text());
    let digest = version.unwrap_or_else(|| panic!("{answer:?}")).digest();
    let candidate = stand.candidate.as_ref().map(|(_, digest)| digest);
    assert!(
        digest == *running || candidate == Some(&digest),
        "{name}: {stand:?} answers {answer:?}"
    );
}
