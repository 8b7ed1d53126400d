//! `skep check`: everything that a deployment would refuse, found without running anything.
//!
//! Each folder and each skep.toml is a host of its own; files that are named by themselves are checked together, as if
//! one folder held them.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use skep_policy::routes::{RouteConflict, RouteTable};
use skep_policy::shares::{self, Ask};

use super::print_json;
use super::style::{Tone, harmless, paint};
use crate::admin::routes;
use crate::config::{self, ConfigError, Overrides, Pool, ServiceConfig};
use crate::deploy::arrive::{Found, Intake, Now, Pace, Scanner};
use crate::deploy::compile::Contracts;
use crate::deploy::link;
use crate::telemetry::{chain, log};

pub(super) mod component;
mod graph;

/// Keys that a skep.toml may have at its top and a service's manifest may not.
const HOST_KEYS: [&str; 15] = [
    "listen",
    "tls",
    "admin",
    "admin_token",
    "admin_token_file",
    "state",
    "cache",
    "services",
    "service",
    "timeouts",
    "connections",
    "calls",
    "pool",
    "compile",
    "log",
];

/// A larger file is no manifest.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Files are taken to be whole: nobody drops them in while they are checked.
const AT_ONCE: Pace = Pace {
    complete: Duration::ZERO,
    quiet: Duration::ZERO,
    settle: Duration::ZERO,
    rescan: Duration::MAX,
};

/// Arguments of `skep check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Components, manifests, skep.toml files, and folders of drop-ins
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Findings {
    pub(super) services: Vec<Good>,
    pub(super) problems: Vec<Problem>,
}

/// A service that would be deployed.
#[derive(Debug, Serialize)]
pub(super) struct Good {
    name: String,
    pub(super) kind: String,
    routes: Vec<String>,
    file: PathBuf,
}

/// Something that would be refused.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    file: PathBuf,
    /// The service that would be refused, as far as it is known.
    service: Option<String>,
    /// What is wrong and what to do about it.
    problem: String,
}

/// A service that is described as it should be, and where.
struct Described {
    file: PathBuf,
    config: ServiceConfig,
}

/// Services that one host would have.
struct Group {
    pool: Pool,
    described: Vec<Described>,
    /// Every service that the host would have, those that are not in order too; None if there may be more.
    all: Option<BTreeSet<String>>,
}

/// A service whose component is in order as well.
struct Sound {
    file: PathBuf,
    config: ServiceConfig,
    kind: String,
    contracts: Contracts,
}

