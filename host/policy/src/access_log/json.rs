//! An entry as a JSON object. Field names stay; fields that say nothing are left out.

use super::{Date, Entry, FIELD_BYTES_MAX, clock, date, write};

pub(super) fn object(line: &mut String, entry: &Entry<'_>) {
    line.push_str("{\"timestamp\":\"");
    let Date { year, month, day } = date(entry.time.as_secs() / 86_400);
    let [hour, minute, second] = clock(entry.time);
    let millis = entry.time.subsec_millis();
    write(
        line,
        format_args!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z\""
        ),
    );
    let client = entry.client.to_string();
    let (path, query) = match entry.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (entry.target, None),
    };
    let request_id = Some(entry.request_id).filter(|id| !id.is_empty());
    for (name, value) in [
        ("client.address", Some(client.as_bytes())),
        ("user.name", entry.user.map(str::as_bytes)),
        ("http.request.method", Some(entry.method.as_bytes())),
        ("url.path", Some(path.as_bytes())),
        ("url.query", query.map(str::as_bytes)),
        ("network.protocol.version", Some(entry.version.as_bytes())),
        ("server.address", entry.host),
        ("http.request.header.referer", entry.referer),
        ("user_agent.original", entry.user_agent),
        ("skep.service", entry.service.map(str::as_bytes)),
        ("skep.request_id", request_id.map(str::as_bytes)),
        ("error.type", entry.fault.map(str::as_bytes)),
    ] {
        if let Some(value) = value {
            write(line, format_args!(",\"{name}\":\""));
            text(line, value);
            line.push('"');
        }
    }
    let (status, bytes) = (entry.status, entry.bytes);
    let seconds = entry.duration.as_secs_f64();
    write(
        line,
        format_args!(
            ",\"http.response.status_code\":{status},\"http.response.body.size\":{bytes},\
             \"http.server.request.duration\":{seconds:.6}}}"
        ),
    );
}

/// What is no UTF-8 is replaced; what a terminal could take for a command is escaped.
fn text(line: &mut String, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(FIELD_BYTES_MAX)];
    for char in String::from_utf8_lossy(bytes).chars() {
        match char {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str(r"\\"),
            control if control.is_control() => {
                write(line, format_args!("\\u{:04x}", u32::from(control)));
            }
            // Some readers take these for the ends of lines.
            '\u{2028}' | '\u{2029}' => write(line, format_args!("\\u{:04x}", u32::from(char))),
            other => line.push(other),
        }
    }
}
