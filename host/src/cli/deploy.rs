//! `skep deploy`: sends components to a running host, and says what became of them.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use http::header::HeaderValue;
use http::{Method, header};
use serde_json::json;
use skep_policy::name::{NameError, ServiceName};

use self::bundle::Item;
use self::progress::Progress;
use self::source::{Component, Place};
use super::api::Done;
use super::client::{Ask, ClientError, Form, Target};
use super::registry::RegistryError;
use super::remote::Remote;
use super::{ABORTED, Failure, outcome, output_failed};
use crate::telemetry::log;

mod bundle;
mod order;
mod progress;
mod rollout;
mod source;

/// Arguments of `skep deploy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service
    #[arg(required_unless_present_any = ["bundle", "atomic"])]
    name: Option<ServiceName>,
    /// Its component, or core module: a file, or HOST/REPOSITORY:TAG in a registry; none if its manifest names an upstream
    #[arg(value_name = "FILE|oci:REF", required_unless_present_any = ["bundle", "atomic", "config"])]
    component: Option<Place>,
    /// Deploy all services that a bundle lists, or none
    #[arg(short = 'f', long = "file", value_name = "BUNDLE", conflicts_with_all = ["name", "atomic"])]
    bundle: Option<PathBuf>,
    /// Deploy all services of a folder, laid out as drop-ins are, or none
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    atomic: Option<PathBuf>,
    /// The service's manifest [default: the configuration that it has]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "atomic"])]
    config: Option<PathBuf>,
    /// Even if it breaks callers
    #[arg(long)]
    force: bool,
    /// If a rollout begins, follow it to its end; aborted, the verb ends with 3
    #[arg(long)]
    wait: bool,
    /// Only if the service has this generation; 0: if there is no such service
    #[arg(long, value_name = "N", conflicts_with_all = ["bundle", "atomic"])]
    if_generation: Option<u64>,
    /// The component's signature, as bytes or in base64 [default: the registry's, of a component from there]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "atomic"])]
    signature: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// Why nothing was deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The host can't be asked, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The registry does not give the component.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The component can't be sent.
    #[error("{}", file.display())]
    Component {
        /// As given.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Some other file or folder.
    #[error("{}: can't be read: check the path and its permissions", file.display())]
    Read {
        /// As given.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A manifest, or a bundle.
    #[error("{}", file.display())]
    Toml {
        /// As given.
        file: PathBuf,
        /// What is wrong with it, and where.
        source: toml::de::Error,
    },
    /// A file in a folder is no service's.
    #[error("{}: give its manifest a `name`, or rename it", file.display())]
    Name {
        /// The file.
        file: PathBuf,
        /// What names may be.
        source: NameError,
    },
    /// Two services of one name.
    #[error("{}: {name} is there twice: give one of them another name", place.display())]
    Twice {
        /// The bundle or folder.
        place: PathBuf,
        /// The name.
        name: ServiceName,
    },
    /// Nothing to do.
    #[error(
        "{}: lists no service: add [[service]] with a name and a component",
        file.display()
    )]
    EmptyBundle {
        /// As given.
        file: PathBuf,
    },
    /// Nothing to do.
    #[error(
        "{}: no service in it: put NAME.wasm there, or NAME/service.toml",
        folder.display()
    )]
    EmptyFolder {
        /// As given.
        folder: PathBuf,
    },
}

/// Sends what is to be deployed, waits until it is, and prints what became of it.
///
/// # Errors
/// When it can't be read or sent, or is refused.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let mut progress = Progress::new(io::stderr().is_terminal());
    let work = async |target: &Target| match (&args.name, &args.component) {
        (Some(name), Some(place)) => one(args, name, place, target, &mut progress).await,
        (Some(name), None) => described(args, name, target, &mut progress).await,
        _ => several(args, target, &mut progress).await,
    };
    let done = args.remote.run(work)?;
    progress.end();
    let mut output = io::stdout().lock();
    let printed = if args.remote.json {
        serde_json::to_writer(&mut output, &done)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(output))
    } else {
        let colours = log::colours(&output);
        let lines = outcome::render(&done, Some(begun.elapsed()), colours);
        output.write_all(lines.as_bytes())
    };
    let is_aborted = done.services.iter().any(|standing| {
        // Waited for; an order to deploy aborts nothing by itself.
        standing.outcome == rollout::ABORTED
    });
    let code = if is_aborted {
        ExitCode::from(ABORTED)
    } else {
        ExitCode::SUCCESS
    };
    printed.map(|()| code).or_else(output_failed)
}

