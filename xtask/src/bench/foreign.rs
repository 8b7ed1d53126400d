//! Contenders from the npm registry: a component that holds a whole JavaScript engine, and workerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::contender::{Contender, Make, serve, skep};
use super::folder;
use crate::command::{self, root};

/// The version of WASI that the JavaScript engine was built for.
const WASI: &str = "0.2.10";
const WASI_HERE: &str = "0.2.12";
const PACKAGES: [&str; 2] = [
    "@bytecodealliance/componentize-js@0.23.0",
    "workerd@1.20261117.1",
];
const SCRIPT: &str = "addEventListener('fetch', event => event.respondWith(new Response('Hello from JavaScript\\n')));\n";
const WORLD: &str = "package bench:hello;\nworld hello { include wasi:http/proxy@0.2.10; }\n";

/// Their names.
pub(super) const NAMES: [&str; 3] = ["skep js fresh", "serve js fresh", "workerd"];

/// None if there is no npm, which is said.
pub(super) fn contenders(wasmtime: &Path) -> anyhow::Result<Vec<Contender>> {
    if Command::new("npm").arg("--version").output().is_err() {
        println!("npm is missing: without the JavaScript component and workerd");
        return Ok(Vec::new());
    }
    let home = folder().join("npm");
    install(&home)?;
    let component = componentize(&home)?;
    let [ours, served, workers] = NAMES;
    Ok(vec![
        Contender::new(ours, "/js", skep("js", &component, "", "")),
        Contender::new(served, "/", serve(wasmtime, &component, &[])),
        Contender::new(workers, "/", workerd(home)),
    ])
}

fn install(home: &Path) -> anyhow::Result<()> {
    if home.join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    println!("installing componentize-js and workerd for comparison");
    fs::create_dir_all(home)?;
    fs::write(home.join("package.json"), "{\"private\": true}\n")?;
    let mut install = Command::new("npm");
    install
        .args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
        ])
        .args(PACKAGES)
        .current_dir(home);
    command::run(&mut install)
}

fn componentize(home: &Path) -> anyhow::Result<PathBuf> {
    let component = home.join("js.wasm");
    if component.exists() {
        return Ok(component);
    }
    println!("making a component of JavaScript");
    let wit = home.join("wit");
    fs::create_dir_all(wit.join("deps"))?;
    fs::write(wit.join("hello.wit"), WORLD)?;
    fs::write(home.join("hello.js"), SCRIPT)?;
    for entry in fs::read_dir(root().join("wit/deps"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if name.to_string_lossy().contains("-0.2.") {
            let text = fs::read_to_string(&path)?.replace(WASI_HERE, WASI);
            fs::write(wit.join("deps").join(name), text)?;
        }
    }
    let mut componentize = Command::new(home.join("node_modules/.bin/componentize-js"));
    componentize
        .args(["hello.js", "--wit", "wit", "-n", "hello", "-o", "js.wasm"])
        .current_dir(home)
        .stdout(Stdio::null());
    command::run(&mut componentize)?;
    Ok(component)
}

/// A worker that calls another by its service binding, at `/hop` so often; None if there is no workerd.
pub(super) fn workerd_hop(hops: u32) -> anyhow::Result<Option<Make>> {
    let home = folder().join("npm");
    if !home.join("node_modules/workerd").exists() {
        return Ok(None);
    }
    let script = format!(
        "export default {{ async fetch(request, env) {{\n\
         let text = 'nothing to call\\n';\n\
         const hops = new URL(request.url).pathname === '/hop' ? {hops} : 0;\n\
         for (let hop = 0; hop < hops; hop++) text = await (await env.callee.fetch('http://callee/')).text();\n\
         return new Response(text);\n}} }};\n"
    );
    fs::write(home.join("front.js"), script)?;
    let front = "(name = \"front\", worker = (modules = [(name = \"front.js\", esModule = embed \"front.js\")], \
                 bindings = [(name = \"callee\", service = \"hello\")], compatibilityDate = \"2026-01-01\")), ";
    Ok(Some(workerd_of(home, front, "front")))
}

fn workerd(home: PathBuf) -> Make {
    workerd_of(home, "", "hello")
}

/// Serves `service`: `hello`, or one of those that are described.
fn workerd_of(home: PathBuf, others: &'static str, service: &'static str) -> Make {
    Box::new(move |port| {
        let config = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\n\
             const config :Workerd.Config = (\n\
             services = [{others}(name = \"hello\", worker = (serviceWorkerScript = embed \"hello.js\", \
             compatibilityDate = \"2026-01-01\"))],\n\
             sockets = [(name = \"http\", address = \"127.0.0.1:{port}\", http = (), service = \"{service}\")]);\n"
        );
        fs::write(home.join("workerd.capnp"), config)?;
        let mut command =
            Command::new(home.join("node_modules/@cloudflare/workerd-linux-64/bin/workerd"));
        command.args(["serve", "workerd.capnp"]).current_dir(&home);
        Ok(command)
    })
}
