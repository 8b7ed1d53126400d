//! The interfaces that a component shares with other services, read from its types.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use skep_policy::contract::{Contract, InterfaceName};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncType,
    ComponentInstanceTypeId, ComponentValType,
};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{Parser, PrimitiveValType, ValidPayload, Validator, WasmFeatures};

use super::refused::{Refused, shown};

/// Text of one signature, the types in it included.
const SIGNATURE_BYTES_MAX: usize = 16 << 10;
/// Text of all that a component shares: names and signatures.
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
    /// Whether it calls functions of other services.
    pub(crate) fn has_calls(&self) -> bool {
        self.imports.iter().any(Contract::has_functions)
    }
}

/// Whether a function of this signature is one that others can go on beside.
pub(crate) fn is_async(signature: &str) -> bool {
    signature.starts_with(ASYNC)
}

const ASYNC: &str = "async ";

/// Why an interface can't be shared between services.
enum Unfit {
    /// Something in the item's types belongs to one instance.
    Bound(String, &'static str),
    /// The item's types are too large, or nested too deeply.
    Large(String),
    /// There is too much of all.
    Much,
}

/// Reads those of the interfaces, given by their names, that others may provide or use.
///
/// # Errors
/// [`Refused`] when an import can't be another service's.
pub(super) fn read<'a>(
    component: &[u8],
    imports: impl Iterator<Item = &'a str>,
    exports: impl Iterator<Item = &'a str>,
) -> Result<Contracts, Refused> {
    let types = types(component)?;
    let mut reader = Reader {
        types: types.as_ref(),
        left: CONTRACTS_BYTES_MAX,
    };
    let mut contracts = Contracts::default();
    for import in imports {
        let item = reader.types.component_item_for_import(import);
        let contract = reader.contract(import, item.map(|item| item.ty));
        let named = |item: String| shown(&format!("{import}#{item}"));
        contracts
            .imports
            .extend(contract.map_err(|unfit| match unfit {
                Unfit::Bound(item, what) => Refused::Bound {
                    import: named(item),
                    what,
                },
                Unfit::Large(item) => Refused::LargeSignature {
                    import: named(item),
                },
                Unfit::Much => Refused::LargeContracts {
                    limit: CONTRACTS_BYTES_MAX,
                },
            })?);
    }
    for export in exports {
        let item = reader.types.component_item_for_export(export);
        // One that can't be called from elsewhere is nobody else's business.
        if let Ok(contract) = reader.contract(export, item.map(|item| item.ty)) {
            contracts.exports.extend(contract);
        }
    }
    Ok(contracts)
}

/// The types of the component, without a look at its code.
fn types(component: &[u8]) -> Result<Types, Refused> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut types = None;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(Refused::parsing)?;
        if let ValidPayload::End(end) = validator.payload(&payload).map_err(Refused::parsing)? {
            types = Some(end);
        }
    }
    types.ok_or(Refused::Empty)
}

struct Reader<'a> {
    types: TypesRef<'a>,
    /// Bytes of text that there may still be.
    left: usize,
}

impl Reader<'_> {
    /// None if it is no interface.
    fn contract(
        &mut self,
        name: &str,
        ty: Option<ComponentEntityType>,
    ) -> Result<Option<Contract>, Unfit> {
        let interface = InterfaceName::try_from(name);
        let (Ok(interface), Some(ComponentEntityType::Instance(id))) = (interface, ty) else {
            return Ok(None);
        };
        let functions = self.functions(name, id)?;
        Ok(Some(Contract {
            interface,
            functions,
        }))
    }

    fn functions(
        &mut self,
        interface: &str,
        id: ComponentInstanceTypeId,
    ) -> Result<BTreeMap<String, String>, Unfit> {
        let mut functions = BTreeMap::new();
        let mut left = self.left.checked_sub(interface.len()).ok_or(Unfit::Much)?;
        for (name, item) in &self.types[id].exports {
            match item.ty {
                ComponentEntityType::Func(function) => {
                    let text = self.signature(name, &self.types[function])?;
                    let bytes = name.len() + text.len();
                    left = left.checked_sub(bytes).ok_or(Unfit::Much)?;
                    functions.insert(name.clone(), text);
                }
                ComponentEntityType::Type {
                    referenced: ComponentAnyTypeId::Resource(_),
                    ..
                } => return Err(Unfit::Bound(name.clone(), "a resource")),
                _ => {}
            }
        }
        self.left = left;
        Ok(functions)
    }

    fn signature(&self, name: &str, function: &ComponentFuncType) -> Result<String, Unfit> {
        let mut text = Text {
            types: self.types,
            function: name,
            text: String::new(),
            depth: 0,
        };
        if function.async_ {
            text.say(ASYNC)?;
        }
        text.say("func(")?;
        for (index, (name, ty)) in function.params.iter().enumerate() {
            text.say(if index == 0 { "" } else { ", " })?;
            text.say(name)?;
            text.say(": ")?;
            text.value(ty)?;
        }
        text.say(")")?;
        if let Some(result) = &function.result {
            text.say(" -> ")?;
            text.value(result)?;
        }
        Ok(text.text)
    }
}

