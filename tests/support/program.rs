//! Small programs for CGI, made as a test needs them.

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, ImportSection, InstructionSink, MemorySection, MemoryType, Module,
    TypeSection, ValType,
};

const WASI: &str = "wasi_snapshot_preview1";
const FD_WRITE: u32 = 0;
const PROC_EXIT: u32 = 1;
const START: u32 = 2;
/// Where the memory holds the written count, out of the way of the texts.
const WRITTEN_AT: i32 = 16;
const TEXT_AT: i32 = 64;

/// A wasip1 module that writes `stdout`, then `stderr`, and ends with the status `exit`.
pub(crate) fn program(stdout: &str, stderr: &str, exit: i32) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([ValType::I32], []);
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    imports.import(WASI, "fd_write", EntityType::Function(0));
    imports.import(WASI, "proc_exit", EntityType::Function(1));
    let mut functions = FunctionSection::new();
    functions.function(2);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("_start", ExportKind::Func, START);

    let mut start = Function::new([]);
    let mut code = start.instructions();
    let stderr_at = TEXT_AT + length(stdout);
    write(&mut code, 1, TEXT_AT, length(stdout));
    write(&mut code, 2, stderr_at, length(stderr));
    if exit != 0 {
        code.i32_const(exit).call(PROC_EXIT);
    }
    code.end();
    let mut codes = CodeSection::new();
    codes.function(&start);
    let mut data = DataSection::new();
    let texts = [stdout, stderr].concat().into_bytes();
    data.active(0, &ConstExpr::i32_const(TEXT_AT), texts);

    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&codes)
        .section(&data);
    module.finish()
}

fn write(code: &mut InstructionSink<'_>, descriptor: i32, at: i32, length: i32) {
    let word = wasm_encoder::MemArg {
        offset: 0,
        align: 2,
        memory_index: 0,
    };
    code.i32_const(0).i32_const(at).i32_store(word);
    code.i32_const(4).i32_const(length).i32_store(word);
    for argument in [descriptor, 0, 1, WRITTEN_AT] {
        code.i32_const(argument);
    }
    code.call(FD_WRITE).drop();
}

fn length(text: &str) -> i32 {
    text.len().try_into().unwrap()
}
