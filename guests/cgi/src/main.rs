//! A plain program served as CGI (RFC 3875): variables say what was asked, standard input is the request's
//! body, standard output is the response.

use std::io::{self, Write as _};

/// Variables that the answer repeats, each on a line of its own.
const SHOWN: [&str; 6] = [
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
];

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(
        out,
        "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    )?;
    for name in SHOWN {
        let value = std::env::var(name).unwrap_or_default();
        writeln!(out, "{name}={value}")?;
    }
    writeln!(out)?;
    io::copy(&mut io::stdin().lock(), &mut out)?;
    out.flush()
}
