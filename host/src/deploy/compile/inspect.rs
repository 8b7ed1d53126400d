//! Decides what an artifact is from its outermost imports and exports, and refuses what can't be served.
//!
//! Reads structure only: it never compiles, runs or trusts what it reads. Validation is the compiler's.

use skep_policy::contract::{Contract, InterfaceName};
use wasmparser::{Encoding, Parser, Payload};

use super::artifact::ArtifactKind;
use super::contracts::{self, Contracts};
use super::offer::{Interface, Line, OFFERED};
use super::refused::{Names, Refused, shown};
use crate::engine;

const WASM_MAGIC: &[u8] = b"\0asm";
const TEXT_SNIFF_BYTES: usize = 512;

/// The core module that the preview 1 adapters stand in for.
pub(super) const PREVIEW1: &str = "wasi_snapshot_preview1";
const PREVIEW0: &str = "wasi_unstable";

/// What an artifact turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// A component that can be served, and what it shares with other services beside HTTP.
    Component(ArtifactKind, Contracts),
    /// A core wasip1 command module, to be componentized.
    Command,
    /// A core module that describes its interfaces in custom sections, to be componentized.
    Reactor,
}

/// The names at the outermost level of a binary.
#[derive(Debug, Default)]
struct Surface {
    exports: Vec<String>,
    imports: Vec<String>,
    /// `module.name` of the first import of a core module from elsewhere than WASI preview 1.
    foreign: Option<String>,
    /// A core module carries `component-type` sections.
    typed: bool,
}

/// Decides what `bytes` are.
///
/// # Errors
/// [`Refused`] says what is wrong with them and what to do.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, Refused> {
    not_wasm(bytes).map_or(Ok(()), Err)?;
    match surface(bytes)? {
        (Encoding::Component, surface) => {
            let kind = component(&surface)?;
            let contracts = shared(bytes, &surface, kind)?;
            Ok(Inspected::Component(kind, contracts))
        }
        (Encoding::Module, surface) => module(&surface),
    }
}

fn not_wasm(bytes: &[u8]) -> Option<Refused> {
    let what = match bytes {
        [] => return Some(Refused::Empty),
        [0x7f, b'E', b'L', b'F', ..] => "a native executable or a precompiled image (ELF)",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'M', b'Z', ..] => "a Windows executable",
        [0xcf, 0xfa, 0xed, 0xfe, ..] => "a macOS executable",
        _ if bytes.starts_with(WASM_MAGIC) || WASM_MAGIC.starts_with(bytes) => return None,
        _ => match std::str::from_utf8(&bytes[..bytes.len().min(TEXT_SNIFF_BYTES)]) {
            Ok(text)
                if text.trim_start().starts_with("(module")
                    || text.trim_start().starts_with("(component") =>
            {
                "WebAssembly's text form (make the binary with `wasm-tools parse FILE.wat -o FILE.wasm`)"
            }
            Ok(text) if !text.contains('\0') => "a text file",
            // A character may be cut by the end of the sniffed bytes.
            Err(error) if error.error_len().is_none() && !bytes.contains(&0) => "a text file",
            _ => "some other file",
        },
    };
    Some(Refused::NotWasm { what })
}

fn surface(bytes: &[u8]) -> Result<(Encoding, Surface), Refused> {
    let mut found = None;
    let mut surface = Surface::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(Refused::parsing)? {
            Payload::Version { encoding, .. } => {
                found.get_or_insert(encoding);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            payload if depth == 0 => surface.note(payload).map_err(Refused::parsing)?,
            _ => {}
        }
    }
    found
        .map(|encoding| (encoding, surface))
        .ok_or(Refused::Empty)
}

impl Surface {
    fn note(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    self.imports.push(full_name(&import?.name));
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    self.exports.push(full_name(&export?.name));
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    if import.module != PREVIEW1 {
                        self.foreign
                            .get_or_insert_with(|| format!("{}.{}", import.module, import.name));
                    }
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    self.exports.push(export?.name.to_owned());
                }
            }
            Payload::CustomSection(section) => {
                self.typed |= section.name().starts_with("component-type");
            }
            _ => {}
        }
        Ok(())
    }
}

/// The name with the version's suffix that newer tools split off.
fn full_name(name: &wasmparser::ComponentExternName<'_>) -> String {
    format!("{}{}", name.name, name.version_suffix.unwrap_or_default())
}

