//! The interfaces that a component shares with other services, read from its types.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use skep_policy::contract::{Contract, InterfaceName};
use wit_component::DecodedWasm;
use wit_parser::{
    Function, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId, WorldItem, WorldKey,
};

use super::refused::{Reasons, Refused, shown};

/// Text of one signature, types of named types included.
const SIGNATURE_BYTES_MAX: usize = 16 << 10;
/// Text of all signatures of a component.
const CONTRACTS_BYTES_MAX: usize = 32 << 10;
/// Types within types.
const DEPTH_MAX: usize = 32;

/// What a component calls of other services and offers to them, beside HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contracts {
    /// Interfaces that it imports and that are not the host's.
    pub imports: Vec<Contract>,
    /// Interfaces that others may import.
    pub exports: Vec<Contract>,
}

impl Contracts {
    /// Whether it imports a function whose call holds up all else in an instance.
    pub(crate) fn has_plain_imports(&self) -> bool {
        let functions = self.imports.iter().flat_map(|contract| &contract.functions);
        { functions }.any(|(_, signature)| !is_async(signature))
    }
}

/// Whether a function of this signature is one that others can go on beside.
pub(crate) fn is_async(signature: &str) -> bool {
    signature.starts_with(ASYNC)
}

const ASYNC: &str = "async ";

/// Why a function can't be called from another service.
enum Unfit {
    /// Something in its types belongs to one instance.
    Bound(&'static str),
    /// Its types are too large, or nested too deeply.
    Large,
}

/// Reads the interfaces of `component` that are not WASI's.
///
/// # Errors
/// [`Refused`] when an import can't be another service's.
pub(super) fn read(component: &[u8]) -> Result<Contracts, Refused> {
    let unreadable = |source| Refused::Types { source };
    let decoded = wit_component::decode(component)
        .map_err(|error| unreadable(Reasons::new(error.chain().map(ToString::to_string))))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(unreadable(Reasons::new([
            "it is a WIT package and has no code".to_owned(),
        ])));
    };
    let world = &resolve.worlds[world];
    let mut contracts = Contracts::default();
    for (name, interface) in own(&resolve, &world.imports) {
        let contract = contract(&resolve, name.clone(), interface);
        contracts
            .imports
            .push(contract.map_err(|(function, unfit)| {
                let import = shown(&format!("{name}#{function}"));
                match unfit {
                    Unfit::Bound(what) => Refused::Bound { import, what },
                    Unfit::Large => Refused::LargeSignature { import },
                }
            })?);
    }
    for (name, interface) in own(&resolve, &world.exports) {
        // One that can't be called from elsewhere is nobody else's business.
        contracts
            .exports
            .extend(contract(&resolve, name, interface).ok());
    }
    let all = contracts.imports.iter().chain(&contracts.exports);
    let texts = all.flat_map(|contract| &contract.functions);
    if texts
        .map(|(name, text)| name.len() + text.len())
        .sum::<usize>()
        > CONTRACTS_BYTES_MAX
    {
        return Err(Refused::LargeContracts {
            limit: CONTRACTS_BYTES_MAX,
        });
    }
    Ok(contracts)
}

/// The interfaces among the `items` that are not WASI's.
fn own<'a>(
    resolve: &'a Resolve,
    items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> impl Iterator<Item = (InterfaceName, InterfaceId)> {
    items.into_iter().filter_map(|(key, item)| {
        let WorldItem::Interface { id, .. } = item else {
            return None;
        };
        let name = InterfaceName::try_from(resolve.name_world_key(key).as_str());
        let name = name.ok().filter(|name| !name.path().starts_with("wasi:"))?;
        Some((name, *id))
    })
}

fn contract(
    resolve: &Resolve,
    interface: InterfaceName,
    id: InterfaceId,
) -> Result<Contract, (String, Unfit)> {
    let mut functions = BTreeMap::new();
    for (name, function) in &resolve.interfaces[id].functions {
        let text = signature(resolve, function).map_err(|unfit| (name.clone(), unfit))?;
        functions.insert(name.clone(), text);
    }
    Ok(Contract {
        interface,
        functions,
    })
}

