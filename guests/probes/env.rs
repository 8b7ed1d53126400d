//! Answers what it sees of the world, a line each: `arg VALUE`, `env NAME=VALUE`, `preopen PATH`, `stdin BYTES`.

use std::io::Read as _;

use fixtures::p2::wasip2::cli::environment;
use fixtures::p2::wasip2::filesystem::preopens::get_directories;
use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let mut text = String::new();
    for argument in environment::get_arguments() {
        text += &format!("arg {argument}\n");
    }
    for (name, value) in environment::get_environment() {
        text += &format!("env {name}={value}\n");
    }
    for (_, path) in get_directories() {
        text += &format!("preopen {path}\n");
    }
    let mut stdin = Vec::new();
    let _ = std::io::stdin().lock().read_to_end(&mut stdin);
    text += &format!("stdin {}\n", stdin.len());
    p2::answer(out, &text);
}
