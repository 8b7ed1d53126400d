//! Small artifacts for tests.

use wasm_encoder::{
    CodeSection, Component, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentTypeRef, ComponentTypeSection, CustomSection, EntityType,
    ExportKind, ExportSection, Function, FunctionSection, ImportSection, InstanceType,
    MemorySection, MemoryType, Module, ModuleSection, TypeSection, ValType,
};

pub(crate) const HANDLER_02: &str = "wasi:http/incoming-handler@0.2.3";
pub(crate) const HANDLER_03: &str = "wasi:http/handler@0.3.1";
pub(crate) const RUN_02: &str = "wasi:cli/run@0.2.0";

/// A component with empty interfaces of these names.
pub(crate) fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    component_of(imports, exports, &Module::new())
}

fn component_of(imports: &[&str], exports: &[&str], core: &Module) -> Vec<u8> {
    let mut component = Component::new();
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    component.section(&types);
    let mut section = ComponentImportSection::new();
    for import in imports {
        section.import(*import, ComponentTypeRef::Instance(0));
    }
    component.section(&section);
    component.section(&ModuleSection(core));
    let mut instances = ComponentInstanceSection::new();
    instances.export_items([] as [(&str, ComponentExportKind, u32); 0]);
    component.section(&instances);
    let mut section = ComponentExportSection::new();
    for export in exports {
        section.export(
            *export,
            ComponentExportKind::Instance,
            imports.len() as u32,
            None,
        );
    }
    component.section(&section);
    component.finish()
}

/// A 0.2 component around so much code that compiling it takes long.
pub(super) fn laborious(functions: u32, statements: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([ValType::I64], [ValType::I64]);
    module.section(&types);
    let mut declared = FunctionSection::new();
    let mut code = CodeSection::new();
    for seed in 0..functions {
        declared.function(0);
        let mut body = Function::new([(2, ValType::I64)]);
        for step in 0..statements {
            body.instructions()
                .local_get(0)
                .i64_const(i64::from(seed ^ step))
                .i64_mul()
                .local_get(step % 3)
                .i64_rotl()
                .local_set((step + 1) % 3);
        }
        body.instructions().local_get(1).end();
        code.function(&body);
    }
    module.section(&declared).section(&code);
    component_of(&[], &[HANDLER_02], &module)
}

/// A core module that imports a function of type `() -> i32` of each name and exports one of type `()`.
pub(super) fn module(imports: &[(&str, &str)], export: &str) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([], [ValType::I32]);
    let mut imported = ImportSection::new();
    for (from, name) in imports {
        imported.import(from, name, EntityType::Function(1));
    }
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memory = MemorySection::new();
    memory.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports
        .export(export, ExportKind::Func, imports.len() as u32)
        .export("memory", ExportKind::Memory, 0);
    let mut code = CodeSection::new();
    let mut body = Function::new([]);
    body.instructions().end();
    code.function(&body);
    module
        .section(&types)
        .section(&imported)
        .section(&functions)
        .section(&memory);
    module.section(&exports).section(&code);
    module.finish()
}

/// A module that describes an interface of its own, wrongly.
pub(super) fn typed_module() -> Vec<u8> {
    let mut bytes = module(&[], "run");
    let section = CustomSection {
        name: "component-type:x".into(),
        data: b"nonsense"[..].into(),
    };
    let mut tail = Module::new();
    tail.section(&section);
    bytes.extend_from_slice(&tail.finish()[8..]);
    bytes
}