fn signature(resolve: &Resolve, function: &Function) -> Result<String, Unfit> {
    let mut text = Text::default();
    if function.kind.is_async() {
        text.say(ASYNC)?;
    }
    text.say("func(")?;
    for (index, param) in function.params.iter().enumerate() {
        text.say(if index == 0 { "" } else { ", " })?;
        text.say(&param.name)?;
        text.say(": ")?;
        text.value(resolve, &param.ty)?;
    }
    text.say(")")?;
    if let Some(result) = &function.result {
        text.say(" -> ")?;
        text.value(resolve, result)?;
    }
    Ok(text.text)
}

/// A signature in the making, of bounded size.
#[derive(Default)]
struct Text {
    text: String,
    depth: usize,
}

impl Text {
    fn say(&mut self, word: impl fmt::Display) -> Result<(), Unfit> {
        // Writing to a string can't fail.
        write!(self.text, "{word}").ok();
        if self.text.len() > SIGNATURE_BYTES_MAX {
            return Err(Unfit::Large);
        }
        Ok(())
    }

    fn value(&mut self, resolve: &Resolve, ty: &Type) -> Result<(), Unfit> {
        self.say(match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => return Err(Unfit::Bound("an error-context")),
            Type::Id(id) => return self.defined(resolve, *id),
        })
    }

    fn defined(&mut self, resolve: &Resolve, id: TypeId) -> Result<(), Unfit> {
        if self.depth == DEPTH_MAX {
            return Err(Unfit::Large);
        }
        self.depth += 1;
        match &resolve.types[id].kind {
            // By structure: a name is no part of a type.
            TypeDefKind::Type(same) => self.value(resolve, same)?,
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter();
                let fields = fields.map(|field| (field.name.as_str(), Some(&field.ty)));
                self.list(resolve, "record", fields)?;
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                let cases = cases.map(|case| (case.name.as_str(), case.ty.as_ref()));
                self.list(resolve, "variant", cases)?;
            }
            TypeDefKind::Enum(of) => {
                let cases = of.cases.iter().map(|case| (case.name.as_str(), None));
                self.list(resolve, "enum", cases)?;
            }
            TypeDefKind::Flags(flags) => {
                let flags = flags.flags.iter().map(|flag| (flag.name.as_str(), None));
                self.list(resolve, "flags", flags)?;
            }
            TypeDefKind::Tuple(tuple) => {
                let parts = tuple.types.iter().map(|ty| ("", Some(ty)));
                self.list(resolve, "tuple", parts)?;
            }
            TypeDefKind::Option(of) => self.list(resolve, "option", [("", Some(of))])?,
            TypeDefKind::List(of) => self.list(resolve, "list", [("", Some(of))])?,
            TypeDefKind::FixedLengthList(of, length) => {
                self.list(resolve, &format!("list{length}"), [("", Some(of))])?;
            }
            TypeDefKind::Map(key, value) => {
                self.list(resolve, "map", [("", Some(key)), ("", Some(value))])?;
            }
            TypeDefKind::Result(result) => {
                let parts = [("ok", result.ok.as_ref()), ("err", result.err.as_ref())];
                self.list(resolve, "result", parts)?;
            }
            TypeDefKind::Resource | TypeDefKind::Handle(Handle::Own(_) | Handle::Borrow(_)) => {
                return Err(Unfit::Bound("a resource"));
            }
            TypeDefKind::Future(_) => return Err(Unfit::Bound("a future")),
            TypeDefKind::Stream(_) => return Err(Unfit::Bound("a stream")),
            TypeDefKind::Unknown => return Err(Unfit::Bound("an unknown type")),
        }
        self.depth -= 1;
        Ok(())
    }

    /// A type and its parts, each with a name or a type or both.
    fn list<'a>(
        &mut self,
        resolve: &Resolve,
        what: &str,
        parts: impl IntoIterator<Item = (&'a str, Option<&'a Type>)>,
    ) -> Result<(), Unfit> {
        self.say(what)?;
        for (index, (name, ty)) in parts.into_iter().enumerate() {
            self.say(if index == 0 { "<" } else { ", " })?;
            self.say(name)?;
            if let Some(ty) = ty {
                self.say(if name.is_empty() { "" } else { ": " })?;
                self.value(resolve, ty)?;
            }
        }
        self.say(">")
    }
}

