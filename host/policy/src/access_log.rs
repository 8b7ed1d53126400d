//! A line of the access log for a request that is over: whatever clients have sent, one line, of a bounded length, whose
//! fields are where readers expect them.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

mod json;

/// Most bytes of what a client sent that one field shows; escaped, each may take four.
pub const FIELD_BYTES_MAX: usize = 2048;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NCSA's common log format, as Apache and nginx write it.
    Common,
    /// The same with referer and user agent.
    Combined,
    /// One JSON object, its fields named as OpenTelemetry names them.
    Json,
}

/// A request from outside that is over.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Who asked.
    pub client: IpAddr,
    /// Who that has proved to be.
    pub user: Option<&'a str>,
    /// When the request came, after the beginning of 1970.
    pub time: Duration,
    /// The request's method.
    pub method: &'a str,
    /// Path and query, or the whole URL if it was asked for like this.
    pub target: &'a str,
    /// `1.0`, `1.1` or `2`.
    pub version: &'a str,
    /// The host that the request was for, if it said one.
    pub host: Option<&'a [u8]>,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// The header.
    pub referer: Option<&'a [u8]>,
    /// The header.
    pub user_agent: Option<&'a [u8]>,
    /// From the request's head to the answer's last byte.
    pub duration: Duration,
    /// Who was to answer.
    pub service: Option<&'a str>,
    /// The fault that there was.
    pub fault: Option<&'a str>,
    /// Under which the log has more.
    pub request_id: &'a str,
}

/// Adds the line, with its end, to those before.
pub fn add_line(lines: &mut String, entry: &Entry<'_>, format: Format) {
    match format {
        Format::Common => ncsa(lines, entry),
        Format::Combined => {
            ncsa(lines, entry);
            for header in [entry.referer, entry.user_agent] {
                lines.push_str(" \"");
                escape(lines, header.unwrap_or(b"-"), false);
                lines.push('"');
            }
        }
        Format::Json => json::object(lines, entry),
    }
    lines.push('\n');
}

/// `%h %l %u %t "%r" %>s %b`.
fn ncsa(line: &mut String, entry: &Entry<'_>) {
    write(line, format_args!("{} - ", entry.client));
    let user = entry.user.filter(|user| !user.is_empty()).unwrap_or("-");
    escape(line, user.as_bytes(), true);
    line.push_str(" [");
    ncsa_time(line, entry.time);
    line.push_str("] \"");
    escape(line, entry.method.as_bytes(), true);
    line.push(' ');
    escape(line, entry.target.as_bytes(), true);
    // As servers write it, which know of no minor version.
    let minor = if entry.version.contains('.') {
        ""
    } else {
        ".0"
    };
    write(
        line,
        format_args!(" HTTP/{}{minor}\" {} ", entry.version, entry.status),
    );
    match entry.bytes {
        0 => line.push('-'),
        bytes => write(line, format_args!("{bytes}")),
    }
}

/// As Apache escapes: quotes and backslashes with a backslash, what has a letter with that, and all else that is no
/// printable ASCII as `\xhh`; spaces, too, where one would end the field.
fn escape(line: &mut String, text: &[u8], ends_at_space: bool) {
    let mut rest = &text[..text.len().min(FIELD_BYTES_MAX)];
    let is_plain = |byte: u8| match byte {
        b'"' | b'\\' => false,
        b' ' => !ends_at_space,
        byte => matches!(byte, b'!'..=b'~'),
    };
    loop {
        let run = rest.iter().position(|byte| !is_plain(*byte));
        let (plain, after) = rest.split_at(run.unwrap_or(rest.len()));
        line.push_str(std::str::from_utf8(plain).unwrap_or_default());
        let Some((byte, after)) = after.split_first() else {
            return;
        };
        rest = after;
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str(r"\\"),
            b'\n' => line.push_str(r"\n"),
            b'\r' => line.push_str(r"\r"),
            b'\t' => line.push_str(r"\t"),
            0x08 => line.push_str(r"\b"),
            0x0b => line.push_str(r"\v"),
            other => write(line, format_args!("\\x{other:02x}")),
        }
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `10/Oct/2000:13:55:36 +0000`.
fn ncsa_time(line: &mut String, time: Duration) {
    let Date { year, month, day } = date(time.as_secs() / 86_400);
    two_digits(line, day);
    write(line, format_args!("/{}/{year}", MONTHS[month - 1]));
    for part in clock(time) {
        line.push(':');
        two_digits(line, part);
    }
    line.push_str(" +0000");
}

fn two_digits(line: &mut String, number: u64) {
    for digit in [number / 10 % 10, number % 10] {
        line.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

fn clock(time: Duration) -> [u64; 3] {
    let seconds = time.as_secs() % 86_400;
    [seconds / 3600, seconds / 60 % 60, seconds % 60]
}

struct Date {
    year: u64,
    /// From 1.
    month: usize,
    /// From 1.
    day: u64,
}

/// The date so many days after the first of 1970, in the Gregorian calendar. Years begin in March, so that a leap day is
/// the last of one.
fn date(days: u64) -> Date {
    let since_march_of_0 = days + 719_468;
    let (era, of_era) = (since_march_of_0 / 146_097, since_march_of_0 % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let is_next_year = month_from_march >= 10;
    let month = if is_next_year {
        month_from_march - 9
    } else {
        month_from_march + 3
    };
    Date {
        year: era * 400 + year_of_era + u64::from(is_next_year),
        month: usize::try_from(month).unwrap_or(1),
        day: of_year - (153 * month_from_march + 2) / 5 + 1,
    }
}

fn write(line: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    line.write_fmt(text).ok();
}

#[cfg(test)]
mod tests;