/// Checks everything and prints what was found: 1 if there is any problem.
///
/// # Errors
/// When standard output can't be written.
pub fn run(args: &Args) -> io::Result<ExitCode> {
    let findings = check(&args.paths);
    let output = io::stdout().lock();
    if args.json {
        print_json(output, &findings)
    } else {
        print(output, &findings)
    }?;
    Ok(if findings.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Finds out what a host would make of these files.
pub(super) fn check(paths: &[PathBuf]) -> Findings {
    let mut findings = Findings::default();
    let (hosts, loose): (Vec<_>, Vec<_>) = paths
        .iter()
        .partition(|path| path.is_dir() || is_host_settings(path));
    for path in hosts {
        match host(path, &mut findings) {
            Ok(group) => group.check(&mut findings),
            Err(error) => findings.problem(path, None, chain(&error)),
        }
    }
    if !loose.is_empty() {
        match together(&loose, &mut findings) {
            Ok(group) => group.check(&mut findings),
            Err(error) => findings.problem(Path::new(""), None, chain(&error)),
        }
    }
    findings
}

/// Whether a file is the host's, by what it says; of one that says nothing readable, by its name.
fn is_host_settings(path: &Path) -> bool {
    let named = path.file_name().is_some_and(|name| name == "skep.toml");
    let says_so = || {
        let is_toml = path.extension().is_some_and(|found| found == "toml");
        let metadata = is_toml.then(|| std::fs::metadata(path).ok()).flatten()?;
        let small = metadata.is_file() && metadata.len() <= MANIFEST_BYTES_MAX;
        let text = small
            .then(|| std::fs::read_to_string(path).ok())
            .flatten()?;
        let table: toml::Table = text.parse().ok()?;
        HOST_KEYS
            .iter()
            .any(|key| table.contains_key(*key))
            .then_some(())
    };
    named || says_so().is_some()
}

/// What a host would find at `path`, by the same look.
fn host(path: &Path, findings: &mut Findings) -> Result<Group, ConfigError> {
    let (host, _) = config::host::load(Some(path), Overrides::default())?;
    let scan = Scanner::new(Intake::of(&host), AT_ONCE).scan(Now::get());
    for fault in &scan.faults {
        findings.problem(path, None, chain(fault));
    }
    let mut described = Vec::new();
    let mut all = BTreeSet::new();
    for (name, found) in scan.services {
        all.insert(name.to_string());
        match found {
            Found::Ready(candidate) => {
                let config = candidate.config;
                let file = config.target.component().unwrap_or(path).to_owned();
                described.push(Described { file, config });
            }
            Found::Broken(error) => findings.problem(path, Some(name), chain(&error)),
            Found::Waiting => {
                let problem =
                    format!("the files of {name} changed while they were checked: check again");
                findings.problem(path, Some(name), problem);
            }
        }
    }
    Ok(Group {
        pool: host.pool,
        described,
        all: Some(all),
    })
}

/// Files that are named by themselves, as if they were a host's drop-ins.
fn together(paths: &[&PathBuf], findings: &mut Findings) -> Result<Group, ConfigError> {
    // Any folder will do: without a skep.toml its pool is the default one.
    let (host, _) = config::host::load(Some(Path::new("/")), Overrides::default())?;
    let mut described: Vec<Described> = Vec::new();
    for path in paths {
        let file = describing(path);
        let config = match drop_in(&file, &host.pool) {
            Ok(config) => config,
            Err(error) => {
                findings.problem(&file, None, chain(&error));
                continue;
            }
        };
        match described
            .iter()
            .find(|other| other.config.name == config.name)
        {
            // A component and its own manifest, both named.
            Some(other) if other.config == config => {}
            Some(other) => {
                let (name, other) = (config.name.to_string(), other.file.display());
                let problem =
                    format!("{other} is a service {name} already: give one of them another name");
                findings.problem(&file, Some(name), problem);
            }
            None => described.push(Described { file, config }),
        }
    }
    Ok(Group {
        pool: host.pool,
        described,
        all: None,
    })
}

/// The file that says what service `path` is: a component's manifest, if it has one beside it.
fn describing(path: &Path) -> PathBuf {
    let beside = path.with_extension("toml");
    if beside.is_file() {
        beside
    } else {
        path.to_owned()
    }
}

fn drop_in(file: &Path, pool: &Pool) -> Result<ServiceConfig, ConfigError> {
    let is_manifest = file.extension().is_some_and(|found| found == "toml");
    let config = if is_manifest {
        config::service::from_manifest(file, None)?
    } else {
        config::service::without_manifest(file)?
    };
    config::service::fits(&config, pool).map(|()| config)
}

impl Group {
    fn check(self, findings: &mut Findings) {
        let mut sound = Vec::new();
        for service in self.described {
            let component = service.config.target.component();
            let file = component.unwrap_or(&service.file).to_owned();
            let name = service.config.name.to_string();
            match examine(service) {
                Ok(service) => sound.push(service),
                Err(problem) => findings.problem(&file, Some(name), problem),
            }
        }
        let sound = without_conflicts(sound, findings);
        if let Some(all) = &self.all {
            graph::check(&sound, all, findings);
        }
        let asks: Vec<Ask> = sound
            .iter()
            .map(|service| match service.config.has_instances() {
                true => Ask {
                    least: 1,
                    most: service.config.limits.concurrency,
                },
                false => Ask::NOTHING,
            })
            .collect();
        if let Err(error) = shares::divide(self.pool.instances, &asks) {
            findings.problem(Path::new(""), None, error.to_string());
        }
        findings.services.extend(sound.into_iter().map(Good::from));
    }
}

/// A service's component, or what is wrong with it. Nothing else is asked or opened.
fn examine(Described { file, config }: Described) -> Result<Sound, String> {
    let (kind, contracts) = match config.target.component() {
        Some(path) => {
            let examined = component::examine(path);
            let (kind, contracts) = examined.map_err(|error| chain(&error))?;
            link::fits(kind, &contracts, &config)?;
            (kind.to_string(), contracts)
        }
        None => (
            config.target.kind().unwrap_or_default().to_owned(),
            Contracts::default(),
        ),
    };
    Ok(Sound {
        file,
        config,
        kind,
        contracts,
    })
}

/// Leaves out each service whose routes would take another's requests.
fn without_conflicts(all: Vec<Sound>, findings: &mut Findings) -> Vec<Sound> {
    if table(&all).is_ok() {
        return all;
    }
    let mut kept = Vec::new();
    for service in all {
        kept.push(service);
        if let Err(conflict) = table(&kept)
            && let Some(service) = kept.pop()
        {
            findings.problem(
                &service.file,
                Some(service.config.name.to_string()),
                conflict.to_string(),
            );
        }
    }
    kept
}

fn table(services: &[Sound]) -> Result<RouteTable<()>, RouteConflict> {
    let routes = |service: &Sound| {
        let name = service.config.name.clone();
        service
            .config
            .routes
            .clone()
            .into_iter()
            .map(move |route| (route, name.clone(), ()))
    };
    RouteTable::build(services.iter().flat_map(routes))
}

impl From<Sound> for Good {
    fn from(sound: Sound) -> Self {
        Self {
            name: sound.config.name.to_string(),
            kind: sound.kind,
            routes: routes(&sound.config),
            file: sound.file,
        }
    }
}

impl Findings {
    fn problem(&mut self, file: &Path, service: Option<String>, problem: String) {
        self.problems.push(Problem {
            file: file.to_owned(),
            service,
            problem,
        });
    }
}

impl Problem {
    /// The file, unless the problem begins with it anyway, and the problem.
    fn line(&self) -> String {
        let file = self.file.display().to_string();
        let said = std::path::absolute(&self.file)
            .is_ok_and(|path| self.problem.starts_with(&*path.to_string_lossy()));
        if file.is_empty() || said {
            self.problem.clone()
        } else {
            format!("{file}: {}", self.problem)
        }
    }
}

fn print(mut output: impl Write, findings: &Findings) -> io::Result<()> {
    let colours = log::colours(&io::stdout());
    let width = |of: fn(&Good) -> usize| findings.services.iter().map(of).max().unwrap_or(0);
    let (names, kinds) = (width(|good| good.name.len()), width(|good| good.kind.len()));
    for Good {
        name, kind, routes, ..
    } in &findings.services
    {
        let ok = paint("ok", Tone::Good, colours);
        writeln!(
            output,
            "{ok}  {name:names$}  {kind:kinds$}  {}",
            routes.join("  ")
        )?;
    }
    print_problems(output, &findings.problems)
}

/// What is wrong, a line each.
pub(super) fn print_problems(mut output: impl Write, problems: &[Problem]) -> io::Result<()> {
    let colours = log::colours(&io::stdout());
    for problem in problems {
        writeln!(
            output,
            "{}  {}",
            paint("error", Tone::Bad, colours),
            harmless(&problem.line())
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