#[cfg(test)]
mod tests {
    use super::super::artifact::ArtifactKind;
    use super::super::fixture::{HANDLER_02, HANDLER_03};
    use super::super::inspect::{Inspected, inspect};

    /// A component with an empty handler that imports `a:b/c@0.1.0` with a function of this `ty`, after these `types`.
    fn importing(handler: &str, types: &str, ty: &str) -> Vec<u8> {
        let text = format!(
            "(component
               (import \"a:b/c@0.1.0\" (instance
                 {types}
                 (export \"f\" (func {ty}))))
               (instance $none)
               (export \"{handler}\" (instance $none)))"
        );
        wat::parse_str(text).unwrap()
    }

    fn signature(types: &str, ty: &str) -> String {
        let component = importing(HANDLER_03, types, ty);
        match inspect(&component).unwrap() {
            Inspected::Component(ArtifactKind::Http03, contracts) => {
                assert_eq!(contracts.imports[0].interface.to_string(), "a:b/c@0.1.0");
                contracts.imports[0].functions["f"].clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn signatures_are_written_by_structure() {
        let record = "(type $r (record (field \"x\" u8) (field \"y\" (list string))))
                      (export \"point\" (type $point (eq $r)))";
        for (types, ty, expected) in [
            ("", "", "func()"),
            (
                "",
                "async (param \"a\" bool) (result char)",
                "async func(a: bool) -> char",
            ),
            (
                record,
                "(param \"a\" $point) (param \"b\" f64)",
                "func(a: record<x: u8, y: list<string>>, b: f64)",
            ),
            (
                "",
                "(result (result (option s64) (error (tuple u16 u32))))",
                "func() -> result<ok: option<s64>, err: tuple<u16, u32>>",
            ),
            ("", "(result (result))", "func() -> result<ok, err>"),
            (
                "(type $v (variant (case \"a\") (case \"b\" u8)))
                 (type $e (enum \"c\" \"d\")) (type $g (flags \"h\"))
                 (export \"v\" (type $vx (eq $v))) (export \"e\" (type $ex (eq $e)))
                 (export \"g\" (type $gx (eq $g)))",
                "(param \"a\" $vx) (param \"b\" $ex) (param \"c\" $gx)",
                "func(a: variant<a, b: u8>, b: enum<c, d>, c: flags<h>)",
            ),
        ] {
            assert_eq!(signature(types, ty), expected);
        }
    }

    #[test]
    fn what_belongs_to_one_instance_does_not_cross() {
        for (types, ty, what) in [
            (
                "(export \"r\" (type $r (sub resource)))",
                "(param \"a\" (own $r))",
                "a resource",
            ),
            ("", "(param \"a\" (stream u8))", "a stream"),
            ("", "(result (option (future)))", "a future"),
        ] {
            let refused = inspect(&importing(HANDLER_03, types, ty)).unwrap_err();
            let said = refused.to_string();
            assert!(
                said.contains(&format!("a:b/c@0.1.0#f with {what}")),
                "{said}"
            );
        }
    }

    #[test]
    fn signatures_without_bound_are_refused() {
        for (depth, words) in [(12, "too large"), (29, "can't be read")] {
            // Each type holds the one before twice: the text doubles, the component hardly grows.
            let first = "(type $t0 (tuple u8 u8)) (export \"t0\" (type $e0 (eq $t0)))";
            let mut types = first.to_owned();
            for level in 1..=depth {
                let before = level - 1;
                types += &format!(
                    "(type $t{level} (record (field \"a\" $e{before}) (field \"b\" $e{before})))
                     (export \"t{level}\" (type $e{level} (eq $t{level})))"
                );
            }
            let ty = format!("(param \"a\" $e{depth})");
            let refused = inspect(&importing(HANDLER_03, &types, &ty)).unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }

    #[test]
    fn async_functions_need_the_async_component_model() {
        let refused = inspect(&importing(HANDLER_02, "", "async")).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("a:b/c@0.1.0#f, an async function"),
            "{refused}"
        );
        inspect(&importing(HANDLER_02, "", "")).unwrap();
    }
}