/// A signature in the making, of bounded size. Types are written by structure: a name is no part of them.
struct Text<'a> {
    types: TypesRef<'a>,
    function: &'a str,
    text: String,
    depth: usize,
}

impl Text<'_> {
    fn large(&self) -> Unfit {
        Unfit::Large(self.function.to_owned())
    }

    fn bound(&self, what: &'static str) -> Unfit {
        Unfit::Bound(self.function.to_owned(), what)
    }

    fn say(&mut self, word: impl fmt::Display) -> Result<(), Unfit> {
        // Writing to a string can't fail.
        write!(self.text, "{word}").ok();
        if self.text.len() > SIGNATURE_BYTES_MAX {
            return Err(self.large());
        }
        Ok(())
    }

    fn value(&mut self, ty: &ComponentValType) -> Result<(), Unfit> {
        match ty {
            ComponentValType::Primitive(primitive) => self.primitive(*primitive),
            ComponentValType::Type(id) => {
                if self.depth == DEPTH_MAX {
                    return Err(self.large());
                }
                self.depth += 1;
                let types = self.types;
                self.defined(&types[*id])?;
                self.depth -= 1;
                Ok(())
            }
        }
    }

    fn primitive(&mut self, primitive: PrimitiveValType) -> Result<(), Unfit> {
        match primitive {
            PrimitiveValType::ErrorContext => Err(self.bound("an error-context")),
            value => self.say(value),
        }
    }

    fn defined(&mut self, ty: &ComponentDefinedType) -> Result<(), Unfit> {
        match ty {
            ComponentDefinedType::Primitive(primitive) => self.primitive(*primitive),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter();
                self.list("record", fields.map(|(name, ty)| (name.as_str(), Some(ty))))
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter();
                let cases = cases.map(|(name, case)| (name.as_str(), case.ty.as_ref()));
                self.list("variant", cases)
            }
            ComponentDefinedType::Enum(names) => {
                self.list("enum", names.iter().map(|name| (name.as_str(), None)))
            }
            ComponentDefinedType::Flags(names) => {
                self.list("flags", names.iter().map(|name| (name.as_str(), None)))
            }
            ComponentDefinedType::Tuple(tuple) => {
                self.list("tuple", tuple.types.iter().map(|ty| ("", Some(ty))))
            }
            ComponentDefinedType::Option { ty, .. } => self.list("option", [("", Some(ty))]),
            ComponentDefinedType::List { element, .. } => self.list("list", [("", Some(element))]),
            ComponentDefinedType::FixedLengthList {
                element, length, ..
            } => self.list(&format!("list{length}"), [("", Some(element))]),
            ComponentDefinedType::Map { key, value, .. } => {
                self.list("map", [("", Some(key)), ("", Some(value))])
            }
            ComponentDefinedType::Result { ok, err, .. } => {
                self.list("result", [("ok", ok.as_ref()), ("err", err.as_ref())])
            }
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => {
                Err(self.bound("a resource"))
            }
            ComponentDefinedType::Future { .. } => Err(self.bound("a future")),
            ComponentDefinedType::Stream { .. } => Err(self.bound("a stream")),
        }
    }

    /// A type and its parts, each with a name or a type or both.
    fn list<'a>(
        &mut self,
        what: &str,
        parts: impl IntoIterator<Item = (&'a str, Option<&'a ComponentValType>)>,
    ) -> Result<(), Unfit> {
        self.say(what)?;
        for (index, (name, ty)) in parts.into_iter().enumerate() {
            self.say(if index == 0 { "<" } else { ", " })?;
            self.say(name)?;
            if let Some(ty) = ty {
                self.say(if name.is_empty() { "" } else { ": " })?;
                self.value(ty)?;
            }
        }
        self.say(">")
    }
}

#[cfg(test)]
mod tests;