/// One service: its component and configuration in one request.
async fn one(
    args: &Args,
    name: &ServiceName,
    place: &Place,
    target: &Target,
    progress: &mut Progress,
) -> Result<Done, DeployError> {
    let config = args.config.as_deref().map(source::config).transpose()?;
    let signature = args
        .signature
        .as_deref()
        .map(source::signature)
        .transpose()?;
    let component = place.read(signature).await?;
    let mut form = Form::new(&component.digest.to_string());
    // First what is small: the host can refuse it before it has the rest.
    if let Some(config) = &config {
        form.text("config", config);
    }
    form.text("source", &component.source);
    if args.force {
        form.text("force", "true");
    }
    if let Some(signature) = &component.signature {
        form.text("signature", signature);
    }
    form.file("artifact", component.bytes);
    let ask = Ask::order(Method::PUT, format!("/v1/services/{name}"));
    let ask = ask.form(form, progress.upload());
    let ask = only_if(args, ask);
    order::send(target, ask, std::slice::from_ref(name), args.wait, progress).await
}

/// One service whose manifest says all.
async fn described(
    args: &Args,
    name: &ServiceName,
    target: &Target,
    progress: &mut Progress,
) -> Result<Done, DeployError> {
    let config = args.config.as_deref().map(source::config).transpose()?;
    let source = args.config.as_ref().map(|file| file.display().to_string());
    let body = json!({"config": config, "source": source, "force": args.force});
    let ask = Ask::order(Method::PUT, format!("/v1/services/{name}")).json(&body);
    let ask = only_if(args, ask);
    order::send(target, ask, std::slice::from_ref(name), args.wait, progress).await
}

/// The order, on the condition that was given.
fn only_if(args: &Args, ask: Ask) -> Ask {
    match args.if_generation {
        None => ask,
        Some(0) => ask.header(
            header::IF_NONE_MATCH.as_str(),
            HeaderValue::from_static("*"),
        ),
        Some(generation) => ask.header(header::IF_MATCH.as_str(), tag(generation)),
    }
}

/// An entity tag; the number is one that a header takes.
fn tag(generation: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{generation}\""))
        .unwrap_or_else(|_| HeaderValue::from(generation))
}

/// Several services: the components first, and then the order that names them.
async fn several(
    args: &Args,
    target: &Target,
    progress: &mut Progress,
) -> Result<Done, DeployError> {
    let (place, items) = match (&args.bundle, &args.atomic) {
        (Some(file), _) => (file, bundle::listed(file)?),
        (None, Some(folder)) => (folder, bundle::of_folder(folder)?),
        // The command line has one of the three.
        (None, None) => return Ok(Done::default()),
    };
    let mut there = BTreeSet::new();
    let mut services = Vec::new();
    for Item {
        name,
        component,
        config,
        signature,
    } in &items
    {
        let config = config.as_deref().map(source::config).transpose()?;
        let signature = signature.as_deref().map(source::signature).transpose()?;
        let Some(component) = component else {
            services.push(json!({"name": name.as_str(), "config": config}));
            continue;
        };
        let Component {
            bytes,
            digest,
            signature,
            ..
        } = component.read(signature).await?;
        let digest = digest.to_string();
        // A drop-in without a manifest has the defaults; of a bundle's service nothing is said, so that it keeps what it has.
        let config = config.or_else(|| args.atomic.is_some().then(String::new));
        let mut service = json!({"name": name.as_str(), "artifact": digest, "config": config});
        if let Some(signature) = signature {
            service["signature"] = signature.into();
        }
        services.push(service);
        if there.insert(digest.clone()) {
            let path = format!("/v1/artifacts/{digest}");
            let ask = Ask::order(Method::PUT, path).bytes(bytes, progress.upload());
            target.send(ask).await?;
        }
    }
    let body = json!({
        "services": services,
        "source": place.display().to_string(),
        "force": args.force,
    });
    let ask = Ask::order(Method::POST, "/v1/deployments").json(&body);
    let names: Vec<ServiceName> = items.into_iter().map(|item| item.name).collect();
    order::send(target, ask, &names, args.wait, progress).await
}