fn component(surface: &Surface) -> Result<ArtifactKind, Refused> {
    let served = |package: &str, name: &str, line: Line| {
        surface.exports.iter().find(|export| {
            Interface::parse(export)
                == Some(Interface {
                    package,
                    name,
                    line: Some(line),
                })
        })
    };
    let (kind, export) = if let Some(export) = served("wasi:http", "handler", Line::V03) {
        (ArtifactKind::Http03, export)
    } else if let Some(export) = served("wasi:http", "incoming-handler", Line::V02) {
        (ArtifactKind::Http02, export)
    } else if let Some(export) = served("wasi:cli", "run", Line::V02) {
        (ArtifactKind::Command, export)
    } else if let Some(export) = surface.exports.iter().find(|name| is_own(name)) {
        (ArtifactKind::Functions, export)
    } else {
        return Err(no_handler(surface));
    };
    for import in surface.imports.iter().filter(|name| !is_own(name)) {
        let interface = Interface::parse(import).filter(Interface::is_offered);
        match interface {
            None => {
                return Err(Refused::Import {
                    import: shown(import),
                    offered: OFFERED,
                });
            }
            Some(Interface {
                line: Some(Line::V03),
                ..
            }) if kind.engine() == engine::Kind::Sync => {
                return Err(Refused::MixedVersions {
                    export: shown(export),
                    import: shown(import),
                });
            }
            Some(_) => {}
        }
    }
    Ok(kind)
}

/// Whether an import or export is an interface between services: one that is not WASI's.
fn is_own(name: &str) -> bool {
    InterfaceName::try_from(name).is_ok_and(|name| !name.path().starts_with("wasi:"))
}

/// What a component of this kind shares with other services.
fn shared<'a>(
    bytes: &[u8],
    surface: &'a Surface,
    kind: ArtifactKind,
) -> Result<Contracts, Refused> {
    let own = |names: &'a [String]| names.iter().map(String::as_str).filter(|name| is_own(name));
    // A command has one request in its life, and that is not a call.
    let exports = if kind == ArtifactKind::Command {
        &[]
    } else {
        surface.exports.as_slice()
    };
    let (imports, exports) = (own(&surface.imports), own(exports));
    if imports.clone().chain(exports.clone()).next().is_none() {
        return Ok(Contracts::default());
    }
    let contracts = contracts::read(bytes, imports, exports)?;
    let offers_functions = contracts.exports.iter().any(Contract::has_functions);
    if kind == ArtifactKind::Functions && !offers_functions {
        return Err(no_handler(surface));
    }
    let imports = contracts.imports.iter();
    let mut functions = imports.flat_map(|contract| {
        let functions = contract.functions.iter();
        functions.map(|(name, text)| (&contract.interface, name, text))
    });
    let is_sync = kind.engine() == engine::Kind::Sync;
    match functions.find(|(_, _, text)| is_sync && contracts::is_async(text)) {
        Some((interface, function, _)) => Err(Refused::AsyncImport {
            import: shown(&format!("{interface}#{function}")),
            kind,
        }),
        None => Ok(contracts),
    }
}

fn no_handler(surface: &Surface) -> Refused {
    let near = surface.exports.iter().find(|export| {
        Interface::parse(export).is_some_and(|interface| {
            matches!(
                (interface.package, interface.name),
                ("wasi:http", "incoming-handler" | "handler") | ("wasi:cli", "run")
            )
        })
    });
    match near {
        Some(export) => Refused::HandlerVersion {
            export: shown(export),
        },
        None => Refused::NoHandler {
            exports: Names(surface.exports.clone()),
        },
    }
}

fn module(surface: &Surface) -> Result<Inspected, Refused> {
    let runs = surface.exports.iter().any(|export| export == "_start");
    if surface.typed {
        return Ok(if runs {
            Inspected::Command
        } else {
            Inspected::Reactor
        });
    }
    match &surface.foreign {
        Some(import) if import.starts_with(PREVIEW0) => return Err(Refused::Preview0),
        Some(import) => {
            return Err(Refused::ForeignModule {
                import: shown(import),
            });
        }
        None => {}
    }
    if runs {
        Ok(Inspected::Command)
    } else {
        Err(Refused::NothingToRun {
            exports: Names(surface.exports.clone()),
        })
    }
}

#[cfg(test)]
mod tests;
